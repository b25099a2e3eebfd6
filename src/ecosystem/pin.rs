//! The text of one installed app: the user's own, with its comments and with absolute paths.

use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use super::APPS;
use super::app::App;
use super::chosen::Chosen;
use super::diagnostic::Diagnostic;
use super::values::Listen;
use crate::unit::Fault;

/// The comment above addresses that a rehearsal found.
const FOUND: &str = "# Found in a rehearsal: the program was started once, and bound this. Write `listen` to decide it yourself.\n";

const HEADER: &str = "# An app installed with `rsgen install`; ";

/// Returns the installed text of `app`, which has been resolved, from the text of its file, where it is at `index`.
///
/// # Errors
/// When the app was not read from this text.
pub fn pin(text: &str, index: usize, app: &App, chosen: Option<Chosen>) -> Result<String, Fault> {
    let changed = || {
        Fault::new(
            "the file changed while it was read",
            "run the command again",
        )
    };
    let document: DocumentMut = text.parse().map_err(|_| changed())?;
    let mut table = table_at(&document, index).ok_or_else(changed)?;
    set(&mut table, "name", app.name.as_str().into(), true);
    set(
        &mut table,
        "script",
        app.program.script.as_str().into(),
        true,
    );
    set(
        &mut table,
        "cwd",
        app.program.cwd.as_deref().unwrap_or("/").into(),
        true,
    );
    if let Some(interpreter) = &app.program.interpreter {
        set(
            &mut table,
            "interpreter",
            interpreter.as_str().into(),
            interpreter.contains('/'),
        );
    }
    if let (Some(path), Some(program)) = (app.env.get("PATH"), &app.first_in_path) {
        set_variable(&mut table, "PATH", path, &format!("for {program}"));
    }
    if let (Some(user), Some(file)) = (&app.user, &app.user_is_owner_of) {
        set(&mut table, "user", user.as_str().into(), true);
        comment(&mut table, "user", &format!("the owner of {file}"));
    }
    if !app.watched.watch.is_empty() {
        let paths: Array = app.watched.watch.iter().collect();
        set(&mut table, "watch", paths.into(), true);
    }
    if !app.env_file.is_empty() {
        set(
            &mut table,
            "env_file",
            app.env_file.iter().collect::<Array>().into(),
            true,
        );
    }
    if let Some(chosen) = chosen {
        table.insert("instances", Item::Value(chosen.written()));
    }
    Ok(write(table, &app.name))
}

/// Returns the installed text with these addresses, which a rehearsal has found.
///
/// # Errors
/// When [`pin`] did not make the text.
pub fn with_listen(text: &str, listen: &[Listen]) -> Result<String, Fault> {
    let changed = || {
        Fault::new(
            "the file changed while it was read",
            "run the command again",
        )
    };
    let mut document: DocumentMut = text.parse().map_err(|_| changed())?;
    let table = document
        .get_mut(APPS)
        .and_then(Item::as_array_of_tables_mut)
        .and_then(|tables| tables.get_mut(0))
        .ok_or_else(changed)?;
    let addresses = listen.iter().map(ToString::to_string);
    let addresses = match listen {
        [one] => Value::from(one.to_string()),
        _ => addresses.collect::<Array>().into(),
    };
    table.insert("listen", value(addresses));
    if let Some(mut key) = table.key_mut("listen") {
        let decor = key.leaf_decor_mut();
        let own = decor.prefix().and_then(|p| p.as_str()).unwrap_or_default();
        let own = own.replace(FOUND, "");
        decor.set_prefix(format!("{own}{FOUND}"));
    }
    Ok(document.to_string())
}

/// Returns whether the addresses in an installed text were found by a rehearsal.
#[must_use]
pub fn is_found(text: &str) -> bool {
    text.contains(FOUND)
}

/// Returns the text of an installed app in which the keys of a drop-in override its own.
///
/// # Errors
/// When the drop-in is not TOML, with the place in the drop-in. Faults in the app's own text are left to its reader.
pub fn overlay(text: &str, drop_in: &str) -> Result<String, Diagnostic> {
    let added: DocumentMut = drop_in.parse().map_err(|e: toml_edit::TomlError| {
        Diagnostic::error(e.span().unwrap_or(0..0), e.message())
            .help("this is not TOML; see https://toml.io for its syntax")
    })?;
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        return Ok(text.to_owned());
    };
    if let Some(table) = document
        .get_mut(APPS)
        .and_then(Item::as_array_of_tables_mut)
        .and_then(|t| t.get_mut(0))
    {
        merge(table, added.as_table());
    }
    Ok(document.to_string())
}

fn merge(table: &mut Table, added: &Table) {
    for (key, item) in added {
        match (
            table.get_mut(key).and_then(Item::as_table_mut),
            item.as_table(),
        ) {
            (Some(inner), Some(more)) => merge(inner, more),
            _ => {
                table.insert(key, item.clone());
            }
        }
    }
}

/// Finds the table of an app, whose file may contain either `[[apps]]` or `apps = [{ … }]`.
fn table_at(document: &DocumentMut, index: usize) -> Option<Table> {
    match document.get(APPS)? {
        Item::ArrayOfTables(tables) => tables.get(index).cloned(),
        Item::Value(Value::Array(list)) => list
            .get(index)?
            .as_inline_table()
            .cloned()
            .map(toml_edit::InlineTable::into_table),
        _ => None,
    }
}

// A value that is already right keeps its place, its comment and its form.
fn set(table: &mut Table, key: &str, new: Value, insert: bool) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if same(old, &new) => {}
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None if insert => {
            table.insert(key, value(new));
        }
        None => {}
    }
}

/// Adds a variable to `env`, which may be a table of its own or an inline table.
fn set_variable(table: &mut Table, name: &str, text: &str, why: &str) {
    let env = table
        .entry("env")
        .or_insert_with(|| Item::Table(Table::new()));
    if let Some(env) = env.as_table_mut() {
        set(env, name, text.into(), true);
        comment(env, name, why);
    } else if let Some(env) = env.as_inline_table_mut() {
        env.insert(name, text.into());
    }
}

fn comment(table: &mut Table, key: &str, text: &str) {
    let value = table.get_mut(key).and_then(Item::as_value_mut);
    // A comment in TOML ends with its line and may not contain control characters.
    if let Some(value) = value.filter(|_| !text.contains(char::is_control)) {
        value.decor_mut().set_suffix(format!(" # {text}"));
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        _ => false,
    }
}

fn write(mut table: Table, name: &str) -> String {
    let prefix = table
        .decor()
        .prefix()
        .and_then(|p| p.as_str())
        .unwrap_or("");
    let comment: Vec<&str> = prefix
        .trim_matches('\n')
        .lines()
        .filter(|l| !l.starts_with(HEADER))
        .collect();
    let comment = comment.join("\n");
    let comment = comment.trim_start_matches('\n');
    table.decor_mut().set_prefix(if comment.is_empty() {
        String::new()
    } else {
        format!("{comment}\n")
    });
    let mut tables = toml_edit::ArrayOfTables::new();
    tables.push(table);
    let mut document = DocumentMut::new();
    document.insert(APPS, Item::ArrayOfTables(tables));
    format!("{HEADER}after a change here, run `rsgen reload {name}`.\n\n{document}")
}

#[cfg(test)]
mod tests;
