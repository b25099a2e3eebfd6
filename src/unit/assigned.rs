//! The values of directives as systemd understands them: which of several assignments counts, and what its value is.
//!
//! Code that needs the meaning of a user's directive gets it here, by the rules of systemd.syntax(7) and of systemd's
//! own parsers (`src/shared/conf-parser.c`).

use std::str::Chars;

/// All assignments of one directive, in the order of the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned<'a>(Vec<&'a str>);

/// Returns the assignments of a section to `directive`.
#[must_use]
pub fn assigned<'a>(section: &'a [(String, String)], directive: &str) -> Assigned<'a> {
    let lines = section.iter().filter(|(name, _)| name == directive);
    Assigned(lines.map(|(_, value)| blank_trimmed(value)).collect())
}

// systemd trims blanks before it parses a value.
fn blank_trimmed(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

impl<'a> Assigned<'a> {
    /// Returns whether the section assigns anything to the directive.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.0.is_empty()
    }

    /// Returns the value of a directive that takes one boolean: the last assignment that is a boolean. systemd warns
    /// about any other assignment and keeps the previous value.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        self.0.iter().rev().find_map(|value| boolean(value))
    }

    /// Returns the value of a directive that takes one value: the last assignment. An empty assignment removes the
    /// value.
    #[must_use]
    pub fn one(&self) -> Option<&'a str> {
        self.0.last().copied().filter(|value| !value.is_empty())
    }

    /// Returns the assignments of a directive that collects them. An empty assignment removes those before it.
    #[must_use]
    pub fn list(&self) -> Vec<&'a str> {
        let kept = self.0.rsplit(|value| value.is_empty()).next();
        kept.unwrap_or_default().to_vec()
    }

    /// Returns whether an assignment is empty, which also removes what the unit itself assigned earlier.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.0.iter().any(|value| value.is_empty())
    }
}

/// Parses a boolean, as `parse_boolean()` of systemd does.
#[must_use]
pub fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// Splits a value into words, without their quotes, see "Quoting" in systemd.syntax(7).
#[must_use]
pub fn words(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            _ if quote == Some(c) => quote = None,
            c if quote.is_none() && c.is_ascii_whitespace() => words.extend(word.take()),
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(escaped(&mut rest)),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns the character that the escape after a backslash stands for.
fn escaped(rest: &mut Chars<'_>) -> Option<char> {
    let (digits, radix) = match rest.next()? {
        'a' => return Some('\x07'),
        'b' => return Some('\x08'),
        'f' => return Some('\x0c'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\x0b'),
        's' => return Some(' '),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        first @ '0'..='7' => {
            let more: String = rest.take(2).collect();
            return number(&format!("{first}{more}"), 8);
        }
        itself => return Some(itself),
    };
    let written: String = rest.take(digits).collect();
    number(&written, radix)
}

fn number(written: &str, radix: u32) -> Option<char> {
    char::from_u32(u32::from_str_radix(written, radix).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::unit::escape;

    fn section(values: &[&str]) -> Vec<(String, String)> {
        let line = |value: &&str| ("D".to_owned(), (*value).to_owned());
        let other = [("Other".to_owned(), "yes".to_owned())];
        values.iter().map(line).chain(other).collect()
    }

    #[test]
    fn a_boolean_is_written_in_systemds_words_in_any_case() {
        for (words, means) in [
            ("1 yes y true t on YES Y True T oN", Some(true)),
            ("0 no n false f off NO N False F Off", Some(false)),
            ("2 ye \"yes\" yes! enabled", None),
        ] {
            for word in words.split(' ') {
                assert_eq!(assigned(&section(&[word]), "D").boolean(), means, "{word}");
            }
        }
    }

    #[test]
    fn of_several_booleans_the_last_that_is_one_counts() {
        for (values, means) in [
            (vec!["yes", "no"], Some(false)),
            (vec!["no", "t"], Some(true)),
            (vec!["yes", "maybe"], Some(true)),
            (vec!["yes", ""], Some(true)),
            (vec![" y\t"], Some(true)),
            (vec!["maybe"], None),
            (vec![], None),
        ] {
            let section = section(&values);
            assert_eq!(assigned(&section, "D").boolean(), means, "{values:?}");
        }
    }

    #[test]
    fn an_empty_assignment_takes_away_what_was_before_it() {
        for (values, list, one) in [
            (vec!["a", "b"], vec!["a", "b"], Some("b")),
            (vec!["a", "", "b"], vec!["b"], Some("b")),
            (vec!["a", " "], vec![], None),
            (vec![""], vec![], None),
        ] {
            let section = section(&values);
            let found = assigned(&section, "D");
            assert_eq!((found.list(), found.one()), (list, one), "{values:?}");
            assert_eq!(found.is_reset(), values.iter().any(|v| v.trim().is_empty()));
        }
        let nothing = assigned(&[], "D");
        assert!(!nothing.is_named() && !nothing.is_reset() && nothing.list().is_empty());
    }

    #[test]
    fn words_are_those_of_systemd_syntax() {
        for (value, expected) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            (r#""a b" 'c "d' """#, vec!["a b", "c \"d", ""]),
            (r"a\sb \x41\u00e9\102 \\", vec!["a b", "AéB", "\\"]),
            ("\"/a b\":/c", vec!["/a b:/c"]),
            ("", vec![]),
        ] {
            assert_eq!(words(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_for_a_unit_is_read_back_as_one_word(value in "[^\u{0}%]{0,40}") {
            let quoted = escape::assignment("KEY", &value).0;
            prop_assert_eq!(words(&quoted), [format!("KEY={value}")]);
        }

        #[test]
        fn any_value_at_all_has_words(value in any::<String>()) {
            let _ = words(&value);
        }
    }
}
