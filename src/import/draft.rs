//! An app, on its way from PM2's attributes to the keys of an ecosystem file.

use std::path::PathBuf;

use toml_edit::Value as Toml;

use super::value::{Table, Value, member};
use crate::visible;

/// The file that the attributes come from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The folder of the file.
    pub(super) folder: PathBuf,
    /// Whether the ecosystem file will be in another folder, so that relative paths would change their meaning.
    pub(super) is_moved: bool,
}

/// A line of the ecosystem file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Toml,
    /// The comment above it; may be empty.
    pub(super) note: String,
}

/// An attribute, as the imported file has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
}

/// An app that is being written.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) origin: &'a Origin,
    /// All attributes of the app, as the imported file has them.
    pub(super) given: &'a Table,
    pub(super) entries: Vec<Entry>,
    pub(super) service: Vec<Entry>,
    pub(super) env: Vec<Entry>,
    /// The tables of variables for one environment each, by their whole names, such as `env_production`.
    pub(super) environments: Vec<(String, Vec<Entry>)>,
    /// Comments about the attributes that became no line of the ecosystem file.
    pub(super) left: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(origin: &'a Origin, given: &'a Table) -> Self {
        Self {
            origin,
            given,
            entries: Vec::new(),
            service: Vec::new(),
            env: Vec::new(),
            environments: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Returns the value of another attribute of the app.
    pub(super) fn other(&self, name: &str) -> Option<&'a Value> {
        member(self.given, name)
    }

    /// Returns a key that has already been written.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.entry(key)?.value.as_str()
    }

    /// Writes a key. The note says whether the key has another name or another meaning than in PM2.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Toml>, note: impl Into<String>) {
        self.entries.retain(|entry| entry.key != key);
        self.entries.push(Entry {
            key: key.to_owned(),
            value: value.into(),
            note: note.into(),
        });
    }

    /// Writes a directive of `[apps.service]`.
    pub(super) fn direct(&mut self, directive: &str, value: &str, note: impl Into<String>) {
        self.service.retain(|entry| entry.key != directive);
        self.service.push(Entry {
            key: directive.to_owned(),
            value: value.into(),
            note: note.into(),
        });
    }

    /// Leaves an attribute out.
    pub(super) fn leave(&mut self, given: Given<'_>, why: &str) {
        self.left
            .push(format!("{} = {}: {why}", given.name, short(given.value)));
    }

    /// Leaves out an attribute whose value PM2 does not accept either.
    pub(super) fn refuse(&mut self, given: Given<'_>, what: &str) {
        self.leave(
            given,
            &format!("expected {what}; PM2 refuses this value too"),
        );
    }

    /// Returns the words of the command line, as far as they have been written already.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["interpreter", "script"]
            .iter()
            .filter_map(|key| self.text_of(key).map(str::to_owned))
            .collect();
        match self.entry("args").map(|entry| &entry.value) {
            Some(Toml::String(text)) => {
                words.extend(shlex::split(text.value()).unwrap_or_default());
            }
            Some(Toml::Array(list)) => {
                words.extend(
                    list.iter()
                        .filter_map(|word| word.as_str().map(str::to_owned)),
                );
            }
            _ => {}
        }
        words
    }

    /// Returns whether the program ends by itself and only a timer starts it again.
    pub(super) fn is_job(&self) -> bool {
        let restarts = self.entry("autorestart").map(|entry| entry.value.as_bool());
        restarts == Some(Some(false))
    }

    /// Returns whether Node runs the program, which can then exchange PM2's messages.
    pub(super) fn is_node(&self) -> bool {
        let words = self.words();
        let first = words.iter().find(|word| word.as_str() != "none");
        let name = first
            .and_then(|word| word.rsplit('/').next())
            .unwrap_or_default();
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        let known = [
            "node", "nodejs", "npm", "npx", "yarn", "pnpm", "bun", "tsx", "next",
        ];
        known.contains(&name)
            || matches!(extension, Some("js" | "cjs" | "mjs" | "ts" | "tsx"))
            || first.is_some_and(|word| word.contains("node_modules/.bin/"))
    }
}

/// Formats a value for a comment.
pub(super) fn short(value: &Value) -> String {
    visible::cut(&visible::json(&value.to_string()), 60)
}
