//! `rsgen logs`.

use testbed::runner::Spec;
use testbed::{Machine, specs, wait_until};

use crate::cluster::{SOON, assert_exactly, install};
use crate::logs;

pub(crate) const SPECS: &[Spec] = specs![
    logs::are_merged_numbered_and_tell_what_happened,
    logs::follow_what_comes_until_nobody_reads,
    logs::tell_of_a_death_that_no_command_of_the_unit_could_count,
];

pub(crate) fn are_merged_numbered_and_tell_what_happened(machine: &mut Machine) {
    install(machine, "lines.js", "2", "");
    assert!(machine.get(3000).is_ok());
    let forged = "setpriv --reuid=www-data --clear-groups logger -t web 'forged by another user'";
    machine.sh(forged).ok();
    let victim = machine.main_pid("web@1.service").to_string();
    machine.run(&["kill", "-KILL", &victim]).ok();
    wait_until(SOON, "another process", || {
        let pid = machine.main_pid("web@1.service");
        pid != 0 && pid.to_string() != victim
    });
    assert_exactly(machine, 2);

    let all = ["rsgen", "logs", "web", "-n", "all", "--no-follow"];
    let shown = machine
        .run(&all)
        .ok()
        .says("| asked for / \\x1b[2J")
        .says("| web@0 # Main process exited")
        .says("web@1 # Main process exited, code=killed, status=9/KILL")
        .says("web   # 2 of 2 serving");
    assert!(!shown.stdout.contains("forged"), "{shown}");
    let begun = |line: &&str| line.contains("| begun with") && line.ends_with(" and an end");
    let whole = shown.stdout.lines().filter(begun).count();
    assert_eq!(whole, 3, "each long line is one: {}", shown.stdout.len());

    let one = machine
        .sh("rsgen logs web@1 --since -1h --no-follow --json")
        .ok();
    for line in one.stdout.lines() {
        assert!(line.starts_with("{\"app\":\"web\",") && line.contains("\"instance\":1,"));
    }
    assert!(one.stdout.contains("\"source\":\"systemd\""), "{one}");

    let search = |pattern: &str| machine.run(&["rsgen", "logs", "--grep", pattern, "--no-follow"]);
    let found = search("asked f.r").ok();
    assert_eq!(found.stdout.matches("asked for").count(), 1, "{found}");
    let ends = search("Scheduled restart|begun with|serving").ok();
    let times: Vec<&str> = ends
        .stdout
        .lines()
        .filter(|l| !l.starts_with("--"))
        .map(|l| &l[..8])
        .collect();
    assert!(times.len() > 2 && times.is_sorted(), "{ends}");
    assert_eq!(search("nothing like it").exits(1).stderr, "");
    let beyond = machine.run(&["rsgen", "logs", "web@7"]).ok();
    beyond.says("`web@7` does not exist, since the app has");
    machine
        .run(&["rsgen", "logs", "wbe"])
        .exits(1)
        .says("installed are web");
    assert_the_history_is_told(machine);
}

/// What happened to the app has been written to the journal by whoever saw it, and nobody else can add to that.
fn assert_the_history_is_told(machine: &mut Machine) {
    let forged = "printf 'MESSAGE=never\\nMESSAGE_ID=8f79d6e5ea484493b90d850cd6b7adf0\\nRSGEN_APP=web\\n\
                  OBJECT_SYSTEMD_UNIT=web.service\\n' | setpriv --reuid=www-data --clear-groups logger --journald";
    machine.sh(forged).ok();
    machine.run(&["rsgen", "scale", "web", "3"]).ok();
    for verb in ["stop", "stop", "start", "restart"] {
        let command = format!("SUDO_UID=33 rsgen {verb} web@2");
        machine.sh(&command).ok();
    }
    // The folder of a release is the one that the file names, whatever the program does.
    let moves = "sed -i '1i process.chdir(\"/\")' /srv/web/lines.js";
    machine.sh(moves).ok();
    machine.run(&["rsgen", "reload", "-q", "web"]).ok();
    machine
        .sh("sed -i '1i process.exit(7)' /srv/web/lines.js")
        .ok();
    machine
        .sh("rsgen deploy -q /srv/web/ecosystem.toml")
        .exits(1);
    machine.sh("SUDO_UID=33 rsgen stop web").ok();

    let told = machine.run(&["rsgen", "history", "web"]).ok();
    let rows: Vec<Vec<&str>> = told.stdout.lines().skip(1).map(columns).collect();
    let of = |what: &str| {
        let mut rows = rows.iter().filter(|row| row[0] == what);
        let row = rows.next().unwrap_or_else(|| panic!("no {what}: {told}"));
        (row[1], row[3])
    };
    assert_eq!(of("start"), ("root", "2 of 2 serving"));
    assert!(of("install").1.ends_with("web@.service changed, started"));
    assert!(of("crash").1.starts_with("web@1.service ended "), "{told}");
    assert_eq!(of("scale"), ("root", "from 2 to 3 instances"));
    assert!(of("reload").1.starts_with("done: 3 of 3 replaced in "));
    assert!(!told.stdout.contains("; from / to "), "{told}");
    assert_eq!(of("deploy").0, "root");
    let has = |row: (&str, &str)| {
        let same = rows
            .iter()
            .filter(|r| (r[0], r[3]) == row && r[1] == "www-data");
        same.count() == 1
    };
    assert!(has(("stop", "stopped")), "{told}");
    // Each is told once, and a command that has changed nothing is not told.
    for (what, how) in [
        ("stop", "stopped"),
        ("start", "started"),
        ("start", "restarted"),
    ] {
        assert!(has((what, &format!("web@2 was {how}"))), "{how}: {told}");
    }
    assert!(!told.stdout.contains("never"), "{told}");
    assert_the_journal_has_the_history(machine, &told.stdout);
}

fn assert_the_journal_has_the_history(machine: &Machine, rows: &str) {
    let json = machine.run(&["rsgen", "history", "web", "--json"]).ok();
    assert_each_end_is_told(rows, &json.stdout);
    let walk = json.stdout.split("\"walk\": \"").nth(1);
    let walk = walk.unwrap_or_else(|| panic!("{json}"));
    let of_the_walk = format!("RSGEN_WALK={}", &walk[..32]);
    machine
        .journalctl(&["-o", "cat", &of_the_walk])
        .ok()
        .says("instance 0: replacing pid ")
        .says("done: 3 of 3 replaced in ");

    machine.run(&["journalctl", "--update-catalog"]).ok();
    machine
        .journalctl(&["-x", "-t", "web", "-o", "short"])
        .ok()
        .says("Subject: The app web has been reloaded")
        .says("Subject: Instance 1 of the app web has ended by itself");
    // Each line is shown once.
    let logs = machine
        .sh("rsgen logs web -n all --no-follow | cut -c 1-200")
        .ok();
    for line in ["web   # done: 3 of 3", "web   # 2 of 2 serving"] {
        assert_eq!(logs.stdout.matches(line).count(), 1, "{line}: {logs}");
    }
    // journald does not know the unit of a process that has ended meanwhile.
    assert!(
        logs.stdout.contains(" # rsgen: web@1.service ended "),
        "{logs}"
    );
    machine
        .run(&["rsgen", "history", "wbe"])
        .exits(1)
        .says("installed are web");
}

/// What stands behind the time, in four parts.
fn columns(row: &str) -> Vec<&str> {
    let mut rest = row.get(19..).unwrap_or_default();
    let mut columns = Vec::new();
    for _ in 0..3 {
        let (column, more) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
        columns.push(column);
        rest = more;
    }
    columns.push(rest.trim());
    columns
}

fn assert_each_end_is_told(rows: &str, json: &str) {
    let reloads = rows.lines().filter(|row| columns(row)[0] == "reload");
    let failed = reloads.filter(|row| row.contains("the canary failed: "));
    assert_eq!(failed.count(), 1, "{rows}");
    let mut events = json.split('}');
    let start = events.find(|event| event.contains("\"what\": \"start\""));
    let took = start.and_then(|start| start.split("\"took_ms\": ").nth(1));
    let took = took.and_then(|took| took.split(',').next()?.parse::<u64>().ok());
    assert!(took.is_some_and(|took| took < 60_000), "{json}");
}

pub(crate) fn follow_what_comes_until_nobody_reads(machine: &mut Machine) {
    install(machine, "lines.js", "1", "");
    let reader = machine.spawn(&[
        "sh",
        "-c",
        "rsgen logs web -n 0 | grep -m 1 '| asked for /'",
    ]);
    let follows = "pgrep -f '^/usr/bin/journalctl .*--follow'";
    wait_until(SOON, "it to follow", || machine.sh(follows).status == 0);
    wait_until(SOON, "the reader to have seen it", || {
        // The writer notices by its next line that nobody reads any more.
        machine.get(3000).is_ok() && reader.is_over()
    });
    reader.wait().ok().says("asked for /");
    wait_until(SOON, "journalctl to end", || {
        machine.sh(follows).status != 0
    });
}

/// From 257 on, systemd has the kernel kill the control group, and with it what systemd starts there afterwards.
pub(crate) fn tell_of_a_death_that_no_command_of_the_unit_could_count(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let shows = |command: &[&str], what: &str| {
        wait_until(SOON, what, || {
            machine.run(command).ok().stdout.contains(what)
        });
    };
    for (signal, how) in [("KILL", "killed by SIGKILL"), ("TERM", "killed by SIGTERM")] {
        let before = machine.main_pid("web@1.service");
        machine.systemctl(&["kill", "-s", signal, "web@1"]).ok();
        wait_until(SOON, "another process", || {
            let now = machine.main_pid("web@1.service");
            now != 0 && now != before && machine.state("web@1.service") == "active"
        });
        shows(&["rsgen", "list"], &format!(" ago: {how}"));
        shows(&["rsgen", "history", "web"], how);
        let journal = machine.journalctl(&["-t", "web"]).ok();
        assert!(journal.stdout.contains(how), "{journal}");
    }
    let told = machine.run(&["rsgen", "history", "web"]).ok();
    assert_eq!(told.stdout.matches("  crash ").count(), 2, "{told}");
}
