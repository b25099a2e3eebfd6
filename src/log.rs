//! Lines for the journal, with their priority, see sd-daemon(3).

use std::io::Write;

use crate::visible::{self, Visible};

/// The largest number of characters in a line. The journal splits lines of more than 48 KiB, see `LineMax=` in
/// journald.conf(5), and the rest would be a line with another priority.
const LONGEST: usize = 4000;

/// Writes one line to standard error, with its priority: 3 for an error, 4 for a warning, 5 for a notice.
pub(crate) fn say(priority: u8, text: &str) {
    let text = Visible::line(&visible::cut(text, LONGEST));
    // A process without a standard error has nowhere else to write.
    let _ = std::io::stderr().write_all(format!("<{priority}>rsgen: {text}\n").as_bytes());
}
