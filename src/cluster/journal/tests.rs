use super::super::lines::{LEFT_OUT, LONGEST};
use super::*;
use crate::brake::Process;

const SOON: Duration = Duration::from_secs(20);
const EXTENT: Extent = Extent { first: 2, last: 3 };

fn run(program: &str, arguments: &[&str], patience: Duration, part: Part) -> Lines {
    let arguments: Vec<String> = arguments.iter().copied().map(str::to_owned).collect();
    read(program, &arguments, patience, Lines::new(EXTENT), part)
}

fn shell(script: &str, patience: Duration) -> Vec<String> {
    run("/bin/sh", &["-c", script], patience, Part::Whole).end()
}

#[test]
fn the_first_and_the_last_lines_are_kept_and_each_is_cut() {
    let lines = shell(
        "seq 1 2000; printf %02000d 7; echo; printf '\\377end'",
        SOON,
    );
    let cut = format!("{}…", "0".repeat(LONGEST));
    assert_eq!(lines, ["1", "2", LEFT_OUT, "2000", &cut, "\u{fffd}end"]);
    assert_eq!(shell("seq 1 5", SOON), ["1", "2", "3", "4", "5"]);
    let one_more = ["1", "2", LEFT_OUT, "4", "5", "6"];
    assert_eq!(shell("seq 1 6", SOON), one_more);
}

#[test]
fn a_beginning_and_an_end_that_were_read_apart_are_put_together() {
    let beginning = run("/usr/bin/yes", &[], SOON, Part::Beginning);
    let end = run("/bin/sh", &["-c", "seq 95 100"], SOON, Part::Whole);
    assert_eq!(end.seen(), 6);
    let lines = end.end_after(beginning);
    assert_eq!(lines, ["y", "y", LEFT_OUT, "98", "99", "100"]);
}

#[test]
fn one_that_writes_without_end_or_not_at_all_is_not_waited_for() {
    let endless = ["y", "y", LEFT_OUT, "y", "y", "y"];
    assert_eq!(shell("exec yes", SOON), endless);
    let zeros = shell("exec tr '\\0' é </dev/zero", SOON);
    assert_eq!(zeros.len(), 1);
    assert!(zeros[0].chars().count() <= LONGEST + 1);
    let begun = Instant::now();
    let lines = shell("echo before; exec sleep 100", Duration::from_millis(300));
    assert_eq!(lines, ["before"]);
    assert!(begun.elapsed() < SOON);
    // The time ends also where there is always something to read.
    let few = run("/usr/bin/yes", &[], Duration::from_millis(20), Part::Whole);
    assert!(few.seen() < BYTES / "y\n".len(), "{} lines", few.seen());
    let nothing = run("/nonexistent", &[], SOON, Part::Whole);
    assert_eq!(nothing.end(), [""; 0]);
}

#[test]
fn what_rsgen_tells_of_an_instance_is_not_output_of_its_program() {
    let lines = Lines::new(EXTENT).without("rsgen: web@0.service ");
    let script = "echo one; echo rsgen: web@0.service ended; echo rsgen: two".to_owned();
    let shell = ["-c".to_owned(), script];
    let lines = read("/bin/sh", &shell, SOON, lines, Part::Whole);
    assert_eq!(lines.seen(), 2);
    assert_eq!(lines.end(), ["one", "rsgen: two"]);
}

#[test]
fn a_time_is_given_to_the_microsecond() {
    let since = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042);
    assert_eq!(from(since).unwrap(), "--since=@1700000000.000042");
    assert_eq!(until(since).unwrap(), "--until=@1700000000.000042");
    assert_eq!(from(UNIX_EPOCH - Duration::from_secs(1)), None);
}

#[test]
fn nothing_of_our_environment_reaches_it() {
    let lines = run("/usr/bin/env", &[], SOON, Part::Whole);
    assert_eq!(lines.end(), [""; 0]);
}

/// In the place of journalctl(1), echo(1) shows what would be read, as one line.
#[test]
fn of_the_lines_of_pid_1_only_those_about_a_failure_are_told() {
    let told = |scope, unit| of_systemd("/bin/echo", scope, unit, "ab", EXTENT);
    let failure = "web@0.service: Failed to start";
    let read = "--boot --output=cat --quiet --no-pager --lines=100 _UID=0";
    assert_eq!(
        told(Scope::System, failure),
        [format!("{read} UNIT={failure} INVOCATION_ID=ab")]
    );
    assert_eq!(told(Scope::System, "web@0.service"), [""; 0]);
    let ignored = "web@0.service: Failed to read pids.max, ignoring: No data";
    assert_eq!(told(Scope::System, ignored), [""; 0]);
    assert_eq!(told(Scope::User, failure), [""; 0]);
}

#[test]
fn a_program_whose_time_is_over_is_killed_and_waited_for() {
    let is_gone = || {
        let lines = shell("echo $$; exec sleep 100", Duration::from_millis(300));
        let process = |pid: &String| std::path::Path::new("/proc").join(pid);
        lines.first().is_some_and(|pid| !process(pid).exists())
    };
    // On a busy machine, a process may take longer to start or to end than the test waits.
    assert!((0..5).any(|_| is_gone()));
}

/// With ten minutes left, only the limit on what is read can end this test.
#[test]
fn of_a_program_that_writes_without_end_only_so_much_is_read() {
    let lines = shell("exec tr '\\0' x </dev/zero", Duration::from_mins(10));
    assert_eq!(lines.len(), 1);
}

/// A program in the place of journalctl(1). What it is asked is kept, a line for each question.
struct Journalctl(tempfile::TempDir);

impl Journalctl {
    /// Prints a line from its question of this number on.
    fn that_is_late(question: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>{0}/asked\n[ $(grep -c -v -e --sync {0}/asked) -lt {question} ] || echo late\n",
            folder.path().display()
        );
        // Whoever writes a program and starts it at once may be told that it is busy, because of a process of another test.
        let made = Command::new("/bin/sh")
            .args(["-c", "printf %s \"$1\" >\"$0\"; chmod +x \"$0\""])
            .arg(folder.path().join("journalctl"))
            .arg(script)
            .status();
        assert!(made.unwrap().success());
        Self(folder)
    }

    fn words(&self, scope: Scope, late: Duration) -> Vec<String> {
        self.words_of(scope, &Run::known_by("ab"), late)
    }

    fn words_of(&self, scope: Scope, run: &Run, late: Duration) -> Vec<String> {
        let journalctl = self.0.path().join("journalctl");
        let reader = Reader {
            journalctl: journalctl.to_str().unwrap(),
            late,
        };
        reader.words((scope, "web@0.service"), run, None, EXTENT)
    }

    fn asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.0.path().join("asked")).unwrap();
        asked.lines().map(str::to_owned).collect()
    }
}

#[test]
fn root_has_everything_stored_first_and_a_user_asks_again_for_a_while() {
    let journal = Journalctl::that_is_late(1);
    assert_eq!(journal.words(Scope::System, SOON), ["late"]);
    assert_eq!(journal.asked()[0], "--sync --quiet");
    assert_eq!(journal.asked().len(), 2);
    let journal = Journalctl::that_is_late(4);
    assert_eq!(journal.words(Scope::User, SOON), ["late"]);
    assert_eq!(journal.asked().len(), 5);
    // Somebody waits for a start that has failed.
    let never = Journalctl::that_is_late(1000);
    let begun = Instant::now();
    assert_eq!(never.words(Scope::User, PAUSE), [""; 0]);
    assert!(begun.elapsed() < SOON);
    // Of root the last question is for what systemd itself tells.
    let never = Journalctl::that_is_late(1000);
    assert_eq!(never.words(Scope::System, SOON), [""; 0]);
    let asked = never.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[2].contains(" UNIT=web@0.service "), "{asked:?}");
}

/// The PID may have been that of another process before, and is that of another one later.
#[test]
fn lines_without_a_run_are_those_of_the_process_while_it_ran_and_of_a_minute_more() {
    let never = Journalctl::that_is_late(1000);
    let run = Run {
        process: Some(Process {
            pid: 7,
            began: Duration::from_secs(1000),
            ended: Duration::from_secs(2000),
            uid: Some(33),
        }),
        ..Run::known_by("ab")
    };
    assert_eq!(never.words_of(Scope::System, &run, SOON), [""; 0]);
    let asked = never.asked();
    let of_process = " --since=@1000.000000 --until=@2060.000000 --lines=7 _PID=7 _UID=33";
    assert!(asked[2].ends_with(of_process), "{asked:?}");
}
