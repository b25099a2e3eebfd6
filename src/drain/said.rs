//! The messages that a drain writes to the journal of its instance.

use std::io;
use std::time::Duration;

use super::connections::Count;
use crate::log::say;
use crate::peer::yama;

/// Logs that the instance is stopped without having been drained.
pub(super) fn without(error: &io::Error) {
    say(4, &format!("stops without a drain: {}", reason(error)));
}

/// Returns the error, with the setting of Yama if that may be the cause.
fn reason(error: &io::Error) -> String {
    match (error.kind(), yama::scope()) {
        (io::ErrorKind::PermissionDenied, scope @ 1..) => {
            format!("{error}; `kernel.yama.ptrace_scope` is {scope}")
        }
        _ => error.to_string(),
    }
}

/// Reports that the time ended before the drain did.
pub(super) fn overdue(count: Count, waited: Duration, is_held: bool) {
    let seconds = waited.as_secs();
    let busy = match count.busy {
        // The program keeps the notice open although the kernel sees no busy connection of the app's sockets.
        0 if is_held => "a Node server of the program".to_owned(),
        busy => format!("{busy} connections"),
    };
    say(
        4,
        &format!(
            "stopping after {seconds} s with {busy} still busy; raise `drain_timeout` to wait longer"
        ),
    );
}

/// Reports that a process could not be kept from accepting.
pub(super) fn goes_on(pid: i32, error: &io::Error) {
    let why = reason(error);
    say(
        4,
        &format!("process {pid} keeps accepting until it is stopped: {why}"),
    );
}
