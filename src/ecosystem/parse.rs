//! From text to apps. All faults of a file are found in one go.

use toml::de::{DeTable, DeValue};

use super::APPS;
use super::app::App;
use super::diagnostic::{Diagnostic, Report};
use super::keys;
use super::read::Fields;

/// Reads an ecosystem file. The apps are complete only when the report has no errors; `path` is
/// only what the report calls the file.
#[must_use]
pub fn parse(path: &str, text: &str) -> (Vec<App>, Report) {
    let mut faults = Vec::new();
    let (document, errors) = DeTable::parse_recoverable(text);
    faults.extend(errors.iter().map(|e| {
        let message = e.message().lines().collect::<Vec<_>>().join("; ");
        Diagnostic::error(e.span().unwrap_or(0..0), message)
            .help("this is no TOML; see https://toml.io for its syntax")
    }));
    // What follows a syntax error is guesswork; its faults would mislead.
    let apps = if faults.is_empty() {
        read_apps(document.get_ref(), &mut faults)
    } else {
        Vec::new()
    };
    check_together(&apps, &mut faults);
    (apps, Report::new(path, text, faults))
}

fn read_apps(document: &DeTable<'_>, faults: &mut Vec<Diagnostic>) -> Vec<App> {
    let mut fields = Fields::new(document, faults);
    let value = fields.value(APPS);
    let mut apps = Vec::new();
    match value.map(|v| (v, v.get_ref())) {
        None => {
            fields.faults.push(
                Diagnostic::error(0..0, "the file lists no app")
                    .help("begin an app with a line `[[apps]]`, then `script = \"server.js\"` and `listen = 3000`"),
            );
        }
        Some((_, DeValue::Array(tables))) => {
            for entry in tables {
                match entry.get_ref().as_table() {
                    Some(table) => apps.extend(keys::read(table, entry.span(), fields.faults)),
                    None => fields.faults.push(not_tables(entry.span())),
                }
            }
        }
        Some((value, _)) => fields.faults.push(not_tables(value.span())),
    }
    fields.finish("the file", |key| {
        keys::is_key(key).then(|| format!("`{key}` belongs to an app: write `[[apps]]` before it"))
    });
    apps
}

fn not_tables(span: std::ops::Range<usize>) -> Diagnostic {
    Diagnostic::error(span, "`apps` is not a list of tables")
        .help("write `[[apps]]`, with two brackets, once for each app")
}

/// What one app alone cannot get wrong.
fn check_together(apps: &[App], faults: &mut Vec<Diagnostic>) {
    for (i, app) in apps.iter().enumerate() {
        let earlier = apps.get(..i).unwrap_or_default();
        if earlier.iter().any(|e| e.name == app.name) {
            faults.push(
                Diagnostic::error(
                    app.span.clone(),
                    format!("two apps are called `{}`", app.name),
                )
                .help("give one of them another `name`"),
            );
        }
        for other in earlier {
            if let Some(fault) = collision(app, other) {
                faults.push(fault);
            }
        }
    }
}

/// The fault of two apps that want one address.
#[must_use]
pub fn collision(app: &App, other: &App) -> Option<Diagnostic> {
    let listen = app
        .listen
        .iter()
        .find(|l| other.listen.iter().any(|o| l.collides(o)))?;
    Some(
        Diagnostic::error(
            app.listen_span.clone(),
            format!(
                "`{}` listens on `{listen}`, and so does `{}`",
                app.name, other.name
            ),
        )
        .help("give one of them another address in `listen`"),
    )
}
