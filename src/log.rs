//! Lines for the journal, with their priority, see sd-daemon(3).

use std::io::Write;
use std::os::unix::net::UnixDatagram;

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

/// The socket on which journald accepts entries with fields, see `sd_journal_sendv(3)`.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Writes an error about a unit of the system, from a process outside that unit: `journalctl -u` and `systemctl status` show
/// what root writes with this field, see `OBJECT_SYSTEMD_UNIT=` in systemd.journal-fields(7).
pub(crate) fn say_about(app: &str, unit: &str, text: &str) {
    let text = Visible::line(&visible::cut(text, LONGEST));
    let fields = format!(
        "MESSAGE=rsgen: {text}\nPRIORITY=3\nSYSLOG_IDENTIFIER={app}\nRSGEN_APP={app}\nOBJECT_SYSTEMD_UNIT={unit}\n"
    );
    // Without a journal there is nobody to tell, and a journal that is busy is not waited for.
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(fields.as_bytes(), JOURNAL)
    });
}
