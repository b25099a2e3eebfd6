//! Parses the text of an environment file as systemd does for `EnvironmentFile=`. Pure.
//!
//! The steps are those of `parse_env_file_internal()` in src/basic/env-file.c of systemd 254 and later; before 254
//! a backslash at the end of a comment made the next line a part of that comment.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Variables and their values.
pub type Variables = BTreeMap<OsString, OsString>;

/// The content of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// The variables. Of two assignments to one variable, the later counts.
    pub variables: Variables,
    /// The lines that assign to something that cannot be the name of a variable, which systemd ignores too.
    pub ignored: Vec<usize>,
    /// The ignored lines that are written as for a shell, with `export` in front.
    pub exports: Vec<usize>,
}

/// Why systemd refuses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file contains a null byte, which would end a string of the environment.
    #[error("it contains a null byte")]
    Null,
    /// A name or a value is not UTF-8, which systemd requires.
    #[error("line {0} is not UTF-8")]
    NotUtf8(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeName,
    Name,
    BeforeValue,
    Value,
    Escape,
    SingleQuoted,
    DoubleQuoted,
    DoubleQuotedEscape,
    Comment,
}

/// A name or a value that is being read, without the blanks at its end.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// The index at which the blanks at the end begin.
    blanks: Option<usize>,
}

impl Piece {
    fn push(&mut self, byte: u8) {
        if !is_blank(byte) {
            self.blanks = None;
        } else if self.blanks.is_none() {
            self.blanks = Some(self.bytes.len());
        }
        self.bytes.push(byte);
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        if let Some(end) = self.blanks.take() {
            bytes.truncate(end);
        }
        bytes
    }
}

struct Reader {
    state: State,
    line: usize,
    /// The line on which the name began.
    began: usize,
    name: Piece,
    value: Piece,
    found: Found,
}

/// Reads the bytes of a file.
///
/// # Errors
/// When systemd would refuse the file as a whole.
pub fn read(bytes: &[u8]) -> Result<Found, Fault> {
    if bytes.contains(&0) {
        return Err(Fault::Null);
    }
    let mut reader = Reader {
        state: State::BeforeName,
        line: 1,
        began: 1,
        name: Piece::default(),
        value: Piece::default(),
        found: Found::default(),
    };
    for &byte in bytes {
        reader.state = reader.step(byte)?;
        if byte == b'\n' {
            reader.line += 1;
        }
    }
    match reader.state {
        State::BeforeName | State::Name | State::Comment => {}
        _ => reader.assign()?,
    }
    Ok(reader.found)
}

impl Reader {
    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        Ok(match self.state {
            State::BeforeName => self.before_name(byte),
            State::Name => self.name(byte),
            State::BeforeValue | State::Value if is_newline(byte) => {
                self.assign()?;
                State::BeforeName
            }
            State::BeforeValue => self.before_value(byte),
            State::Value => self.value(byte),
            State::Escape => {
                if !is_newline(byte) {
                    self.value.bytes.push(byte);
                }
                State::Value
            }
            State::SingleQuoted => self.quoted(byte, b'\''),
            State::DoubleQuoted if byte == b'\\' => State::DoubleQuotedEscape,
            State::DoubleQuoted => self.quoted(byte, b'"'),
            State::DoubleQuotedEscape => {
                // As in a shell: before any other character, the backslash stays.
                if !matches!(byte, b'"' | b'\\' | b'`' | b'$' | b'\n') {
                    self.value.bytes.push(b'\\');
                }
                if byte != b'\n' {
                    self.value.bytes.push(byte);
                }
                State::DoubleQuoted
            }
            State::Comment if is_newline(byte) => State::BeforeName,
            State::Comment => State::Comment,
        })
    }

    fn before_name(&mut self, byte: u8) -> State {
        match byte {
            b'#' | b';' => State::Comment,
            byte if is_blank(byte) => State::BeforeName,
            byte => {
                self.began = self.line;
                self.name.push(byte);
                State::Name
            }
        }
    }

    fn name(&mut self, byte: u8) -> State {
        match byte {
            // A line without `=` is ignored silently.
            byte if is_newline(byte) => {
                self.name = Piece::default();
                State::BeforeName
            }
            b'=' => State::BeforeValue,
            byte => {
                self.name.push(byte);
                State::Name
            }
        }
    }

    fn before_value(&mut self, byte: u8) -> State {
        match byte {
            b'\'' => State::SingleQuoted,
            b'"' => State::DoubleQuoted,
            b'\\' => State::Escape,
            byte if is_blank(byte) => State::BeforeValue,
            byte => {
                self.value.push(byte);
                State::Value
            }
        }
    }

    fn value(&mut self, byte: u8) -> State {
        if byte == b'\\' {
            self.value.blanks = None;
            return State::Escape;
        }
        self.value.push(byte);
        State::Value
    }

    fn quoted(&mut self, byte: u8, end: u8) -> State {
        if byte == end {
            return State::BeforeValue;
        }
        self.value.bytes.push(byte);
        self.state
    }

    fn assign(&mut self) -> Result<(), Fault> {
        let (name, value) = (self.name.take(), self.value.take());
        let (Some(name), Some(value)) = (text(name), text(value)) else {
            return Err(Fault::NotUtf8(self.began));
        };
        if is_name(&name) {
            self.found.variables.insert(name.into(), value.into());
        } else {
            if name.split_whitespace().next() == Some("export") {
                self.found.exports.push(self.began);
            }
            self.found.ignored.push(self.began);
        }
        Ok(())
    }
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_blank(byte: u8) -> bool {
    is_newline(byte) || matches!(byte, b' ' | b'\t')
}

/// Returns whether `env_name_is_valid()` of systemd accepts a name.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns whether `utf8_is_valid()` of systemd accepts a text; it refuses noncharacters of Unicode too.
fn text(bytes: Vec<u8>) -> Option<String> {
    let is_noncharacter =
        |c: char| matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe;
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(is_noncharacter)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(String, String)> {
        let shown = |word: OsString| word.into_string().unwrap();
        let found = read(text.as_bytes()).unwrap();
        let variables = found.variables.into_iter();
        variables.map(|(k, v)| (shown(k), shown(v))).collect()
    }

    fn one(text: &str) -> String {
        match of(text).as_slice() {
            [(name, value)] if name == "A" => value.clone(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn blanks_and_quotes_around_a_value_are_not_part_of_it() {
        for (text, value) in [
            ("A=1", "1"),
            (" A = 1 2 \t\n", "1 2"),
            ("A=1\r\n", "1"),
            ("A='1' \"2\"3 ", "123"),
            ("A=\"1\n2\"\n", "1\n2"),
            ("A='open", "open"),
            ("A=a'b'\"c\"", "a'b'\"c\""),
            ("A=b#;c", "b#;c"),
            ("A=", ""),
        ] {
            assert_eq!(one(text), value, "{text:?}");
        }
    }

    #[test]
    fn a_backslash_escapes_outside_quotes_and_partly_within_them() {
        for (text, value) in [
            ("A=1\\\n2", "12"),
            ("A=x\\ \n", "x "),
            ("A=x \\\n", "x "),
            ("A=\\n\\\\\\'", "n\\'"),
            ("A=\"\\\"\\\\\\`\\$\\n\\\n\"", "\"\\`$\\n"),
            ("A=\"\\\r\"", "\\\r"),
            ("A='\\'", "\\"),
            ("A=1\\", "1"),
        ] {
            assert_eq!(one(text), value, "{text:?}");
        }
    }

    #[test]
    fn the_last_assignment_counts_and_what_is_none_is_ignored() {
        assert_eq!(one("A=1\nA=2\n# A=3\n;A=4\n#\\\n no assignment\nA\n"), "2");
        let found = read(b"export A=1\n\nA-B=2\n1A=3\n=4=5\n_=\n").unwrap();
        assert_eq!((found.ignored, found.exports), (vec![1, 3, 4, 5], vec![1]));
        assert_eq!(found.variables.len(), 1);
    }

    #[test]
    fn what_is_no_text_is_refused_as_a_whole() {
        assert_eq!(read(b"A=1\nB=\0"), Err(Fault::Null));
        assert_eq!(read(b"A=1\nB=\xff\n"), Err(Fault::NotUtf8(2)));
        assert_eq!(read("A=\u{fffe}".as_bytes()), Err(Fault::NotUtf8(1)));
        // In comments and in lines without `=`, systemd does not check for UTF-8.
        assert_eq!(read(b"#\xff\n\xff\nA=1").unwrap().variables.len(), 1);
    }
}
