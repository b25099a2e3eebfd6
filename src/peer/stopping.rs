//! Whether systemd is stopping an instance, which the commands of its start have to know.
//!
//! A stop that comes while a command of `ExecStartPost=` runs sends the stop signal to that command as well. An end by that
//! signal counts as success, so systemd continues with the next of these commands, although the instance is ending.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::process;
use crate::unit::name::Units;

const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// How often systemctl(1) is started. An instance's own check ends every child of its process, this one included.
const TRIES: u32 = 3;
/// The time limit for an answer over the bus. A start must not fail because of a hanging bus, which the program may not need.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for root: systemd itself answers, once it has finished its present work, such as a daemon-reload.
const OF_ROOT: Duration = Duration::from_secs(10);
/// The largest number of bytes of an answer that are read.
const LONGEST: u64 = 100;

/// Whether systemd is stopping the instance; false if systemd cannot be queried.
///
/// systemctl(1) is used, because for root it reaches the manager without a bus. It is linked dynamically, and
/// with an empty environment no `LD_PRELOAD` of the app can make it load anything.
pub(crate) fn has_begun(app: &str, instance: u32) -> bool {
    let unit = Units::of(app).instance(instance);
    let is_root = nix::unistd::geteuid().is_root();
    let end = Instant::now() + if is_root { OF_ROOT } else { PATIENCE };
    let tries = (0..TRIES).take_while(|_| Instant::now() < end);
    let answer = tries
        .map(|_| answer(SYSTEMCTL, &unit, end))
        .find_map(Result::ok);
    answer.is_some_and(|state| is_end(&state))
}

/// The state of the unit as this systemctl(1) prints it; the command is killed when the time is over.
fn answer(systemctl: &str, unit: &str, end: Instant) -> io::Result<String> {
    let mut child = Command::new(systemctl)
        .env_clear()
        .args(["show", "--property=SubState", "--value", "--", unit])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // Another thread may have waited for the child already; then its number is free, or belongs to another process.
    if let Ok(handle) = process::pidfd(child.id())
        && !has_ended(handle.as_fd(), end)
    {
        let _ = process::signal(handle.as_fd(), libc::SIGKILL);
    }
    let status = child.wait()?;
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(LONGEST).read_to_string(&mut text)?;
    }
    if status.success() {
        Ok(text)
    } else {
        Err(io::Error::other(status.to_string()))
    }
}

/// Waits for a process to end; false when the time was over first.
fn has_ended(process: BorrowedFd<'_>, end: Instant) -> bool {
    loop {
        let mut fds = [PollFd::new(process, PollFlags::POLLIN)];
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut fds, timeout).is_ok_and(|ended| ended > 0) {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
    }
}

/// Whether a service in this state is on its way down, see `service_state_table` in src/basic/unit-def.c of systemd.
fn is_end(state: &str) -> bool {
    state.starts_with("stop") || state.starts_with("final-")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_answer_is_waited_for_no_longer_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("systemctl");
        let ask = |script: &str, patience: Duration| {
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let ask = || {
                answer(
                    path.to_str().unwrap(),
                    "web@1.service",
                    Instant::now() + patience,
                )
            };
            // Until the child of another test has called exec, it may hold the script open for writing.
            let is_busy = |e: &io::Error| e.kind() == io::ErrorKind::ExecutableFileBusy;
            let mut tries = std::iter::repeat_with(ask);
            tries
                .find(|said| !said.as_ref().is_err_and(is_busy))
                .unwrap()
        };
        let minute = Duration::from_mins(1);
        let words = ask("echo $#-$5-$HOME", minute).unwrap();
        assert_eq!(words, "5-web@1.service-\n");
        assert!(ask("echo stop-sigterm; exit 1", minute).is_err());
        let began = Instant::now();
        // The child runs for longer than the test may, and so does its output.
        assert!(
            ask(
                "echo stop-sigterm; exec sleep 300",
                Duration::from_millis(50)
            )
            .is_err()
        );
        assert!(began.elapsed() < minute, "{:?}", began.elapsed());
    }

    #[test]
    fn a_service_is_on_its_way_down_from_the_stop_signal_on() {
        for state in [
            "stop",
            "stop-sigterm\n",
            "stop-sigkill",
            "stop-post",
            "final-sigterm",
        ] {
            assert!(is_end(state), "{state}");
        }
        for state in [
            "",
            "start-post\n",
            "start",
            "running",
            "reload",
            "auto-restart",
            "dead",
            "failed",
        ] {
            assert!(!is_end(state), "{state}");
        }
    }
}
