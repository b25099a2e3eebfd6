//! Writes a command line, either as words or quoted for a unit.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use askama::filters::Safe;

use super::{Act, Amount, Ask, Bytes, Cpus, Handover, Instances, OnFailure, Ready, Way, time};
use crate::unit::escape::{self, Part};

/// Text that may contain specifiers, which systemd replaces when it reads the unit, see "Specifiers" in systemd.unit(5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Plain(OsString),
    Specifier(char),
}

impl Text {
    /// Text without a specifier: a `%` in it is a percent sign.
    #[must_use]
    pub fn plain(text: impl Into<OsString>) -> Self {
        Self(vec![Piece::Plain(text.into())])
    }

    /// The specifier of this letter: `%i` for `i`.
    #[must_use]
    pub fn specifier(letter: char) -> Self {
        Self(vec![Piece::Specifier(letter)])
    }

    /// The value of a directive, in which specifiers keep their meaning.
    #[must_use]
    pub fn with_specifiers(value: &str) -> Self {
        let mut pieces = value.split('%');
        let mut text = Self::plain(pieces.next().unwrap_or_default());
        // `%%` stands for a percent sign, and splitting at `%` leaves an empty piece after it.
        let mut is_escaped = false;
        for piece in pieces {
            let mut rest = piece.chars();
            match rest.next().filter(char::is_ascii_alphabetic) {
                Some(letter) if !is_escaped => {
                    text = text
                        .then(Self::specifier(letter))
                        .then(Self::plain(rest.as_str()));
                    continue;
                }
                _ if is_escaped => text = text.then(Self::plain(piece)),
                _ => text = text.then(Self::plain(format!("%{piece}"))),
            }
            is_escaped = !is_escaped && piece.is_empty();
        }
        text
    }

    /// Appends another text.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns the text as a unit has it, but unquoted.
    fn raw(&self) -> OsString {
        let mut raw = OsString::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => raw.push(text),
                Piece::Specifier(letter) => raw.push(format!("%{letter}")),
            }
        }
        raw
    }

    fn quoted(&self) -> String {
        let texts: Vec<_> = self.0.iter().map(Piece::text).collect();
        let parts = self.0.iter().zip(&texts).map(|(piece, text)| match piece {
            Piece::Plain(_) => Part::Text(text),
            Piece::Specifier(letter) => Part::Specifier(*letter),
        });
        escape::word(parts).0
    }
}

impl Piece {
    /// Lossy conversion loses nothing here: units and all their parts are UTF-8.
    fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Plain(text) => text.to_string_lossy(),
            Self::Specifier(_) => "".into(),
        }
    }
}

/// A value of a flag.
pub trait Value: Sized {
    /// Returns the value as it is written.
    fn show(&self) -> Text;

    /// Parses a text; `None` when the text is not a value of this type.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! values {
    ($($kind:ty),+) => {$(
        impl Value for $kind {
            fn show(&self) -> Text {
                Text::plain(self.to_string())
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

values!(
    u32,
    bool,
    SocketAddrV4,
    Act,
    Amount,
    Ask,
    Bytes,
    Handover,
    Cpus,
    Instances,
    OnFailure,
    Ready,
    Way
);

impl Value for String {
    fn show(&self) -> Text {
        Text::plain(self)
    }

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl Value for PathBuf {
    fn show(&self) -> Text {
        Text::plain(self)
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Value for Duration {
    fn show(&self) -> Text {
        Text::plain(time::show(*self))
    }

    fn read(text: &str) -> Option<Self> {
        time::parse(text)
    }
}

/// In a template unit, a text with a specifier takes the place of a value.
impl Value for Text {
    fn show(&self) -> Text {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        Some(Self::plain(text))
    }
}

/// A command line, without the program that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(Vec<Text>);

impl Line {
    pub(super) fn of(command: &str) -> Self {
        Self(vec![Text::plain(command)])
    }

    pub(super) fn word(mut self, value: &impl Value) -> Self {
        self.0.push(value.show());
        self
    }

    pub(super) fn flag(self, name: &str, value: &impl Value) -> Self {
        let flag = Text::plain(format!("{name}="));
        self.word(&flag.then(value.show()))
    }

    /// Adds a flag, or nothing if there is no value.
    pub(super) fn optional(self, name: &str, value: Option<&impl Value>) -> Self {
        match value {
            Some(value) => self.flag(name, value),
            None => self,
        }
    }

    /// Adds `--` and the words of another program.
    pub(super) fn rest(mut self, words: &[OsString]) -> Self {
        self.0.push(Text::plain("--"));
        self.0.extend(words.iter().map(Text::plain));
        self
    }

    /// Returns the words, with specifiers as a unit has them.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        self.0.iter().map(Text::raw).collect()
    }

    /// Returns the line as it is written into a unit, quoted, after `program`: the words of the program and its own
    /// arguments.
    #[must_use]
    pub fn in_unit<W: AsRef<OsStr>>(&self, program: &[W]) -> Safe<String> {
        let program = program.iter().map(Text::plain);
        let words: Vec<String> = program
            .chain(self.0.iter().cloned())
            .map(|word| word.quoted())
            .collect();
        Safe(words.join(" "))
    }
}
