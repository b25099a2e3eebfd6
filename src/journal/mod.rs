//! The journal of an app's units: the arguments for journalctl(1), and the entries that it prints. Pure.
//!
//! Programs can write any text to the journal, and any user may write in the name of any program. So entries are selected by
//! fields that journald itself adds, see systemd.journal-fields(7), and their text is escaped before it is shown.

mod entry;
mod happening;
mod history;
mod whole;

pub use entry::{Entry, Source};
pub use happening::Happening;
pub use happening::names as field;
pub use history::{Happened, Past};
pub use whole::Whole;

use crate::layout::Scope;

/// The absolute path of journalctl(1), because the caller may have put another program first in PATH.
pub const JOURNALCTL: &str = "/usr/bin/journalctl";

/// The entries to read.
#[derive(Debug, Default)]
pub struct Query<'a> {
    /// The units, by their names.
    pub units: &'a [String],
    /// How many entries, counted from the end; `None` for all.
    pub lines: Option<u32>,
    /// The earliest time, in a form of systemd.time(7).
    pub since: Option<&'a str>,
    /// The latest time.
    pub until: Option<&'a str>,
    /// A regular expression of `journalctl --grep`.
    pub grep: Option<&'a str>,
    /// Only entries of the priority `err` and more severe ones.
    pub errors: bool,
    /// Waits for more entries.
    pub follow: bool,
}

/// The fields that [`Entry::parse`] reads.
const FIELDS: &str = "MESSAGE,PRIORITY,UNIT,USER_UNIT,OBJECT_SYSTEMD_UNIT,OBJECT_SYSTEMD_USER_UNIT,\
                      _SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,_PID,_UID,MESSAGE_ID,_LINE_BREAK,_STREAM_ID";

impl Query<'_> {
    /// Returns the arguments of journalctl(1). `uid` is the owner of a user's manager.
    #[must_use]
    pub fn arguments(&self, scope: Scope, uid: u32) -> Vec<String> {
        // Without --all, a long field is left out.
        let fields = format!("--output-fields={FIELDS}");
        let mut arguments = ["--output=json", "--all", "--no-pager", &fields]
            .map(str::to_owned)
            .to_vec();
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let lines = self.lines.map(|lines| lines.to_string());
        for (name, value) in [
            ("lines", lines.as_deref().or(Some("all"))),
            ("since", self.since),
            ("until", self.until),
            ("grep", self.grep),
            ("priority", self.errors.then_some("err")),
        ] {
            arguments.extend(value.map(|value| option(name, value)));
        }
        if self.follow {
            arguments.push("--follow".to_owned());
        }
        if self.is_reversed() {
            arguments.push("--reverse".to_owned());
        }
        arguments.extend(self.matches(scope, uid));
        arguments
    }

    /// Whether the newest entry comes first. With `--grep` and `--lines`, journalctl searches backwards and prints in that order,
    /// with or without `--reverse`; only `--follow` prevents this.
    #[must_use]
    pub const fn is_reversed(&self) -> bool {
        self.grep.is_some() && self.lines.is_some() && !self.follow
    }

    /// Returns the matches: what the units' processes wrote, what the manager wrote about the units, and what rsgen wrote
    /// about them as root. `journalctl --unit` adds the same matches, but only for units that exist when journalctl starts.
    fn matches(&self, scope: Scope, uid: u32) -> Vec<String> {
        let [own, managers, roots] = of_manager(scope);
        let of_user = format!("_UID={uid}");
        let groups = match scope {
            Scope::System => [
                (own, None),
                (managers, Some("_PID=1".to_owned())),
                (roots, Some("_UID=0".to_owned())),
            ],
            Scope::User => [own, managers, roots].map(|field| (field, Some(of_user.clone()))),
        };
        let mut matches = Vec::new();
        for (field, trusted) in groups {
            if !matches.is_empty() {
                matches.push("+".to_owned());
            }
            matches.extend(trusted);
            matches.extend(self.units.iter().map(|unit| format!("{field}={unit}")));
        }
        matches
    }
}

/// The fields that name a unit of a manager: the unit of the process that wrote, the unit about which the manager wrote, and
/// the one about which another process wrote.
fn of_manager(scope: Scope) -> [&'static str; 3] {
    match scope {
        Scope::System => ["_SYSTEMD_UNIT", "UNIT", field::about(scope)],
        Scope::User => ["_SYSTEMD_USER_UNIT", "USER_UNIT", field::about(scope)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_asked_for_by_fields_that_nobody_else_can_write() {
        let units = ["web.service".to_owned(), "web@0.service".to_owned()];
        let query = Query {
            units: &units,
            ..Query::default()
        };
        assert_eq!(
            query.matches(Scope::System, 0).join(" "),
            "_SYSTEMD_UNIT=web.service _SYSTEMD_UNIT=web@0.service + _PID=1 UNIT=web.service UNIT=web@0.service + \
             _UID=0 OBJECT_SYSTEMD_UNIT=web.service OBJECT_SYSTEMD_UNIT=web@0.service"
        );
        let of_user = query.matches(Scope::User, 7);
        for group in of_user.split(|word| word == "+") {
            assert!(group.contains(&"_UID=7".to_owned()), "{of_user:?}");
        }
    }

    #[test]
    fn each_limit_is_an_option_of_journalctl() {
        let all = Query::default().arguments(Scope::System, 0);
        assert!(all.contains(&"--lines=all".to_owned()));
        assert!(!all.contains(&"--follow".to_owned()));
        let query = Query {
            lines: Some(7),
            since: Some("-1h"),
            until: Some("now"),
            grep: Some("a b"),
            errors: true,
            follow: true,
            ..Query::default()
        };
        let asked = query.arguments(Scope::System, 0);
        for option in [
            "--lines=7",
            "--since=-1h",
            "--until=now",
            "--grep=a b",
            "--priority=err",
            "--follow",
        ] {
            assert!(asked.contains(&option.to_owned()), "{asked:?}");
        }
    }

    #[test]
    fn only_a_search_from_the_end_is_reversed() {
        let query = |lines, grep, follow| Query {
            lines,
            grep,
            follow,
            ..Query::default()
        };
        let search = query(Some(7), Some("a"), false);
        assert!(search.is_reversed());
        let asked = search.arguments(Scope::System, 0);
        assert!(asked.contains(&"--reverse".to_owned()), "{asked:?}");
        for other in [
            query(None, Some("a"), false),
            query(Some(7), None, false),
            query(Some(7), Some("a"), true),
        ] {
            assert!(!other.is_reversed());
        }
    }
}
