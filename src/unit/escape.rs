//! Quotes the user's values so that they cannot become part of a unit's syntax.
//!
//! Templates escape every value with [`UnitEscaper`] unless it comes from [`word`] or [`assignment`], which quote for
//! their own place. The rules are those of systemd.syntax(7) ("Quoting"), systemd.unit(5) ("Specifiers") and
//! systemd.service(5) ("Command lines").

use std::fmt::{self, Write};

use askama::filters::Safe;

/// The default of every template: doubles `%` and replaces characters that could end a line.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnitEscaper;

impl askama::filters::Escaper for UnitEscaper {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '%' => dest.write_str("%%")?,
                // No value may contain these outside quotes, and validation has refused them already.
                c if c.is_control() => dest.write_char(' ')?,
                c => dest.write_char(c)?,
            }
        }
        // A backslash at the end of a line would join the next one to it.
        if text.ends_with('\\') {
            dest.write_char(' ')
        } else {
            Ok(())
        }
    }
}

/// The place of a word, which decides which characters have a special meaning there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `ExecStart=`, where `$` begins a variable.
    Command,
    /// `Environment=`, where `$` has no special meaning.
    Environment,
}

/// A part of a word of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text that the program gets unchanged.
    Text(&'a str),
    /// `%` and this letter, which systemd replaces by its value.
    Specifier(char),
}

fn quote(text: &str, place: Place) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    let bare = escape(&mut quoted, text, place);
    close(quoted, bare)
}

fn close(quoted: String, bare: bool) -> String {
    if bare && !quoted.is_empty() {
        quoted
    } else {
        format!("\"{quoted}\"")
    }
}

/// Appends `text` as it has to be written between quotes. Returns whether it could be written without quotes.
fn escape(quoted: &mut String, text: &str, place: Place) -> bool {
    let mut bare = true;
    for c in text.chars() {
        match c {
            '%' => quoted.push_str("%%"),
            '$' if place == Place::Command => quoted.push_str("$$"),
            '"' | '\\' => {
                bare = false;
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => {
                bare = false;
                quoted.push_str("\\n");
            }
            '\t' => {
                bare = false;
                quoted.push_str("\\t");
            }
            c if c.is_ascii_control() => {
                bare = false;
                // Writing into a String cannot fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => {
                bare &= c.is_ascii_alphanumeric()
                    || "/._-:=,+@".contains(c)
                    || !c.is_ascii() && !c.is_whitespace() && !c.is_control();
                quoted.push(c);
            }
        }
    }
    bare
}

/// Quotes a word of a command line so that the program's `argv` contains exactly these parts.
#[must_use]
pub fn word<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> Safe<String> {
    joined(parts, Place::Command)
}

/// Quotes `KEY=value`, composed of parts, for `Environment=`.
#[must_use]
pub fn assignment_of<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> Safe<String> {
    joined(parts, Place::Environment)
}

fn joined<'a>(parts: impl IntoIterator<Item = Part<'a>>, place: Place) -> Safe<String> {
    let mut quoted = String::new();
    let mut bare = true;
    for part in parts {
        match part {
            Part::Text(text) => bare &= escape(&mut quoted, text, place),
            Part::Specifier(letter) => quoted.extend(['%', letter]),
        }
    }
    Safe(close(quoted, bare))
}

/// Quotes `KEY=value` for `Environment=`.
#[must_use]
pub fn assignment(key: &str, value: &str) -> Safe<String> {
    Safe(quote(&format!("{key}={value}"), Place::Environment))
}

/// Returns whether `Environment=` can set a variable to this value, see environ(7) and `env_value_is_valid()` of
/// systemd, which accepts only the tab and the newline among control characters.
#[must_use]
pub fn fits_environment(value: &str) -> bool {
    !value
        .chars()
        .any(|c| c.is_control() && c != '\t' && c != '\n')
}

/// Returns whether a path can be the value of `WorkingDirectory=` or a similar directive, which have no quoting.
#[must_use]
pub fn fits_path(path: &str) -> bool {
    !path.chars().any(char::is_control) && !path.ends_with('\\') && path.trim() == path
}

#[cfg(test)]
mod tests {
    use super::*;
    use askama::filters::Escaper;
    use proptest::prelude::*;
    use testbed::unit::{Dollar, words};

    proptest! {
        #[test]
        fn a_command_line_arrives_word_by_word(given in prop::collection::vec("[^\u{0}\u{80}-\u{9f}]{0,20}", 1..5)) {
            let line: Vec<String> = given.iter().map(|text| word([Part::Text(text)]).0).collect();
            let line = line.join(" ");
            prop_assert!(!line.contains('\n'));
            prop_assert!(!line.ends_with('\\'));
            prop_assert_eq!(words(&line, Dollar::Variable), Ok(given));
        }

        #[test]
        fn an_assignment_stays_one_word(value in "[^\u{0}]{0,40}") {
            let line = assignment("KEY", &value).0;
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(words(&line, Dollar::Plain), Ok(vec![format!("KEY={value}")]));
        }

        #[test]
        fn an_escaped_value_ends_no_line_and_holds_no_specifier(value in "(?s).{0,40}") {
            let mut out = String::new();
            UnitEscaper.write_escaped_str(&mut out, &value).unwrap();
            prop_assert!(!out.chars().any(char::is_control));
            prop_assert!(!out.ends_with('\\'));
            prop_assert!(out.matches('%').count().is_multiple_of(2));
        }
    }

    #[test]
    fn a_value_with_a_control_character_fits_no_variable_but_tabs_and_newlines_do() {
        assert!(fits_environment("") && fits_environment("a\tb\nc é"));
        for value in ["a\rb", "\u{1b}[0m", "\u{7f}", "\u{85}"] {
            assert!(!fits_environment(value), "{value:?}");
        }
    }

    #[test]
    fn a_path_that_needs_quotes_or_joins_two_lines_fits_nowhere() {
        assert!(fits_path("/srv/web") && fits_path("/srv/a web\\x") && fits_path("/srv/é"));
        for path in [
            "/srv/web\\",
            "/srv/web ",
            " /srv/web",
            "/srv/w\neb",
            "/srv/web\t",
        ] {
            assert!(!fits_path(path), "{path:?}");
        }
    }

    #[test]
    fn plain_words_stay_as_a_person_would_write_them() {
        for (text, written) in [
            ("/srv/web/server.js", "/srv/web/server.js"),
            ("--port=3000", "--port=3000"),
            ("", "\"\""),
            (";", "\";\""),
            ("100%", "100%%"),
        ] {
            assert_eq!(word([Part::Text(text)]).0, written);
        }
        let parts = [Part::Text("a %i"), Part::Specifier('i')];
        assert_eq!(word(parts).0, "\"a %%i%i\"");
        assert_eq!(assignment("A", "$HOME b").0, "\"A=$HOME b\"");
    }
}
