//! Turns text into apps. All faults of a file are found in one pass.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::app::App;
use super::diagnostic::{Diagnostic, Report};
use super::listen::{Listen, Owners};
use super::pm2;
use super::read::Fields;
use super::{APPS, rows};

/// The largest number of apps in a file. Each app's account and files are looked up on the host, so checking a longer
/// list would take minutes.
const MOST_APPS: usize = 1000;

/// Reads an ecosystem file. The apps are complete only if the report has no errors. The report uses `path` only as the
/// name of the file.
#[must_use]
pub fn parse(path: &str, text: &str) -> (Vec<App>, Report) {
    let mut faults = Vec::new();
    let (document, errors) = DeTable::parse_recoverable(text);
    if let Some(format) = other_format(text).filter(|_| !errors.is_empty()) {
        let fault = Diagnostic::error(0..0, format!("this is {format}, not TOML"));
        faults.push(fault.help(
            "`rsgen import` converts PM2's files to an ecosystem file: an ecosystem.config.js, or a file with the extension .json or .yaml",
        ));
    } else {
        faults.extend(errors.iter().map(|error| syntax_fault(text, error)));
    }
    // After a syntax error the rest is guesswork, and its faults would mislead.
    let apps = if faults.is_empty() {
        read_apps(document.get_ref(), &mut faults)
    } else {
        Vec::new()
    };
    check_together(&apps, &mut faults);
    (apps, Report::new(path, text, faults))
}

fn syntax_fault(text: &str, error: &toml::de::Error) -> Diagnostic {
    let start = error.span().unwrap_or(0..0).start;
    // The text from the place of the fault to the end of its line, and that before it.
    let behind = text.get(start..).and_then(|rest| rest.lines().next());
    let before = text.get(..start).and_then(|head| head.lines().next_back());
    let is_after = |end: char| before.is_some_and(|before| before.trim_end().ends_with(end));
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    let help = if message == "duplicate key" {
        "it is already set above: remove one of the two"
    } else if message.starts_with("string values must be quoted") {
        "write it in quotes, as in `name = \"web\"`"
    } else if message.starts_with("key with no value") && is_after(':') {
        "write `=` in place of `:`, as in `name = \"web\"`"
    } else if behind.is_some_and(|behind| behind.trim() == ",") {
        "leave the comma out: each key has a line of its own"
    } else if message.starts_with("invalid basic string") {
        "a text begins and ends with `\"`, in the same line"
    } else {
        "this is not TOML; see https://toml.io for its syntax"
    };
    Diagnostic::error(error.span().unwrap_or(0..0), message).help(help)
}

/// Returns the format of a text that is not TOML, if its first words reveal it.
fn other_format(text: &str) -> Option<&'static str> {
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with(['#', '/', '*']);
    let first = text.lines().map(str::trim).find(is_said)?;
    if first.starts_with('{') {
        return Some("JSON");
    }
    let of_javascript = [
        "module.exports",
        "exports.",
        "export default",
        "const ",
        "require(",
    ];
    if of_javascript.iter().any(|begin| first.starts_with(begin)) {
        return Some("JavaScript");
    }
    let of_yaml = first == "---" || first.starts_with("- ") || first.trim_end() == "apps:";
    of_yaml.then_some("YAML")
}

fn read_apps(document: &DeTable<'_>, faults: &mut Vec<Diagnostic>) -> Vec<App> {
    let mut fields = Fields::new(document, 0..0, faults);
    let value = fields.value(APPS);
    let mut apps = Vec::new();
    match value.map(|v| (v, v.get_ref())) {
        None => {
            fields.faults.push(
                Diagnostic::error(0..0, "the file lists no apps")
                    .help("begin an app with a line `[[apps]]`, then `script = \"server.js\"` and `listen = 3000`"),
            );
        }
        Some((_, DeValue::Array(tables))) => {
            if let Some(next) = tables.get(MOST_APPS) {
                let fault = format!("the file lists more than {MOST_APPS} apps");
                fields.faults.push(
                    Diagnostic::error(next.span(), fault).help("put the others into another file"),
                );
            }
            for entry in tables.iter().take(MOST_APPS) {
                match entry.get_ref().as_table() {
                    Some(table) => apps.extend(read_app(table, entry.span(), fields.faults)),
                    None => fields.faults.push(not_tables(entry.span())),
                }
            }
        }
        Some((value, _)) => fields.faults.push(not_tables(value.span())),
    }
    fields.finish("the file", |key| {
        is_key(key).then(|| format!("`{key}` belongs to an app: write `[[apps]]` before it"))
    });
    apps
}

/// Reads one app. Returns `None` if something is missing that every later check needs.
fn read_app(table: &DeTable<'_>, span: Range<usize>, faults: &mut Vec<Diagnostic>) -> Option<App> {
    let mut fields = Fields::new(table, span, faults);
    let app = App::read(&mut fields);
    fields.finish("an app", |key| {
        pm2::advice(key).or_else(|| of_variable(key))
    });
    (!app.name.is_empty() && !app.program.script.is_empty()).then_some(app)
}

/// The help for a key that is written like a variable.
fn of_variable(key: &str) -> Option<String> {
    let is_written_so = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_one =
        key.starts_with(|c: char| c.is_ascii_uppercase()) && key.chars().all(is_written_so);
    is_one.then(|| format!("a variable of the program belongs in `env`: `env.{key} = …`"))
}

/// Returns whether an app has such a key.
fn is_key(word: &str) -> bool {
    rows().iter().any(|row| row.name == word)
}

fn not_tables(span: Range<usize>) -> Diagnostic {
    Diagnostic::error(span, "`apps` is not a list of tables")
        .help("write `[[apps]]`, with two brackets, once for each app")
}

/// Checks the apps against each other. Each address is looked up among those seen before, instead of being
/// compared with those of every app.
fn check_together(apps: &[App], faults: &mut Vec<Diagnostic>) {
    let mut names = HashSet::new();
    let mut taken = Owners::default();
    for (number, app) in apps.iter().enumerate() {
        if !names.insert(&app.name) {
            faults.push(
                Diagnostic::error(
                    app.span.clone(),
                    format!("two apps are called `{}`", app.name),
                )
                .help("give one of them another `name`"),
            );
        }
        let mut shared = BTreeMap::new();
        for listen in &app.listen {
            if let Some(owner) = taken.by(listen) {
                shared.entry(owner).or_insert(listen);
            }
        }
        // For two apps with the same name, a common address is not a separate fault.
        let others = shared.iter().filter_map(|(o, l)| Some((apps.get(*o)?, l)));
        let others = others.filter(|(other, _)| other.name != app.name);
        faults.extend(others.map(|(other, listen)| not_shared(app, listen, other)));
        for listen in &app.listen {
            taken.take(listen, number);
        }
    }
}

/// Returns the fault of two apps that need the same address.
#[must_use]
pub fn collision(app: &App, other: &App) -> Option<Diagnostic> {
    let mut taken = Owners::default();
    for listen in &other.listen {
        taken.take(listen, 0);
    }
    let listen = app.listen.iter().find(|l| taken.by(l).is_some())?;
    Some(not_shared(app, listen, other))
}

fn not_shared(app: &App, listen: &Listen, other: &App) -> Diagnostic {
    let (name, other) = (&app.name, &other.name);
    Diagnostic::error(
        app.listen_span.clone(),
        format!("`{name}` listens on `{listen}`, and so does `{other}`"),
    )
    .help("give one of them another address in `listen`")
}
