//! The kinds of values that more than one key has.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of `Fields` is for one lifetime of its table, a reader for all"
)]

use std::time::Duration;

use super::{Form, Kind, Reader, Wanted};
use crate::contract::{Word, time as span};
use crate::ecosystem::diagnostic::nearest;
use crate::ecosystem::read::Fields;
use crate::unit::Fault;

/// A value that documents can show as a default.
pub(in crate::ecosystem) trait Written {
    /// The value as TOML.
    fn written(&self) -> String;
}

/// A kind for one key alone.
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

/// From `low` to `high`, both included.
pub(in crate::ecosystem) const fn number<T: Number>(low: i64, high: i64) -> Kind<T> {
    of(Form::Number(low, high), "1", |f, wanted| {
        T::of(f.number(wanted)?)
    })
}

pub(in crate::ecosystem) const fn time() -> Kind<Duration> {
    of(Form::Time, "\"5s\"", |f, wanted| f.time(wanted))
}

/// A time that is not 0, which systemd takes for "for ever".
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
    of(Form::OneOf(T::WORDS), T::EXAMPLE, read_word)
}

fn read_word<T: Word>(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<T> {
    let found = f.string(wanted)?;
    let read = found.value.parse().map_err(|mut fault: Fault| {
        if let Some(near) = nearest(&found.value, T::WORDS.iter().copied()) {
            fault.help = format!("did you mean `{near}`?");
        }
        fault
    });
    f.note(&found.span, read)
}

/// A number that a field holds; the row has said its bounds.
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
