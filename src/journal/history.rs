//! The history of apps: the entries that rsgen itself wrote about their events.

use serde_json::{Map, Value};

use super::entry::text;
use super::{Happening, field};
use crate::layout::Scope;
use crate::unit::name::{Member, Units, parse};

/// The part of the history to read.
#[derive(Debug, Default)]
pub struct Past<'a> {
    /// The apps; none for every app, also one that is not installed any more.
    pub apps: &'a [String],
    /// How many entries, counted from the end; `None` for all.
    pub lines: Option<u32>,
    /// The earliest time, in a form of systemd.time(7).
    pub since: Option<&'a str>,
    /// The latest time.
    pub until: Option<&'a str>,
}

/// An event of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// When journald received the entry, in microseconds since 1970.
    pub time: u64,
    /// The app.
    pub app: String,
    /// The kind of event.
    pub happening: Happening,
    /// Whether it failed.
    pub is_failed: bool,
    /// The text for people.
    pub message: String,
    /// The instance that it happened to.
    pub instance: Option<u32>,
    /// The ID of the walk.
    pub walk: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: Option<u64>,
    /// The value before.
    pub from: Option<String>,
    /// The value afterwards.
    pub to: Option<String>,
    /// The user who asked for it.
    pub by: Option<String>,
    /// The subcommand of rsgen by which that user asked.
    pub command: Option<String>,
}

impl Past<'_> {
    /// Returns the arguments of journalctl(1). `uid` is the owner of a user's manager.
    ///
    /// Only root can write as root, and only journald can add `_UID=`.
    #[must_use]
    pub fn arguments(&self, scope: Scope, uid: u32) -> Vec<String> {
        let mut arguments = ["--output=json", "--all", "--no-pager", "--quiet"]
            .map(str::to_owned)
            .to_vec();
        let lines = self.lines.map(|lines| lines.to_string());
        for (name, value) in [
            ("lines", lines.as_deref()),
            ("since", self.since),
            ("until", self.until),
        ] {
            arguments.extend(value.map(|value| format!("--{name}={value}")));
        }
        arguments.push(format!("_UID={}", author(scope, uid)));
        let about = field::about(scope);
        let units = self.apps.iter().map(|app| Units::of(app).cluster());
        arguments.extend(units.map(|unit| format!("{about}={unit}")));
        let ids = Happening::ALL.map(Happening::id);
        arguments.extend(ids.map(|id| format!("MESSAGE_ID={id}")));
        arguments
    }
}

/// The user whose entries are trusted.
fn author(scope: Scope, uid: u32) -> u32 {
    match scope {
        Scope::System => 0,
        Scope::User => uid,
    }
}

impl Happened {
    /// Reads an entry, as `journalctl --output=json` prints it. `None` for an entry that somebody else has written.
    #[must_use]
    pub fn parse(line: &str, scope: Scope, uid: u32) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        let get = |name| text(&fields, name);
        if get("_UID")?.parse() != Ok(author(scope, uid)) {
            return None;
        }
        let unit = get(field::about(scope))?;
        let (app, Member::Cluster) = parse(&unit)? else {
            return None;
        };
        let happening = Happening::of_id(&get("MESSAGE_ID")?)?;
        Some(Self {
            time: get("__REALTIME_TIMESTAMP")?.parse().ok()?,
            app: app.to_owned(),
            happening,
            is_failed: get(field::OUTCOME).is_some_and(|outcome| outcome == "failed"),
            message: get("MESSAGE").unwrap_or_default(),
            instance: get(field::INSTANCE).and_then(|number| number.parse().ok()),
            walk: get(field::WALK),
            took_ms: get(field::DURATION).and_then(|number| number.parse().ok()),
            from: get(field::FROM),
            to: get(field::TO),
            by: get(field::BY),
            command: get(field::COMMAND),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_that_nobody_but_root_can_write_are_asked_for() {
        let apps = ["web".to_owned(), "db".to_owned()];
        let past = Past {
            apps: &apps,
            lines: Some(7),
            since: Some("-1h"),
            until: Some("now"),
        };
        let asked = past.arguments(Scope::System, 1000).join(" ");
        let matches = "--lines=7 --since=-1h --until=now _UID=0 OBJECT_SYSTEMD_UNIT=web.service \
                       OBJECT_SYSTEMD_UNIT=db.service MESSAGE_ID=";
        assert!(asked.contains(matches), "{asked}");
        assert!(!asked.contains('+'), "every field has to match: {asked}");
        let of_user = Past::default().arguments(Scope::User, 1000);
        assert!(of_user.contains(&"_UID=1000".to_owned()), "{of_user:?}");
        assert!(!of_user.iter().any(|word| word.contains("UNIT")));
    }

    fn entry(uid: u32, more: &str) -> String {
        let id = Happening::Scaled.id();
        format!(
            r#"{{"__REALTIME_TIMESTAMP":"1700000000000001","_UID":"{uid}","MESSAGE_ID":"{id}","MESSAGE":"m"{more}}}"#
        )
    }

    #[test]
    fn the_facts_are_read_and_each_may_be_missing() {
        let unit = r#","OBJECT_SYSTEMD_UNIT":"web.service""#;
        let more = format!(
            r#"{unit},"RSGEN_OUTCOME":"failed","RSGEN_INSTANCE":"3","RSGEN_WALK":"ab","RSGEN_DURATION_MS":"1500",
            "RSGEN_FROM":"2","RSGEN_TO":"4","RSGEN_BY":"alice","RSGEN_COMMAND":"scale""#
        );
        let bare = Happened {
            time: 1_700_000_000_000_001,
            app: "web".into(),
            happening: Happening::Scaled,
            is_failed: false,
            message: "m".into(),
            instance: None,
            walk: None,
            took_ms: None,
            from: None,
            to: None,
            by: None,
            command: None,
        };
        let read = |line: &str| Happened::parse(line, Scope::System, 1000);
        assert_eq!(read(&entry(0, unit)), Some(bare.clone()));
        let whole = Happened {
            is_failed: true,
            instance: Some(3),
            walk: Some("ab".into()),
            took_ms: Some(1500),
            from: Some("2".into()),
            to: Some("4".into()),
            by: Some("alice".into()),
            command: Some("scale".into()),
            ..bare
        };
        assert_eq!(read(&entry(0, &more)), Some(whole));
    }

    #[test]
    fn an_entry_of_a_program_is_not_history() {
        let unit = r#","OBJECT_SYSTEMD_UNIT":"web.service""#;
        let read = |line: &str| Happened::parse(line, Scope::System, 33);
        assert_eq!(read(&entry(33, unit)), None);
        let other = r#","OBJECT_SYSTEMD_UNIT":"web@1.service""#;
        for more in ["", other, r#","OBJECT_SYSTEMD_USER_UNIT":"web.service""#] {
            assert_eq!(read(&entry(0, more)), None, "{more}");
        }
        for line in ["", "-- No entries --", "{}", "7"] {
            assert_eq!(read(line), None, "{line}");
        }
        let unknown = entry(0, unit).replace(Happening::Scaled.id(), "ab");
        assert_eq!(read(&unknown), None);
        let of_user = entry(33, r#","OBJECT_SYSTEMD_USER_UNIT":"web.service""#);
        assert!(Happened::parse(&of_user, Scope::User, 33).is_some());
        assert_eq!(Happened::parse(&of_user, Scope::User, 34), None);
    }
}
