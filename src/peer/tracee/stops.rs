//! Waiting for the stops of a traced thread, see "Stopped states" in ptrace(2).

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace as trace;
use nix::unistd::Pid;

use crate::sys::ptrace::{self, Stop};

/// How long a thread may take to stop. A thread in uninterruptible sleep may never stop.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// The pause between two calls of waitpid(2), which has no time-out. Most threads stop within a fraction of this.
const STEP: Duration = Duration::from_micros(50);
/// `PTRACE_EVENT_STOP`, which libc does not have.
const STOPPED: i32 = 128;

/// Detaches the threads that did not stop in time and have stopped since. Without this they would stay stopped until the
/// drain ends.
pub(crate) fn detach_late() {
    while let Ok(Some((tid, stop))) = ptrace::stopped(None) {
        let signal = match stop {
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        // This fails only for a thread that has ended.
        let _ = ptrace::detach(tid, signal);
    }
}

/// Waits for the stop that `PTRACE_INTERRUPT` has requested. Other stops may come first, one at a time; after
/// each of them except an exec, the thread continues, with its signal.
///
/// # Errors
/// `TimedOut` when the thread does not stop, `ESRCH` when it is gone.
pub(super) fn wait_stopped(tid: Pid) -> io::Result<()> {
    loop {
        let signal = match wait(tid)? {
            Stop::Event(STOPPED) => return Ok(()),
            Stop::Event(libc::PTRACE_EVENT_EXEC) => return Err(became_another()),
            // A signal that was about to be delivered before the request.
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        // Any other stop cancels the request, so it is repeated before the thread continues.
        trace::interrupt(tid)?;
        ptrace::go_on(tid.as_raw(), signal)?;
    }
}

/// The error after an exec, which changes everything that is known about the thread: its registers, its vDSO,
/// and perhaps its privileges.
pub(super) fn became_another() -> io::Error {
    io::Error::other("it has executed another program")
}

/// The next stop of the thread.
///
/// # Errors
/// `TimedOut` when the thread does not stop, `ESRCH` when it is gone.
pub(super) fn wait(tid: Pid) -> io::Result<Stop> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match ptrace::stopped(Some(tid.as_raw()))? {
            None => std::thread::sleep(STEP),
            Some((_, Stop::Gone)) => return Err(Errno::ESRCH.into()),
            Some((_, stop)) => return Ok(stop),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
