//! The declaration of each key of an app: its row.
//!
//! Rows are written in a [`keys!`] block, which states the purpose of a group of keys:
//!
//! ```ignore
//! keys! {
//!     /// How a reload walks.
//!     pub struct Rollout {
//!         in Reload {
//!             /// How many instances a reload replaces at a time.
//!             parallel: u32 = number(1, 1024).or(|| 1);
//!         }
//!     }
//! }
//! ```
//!
//! A row produces the field of the struct, the reader, which [`Fields::take`] runs, and a [`Row`] for everything
//! that lists keys: rsgen.toml(5), the JSON schema and the tables in the documents (`tests/keys` writes them), the
//! "did you mean" for an unknown key, and the advice to users who come from PM2. A row consists of
//!
//! - the doc comment, in the Markdown of docs/: its first paragraph is what short tables and editors show, the rest
//!   follows where there is room;
//! - the name, which is the field's;
//! - the type of the field;
//! - the kind of value (`number`, `time`, `switch`, `word`, …; [`of`] for a reader of the key's own) and the default
//!   (`or`, `or_as`, `or_none`, `required`);
//! - for a key that PM2 has too, `.pm2(…)`; for one that has another name there, `.replaces(…)`.
//!
//! The fields are private to the crate and no struct of keys is compared, so the compiler notices a key that is read
//! and never used: `field is never read` fails `make lint`. `tests/keys` checks that each key changes a unit.

mod kind;

pub(super) use kind::{
    Written, amount, number, of, positive_time, read_word, switch, text, time, word, word_of, words,
};

use super::read::Fields;

/// The section in which documents list a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The program that is run.
    Program,
    /// How many instances there are, and what surrounds them.
    Environment,
    /// The shared sockets, and how instances get them.
    Socket,
    /// How an instance starts, stops and is given up.
    Life,
    /// How a reload walks.
    Reload,
    /// Runs and reloads at set times.
    Schedule,
    /// Directives of systemd, passed through.
    Directives,
}

/// The values that a key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`.
    Switch,
    /// An integer from the first to the second.
    Number(i64, i64),
    /// An integer from the first to the second, or a percentage of the instances.
    Amount(u32, u32),
    /// A time of systemd.time(7), or an integer of milliseconds.
    Time,
    /// An amount of memory as systemd writes it, or an integer of bytes.
    Memory,
    /// A string.
    Text,
    /// A word of this list.
    OneOf(&'static [&'static str]),
    /// A number of instances, or a word for one.
    Instances,
    /// An exit status, or a list of such.
    Statuses,
    /// The name or the number of a user or a group.
    Account,
    /// A list, or one string that is split as a shell splits words.
    Words,
    /// A string, or a list of strings.
    Texts,
    /// `true` or `false`, a string, or a list of strings.
    Watch,
    /// A port or an address, or a list of such.
    Addresses,
    /// A table of environment variables.
    Variables,
    /// A table of directives.
    Directives,
}

/// The default of a key, as documents describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// The key is required.
    Required,
    /// This value, as TOML.
    Value(String),
    /// A default that is described in words.
    Said(&'static str),
}

/// PM2's names for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pm2 {
    /// For a key with the same name in PM2: the difference, or an empty text.
    pub same: Option<&'static str>,
    /// Names in PM2 that become this key.
    pub names: &'static [&'static str],
    /// The text to write instead of these names.
    pub write: &'static str,
    /// The reason or the difference; may be empty.
    pub note: &'static str,
}

/// A key, as documents list it.
#[derive(Debug)]
pub struct Row {
    /// The key.
    pub name: &'static str,
    /// The section in which documents list the key.
    pub subject: Subject,
    /// The values that the key can have.
    pub form: Form,
    /// A value, as TOML.
    pub example: &'static str,
    /// The names that PM2 has for the key.
    pub pm2: Pm2,
    pub(super) default: fn() -> Fallback,
    pub(super) text: &'static [&'static str],
}

impl Row {
    /// Returns the default of the key.
    #[must_use]
    pub fn default(&self) -> Fallback {
        (self.default)()
    }

    /// Returns the summary of the key, in Markdown whose links are relative to docs/.
    #[must_use]
    pub fn brief(&self) -> String {
        joined(self.text.split(|line| line.trim().is_empty()).next())
    }

    /// Returns the rest of the description.
    #[must_use]
    pub fn more(&self) -> String {
        let paragraphs = self.text.split(|line| line.trim().is_empty()).skip(1);
        let paragraphs: Vec<String> = paragraphs.map(|lines| joined(Some(lines))).collect();
        paragraphs.join(" ")
    }
}

fn joined(lines: Option<&[&str]>) -> String {
    let lines = lines.unwrap_or_default().iter().map(|line| line.trim());
    lines.collect::<Vec<_>>().join(" ")
}

/// A key that is being read, with the facts that its reader and its faults need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) key: &'static str,
    pub(super) form: Form,
    /// A value, as TOML.
    pub(super) example: &'static str,
}

/// The value of a key; `None` if it is missing, or wrong and noted as a fault.
pub(super) type Taken<T> = Option<T>;

/// A function that takes the value of a key.
pub(super) type Reader<T> = fn(&mut Fields<'_, '_>, Wanted) -> Taken<T>;

/// A kind of value. Together with a default it becomes a [`Key`].
pub(super) struct Kind<T> {
    pub(super) form: Form,
    pub(super) example: &'static str,
    read: Reader<T>,
}

/// The right side of a row.
pub(super) struct Key<T> {
    pub(super) kind: Kind<T>,
    pub(super) absent: Absent<T>,
    pub(super) pm2: Pm2,
}

/// The replacement for the value of a key that is missing or wrong.
pub(super) enum Absent<T> {
    /// A fault, which names the purpose of the key. The second value is used until the file is rejected.
    Required(&'static str, fn() -> T),
    Value(fn() -> T, fn(&T) -> String),
    Said(&'static str, fn(&mut Fields<'_, '_>) -> T),
}

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Kind<T> {}
impl<T> Clone for Absent<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Absent<T> {}

impl<T> Kind<T> {
    pub(super) fn wanted(&self, key: &'static str) -> Wanted {
        Wanted {
            key,
            form: self.form,
            example: self.example,
        }
    }

    pub(super) fn read(&self, f: &mut Fields<'_, '_>, key: &'static str) -> Option<T> {
        (self.read)(f, self.wanted(key))
    }

    /// Returns the same kind with another reader, which may check more or accept more.
    pub(super) const fn read_by(self, read: Reader<T>) -> Self {
        Self { read, ..self }
    }

    const fn key(self, absent: Absent<T>) -> Key<T> {
        let pm2 = Pm2 {
            same: None,
            names: &[],
            write: "",
            note: "",
        };
        Key {
            kind: self,
            absent,
            pm2,
        }
    }

    /// Requires the key in every app; `what` completes "add `KEY = EXAMPLE`, …".
    pub(super) const fn required(self, what: &'static str) -> Key<T>
    where
        T: Default,
    {
        self.key(Absent::Required(what, T::default))
    }

    /// Sets a default that documents show as it would be written.
    pub(super) const fn or(self, value: fn() -> T) -> Key<T>
    where
        T: Written,
    {
        self.key(Absent::Value(value, T::written))
    }

    /// Sets a default that depends on other keys, and the words that describe it.
    pub(super) const fn or_as(
        self,
        said: &'static str,
        value: fn(&mut Fields<'_, '_>) -> T,
    ) -> Key<T> {
        self.key(Absent::Said(said, value))
    }

    /// Sets no default.
    pub(super) const fn or_none(self) -> Key<T>
    where
        T: Default,
    {
        self.or_as("none", |_| T::default())
    }
}

impl<T> Key<T> {
    /// Notes that PM2 has a key with the same name; `differs` describes the difference, if there is one.
    pub(super) const fn pm2(self, differs: &'static str) -> Self {
        let same = Some(differs);
        let pm2 = Pm2 { same, ..self.pm2 };
        Self { pm2, ..self }
    }

    /// Notes that PM2 has other names for this key or its setting.
    pub(super) const fn replaces(
        self,
        names: &'static [&'static str],
        write: &'static str,
        note: &'static str,
    ) -> Self {
        let pm2 = Pm2 {
            names,
            write,
            note,
            ..self.pm2
        };
        Self { pm2, ..self }
    }

    pub(super) fn default(&self) -> Fallback {
        match self.absent {
            Absent::Required(..) => Fallback::Required,
            Absent::Value(value, written) => Fallback::Value(written(&value())),
            Absent::Said(said, _) => Fallback::Said(said),
        }
    }
}

/// Declares a struct of keys; see the docs of `key`. `with` lists fields that are not keys but are taken from the same
/// table.
macro_rules! keys {
    (
        $(#[$about:meta])*
        pub struct $group:ident {
            $(in $subject:ident {
                $($(#[doc = $text:literal])+ $key:ident: $type:ty = $row:expr;)+
            })+
            $(with {
                $($(#[$besides_about:meta])+ $besides:ident: $besides_type:ty = $read:expr;)+
            })?
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $group {
            $($($(#[doc = $text])+ pub(crate) $key: $type,)+)+
            $($($(#[$besides_about])+ pub(crate) $besides: $besides_type,)+)?
        }

        impl $group {
            /// The keys, in the order in which documents list them.
            pub(super) const ROWS: &'static [$crate::ecosystem::key::Row] = &[$($({
                const KEY: $crate::ecosystem::key::Key<$type> = $row;
                $crate::ecosystem::key::Row {
                    name: stringify!($key),
                    subject: $crate::ecosystem::key::Subject::$subject,
                    form: KEY.kind.form,
                    example: KEY.kind.example,
                    pm2: KEY.pm2,
                    default: || KEY.default(),
                    text: &[$($text),+],
                }
            },)+)+];

            /// Takes the keys of a table, and notes their faults.
            pub(super) fn read(f: &mut $crate::ecosystem::read::Fields<'_, '_>) -> Self {
                Self {
                    $($($key: {
                        const KEY: $crate::ecosystem::key::Key<$type> = $row;
                        f.take(stringify!($key), &KEY)
                    },)+)+
                    $($($besides: {
                        let read: fn(&mut $crate::ecosystem::read::Fields<'_, '_>) -> $besides_type = $read;
                        read(f)
                    },)+)?
                }
            }
        }
    };
}
pub(super) use keys;
