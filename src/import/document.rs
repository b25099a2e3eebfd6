//! Writes the text of the ecosystem file. `toml_edit` writes the values; comments contain no control characters.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::draft::{Draft, Entry};
use crate::ecosystem::APPS;
use crate::visible::{self, Visible};

/// The keys that an import writes, in the order in which documents list keys.
const ORDER: &[&str] = &[
    "name",
    "script",
    "args",
    "cwd",
    "interpreter",
    "interpreter_args",
    "instances",
    "instance_var",
    "user",
    "group",
    "listen",
    "ready",
    "kill_timeout",
    "shutdown_with_message",
    "listen_timeout",
    "restart_delay",
    "autorestart",
    "stop_exit_codes",
    "min_uptime",
    "max_restarts",
    "exp_backoff_restart_delay",
    "watch",
    "ignore_watch",
    "watch_delay",
    "schedule",
    "reload_schedule",
];

/// Width at which comments are wrapped, in characters.
const WIDTH: usize = 110;

pub(super) fn write(head: &[String], drafts: Vec<Draft<'_>>) -> String {
    let mut tables = ArrayOfTables::new();
    for draft in drafts {
        tables.push(app(draft));
    }
    let mut document = DocumentMut::new();
    document.insert(APPS, Item::ArrayOfTables(tables));
    let head: String = head.iter().map(|note| comment(note, "")).collect();
    format!("{head}{document}")
}

fn app(mut draft: Draft<'_>) -> Table {
    let place = |entry: &Entry| ORDER.iter().position(|key| *key == entry.key);
    draft
        .entries
        .sort_by_key(|entry| place(entry).unwrap_or(usize::MAX));
    let mut table = lines(draft.entries);
    let mut prefix = "\n".to_owned();
    if !draft.left.is_empty() {
        prefix += "# Left out:\n";
        prefix.extend(draft.left.iter().map(|left| comment(left, "- ")));
    }
    table.decor_mut().set_prefix(prefix);
    let env = (!draft.env.is_empty()).then(|| ("env".to_owned(), draft.env));
    let service = (!draft.service.is_empty()).then(|| ("service".to_owned(), draft.service));
    for (name, entries) in env.into_iter().chain(draft.environments).chain(service) {
        let mut inner = lines(entries);
        inner.decor_mut().set_prefix("\n");
        table.insert(&name, Item::Table(inner));
    }
    table
}

fn lines(entries: Vec<Entry>) -> Table {
    let mut table = Table::new();
    for Entry { key, value, note } in entries {
        table.insert(&key, Item::Value(visible_value(value)));
        if let Some(mut key) = table.key_mut(&key).filter(|_| !note.is_empty()) {
            key.leaf_decor_mut().set_prefix(comment(&note, ""));
        }
    }
    table
}

/// Returns a value in which characters that control a terminal are written as escapes of TOML.
fn visible_value(value: Value) -> Value {
    match value {
        Value::String(text) => visible_text(text.value()),
        Value::Array(list) => Value::Array(list.into_iter().map(visible_value).collect()),
        other => other,
    }
}

fn visible_text(text: &str) -> Value {
    if Visible::line(text).as_str() == text {
        return text.into();
    }
    // Every string of JSON is also a string of TOML, with the same meaning.
    let json = visible::json(&serde_json::Value::from(text).to_string());
    json.parse().unwrap_or_else(|_| text.into())
}

/// Formats a comment, wrapped at [`WIDTH`]. The first line begins with `mark`.
fn comment(text: &str, mark: &str) -> String {
    let text = Visible::line(text);
    let mut lines = String::new();
    let mut line = format!("# {mark}");
    let indent = format!("# {}", " ".repeat(mark.len()));
    let mut is_begun = false;
    for word in text.as_str().split(' ') {
        if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += line.trim_end();
            lines.push('\n');
            line.clone_from(&indent);
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line += word;
        is_begun = true;
    }
    lines += line.trim_end();
    lines.push('\n');
    lines
}
