//! The last words of a run that failed, from the journal.

use std::process::Command;

/// The last lines that one run of a unit wrote; none without a journal.
pub(crate) fn last_words(invocation: &str) -> Vec<String> {
    if invocation.is_empty() {
        return Vec::new();
    }
    read(&[&format!("_SYSTEMD_INVOCATION_ID={invocation}")])
}

/// The last lines that a unit of this manager's or of a user's wrote, whichever run they are of.
pub(super) fn last_words_of_any(unit: &str) -> Vec<String> {
    let (system, user) = (
        format!("_SYSTEMD_UNIT={unit}"),
        format!("_SYSTEMD_USER_UNIT={unit}"),
    );
    read(&[&system, "+", &user])
}

fn read(matches: &[&str]) -> Vec<String> {
    // What was written a moment ago may be on its way still; without the right to sync it is late.
    let _ = Command::new("journalctl")
        .args(["--sync", "--quiet"])
        .status();
    let output = Command::new("journalctl")
        .args(matches)
        .args([
            "--boot",
            "--lines=10",
            "--output=cat",
            "--quiet",
            "--no-pager",
        ])
        .output();
    let Ok(output) = output else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
