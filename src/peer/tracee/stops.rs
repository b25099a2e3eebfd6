//! Waiting for the stops of a traced thread, see "Stopped states" in ptrace(2).

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace as trace;
use nix::unistd::Pid;

use crate::sys::ptrace::{self, Stop};

/// A thread that does not stop in this time is left alone: one in uninterruptible sleep may take for ever.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks. waitpid(2) knows no time-out, and a thread stops within a fraction of this or sleeps.
const STEP: Duration = Duration::from_micros(50);
/// `PTRACE_EVENT_STOP`, which libc does not have.
const STOPPED: i32 = 128;

/// Lets go the threads that did not stop in time and have stopped since.
pub(crate) fn let_go() {
    while let Ok(Some((tid, stop))) = ptrace::stopped(None) {
        let signal = match stop {
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        // Only one that has ended cannot be let go.
        let _ = ptrace::let_go(tid, signal);
    }
}

/// Waits for the stop that `PTRACE_INTERRUPT` has asked for. Other stops may come first: the kernel reports them one at a
/// time, and each but an exec is gone on from.
///
/// # Errors
/// `TimedOut` when the thread does not stop, `ESRCH` when it is gone.
pub(super) fn wait_stopped(tid: Pid) -> io::Result<()> {
    loop {
        let signal = match wait(tid)? {
            Stop::Event(STOPPED) => return Ok(()),
            Stop::Event(libc::PTRACE_EVENT_EXEC) => return Err(became_another()),
            // It was on its way already.
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        // Any other stop takes the request for one back.
        trace::interrupt(tid)?;
        ptrace::go_on(tid.as_raw(), signal)?;
    }
}

/// After an exec nothing that is known of the thread holds any more: its registers, its vDSO, whose rights it has.
pub(super) fn became_another() -> io::Error {
    io::Error::other("it has become another program")
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
