//! The little that lies in an app's state folder, as commands use it.

use std::fs;
use std::time::Duration;

use crate::layout::Layout;

/// Forgets the quick deaths of one instance or of all: somebody has looked at them.
pub(super) fn forget_deaths(layout: &Layout, app: &str, number: Option<u32>) {
    let wanted = number.map(|n| format!("{n}.deaths"));
    let Ok(entries) = fs::read_dir(layout.state(app)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Of the whole app, how often it failed to start as well.
        if wanted
            .as_ref()
            .map_or(name == "failures" || name.ends_with(".deaths"), |w| {
                *w == name
            })
        {
            // Gone already is as good.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes all of an app's state.
pub(super) fn remove(layout: &Layout, app: &str) {
    // It lies in /run: what cannot be removed now is gone with the next boot.
    let _ = fs::remove_dir_all(layout.state(app));
}

/// Whether the last walk of an app that has been up for `active_for` may have left instances of two
/// versions: it failed on its way, or was killed, or has not ended yet.
pub(super) fn is_half_walked(layout: &Layout, app: &str, active_for: Duration) -> bool {
    let path = layout.state(app).join("walk.jsonl");
    let age = path
        .metadata()
        .and_then(|m| m.modified())
        .ok()
        .and_then(|told| told.elapsed().ok());
    // Before the app's start, it is about processes that are gone.
    if age.is_none_or(|age| age > active_for) {
        return false;
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let last = text.lines().last().unwrap_or_default();
    let last: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    match last.get("event").and_then(|e| e.as_str()) {
        Some("done") => false,
        Some("aborted") => last.get("untouched") != Some(&true.into()),
        _ => true,
    }
}
