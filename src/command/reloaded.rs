//! The result of `rsgen reload`.

use serde::Serialize;

use crate::output::{Shown, Style};
use crate::visible::Visible;

/// The targets that were reloaded, as scripts read them.
#[derive(Default, Serialize)]
pub(super) struct Reloaded {
    pub(super) reloaded: Vec<String>,
    /// The apps that a file no longer has and that were removed.
    pub(super) pruned: Vec<String>,
}

impl Shown for Reloaded {
    /// The steps have been told as they were done; of several apps this is what has become of each.
    fn shown(&self, _: Style) -> Option<Visible> {
        let parts = [("reloaded", &self.reloaded), ("uninstalled", &self.pruned)];
        if parts.iter().map(|(_, apps)| apps.len()).sum::<usize>() < 2 {
            return None;
        }
        let parts = parts.iter().filter(|(_, apps)| !apps.is_empty());
        let parts = parts.map(|(verb, apps)| format!("{verb} {}", apps.join(", ")));
        let parts: Vec<String> = parts.collect();
        Some(Visible::line(&parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_become_of_several_apps_is_told_at_the_end() {
        let shown = |reloaded: &[&str], pruned: &[&str]| {
            let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
            let done = Reloaded {
                reloaded: names(reloaded),
                pruned: names(pruned),
            };
            done.shown(Style::Plain).map(|text| text.to_string())
        };
        assert_eq!(shown(&["web"], &[]), None, "its walk has told that");
        let both = shown(&["web", "api"], &[]);
        assert_eq!(both.as_deref(), Some("reloaded web, api"));
        let gone = shown(&["web"], &["old", "older"]);
        let expected = "reloaded web; uninstalled old, older";
        assert_eq!(gone.as_deref(), Some(expected));
    }
}
