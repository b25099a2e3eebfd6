//! An entry of the journal, as `journalctl --output=json` prints it, see systemd.journal-fields(7).

use serde_json::{Map, Value};

use super::{Happening, of_manager};
use crate::layout::Scope;

/// The author of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A process of the unit.
    Unit,
    /// systemd, about the unit.
    Systemd,
    /// A process of root, about the unit.
    Root,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When journald received it, in microseconds since 1970.
    pub time: u64,
    /// The unit that the entry is about.
    pub unit: String,
    /// The author.
    pub source: Source,
    /// The process that wrote the entry.
    pub pid: Option<u32>,
    /// The priority, 0 to 7 as in syslog(3); `None` for an entry without one.
    pub priority: Option<u8>,
    /// The text, as it was written.
    pub message: String,
    /// The stream that the line belongs to; `None` for a message on a socket of the journal.
    pub stream: Option<String>,
    /// Whether the next entry of the stream continues the line, which was too long for one.
    pub is_continued: bool,
}

impl Entry {
    /// Reads an entry about one of the units of a manager. `None` for any other entry, and for lines of journalctl that are
    /// not JSON.
    #[must_use]
    pub fn parse(line: &str, scope: Scope, units: &[String]) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        let (unit, source) = about(&fields, scope, units)?;
        let number = |name| text(&fields, name)?.parse().ok();
        Some(Self {
            time: text(&fields, "__REALTIME_TIMESTAMP")?.parse().ok()?,
            unit,
            source,
            pid: number("_PID"),
            priority: text(&fields, "PRIORITY")
                .and_then(|text| text.parse().ok())
                .filter(|priority| *priority <= 7),
            message: text(&fields, "MESSAGE").unwrap_or_default(),
            stream: text(&fields, "_STREAM_ID"),
            is_continued: text(&fields, "_LINE_BREAK").as_deref() == Some("line-max"),
        })
    }
}

/// Returns the unit and the author. The unit in which journald found the process takes precedence, because a process can add
/// any of the other fields itself.
fn about(fields: &Map<String, Value>, scope: Scope, units: &[String]) -> Option<(String, Source)> {
    let [own, managers, roots] = of_manager(scope);
    // A command of root reports events of an instance from within the unit of that instance.
    let is_told = scope == Scope::System
        && text(fields, "_UID").as_deref() == Some("0")
        && text(fields, "MESSAGE_ID").is_some_and(|id| Happening::of_id(&id).is_some());
    let inside = if is_told { Source::Root } else { Source::Unit };
    let sources = [
        (own, inside),
        (managers, Source::Systemd),
        (roots, Source::Root),
    ];
    sources.into_iter().find_map(|(field, source)| {
        let unit = text(fields, field).filter(|unit| units.contains(unit))?;
        Some((unit, source))
    })
}

/// Returns a field as text. journalctl prints bytes that are not UTF-8, and control characters, as a list of
/// numbers. A repeated field is printed as a list of values, of which the last counts.
pub(super) fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => match list.last()? {
            Value::String(text) => Some(text.clone()),
            Value::Array(bytes) => Some(of_bytes(bytes)),
            _ => Some(of_bytes(list)),
        },
        _ => None,
    }
}

fn of_bytes(bytes: &[Value]) -> String {
    let byte = |value: &Value| value.as_u64().and_then(|n| u8::try_from(n).ok());
    let bytes: Vec<u8> = bytes.iter().filter_map(byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &str) -> Option<Entry> {
        of(Scope::System, fields)
    }

    fn of(scope: Scope, fields: &str) -> Option<Entry> {
        let line = format!("{{\"__REALTIME_TIMESTAMP\":\"1700000000000001\",{fields}}}");
        let units = ["web.service", "web@1.service"].map(str::to_owned);
        Entry::parse(&line, scope, &units)
    }

    #[test]
    fn a_line_of_a_program_is_read() {
        let fields = r#""_SYSTEMD_UNIT":"web@1.service","MESSAGE":"hi","PRIORITY":"6","_PID":"42","_STREAM_ID":"s","_LINE_BREAK":"line-max""#;
        let entry = parse(fields).unwrap();
        let expected = Entry {
            time: 1_700_000_000_000_001,
            unit: "web@1.service".to_owned(),
            source: Source::Unit,
            pid: Some(42),
            priority: Some(6),
            message: "hi".to_owned(),
            stream: Some("s".to_owned()),
            is_continued: true,
        };
        assert_eq!(entry, expected);
        let whole = parse(&fields.replace("line-max", "eof")).unwrap();
        assert!(!whole.is_continued);
    }

    #[test]
    fn a_process_of_a_unit_writes_only_in_the_name_of_its_unit() {
        let about = |scope, fields: &str| of(scope, fields).map(|e| (e.unit, e.source));
        let entry = |unit: &str, source| Some((unit.to_owned(), source));
        let own = entry("web@1.service", Source::Unit);
        let forged = r#""_SYSTEMD_UNIT":"web@1.service","UNIT":"web.service","OBJECT_SYSTEMD_UNIT":"web.service""#;
        assert_eq!(about(Scope::System, forged), own);
        let of_user = r#""_SYSTEMD_UNIT":"user@7.service","_SYSTEMD_USER_UNIT":"web@1.service""#;
        assert_eq!(about(Scope::User, of_user), own);
        assert_eq!(about(Scope::System, of_user), None);
        let manager = r#""_SYSTEMD_UNIT":"init.scope","UNIT":"web.service""#;
        let told = entry("web.service", Source::Systemd);
        assert_eq!(about(Scope::System, manager), told);
        let manager = r#""_SYSTEMD_UNIT":"user@7.service","_SYSTEMD_USER_UNIT":"init.scope","USER_UNIT":"web.service""#;
        assert_eq!(about(Scope::User, manager), told);
        let root = r#""_SYSTEMD_UNIT":"db.service","OBJECT_SYSTEMD_UNIT":"web.service""#;
        let told = entry("web.service", Source::Root);
        assert_eq!(about(Scope::System, root), told);
        assert_eq!(
            about(Scope::System, r#""_SYSTEMD_UNIT":"db.service""#),
            None
        );
        let id = Happening::Crashed.id();
        let by = |uid: u32, scope| {
            let fields =
                format!(r#""_SYSTEMD_UNIT":"web@1.service","_UID":"{uid}","MESSAGE_ID":"{id}""#);
            about(scope, &fields)
        };
        assert_eq!(by(0, Scope::System), entry("web@1.service", Source::Root));
        assert_eq!(by(33, Scope::System), own);
    }

    #[test]
    fn what_is_not_text_is_read_as_bytes() {
        let message = |value: &str| {
            let entry = parse(&format!("\"UNIT\":\"web.service\",\"MESSAGE\":{value}"));
            entry.unwrap().message
        };
        assert_eq!(message("[27,91,255,49]"), "\u{1b}[\u{fffd}1");
        assert_eq!(message("[\"a\",\"b\"]"), "b");
        assert_eq!(message("[[97],[98,99]]"), "bc");
        assert_eq!(message("[]"), "");
        assert_eq!(message("null"), "");
    }

    #[test]
    fn other_lines_of_journalctl_are_no_entries() {
        for line in ["", "-- No entries --", "{", "{}", "[1]", "7"] {
            assert_eq!(Entry::parse(line, Scope::System, &[]), None, "{line}");
        }
        let untimed = r#"{"UNIT":"web.service"}"#;
        let units = ["web.service".to_owned()];
        assert_eq!(Entry::parse(untimed, Scope::System, &units), None);
        let priority = |text: &str| {
            let entry = parse(&format!(r#""UNIT":"web.service","PRIORITY":"{text}""#));
            entry.unwrap().priority
        };
        assert_eq!(["7", "8", "-1"].map(priority), [Some(7), None, None]);
    }
}
