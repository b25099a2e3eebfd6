//! Ending at once and successfully on SIGTERM.

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
