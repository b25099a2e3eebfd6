//! The pause before a start that the crash-loop brake requests.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use crate::sys::process;

/// The exit status that a shell reports for a program ended by SIGTERM. Units treat it as success, whatever
/// `kill_signal` is.
const STOPPED: i32 = 143;

/// Calls `tell`, and waits for this time. A stop of the unit ends this process in the meantime.
pub(super) fn wait(time: Duration, tell: impl FnOnce()) {
    if !process::is_init() {
        tell();
        return std::thread::sleep(time);
    }
    // The init of a PID namespace gets only signals that it handles or blocks, see pid_namespaces(7).
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
    if signal_within(time, &stops, tell).is_some() {
        process::end(STOPPED);
    }
    // The program has to begin with the signal mask that systemd set.
    let _ = stops.thread_unblock();
}

/// Returns the first of these signals that arrives within this time. They stay blocked, from before the call
/// of `tell` on: the receiver of the message may stop the unit.
fn signal_within(time: Duration, signals: &SigSet, tell: impl FnOnce()) -> Option<i32> {
    let blocked = signals.thread_block();
    let queue = blocked.and_then(|()| SignalFd::new(signals)).ok();
    tell();
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
        // Rounded up: a remainder below a millisecond would become a time-out of 0, and the loop would spin.
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
        let short = Duration::from_millis(30);
        assert_eq!(signal_within(short, &signals, || {}), None);
        assert!(start.elapsed() >= short);
        let long = Duration::from_mins(1);
        let stop = || nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        assert_eq!(
            signal_within(long, &signals, stop),
            Some(Signal::SIGUSR2 as i32)
        );
        assert!(start.elapsed() < long);
    }
}
