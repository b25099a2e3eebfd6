//! Environment variables, and the port that one of them may hold.

use toml_edit::Value as Toml;

use super::draft::{Draft, Entry, Given, short};
use super::value::Value;
use crate::unit::escape;

pub(super) fn env(draft: &mut Draft<'_>, given: Given<'_>) {
    let Some(table) = given.value.table() else {
        return draft.refuse(given, "an object");
    };
    // A shell command line assigns variables for the program that it starts, so its assignments override `env`.
    let assigned = std::mem::take(&mut draft.env);
    for (name, value) in table {
        put(&mut draft.env, &mut draft.left, "env", name, value);
    }
    let is_assigned = |entry: &Entry| assigned.iter().any(|a| a.key == entry.key);
    draft.env.retain(|entry| !is_assigned(entry));
    draft.env.extend(assigned);
}

/// Takes a table `env_NAME`, which has the same name in an ecosystem file.
pub(super) fn environment(draft: &mut Draft<'_>, given: Given<'_>) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !given.name.chars().all(is_name) {
        return draft.leave(given, "give the environment a name of letters and digits");
    }
    let Some(table) = given.value.table() else {
        return draft.refuse(given, "an object");
    };
    let mut entries = Vec::new();
    for (name, value) in table {
        put(&mut entries, &mut draft.left, given.name, name, value);
    }
    draft.environments.push((given.name.to_owned(), entries));
}

/// Adds a variable to those of a table.
pub(super) fn put(
    entries: &mut Vec<Entry>,
    left: &mut Vec<String>,
    table: &str,
    name: &str,
    value: &Value,
) {
    let why = |why: &str| format!("{table}.{name} = {}: {why}", short(value));
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return left.push(why("this cannot be the name of a variable"));
    }
    let (toml, note): (Toml, &str) = match value {
        Value::Null => return left.push(why("it has no value")),
        Value::Bool(is) => ((*is).into(), ""),
        Value::Number(number) => match number.parse::<i64>() {
            Ok(number) => (number.into(), ""),
            Err(_) => (number.as_str().into(), ""),
        },
        Value::Text(text) => (text.as_str().into(), ""),
        Value::List(_) | Value::Table(_) => (value.to_string().into(), "as JSON, as in PM2"),
    };
    if toml
        .as_str()
        .is_some_and(|text| !escape::fits_environment(text))
    {
        return left.push(why(
            "the value contains a control character, which systemd does not pass on",
        ));
    }
    entries.retain(|entry| entry.key != name);
    entries.push(Entry {
        key: name.to_owned(),
        value: toml,
        note: note.to_owned(),
    });
}

/// PM2 sets the variable PORT too, so the program may read it.
pub(super) fn port(draft: &mut Draft<'_>, given: Given<'_>) {
    let Some(port) = given
        .value
        .integer()
        .filter(|port| (1..=65535).contains(port))
    else {
        return draft.refuse(given, "a port");
    };
    draft.set(
        "listen",
        port,
        "`port` in PM2, which only sets the variable PORT",
    );
    if !draft.env.iter().any(|entry| entry.key == "PORT") {
        put(&mut draft.env, &mut draft.left, "env", "PORT", given.value);
    }
}

/// Makes each instance count from the value that the variable has.
pub(super) fn increment_var(draft: &mut Draft<'_>, given: Given<'_>) {
    let Some(name) = given.value.text() else {
        return draft.refuse(given, "the name of a variable");
    };
    let note = "`increment_var` in PM2: each instance has a number of its own";
    let mut is_counted = false;
    let environments = draft.environments.iter_mut().map(|(_, entries)| entries);
    for entries in environments.chain([&mut draft.env]) {
        for entry in entries.iter_mut().filter(|entry| entry.key == name) {
            let text = entry
                .value
                .as_str()
                .and_then(|text| text.trim().parse().ok());
            let first: i64 = entry.value.as_integer().or(text).unwrap_or(0);
            entry.value = counted(first);
            note.clone_into(&mut entry.note);
            is_counted = true;
        }
    }
    if !is_counted {
        let first = Value::Text(counted(0).as_str().unwrap_or_default().to_owned());
        put(&mut draft.env, &mut draft.left, "env", name, &first);
        if let Some(entry) = draft.env.iter_mut().find(|entry| entry.key == name) {
            note.clone_into(&mut entry.note);
        }
    }
    let has_port = name.to_uppercase().contains("PORT");
    if has_port {
        draft.set(
            "listen",
            toml_edit::Array::new(),
            "each instance has a port of its own, for a load balancer in front of them; to share one port, write the \
             port here and \
             set the variable to a plain number",
        );
    }
}

fn counted(first: i64) -> Toml {
    format!("{{{first} + i}}").into()
}
