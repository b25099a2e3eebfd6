//! Ends a process at once and successfully on SIGTERM, and not at all by the keys of a terminal.

#![expect(unsafe_code, reason = "a signal handler")]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::process::end;

extern "C" fn exit_now(_: libc::c_int) {
    // _exit(2) is async-signal-safe, see signal-safety(7).
    end(0)
}

/// Makes SIGTERM end this process at once with status 0.
pub fn exit_on_sigterm() {
    let action = SigAction::new(
        SigHandler::Handler(exit_now),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler calls nothing but _exit. If this fails, SIGTERM keeps its default, which ends the process as well.
    let _ = unsafe { sigaction(Signal::SIGTERM, &action) };
}

extern "C" fn go_on(_: libc::c_int) {}

/// Keeps the keys Ctrl-C and Ctrl-\ of the terminal from ending this process as long as this value lives.
/// Programs that it starts meanwhile are not affected, because execve(2) resets handlers.
#[derive(Debug)]
#[must_use]
pub struct Unbroken {
    before: Vec<(Signal, SigAction)>,
}

impl Unbroken {
    /// Begins to ignore the keys.
    pub fn begin() -> Self {
        let action = SigAction::new(
            SigHandler::Handler(go_on),
            SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        let signals = [Signal::SIGINT, Signal::SIGQUIT].into_iter();
        let before = signals.filter_map(|signal| {
            // SAFETY: the handler does nothing. If this fails, the key keeps its effect.
            let before = unsafe { sigaction(signal, &action) };
            Some((signal, before.ok()?))
        });
        Self {
            before: before.collect(),
        }
    }
}

impl Drop for Unbroken {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: the action is the previous one.
            let _ = unsafe { sigaction(*signal, before) };
        }
    }
}
