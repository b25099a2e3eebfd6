//! The signal on which a program finishes its connections and ends by itself: `drain_signal` of an app.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::log::say;
use crate::peer::process::Process;

/// Sends the signal of this name.
///
/// # Errors
/// `EINVAL` for a name that is not a signal, `ESRCH` when the process has ended.
pub(super) fn send(main: &Process, name: &str) -> io::Result<()> {
    main.signal(Signal::from_str(name)? as i32)
}

/// Logs that the signal could not be sent, and that the drain waits for the connections alone.
pub(super) fn failed(name: &str, error: &io::Error) -> Option<Process> {
    say(
        4,
        &format!("`{name}` was not sent to the main process: {error}"),
    );
    None
}

/// Logs that the time is over before the program has ended.
pub(super) fn overdue(name: &str, waited: Duration) {
    let seconds = waited.as_secs();
    say(
        4,
        &format!(
            "stopping after {seconds} s, in which the program did not end on `{name}`; raise `drain_timeout` to wait longer"
        ),
    );
}
