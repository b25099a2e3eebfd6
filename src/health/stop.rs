//! A stop that comes while an instance is asked whether it serves: then nobody needs to know that, and a failure of the command that asks
//! would leave the unit failed.
//!
//! systemd sends the stop signal to the command as well, and the kernel counts an end by a signal as a failure. So the command takes the
//! signals, and asks systemd what they mean: anybody who may signal it could have sent one.

use std::thread;

use nix::sys::signal::{SigSet, Signal, raise};

use crate::contract::Health;
use crate::peer::stopping;
use crate::sys::process;

/// The signals with which an app is told to end, see `kill_signal` in src/ecosystem/lifecycle.rs. SIGKILL cannot be taken.
const SIGNALS: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGABRT,
    Signal::SIGWINCH,
];

/// Keeps the signals of a stop waiting. Only for a process with one thread.
pub(super) fn hold_signals() -> SigSet {
    let signals = SigSet::from_iter(SIGNALS);
    // This fails for no set.
    let _ = signals.thread_block();
    signals
}

/// Ends this process with the signals of a stop: well if systemd is stopping the instance, and otherwise by the signal.
pub(super) fn end_with(signals: SigSet, health: &Health) {
    let health = health.clone();
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            if let Some(status) = status(&health) {
                process::end(status.into());
            }
            // Most of them end the process by default.
            let one = SigSet::from(signal);
            let _ = one.thread_unblock();
            let _ = raise(signal);
            let _ = one.thread_block();
        }
    });
}

/// The exit status once the instance is being stopped, see [`stopping::status`].
pub(super) fn status(health: &Health) -> Option<u8> {
    let own = std::env::args().next().unwrap_or_default();
    stopping::status(&health.app, health.instance, &own)
}
