//! Lines for the journal, see sd-daemon(3).

use std::io::Write;

use crate::visible::{self, Visible};

/// Characters of a line: the journal makes a new one, with a priority of its own, of what is beyond 48 KiB.
const LONGEST: usize = 4000;

/// Writes one line to standard error, with its priority: 3 for an error, 4 for a warning, 5 for a notice.
pub(crate) fn say(priority: u8, text: &str) {
    let text = Visible::line(&visible::cut(text, LONGEST));
    // Without a standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("<{priority}>rsgen: {text}\n").as_bytes());
}
