//! Takes typed keys from one TOML table, and notes all their faults.
//!
//! A wrong value never stops the reading: it leaves a diagnostic and counts as absent, so that one pass over
//! the file finds all faults. A key that has not been taken when [`Fields::finish`] is called is unknown.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, nearest};
use super::key::{Absent, Form, Key, Wanted};
use super::values::{Amount, LONGEST, parse_time};
use crate::unit::Fault;

/// The number of faults in a file for which a similar known name is searched, because each search compares with every
/// known name.
pub(super) const MOST_GUESSED: usize = 1000;

pub(super) type Value<'a> = &'a Spanned<DeValue<'a>>;

/// A value, and its place in the text.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A table that is being read.
pub(super) struct Fields<'a, 'd> {
    entries: &'a DeTable<'a>,
    /// The place of the table in the text.
    span: Range<usize>,
    asked: Vec<&'a str>,
    /// The faults found so far.
    pub(super) faults: &'d mut Vec<Diagnostic>,
}

impl<'a, 'd> Fields<'a, 'd> {
    pub(super) fn new(
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        faults: &'d mut Vec<Diagnostic>,
    ) -> Self {
        Self {
            entries,
            span,
            asked: Vec::new(),
            faults,
        }
    }

    /// Returns the value of a key, untyped.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        self.entries.get(key)
    }

    /// Takes the value of a key as its row describes, or its default.
    pub(super) fn take<T>(&mut self, key: &'static str, row: &Key<T>) -> T {
        let is_missing = self.value(key).is_none();
        if let Some(value) = row.kind.read(self, key) {
            return value;
        }
        match row.absent {
            Absent::Required(what, placeholder) => {
                if is_missing {
                    let example = row.kind.wanted(key).example;
                    let fault = format!("this app has no `{key}`");
                    self.faults.push(
                        Diagnostic::error(self.span.clone(), fault)
                            .help(format!("add `{key} = {example}`, {what}")),
                    );
                }
                placeholder()
            }
            Absent::Value(value, _) => value(),
            Absent::Said(_, value) => value(self),
        }
    }

    /// Returns the value of another key, which the present key depends on. Faults of that value are left to its own
    /// reader.
    pub(super) fn peek(&self, key: &str) -> Option<&'a DeValue<'a>> {
        Some(self.entries.get(key)?.get_ref())
    }

    /// Returns the place of a key's value or, if the key is missing, that of `name` or of the whole table.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        let value = self.entries.get(key).or_else(|| self.entries.get("name"));
        value.map_or(self.span.clone(), Spanned::span)
    }

    /// Adds a fault: the value of a key is of the wrong type.
    pub(super) fn mismatch(&mut self, wanted: Wanted, value: Value<'a>, what: &str) {
        let Wanted { key, example, .. } = wanted;
        let kind = with_article(value.get_ref().type_str());
        self.faults.push(
            Diagnostic::error(value.span(), format!("`{key}` is {kind}, not {what}"))
                .help(format!("write it as in `{key} = {example}`")),
        );
    }

    pub(super) fn string(&mut self, wanted: Wanted) -> Option<Found<String>> {
        let value = self.value(wanted.key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.mismatch(wanted, value, "a string");
            return None;
        };
        self.clean(wanted.key, text, &value.span())?;
        Some(Found {
            value: text.to_owned(),
            span: value.span(),
        })
    }

    // The kernel ends a string at a NUL byte, so what follows it could never reach the program.
    fn clean(&mut self, key: &str, text: &str, span: &Range<usize>) -> Option<()> {
        if text.contains('\0') {
            self.faults.push(
                Diagnostic::error(span.clone(), format!("`{key}` contains a NUL character"))
                    .help("remove it: neither arguments nor the environment can contain one"),
            );
            return None;
        }
        Some(())
    }

    pub(super) fn boolean(&mut self, wanted: Wanted) -> Option<bool> {
        let value = self.value(wanted.key)?;
        if let Some(b) = value.get_ref().as_bool() {
            return Some(b);
        }
        self.mismatch(wanted, value, "true or false");
        None
    }

    /// Takes a number within the bounds of the key's form.
    pub(super) fn number(&mut self, wanted: Wanted) -> Option<i64> {
        let value = self.value(wanted.key)?;
        let Some(number) = integer(value) else {
            self.mismatch(wanted, value, "a number");
            return None;
        };
        if let Form::Number(low, high) = wanted.form
            && !(low..=high).contains(&number)
        {
            let fault = format!("`{}` is `{number}`, out of range", wanted.key);
            let help = format!("write a number from {low} to {high}");
            self.faults
                .push(Diagnostic::error(value.span(), fault).help(help));
            return None;
        }
        Some(number)
    }

    /// Takes a number within the bounds of the key's form, or a percentage.
    pub(super) fn amount(&mut self, wanted: Wanted) -> Option<Amount> {
        let value = self.value(wanted.key)?;
        if let Some(text) = value.get_ref().as_str() {
            let read = match text.parse() {
                Ok(Amount::Exactly(_)) => Err(Fault::new(
                    format!("`{}` is a number in quotes", wanted.key),
                    format!("write `{} = {text}`", wanted.key),
                )),
                read => read,
            };
            return self.note(&value.span(), read);
        }
        let Form::Amount(low, high) = wanted.form else {
            return None;
        };
        let form = Form::Number(low.into(), high.into());
        let number = self.number(Wanted { form, ..wanted })?;
        number.try_into().ok().map(Amount::Exactly)
    }

    /// Returns the result of reading the value at a place; a fault is noted.
    pub(super) fn note<T>(&mut self, span: &Range<usize>, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.faults.push(Diagnostic::of(span.clone(), fault)))
            .ok()
    }

    pub(super) fn time(&mut self, wanted: Wanted) -> Option<Duration> {
        let key = wanted.key;
        let value = self.value(key)?;
        if let Some(number) = integer(value) {
            let time = u64::try_from(number)
                .map(Duration::from_millis)
                .ok()
                .filter(|t| *t <= LONGEST);
            if time.is_none() {
                let fault = format!("`{key}` is `{number}` milliseconds, out of range");
                self.faults.push(
                    Diagnostic::error(value.span(), fault).help("write 0 or more, at most 30 days"),
                );
            }
            return time;
        }
        let Some(text) = value.get_ref().as_str() else {
            self.mismatch(wanted, value, "a time");
            return None;
        };
        self.note(&value.span(), parse_time(text))
    }

    /// Takes a time other than 0, which systemd takes for no limit.
    pub(super) fn positive_time(&mut self, wanted: Wanted) -> Option<Duration> {
        let key = wanted.key;
        let time = self.time(wanted)?;
        if time.is_zero() {
            let span = self.entries.get(key)?.span();
            self.faults.push(
                Diagnostic::error(
                    span,
                    format!("`{key}` is 0, which systemd takes for \"no limit\""),
                )
                .help("write how long it may take, e.g. `\"5s\"`"),
            );
            return None;
        }
        Some(time)
    }

    /// Takes a list of strings, or one string that is split as a shell splits words.
    pub(super) fn words(&mut self, wanted: Wanted) -> Option<Vec<String>> {
        let key = wanted.key;
        let value = self.value(key)?;
        if let Some(text) = value.get_ref().as_str() {
            self.clean(key, text, &value.span())?;
            let words = shlex::split(text);
            if words.is_none() {
                self.faults.push(
                    Diagnostic::error(
                        value.span(),
                        format!("`{key}` has a quote that is never closed"),
                    )
                    .help("close it, or write a list: each element is one argument, as it is"),
                );
            }
            return words;
        }
        self.strings(wanted, value)
    }

    /// Takes a list of strings, or one string.
    pub(super) fn list(&mut self, wanted: Wanted) -> Option<Vec<Found<String>>> {
        let value = self.value(wanted.key)?;
        if value.get_ref().is_array() {
            let elements = value.get_ref().as_array()?;
            return elements.iter().map(|e| self.element(wanted, e)).collect();
        }
        Some(vec![self.element(wanted, value)?])
    }

    fn strings(&mut self, wanted: Wanted, value: Value<'a>) -> Option<Vec<String>> {
        let Some(elements) = value.get_ref().as_array() else {
            self.mismatch(wanted, value, "a string or a list of strings");
            return None;
        };
        elements
            .iter()
            .map(|e| Some(self.element(wanted, e)?.value))
            .collect()
    }

    // A number counts as written, since `args = ["--port", 3000]` is unambiguous.
    fn element(&mut self, wanted: Wanted, value: Value<'a>) -> Option<Found<String>> {
        let Some(text) = scalar(value) else {
            self.mismatch(wanted, value, "a string");
            return None;
        };
        self.clean(wanted.key, &text, &value.span())?;
        Some(Found {
            value: text,
            span: value.span(),
        })
    }

    /// Takes a table whose keys are the user's own, in the order of the keys.
    pub(super) fn map(&mut self, wanted: Wanted) -> BTreeMap<String, (Range<usize>, Value<'a>)> {
        let Some(value) = self.value(wanted.key) else {
            return BTreeMap::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.mismatch(wanted, value, "a table");
            return BTreeMap::new();
        };
        entries_of(table)
    }

    /// Takes all keys with this prefix that have not been taken.
    pub(super) fn prefixed(&mut self, prefix: &str) -> Vec<(&'a str, Value<'a>)> {
        let keys = self
            .entries
            .iter()
            .map(|(key, value)| (&**key.get_ref(), value));
        let found: Vec<(&str, Value<'_>)> = keys
            .filter(|(key, _)| key.len() > prefix.len() && key.starts_with(prefix))
            .filter(|(key, _)| !self.asked.contains(key))
            .collect();
        self.asked.extend(found.iter().map(|(key, _)| *key));
        found
    }

    /// Returns the place of each key of such a table.
    pub(super) fn places(&self, key: &str) -> BTreeMap<String, Range<usize>> {
        let table = self.peek(key).and_then(DeValue::as_table);
        let keys = table.into_iter().flat_map(DeTable::keys);
        keys.map(|k| (k.get_ref().to_string(), k.span())).collect()
    }

    /// Returns the keys that were asked for, each once.
    fn known(&self) -> Vec<&'a str> {
        let mut known: Vec<&str> = Vec::new();
        for key in &self.asked {
            if !known.contains(key) {
                known.push(key);
            }
        }
        known
    }

    /// Adds a fault for every key that was not taken. `advice` returns the help for a name from elsewhere.
    pub(super) fn finish(self, place: &str, advice: impl Fn(&str) -> Option<String>) {
        for (key, _) in self.entries {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let fault = Diagnostic::error(key.span(), format!("unknown key `{name}` in {place}"));
            let guess = || match nearest(name, self.asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys are {}", self.known().join(", ")),
            };
            let is_guessed = self.faults.len() < MOST_GUESSED;
            let help = advice(name).or_else(|| is_guessed.then(guess));
            self.faults.push(Diagnostic { help, ..fault });
        }
    }
}

pub(super) fn integer(value: Value<'_>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Returns strings, numbers and booleans as text, as they are written.
pub(super) fn scalar(value: Value<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(b) => Some(b.to_string()),
        DeValue::Float(f) => Some(f.as_str().to_owned()),
        DeValue::Integer(_) => integer(value).map(|i| i.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Returns the entries of a table whose keys are the user's own.
pub(super) fn entries_of<'a>(
    table: &'a DeTable<'a>,
) -> BTreeMap<String, (Range<usize>, Value<'a>)> {
    let entries = table.iter();
    entries
        .map(|(k, v)| (k.get_ref().to_string(), (k.span(), v)))
        .collect()
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests;
