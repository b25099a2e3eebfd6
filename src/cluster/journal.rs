//! The last words of a run that failed, from the journal.
//!
//! Programs write there what they like and as much as they like, and other users' programs do so under any name of a
//! unit: only a few short lines are read, and only those that came from the unit itself. Nothing here waits for long.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;

use super::lines::Lines;
use crate::layout::Scope;

/// By its path: who calls us may have put another one before it.
const JOURNALCTL: &str = "/usr/bin/journalctl";
/// The most that is read of a program that writes without end.
const BYTES: usize = 16 << 20;
/// Each call of journalctl may take so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last lines that one run of a unit wrote; none without a journal.
pub(super) fn last_words(scope: Scope, unit: &str, invocation: &str) -> Vec<String> {
    if invocation.is_empty() {
        return Vec::new();
    }
    // What was written a moment ago may be on its way still; without the right to sync it is late.
    tail(JOURNALCTL, &["--sync", "--quiet"], PATIENCE);
    let matches = matches(scope, unit, invocation);
    let mut arguments = vec![
        "--boot",
        "--lines=10",
        "--output=cat",
        "--quiet",
        "--no-pager",
    ];
    arguments.extend(matches.iter().map(String::as_str));
    tail(JOURNALCTL, &arguments, PATIENCE)
}

/// Fields that all have to be there, see systemd.journal-fields(7).
///
/// The invocation alone says nothing: of what a user's own manager runs, journald reads it from a folder of that
/// user's. The unit is that of the control group, and is `user@UID.service` for all that such a manager runs.
fn matches(scope: Scope, unit: &str, invocation: &str) -> Vec<String> {
    let mut matches = vec![format!("_SYSTEMD_INVOCATION_ID={invocation}")];
    match scope {
        Scope::System => matches.push(format!("_SYSTEMD_UNIT={unit}")),
        Scope::User => matches.extend([
            format!("_SYSTEMD_USER_UNIT={unit}"),
            format!("_UID={}", geteuid()),
        ]),
    }
    matches
}

/// The last lines that a program prints, which gets nothing of our environment. It is ended after `patience`.
fn tail(program: &str, arguments: &[&str], patience: Duration) -> Vec<String> {
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return Vec::new();
    };
    let end = Instant::now() + patience;
    let lines = child.stdout.take().map(|out| last_lines(out, end));
    put_away(&mut child);
    lines.unwrap_or_default()
}

fn last_lines(mut out: ChildStdout, end: Instant) -> Vec<String> {
    let mut lines = Lines::default();
    let mut left = BYTES;
    let mut buffer = [0; 1 << 14];
    while left > 0 && is_readable(&out, end) {
        match out.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                left = left.saturating_sub(count);
                lines.add(buffer.get(..count).unwrap_or_default());
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines.end()
}

fn is_readable(out: &ChildStdout, end: Instant) -> bool {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(count) => return count > 0,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Ends what has not ended. One that the kernel does not let go is not waited for: it goes with its unit.
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
mod tests {
    use super::super::lines::{LONGEST, MOST};
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str, patience: Duration) -> Vec<String> {
        tail("/bin/sh", &["-c", script], patience)
    }

    #[test]
    fn the_last_lines_are_kept_and_each_is_cut() {
        let lines = shell(
            "seq 1 2000; printf %02000d 7; echo; printf '\\377end'",
            SOON,
        );
        assert_eq!(lines.len(), MOST);
        assert_eq!(lines[0], "1993");
        assert_eq!(lines[8], format!("{}…", "0".repeat(LONGEST)));
        assert_eq!(lines[9], "\u{fffd}end");
    }

    #[test]
    fn one_that_writes_without_end_or_not_at_all_is_not_waited_for() {
        assert_eq!(shell("exec yes", SOON), ["y"; MOST]);
        let zeros = shell("exec tr '\\0' é </dev/zero", SOON);
        assert_eq!(zeros.len(), 1);
        assert!(zeros[0].chars().count() <= LONGEST + 1);
        let begun = Instant::now();
        let lines = shell("echo before; exec sleep 100", Duration::from_millis(300));
        assert_eq!(lines, ["before"]);
        assert!(begun.elapsed() < SOON);
        assert_eq!(tail("/nonexistent", &[], SOON), [""; 0]);
    }

    #[test]
    fn nothing_of_our_environment_reaches_it() {
        assert_eq!(tail("/usr/bin/env", &[], SOON), [""; 0]);
    }

    #[test]
    fn the_unit_is_matched_in_the_field_that_is_its_own_managers() {
        let system = matches(Scope::System, "web@0.service", "ab");
        assert_eq!(
            system,
            ["_SYSTEMD_INVOCATION_ID=ab", "_SYSTEMD_UNIT=web@0.service"]
        );
        let own = format!("_UID={}", geteuid());
        let user = matches(Scope::User, "web@0.service", "ab");
        assert_eq!(user[1..], ["_SYSTEMD_USER_UNIT=web@0.service", &own]);
    }

    #[test]
    fn a_program_whose_time_is_over_is_killed_and_waited_for() {
        let is_gone = || {
            let lines = shell("echo $$; exec sleep 100", Duration::from_millis(300));
            let process = |pid: &String| std::path::Path::new("/proc").join(pid);
            lines.first().is_some_and(|pid| !process(pid).exists())
        };
        // On a busy machine a process may take longer to begin or to end than it is waited for.
        assert!((0..5).any(|_| is_gone()));
    }

    /// With ten minutes left, nothing but the bound on what is read ends this test.
    #[test]
    fn of_a_program_that_writes_without_end_only_so_much_is_read() {
        let lines = shell("exec tr '\\0' x </dev/zero", Duration::from_mins(10));
        assert_eq!(lines.len(), 1);
    }
}
