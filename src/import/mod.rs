//! Turns PM2 files and similar files into ecosystem files, with comments on the fate of each attribute.
//!
//! Everything in such a file is untrusted text. The room is pure: `command` lets the user's own Node evaluate
//! JavaScript and passes the resulting JSON to this room.

mod address;
mod answer;
mod attribute;
mod command;
mod document;
mod draft;
mod dump;
mod kind;
mod log;
mod place;
mod procfile;
mod shape;
#[cfg(test)]
mod tests;
mod value;
mod variables;
mod yaml;

use std::path::Path;

use toml_edit::Array;

pub use kind::Kind;

use crate::unit::Fault;
use draft::{Draft, Entry, Origin};
use value::{Table, member};

/// A file to import.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The name by which a comment in the ecosystem file refers to the source.
    pub name: &'a str,
    /// The kind of file.
    pub kind: Kind,
    /// The text of the file; for JavaScript, the JSON that Node made from it.
    pub text: &'a str,
    /// The absolute path of the file's folder.
    pub folder: &'a Path,
    /// Whether the ecosystem file will be in another folder, so that relative paths have to be rewritten.
    pub is_moved: bool,
    /// The folder in which rsgen is called, if it is a different one.
    pub called_in: Option<&'a Path>,
    /// Whether there is a file at a path.
    pub is_file: fn(&Path) -> bool,
}

/// The ecosystem file that an import made.
#[derive(Debug)]
pub struct Imported {
    /// The text.
    pub text: String,
    /// The names of the apps.
    pub apps: Vec<String>,
    /// The number of attributes that were left out. A comment says why, for each of them.
    pub left: usize,
}

/// Returns whether a text is JSON. PM2 evaluates a JSON file as JavaScript, so a file that PM2 accepts need not be
/// JSON.
#[must_use]
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<value::Value>(text).is_ok()
}

/// Makes an ecosystem file from another file.
///
/// # Errors
/// When the file is not a PM2 file, or lists no apps.
pub fn import(source: &Source<'_>) -> Result<Imported, Fault> {
    let found = shape::read(source.kind, source.text)?;
    let origin = Origin {
        folder: source.folder.to_owned(),
        is_moved: source.is_moved,
    };
    let mut drafts: Vec<Draft<'_>> = found
        .apps
        .iter()
        .map(|app| draft(&origin, source, app))
        .collect();
    tell_apart(&mut drafts);
    let mut head = vec![
        format!(
            "Made from `{}` by `rsgen import`. A comment above a line says how the line differs from PM2's.",
            source.name
        ),
        "PM2 passes the shell's whole environment to an app; here an app gets only the variables that this file \
         sets.".to_owned(),
    ];
    head.extend(found.notes);
    let apps = drafts
        .iter()
        .filter_map(|draft| draft.text_of("name").map(str::to_owned));
    let apps = apps.collect();
    let left = drafts.iter().map(|draft| draft.left.len()).sum();
    let text = document::write(&head, drafts);
    Ok(Imported { text, apps, left })
}

fn draft<'a>(origin: &'a Origin, source: &Source<'_>, app: &'a Table) -> Draft<'a> {
    let mut draft = Draft::new(origin, app);
    attribute::take(&mut draft, app);
    if draft.entry("script").is_none() {
        draft
            .left
            .push("the app has no `script`: add the program to run".to_owned());
    }
    if draft.entry("name").is_none() {
        let script = draft.text_of("script").unwrap_or("app");
        let stem = Path::new(script).file_stem().and_then(|stem| stem.to_str());
        let name = answer::unit_of(stem.unwrap_or("app"));
        draft.set("name", name, "");
    }
    place::find_script(&mut draft, source);
    place::keep_folder(&mut draft);
    keep_to_jobs(&mut draft);
    listen(&mut draft, source.kind);
    keep_pool(&mut draft);
    draft
}

/// Sends the stop signal only to the main process of a pool, unless the file has a setting for that. A pool
/// that a shell starts is left as it is: some shells would not pass the signal on.
fn keep_pool(draft: &mut Draft<'_>) {
    if draft.other("treekill").is_none() && address::has_pool(&draft.words()) {
        draft.direct(
            "KillMode",
            "mixed",
            "PM2 sends the stop signal to the processes that do the tasks as well, which are lost then; with this, the main \
             process alone gets it, and ends when they are done: `kill_timeout` is to allow for the longest task",
        );
    }
}

/// Keys about restarts, readiness and reloads, which do not apply to a job.
const OF_LASTING_APPS: &[&str] = &[
    "autorestart",
    "exp_backoff_restart_delay",
    "instances",
    "listen",
    "listen_timeout",
    "max_restarts",
    "min_uptime",
    "ready",
    "restart_delay",
    "shutdown_with_message",
];

fn keep_to_jobs(draft: &mut Draft<'_>) {
    if draft.entry("schedule").is_none() {
        return;
    }
    let is_of_both = |entry: &Entry| !OF_LASTING_APPS.contains(&entry.key.as_str());
    let (kept, gone): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut draft.entries)
        .into_iter()
        .partition(is_of_both);
    draft.entries = kept;
    // The note of `schedule` already mentions `autorestart`.
    let gone = gone.iter().filter(|entry| entry.key != "autorestart");
    for Entry { key, value, .. } in gone {
        let value = value.to_string();
        draft.left.push(format!(
            "{key} = {}: a job is one process that ends by itself",
            value.trim()
        ));
    }
}

/// Sets the address, which no attribute of PM2 contains.
fn listen(draft: &mut Draft<'_>, kind: Kind) {
    // A job has no port.
    if draft.entry("listen").is_some() || draft.entry("schedule").is_some() {
        return;
    }
    let words = draft.words();
    let name = member(draft.given, "name").and_then(value::Value::text);
    let without = if address::is_worker(&words) {
        Some("the program takes its work from a queue")
    } else if kind == Kind::Procfile && name != Some("web") {
        Some("only the process `web` of a Procfile has a port")
    } else {
        None
    };
    if let Some(why) = without {
        return draft.set("listen", Array::new(), format!("no port: {why}"));
    }
    let env = variables(&draft.env);
    let differs = |found: &address::Found| {
        let other = |(name, more): &(String, Vec<Entry>)| {
            let env = [variables(more), env.clone()].concat();
            let there = address::of(&words, &env).map(|found| found.value.to_string());
            (there != Some(found.value.to_string())).then(|| name.clone())
        };
        draft.environments.iter().find_map(other)
    };
    match address::of(&words, &env) {
        Some(found) => match differs(&found) {
            None => draft.set("listen", found.value, found.note),
            Some(name) => draft.left.push(format!(
                "listen: the address differs between `env` and `{name}`; `rsgen install` finds out"
            )),
        },
        None => draft.left.push(
            "listen: PM2 does not know where a program listens; `rsgen install` finds out, or write `listen = []` for a \
             program without a port"
                .to_owned(),
        ),
    }
}

/// Returns the variables of a table as texts.
fn variables(entries: &[Entry]) -> Vec<(String, String)> {
    let text = |value: &toml_edit::Value| {
        let number = value.as_integer().map(|number| number.to_string());
        number.or_else(|| value.as_str().map(str::to_owned))
    };
    let pair = |entry: &Entry| (entry.key.clone(), text(&entry.value).unwrap_or_default());
    entries.iter().map(pair).collect()
}

/// Renames apps that share a name, which PM2 allows.
fn tell_apart(drafts: &mut [Draft<'_>]) {
    let mut taken: Vec<String> = Vec::new();
    for draft in drafts {
        let name = draft.text_of("name").unwrap_or_default().to_owned();
        let free = (2..).map(|number| format!("{name}-{number}"));
        let new = std::iter::once(name.clone())
            .chain(free)
            .find(|name| !taken.contains(name));
        let new = new.unwrap_or_default();
        if new != name {
            draft.set(
                "name",
                new.as_str(),
                format!("`{name}` in PM2, like another app of the file"),
            );
        }
        taken.push(new);
    }
}
