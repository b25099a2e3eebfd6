//! The kinds of values that several keys have.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of `Fields` is for one lifetime of its table, a reader for all"
)]

use std::time::Duration;

use super::{Form, Kind, Reader, Wanted};
use crate::contract::{Amount, Word, no_word, time as span};
use crate::ecosystem::diagnostic::nearest;
use crate::ecosystem::read::Fields;

/// A value that documents can show as a default.
pub(in crate::ecosystem) trait Written {
    /// The value as TOML.
    fn written(&self) -> String;
}

/// A kind for a single key.
pub(in crate::ecosystem) const fn of<T>(
    form: Form,
    example: &'static str,
    read: Reader<T>,
) -> Kind<T> {
    Kind {
        form,
        example,
        read,
    }
}

pub(in crate::ecosystem) const fn switch() -> Kind<bool> {
    of(Form::Switch, "true", |f, wanted| f.boolean(wanted))
}

/// An integer from `low` to `high`, both included.
pub(in crate::ecosystem) const fn number<T: Number>(low: i64, high: i64) -> Kind<T> {
    of(Form::Number(low, high), "1", |f, wanted| {
        T::of(f.number(wanted)?)
    })
}

/// A number of instances from `low` to `high`, both included, or a percentage of the instances.
pub(in crate::ecosystem) const fn amount(low: u32, high: u32) -> Kind<Amount> {
    of(Form::Amount(low, high), "\"25%\"", |f, wanted| {
        f.amount(wanted)
    })
}

pub(in crate::ecosystem) const fn time() -> Kind<Duration> {
    of(Form::Time, "\"5s\"", |f, wanted| f.time(wanted))
}

/// A time other than 0, since systemd takes 0 for no limit.
pub(in crate::ecosystem) const fn positive_time() -> Kind<Duration> {
    time().read_by(|f, wanted| f.positive_time(wanted))
}

pub(in crate::ecosystem) const fn text(example: &'static str) -> Kind<String> {
    of(Form::Text, example, |f, wanted| {
        Some(f.string(wanted)?.value)
    })
}

pub(in crate::ecosystem) const fn words() -> Kind<Vec<String>> {
    of(Form::Words, "[\"--port\", \"3000\"]", |f, wanted| {
        f.words(wanted)
    })
}

/// A key whose value is one of the words of a type, see `words!` in `contract`.
pub(in crate::ecosystem) const fn word<T: Word>() -> Kind<T> {
    word_of(T::WORDS)
}

/// A key whose value is one of these words of a type.
pub(in crate::ecosystem) const fn word_of<T: Word>(words: &'static [&'static str]) -> Kind<T> {
    of(Form::OneOf(words), T::EXAMPLE, read_word)
}

/// Reads one of the words that the key's form lists.
pub(in crate::ecosystem) fn read_word<T: Word>(
    f: &mut Fields<'_, '_>,
    wanted: Wanted,
) -> Option<T> {
    let found = f.string(wanted)?;
    let words = match wanted.form {
        Form::OneOf(words) => words,
        _ => T::WORDS,
    };
    let read = if words.contains(&found.value.as_str()) {
        found.value.parse()
    } else {
        let mut fault = no_word(&found.value, words);
        if let Some(near) = nearest(&found.value, words.iter().copied()) {
            fault.help = format!("did you mean `{near}`?");
        }
        Err(fault)
    };
    f.note(&found.span, read)
}

/// A type of number that a field may have. The row gives the bounds.
pub(in crate::ecosystem) trait Number: Sized {
    fn of(number: i64) -> Option<Self>;
}

impl Number for u32 {
    fn of(number: i64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Number for i32 {
    fn of(number: i64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl<N: Number> Number for Option<N> {
    fn of(number: i64) -> Option<Self> {
        N::of(number).map(Some)
    }
}

impl Written for bool {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for u32 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for Amount {
    fn written(&self) -> String {
        match self {
            Self::Exactly(number) => number.to_string(),
            Self::Percent(_) => format!("\"{self}\""),
        }
    }
}

impl Written for String {
    fn written(&self) -> String {
        format!("{self:?}")
    }
}

impl<T: Word> Written for T {
    fn written(&self) -> String {
        format!("\"{self}\"")
    }
}

impl<T: Written> Written for Option<T> {
    fn written(&self) -> String {
        self.as_ref().map(T::written).unwrap_or_default()
    }
}

impl Written for Duration {
    fn written(&self) -> String {
        format!("\"{}\"", span::show(*self))
    }
}
