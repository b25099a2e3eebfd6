//! Reads the output of a run that failed from the journal.
//!
//! Programs write to the journal what they like and as much as they like, and other users' programs can do so under the
//! name of any unit. So only a few short lines are read, and only those that came from the unit itself. No call waits
//! for long.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::lines::{Extent, Lines};
use super::run::{Run, matches, matches_of_any_run, matches_of_process};
use crate::journal::JOURNALCTL;
use crate::layout::Scope;

/// The largest number of bytes that are read, since a program may write without end.
const BYTES: usize = 16 << 20;
/// The longest time that one call of journalctl may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long journald is queried again by a user who may not tell it to store what it was sent.
const LATE: Duration = Duration::from_secs(2);
/// For so long after the end of a process journald may be behind with its lines.
const BEHIND: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);

/// Returns the first and the last lines that one run of a unit wrote, from `since` on. If the run wrote none, the result is why systemd
/// could not run it. The result is empty without a journal.
///
/// On a busy machine journald reads the lines of a short run after its process has ended. Then it cannot tell the run, nor below a user's
/// manager or with `User=` the unit, so lines of the main process are looked for by its PID.
pub(super) fn words(
    scope: Scope,
    unit: &str,
    run: &Run,
    since: Option<SystemTime>,
    extent: Extent,
) -> Vec<String> {
    let reader = Reader {
        journalctl: JOURNALCTL,
        late: LATE,
    };
    reader.words((scope, unit), run, since, extent)
}

/// Returns the first and the last lines that a cluster unit wrote since this time.
pub(super) fn words_of_any_run(
    scope: Scope,
    unit: &str,
    since: SystemTime,
    extent: Extent,
) -> Vec<String> {
    sync(JOURNALCTL, extent);
    let question = Question {
        since: from(since),
        until: None,
        matches: matches_of_any_run(scope, unit),
        extent,
        ours: &format!("rsgen: {unit} "),
    };
    question.lines(JOURNALCTL).unwrap_or_default()
}

/// Waits for lines that were written a moment ago, which may be on their way still. journald answers once it has read everything that waits,
/// also in the streams of processes that have ended.
fn sync(journalctl: &str, extent: Extent) {
    let arguments = ["--sync", "--quiet"].map(str::to_owned);
    read(
        journalctl,
        &arguments,
        PATIENCE,
        Lines::new(extent),
        Part::Whole,
    );
}

/// The way in which the journal is read.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    journalctl: &'a str,
    /// How long a user's query is repeated.
    late: Duration,
}

impl Reader<'_> {
    fn words(
        self,
        (scope, unit): (Scope, &str),
        run: &Run,
        since: Option<SystemTime>,
        extent: Extent,
    ) -> Vec<String> {
        if run.invocation.is_empty() {
            return Vec::new();
        }
        sync(self.journalctl, extent);
        // Within the unit of an instance rsgen tells how the instance ended.
        let ours = format!("rsgen: {unit} ");
        let of_run = Question {
            since: since.and_then(from),
            until: None,
            matches: matches(scope, unit, &run.invocation),
            extent,
            ours: &ours,
        };
        let of_process = run.process.map(|process| Question {
            since: from(UNIX_EPOCH + process.began),
            // Another process of the same user may have the PID by now.
            until: until(UNIX_EPOCH + process.ended + BEHIND),
            matches: matches_of_process(scope, unit, process),
            extent,
            ours: &ours,
        });
        let questions: Vec<Question<'_>> = [of_run].into_iter().chain(of_process).collect();
        let answer = || questions.iter().find_map(|q| q.lines(self.journalctl));
        // A journal that hangs is not queried a second time.
        let deadline = Instant::now() + self.late;
        let mut lines = answer();
        while lines.is_none() && scope == Scope::User && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
            lines = answer();
        }
        lines.unwrap_or_else(|| of_systemd(self.journalctl, scope, unit, &run.invocation, extent))
    }
}

/// Which entries of the journal are requested.
struct Question<'a> {
    since: Option<String>,
    until: Option<String>,
    matches: Vec<String>,
    extent: Extent,
    /// How the line begins that the program did not write.
    ours: &'a str,
}

impl Question<'_> {
    /// Returns the first and the last lines of the entries; `None` if there are none.
    fn lines(&self, journalctl: &str) -> Option<Vec<String>> {
        // A line beyond those that are shown tells whether there are more. One line may be ours.
        let most = self.extent.most();
        let more = Some(format!("--lines={}", most + 2));
        let end = self.ask(journalctl, more, Part::Whole);
        match end.seen() {
            0 => None,
            seen if seen <= most => Some(end.end()),
            _ => Some(end.end_after(self.ask(journalctl, None, Part::Beginning))),
        }
    }

    fn ask(&self, journalctl: &str, more: Option<String>, part: Part) -> Lines {
        let mut arguments: Vec<String> = ["--boot", "--output=cat", "--quiet", "--no-pager"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(self.since.iter().chain(&self.until).cloned());
        arguments.extend(more);
        arguments.extend(self.matches.iter().cloned());
        let lines = Lines::new(self.extent).without(self.ours);
        read(journalctl, &arguments, PATIENCE, lines, part)
    }
}

/// Returns the argument of journalctl for the entries from this time on.
fn from(since: SystemTime) -> Option<String> {
    Some(format!("--since={}", stamp(since)?))
}

/// Returns the argument of journalctl for the entries up to this time.
fn until(end: SystemTime) -> Option<String> {
    Some(format!("--until={}", stamp(end)?))
}

/// A time as systemd.time(7) has it.
fn stamp(time: SystemTime) -> Option<String> {
    let time = time.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("@{}.{:06}", time.as_secs(), time.subsec_micros()))
}

/// Returns the lines of PID 1 about a run in which PID 1 could start no command, and of the processes in which it opens
/// listeners. Nobody but root can write as root.
fn of_systemd(
    journalctl: &str,
    scope: Scope,
    unit: &str,
    invocation: &str,
    extent: Extent,
) -> Vec<String> {
    if scope == Scope::User {
        return Vec::new();
    }
    let arguments = [
        "--boot",
        "--output=cat",
        "--quiet",
        "--no-pager",
        "--lines=100",
        "_UID=0",
        &format!("UNIT={unit}"),
        &format!("INVOCATION_ID={invocation}"),
    ]
    .map(str::to_owned);
    let lines = Lines::new(extent);
    let mut lines = read(journalctl, &arguments, PATIENCE, lines, Part::Whole).end();
    // The other lines say that the run began and that it ended, or what systemd did without.
    lines.retain(|line| line.contains(": Failed to ") && !line.contains(", ignoring: "));
    lines
}

/// Returns the last line that an entry with these fields has, also if it was written a moment ago.
pub(super) fn last_line(matches: &[String]) -> Option<String> {
    let extent = Extent { first: 0, last: 1 };
    let ask = |arguments: &[String]| {
        let lines = Lines::new(extent);
        read(JOURNALCTL, arguments, PATIENCE, lines, Part::Whole)
    };
    ask(&["--sync", "--quiet"].map(str::to_owned));
    let options = [
        "--boot",
        "--output=cat",
        "--quiet",
        "--no-pager",
        "--lines=1",
    ];
    let options = options.map(str::to_owned);
    let mut lines = ask(&[&options[..], matches].concat()).end();
    lines.pop()
}

/// Which part of a program's output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The whole output.
    Whole,
    /// The first lines, after which the program is killed.
    Beginning,
}

/// Returns the lines that a program prints. The program gets nothing of our environment, and is killed after
/// `patience`.
fn read(
    program: &str,
    arguments: &[String],
    patience: Duration,
    lines: Lines,
    part: Part,
) -> Lines {
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return lines;
    };
    let end = Instant::now() + patience;
    let lines = match child.stdout.take() {
        Some(out) => lines_of(out, end, lines, part),
        None => lines,
    };
    put_away(&mut child);
    lines
}

fn lines_of(mut out: ChildStdout, end: Instant, mut lines: Lines, part: Part) -> Lines {
    let mut left = BYTES;
    let mut buffer = [0; 1 << 14];
    let is_enough = |lines: &Lines| part == Part::Beginning && lines.has_its_beginning();
    while left > 0 && !is_enough(&lines) && is_readable(&out, end) {
        match out.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                left = left.saturating_sub(length);
                let bytes = buffer.get(..length).unwrap_or_default();
                lines.add(bytes);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines
}

/// Returns whether there is something to read before `end`. Of a program that never stops printing there always is.
fn is_readable(out: &ChildStdout, end: Instant) -> bool {
    loop {
        let Some(left) = end.checked_duration_since(Instant::now()) else {
            return false;
        };
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(count) => return count > 0,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Kills a child that has not ended. A child that the kernel does not release is not waited for; it ends with its unit.
fn put_away(child: &mut Child) {
    let _ = child.kill();
    for _ in 0..100 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests;
