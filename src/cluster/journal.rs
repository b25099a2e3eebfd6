//! The last words of a run that failed, from the journal.

use std::process::Command;

/// The last lines that one run of a unit wrote; none without a journal.
pub(crate) fn last_words(invocation: &str) -> Vec<String> {
    if invocation.is_empty() {
        return Vec::new();
    }
    // What was written a moment ago may be on its way still; without the right to sync it is late.
    let _ = Command::new("journalctl")
        .args(["--sync", "--quiet"])
        .status();
    let output = Command::new("journalctl")
        .arg(format!("_SYSTEMD_INVOCATION_ID={invocation}"))
        .args(["--lines=10", "--output=cat", "--quiet", "--no-pager"])
        .output();
    let Ok(output) = output else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
