//! The changes that turn the present files into the intended ones, and how they are shown to people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::visible::Visible;

/// The content of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    File(String),
    /// A link to this target.
    Link(PathBuf),
}

/// The change of one path; `None` stands for a path that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The absolute path.
    pub path: PathBuf,
    /// The present content.
    pub old: Option<Content>,
    /// The intended content.
    pub new: Option<Content>,
}

/// Returns the changes that turn `old` into `new`, in the order of their paths.
#[must_use]
pub fn changes(old: &BTreeMap<PathBuf, Content>, new: &BTreeMap<PathBuf, Content>) -> Vec<Change> {
    let mut paths: Vec<&PathBuf> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter(|p| old.get(*p) != new.get(*p))
        .map(|p| Change {
            path: p.clone(),
            old: old.get(p).cloned(),
            new: new.get(p).cloned(),
        })
        .collect()
}

impl Change {
    /// Returns `create`, `change` or `remove`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match (&self.old, &self.new) {
            (None, _) => "create",
            (_, None) => "remove",
            _ => "change",
        }
    }

    /// Returns the change as a unified diff, byte for byte.
    #[must_use]
    pub fn unified(&self) -> String {
        self.diff(str::to_owned, str::to_owned)
    }

    /// Formats the change for people. Different texts always look different, so that no difference is lost.
    #[must_use]
    pub fn shown(&self) -> Visible {
        let diff = self.diff(
            |name| Visible::line(name).to_string(),
            |text| Visible::lines(text).to_string(),
        );
        Visible::composed(diff.trim_end().to_owned())
    }

    fn diff(&self, name: fn(&str) -> String, show: fn(&str) -> String) -> String {
        let old = show(&text(self.old.as_ref()));
        let new = show(&text(self.new.as_ref()));
        let name = |there: bool| {
            if there {
                name(&self.path.display().to_string())
            } else {
                "/dev/null".into()
            }
        };
        TextDiff::from_lines(&old, &new)
            .unified_diff()
            .context_radius(3)
            .header(&name(self.old.is_some()), &name(self.new.is_some()))
            .to_string()
    }
}

fn text(content: Option<&Content>) -> String {
    match content {
        None => String::new(),
        Some(Content::File(text)) => text.clone(),
        Some(Content::Link(target)) => format!("-> {}\n", target.display()),
    }
}

/// Returns the listening addresses in a socket unit's text, in order.
#[must_use]
pub fn addresses(socket_unit: &str) -> Vec<&str> {
    socket_unit
        .lines()
        .filter(|l| l.starts_with("ListenStream=") || l.starts_with("ListenDatagram="))
        .collect()
}

/// Returns whether one of the changes removes or rewrites a path.
#[must_use]
pub fn touches(changes: &[Change], path: &Path) -> bool {
    changes.iter().any(|c| c.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_unit_listens_for_streams_and_for_datagrams() {
        let unit = "[Socket]\nListenStream=80\nListenDatagram=53\nBacklog=9\n#ListenStream=1\n";
        assert_eq!(addresses(unit), ["ListenStream=80", "ListenDatagram=53"]);
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let file = |t: &str| Content::File(t.into());
        let old = BTreeMap::from([
            ("/a".into(), file("1\n")),
            ("/b".into(), file("2\n")),
            ("/c".into(), file("3\n")),
        ]);
        let new = BTreeMap::from([
            ("/a".into(), file("1\n")),
            ("/b".into(), file("x\n")),
            ("/d".into(), Content::Link("../y".into())),
        ]);
        let found = changes(&old, &new);
        let verbs: Vec<_> = found
            .iter()
            .map(|c| (c.verb(), c.path.to_str().unwrap()))
            .collect();
        assert_eq!(
            verbs,
            [("change", "/b"), ("remove", "/c"), ("create", "/d")]
        );
        assert!(found[0].unified().contains("-2\n+x\n"));
        assert!(touches(&found, Path::new("/c")));
        assert!(!touches(&found, Path::new("/a")));
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_as_a_difference_and_not_obeyed() {
        let file = |t: &str| Some(Content::File(t.into()));
        let change = Change {
            path: "/a\u{1b}\nb".into(),
            old: file("x\\x1b\n"),
            new: file("x\u{1b}\n"),
        };
        let shown = change.shown().to_string();
        assert!(
            shown.starts_with("--- /a\\x1b\\x0ab\n+++ /a\\x1b\\x0ab\n"),
            "{shown}"
        );
        assert!(shown.ends_with("-x\\\\x1b\n+x\\x1b"), "{shown}");
    }
}
