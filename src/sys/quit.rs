//! Ending at once, and well, on SIGTERM.

#![expect(unsafe_code, reason = "a signal handler")]

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

extern "C" fn exit_now(_: libc::c_int) {
    // SAFETY: _exit(2) is async-signal-safe, see signal-safety(7).
    unsafe { libc::_exit(0) }
}

/// From now on SIGTERM ends the process at once with status 0, whatever it is doing.
pub fn exit_on_sigterm() {
    let action = SigAction::new(
        SigHandler::Handler(exit_now),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler calls nothing but _exit. A failure leaves the default, which ends as well.
    let _ = unsafe { sigaction(Signal::SIGTERM, &action) };
}
