//! Bounds the drain in time: a child process carries it out, and the command of the unit ends in time whatever the child
//! waits for.
//!
//! A program can make an inspection take as long as it likes: by thousands of descriptors, or by a file system of its own
//! that does not answer, in which the child waits in the kernel and not even SIGKILL ends it. systemd sends the stop signal
//! only when the command has ended, so without this a program could prevent its own stop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::sys::process::{self, Side};

/// The time that the child has between SIGTERM and SIGKILL, to release the threads of the program that it has stopped.
const GRACE: Duration = Duration::from_secs(1);

/// A descriptor for the signals that ask a drain to end. They are blocked and read between two steps: a drain that ended
/// in the middle of a step could leave a thread of the program in one of our system calls.
///
/// # Errors
/// The errors of signalfd(2).
pub(super) fn signals() -> io::Result<SignalFd> {
    let mut ends = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        ends.add(signal);
    }
    ends.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&ends, flags)?)
}

/// Does the work in a child, and waits for it: at most for `limit`, and not after this process has been asked to end.
///
/// # Errors
/// When no child can be made, and `TimedOut` when the child had to be killed.
pub(super) fn within(limit: Duration, work: impl FnOnce()) -> io::Result<()> {
    let signals = signals()?;
    let child = match process::clone_child()? {
        Side::New => {
            work();
            process::end(0)
        }
        Side::Caller(child) => child,
    };
    let handle = process::pidfd(child.cast_unsigned())?;
    let is_over = wait(handle.as_fd(), Some(signals.as_fd()), limit) || {
        // The child reads the signal between two steps.
        let _ = process::signal(handle.as_fd(), libc::SIGTERM);
        wait(handle.as_fd(), None, GRACE)
    };
    if !is_over {
        let _ = process::signal(handle.as_fd(), libc::SIGKILL);
    }
    // WNOHANG, because a child that waits in the kernel may never end. The child is in the control group of
    // the unit, so systemd kills it together with the program.
    let _ = waitpid(Pid::from_raw(child), Some(WaitPidFlag::WNOHANG));
    if is_over {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Waits for a process to end; false when the time was over first, or a signal came.
fn wait(process: BorrowedFd<'_>, signals: Option<BorrowedFd<'_>>, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        let mut fds = vec![PollFd::new(process, PollFlags::POLLIN)];
        fds.extend(signals.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut fds, timeout);
        let mut events = fds.iter().map(|fd| fd.any().unwrap_or(false));
        if events.next() == Some(true) {
            return true;
        }
        if events.next() == Some(true) || Instant::now() >= end {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_ends_with_the_process_or_with_the_time() {
        let mut quick = std::process::Command::new("true").spawn().unwrap();
        let handle = process::pidfd(quick.id()).unwrap();
        assert!(wait(handle.as_fd(), None, Duration::from_secs(10)));
        quick.wait().unwrap();
        let mut slow = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let handle = process::pidfd(slow.id()).unwrap();
        assert!(!wait(handle.as_fd(), None, Duration::from_millis(20)));
        process::signal(handle.as_fd(), libc::SIGKILL).unwrap();
        assert!(wait(handle.as_fd(), None, Duration::from_secs(10)));
        slow.wait().unwrap();
        assert!(process::signal(handle.as_fd(), libc::SIGTERM).is_err());
    }
}
