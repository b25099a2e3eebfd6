//! Whether a drain should be short, because a whole machine waits for it.

use std::process::{Command, Stdio};

use crate::sys::entry;

/// Whether the machine, or the user's manager, is shutting down. systemctl(1) is asked, because it reaches the manager
/// without a bus, which the drain does not use.
pub(super) fn is(scope: &str) -> bool {
    // systemctl is linked dynamically. With an empty environment, no `LD_PRELOAD` of the app can make it load anything.
    let mut systemctl = Command::new("/usr/bin/systemctl");
    systemctl.env_clear();
    if scope == "--user"
        // The helper's child began as a worker, which hides the environment from its own libraries.
        && let Some(folder) = entry::value("XDG_RUNTIME_DIR")
    {
        systemctl.env("XDG_RUNTIME_DIR", folder);
    }
    let answer = systemctl
        .args([scope, "is-system-running"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    answer.is_ok_and(|a| a.stdout.starts_with(b"stopping"))
}
