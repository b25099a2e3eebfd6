//! The drain is done by a child, for a program can make each look at it take as long as it likes: by thousands of
//! descriptors, or by a file system of its own that does not answer, where the kernel waits beyond any signal. The
//! command of the unit ends in time whatever becomes of the child, and systemd goes on with the stop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::sys::process::{self, Side};

/// From the end of its time to SIGKILL: it lets threads of the program go.
const GRACE: Duration = Duration::from_secs(1);

/// Signals that ask a drain to end. They come by a descriptor, since a thread of the program must never be left in the
/// middle of a call of ours.
///
/// # Errors
/// Those of signalfd(2).
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

/// Has a child do the work, for at most so long; less when this process is asked to end.
///
/// # Errors
/// When no child can be made, and `TimedOut` when it had to be left.
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
        // It sees the signal at its next look.
        let _ = process::signal(handle.as_fd(), libc::SIGTERM);
        wait(handle.as_fd(), None, GRACE)
    };
    if !is_over {
        let _ = process::signal(handle.as_fd(), libc::SIGKILL);
    }
    // One that is in the kernel for good is left to systemd, which ends it together with the program.
    let _ = waitpid(Pid::from_raw(child), Some(WaitPidFlag::WNOHANG));
    if is_over {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Waits for the end of a process; false when it did not come in time, or before a signal did.
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
    fn what_ends_by_itself_is_waited_for_and_what_does_not_is_left() {
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
