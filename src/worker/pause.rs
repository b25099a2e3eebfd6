//! The pause that the brake on crash loops asks for before a start.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use crate::sys::process;

/// The exit status that a shell gives a program that SIGTERM has ended. Units count it as success, whatever `kill_signal` is.
const STOPPED: i32 = 143;

/// Waits for so long. A stop of the unit ends this process meanwhile.
pub(super) fn wait(time: Duration) {
    if !process::is_init() {
        return std::thread::sleep(time);
    }
    // The init of a PID namespace is sent only signals that it handles, or that it blocks, see `pid_namespaces(7)`.
    let mut stops = SigSet::empty();
    stops.extend([
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGABRT,
        Signal::SIGWINCH,
    ]);
    if signal_within(time, &stops).is_some() {
        process::end(STOPPED);
    }
    // The program begins with the mask that systemd has set.
    let _ = stops.thread_unblock();
}

/// The first of these signals, if one comes in this time. They are blocked from then on.
fn signal_within(time: Duration, signals: &SigSet) -> Option<i32> {
    let blocked = signals.thread_block();
    let queue = blocked.and_then(|()| SignalFd::new(signals)).ok();
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let mut queues: Vec<PollFd<'_>> = queue
            .iter()
            .map(|queue| PollFd::new(queue.as_fd(), PollFlags::POLLIN))
            .collect();
        // Rounded up: a rest below a millisecond would be asked for again and again.
        let left = left + Duration::from_millis(1);
        let _ = poll(
            &mut queues,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        );
        if queues.iter().any(|queue| queue.any().unwrap_or(false)) {
            let read = queue.as_ref()?.read_signal().ok()??;
            return i32::try_from(read.ssi_signo).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_the_pause_and_without_one_it_is_as_long_as_asked() {
        let signals = SigSet::from(Signal::SIGUSR2);
        let start = Instant::now();
        assert_eq!(signal_within(Duration::from_millis(30), &signals), None);
        assert!(start.elapsed() >= Duration::from_millis(30));
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        let long = Duration::from_mins(1);
        assert_eq!(signal_within(long, &signals), Some(Signal::SIGUSR2 as i32));
        assert!(start.elapsed() < long);
    }
}
