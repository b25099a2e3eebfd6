//! The little that lies in an app's state folder, as commands use it.

use std::fs;

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
