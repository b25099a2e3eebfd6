//! Makes text from outside visible before it is shown: no terminal interprets it, and it cannot begin a new line.
//!
//! Programs, files, names and arguments may contain control characters. Each character that a terminal or the journal would
//! interpret is shown as `\x1b` (ASCII) or `\u{9b}`. Text is coloured only after it was made visible, so that no escape
//! sequence of ours ever has to be told from one of others. Pure; this room does not decide what is shown where.

use std::fmt::{self, Write};

/// Text that may be shown as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visible(String);

impl Visible {
    /// A text as one line, with newlines escaped.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self(show(text, false))
    }

    /// A text of several lines, with newlines kept.
    #[must_use]
    pub fn lines(text: &str) -> Self {
        Self(show(text, true))
    }

    /// A line that another program of rsgen has already made visible: its escapes are not escaped again.
    #[must_use]
    pub fn again(line: &str) -> Self {
        let mut shown = String::with_capacity(line.len());
        for c in line.chars() {
            push(&mut shown, c, false);
        }
        Self(shown)
    }

    /// A text that is composed of visible parts, and of colours and newlines of rsgen.
    #[must_use]
    pub fn composed(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Visible {
    fn from(text: &str) -> Self {
        Self::line(text)
    }
}

impl From<&String> for Visible {
    fn from(text: &String) -> Self {
        Self::line(text)
    }
}

impl From<String> for Visible {
    fn from(text: String) -> Self {
        Self::line(&text)
    }
}

/// JSON in which the characters that a terminal would interpret and serde leaves in strings, DEL, C1 and marks of direction,
/// are written as `\u009b`.
#[must_use]
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Newlines stay: serde has escaped those in strings, so all others are between values.
        if is_obeyed(c) && c != '\n' {
            // Writing into a String cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The first `at_most` characters of a text, with `…` behind them if there were more.
#[must_use]
pub fn cut(text: &str, at_most: usize) -> String {
    let mut rest = text.chars();
    let mut short: String = rest.by_ref().take(at_most).collect();
    if rest.next().is_some() {
        short.push('…');
    }
    short
}

/// Whether a terminal or the journal may interpret the character: every control character but the tab, the marks of
/// direction, and the line separators of Unicode.
fn is_obeyed(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_escaped(c: char, has_lines: bool) -> bool {
    is_obeyed(c) && !(has_lines && c == '\n')
}

/// The escape of a character, without its backslash.
fn escape(c: char) -> String {
    if c.is_ascii() {
        format!("x{:02x}", u32::from(c))
    } else {
        format!("u{{{:x}}}", u32::from(c))
    }
}

fn push(shown: &mut String, c: char, has_lines: bool) {
    if is_escaped(c, has_lines) {
        shown.push('\\');
        shown.push_str(&escape(c));
    } else {
        shown.push(c);
    }
}

/// Makes a text visible. Backslashes are doubled only in front of an escape, or of something that looks like one, because
/// units contain many. So no two texts look the same, and ordinary text is unchanged.
fn show(text: &str, has_lines: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            push(&mut shown, c, has_lines);
            continue;
        }
        let after = rest.as_str().trim_start_matches('\\');
        let mut count = 1 + rest.as_str().len() - after.len();
        let is_next_escaped = after.starts_with(|next| is_escaped(next, has_lines));
        if is_next_escaped || looks_escaped(after) {
            count *= 2;
        }
        shown.extend(std::iter::repeat_n('\\', count));
        rest = after.chars();
    }
    shown
}

/// Whether the text behind a backslash looks like the rest of an escape that this room writes.
fn looks_escaped(after: &str) -> bool {
    let digits = if let Some(digits) = after.strip_prefix('x') {
        digits.get(..2)
    } else if let Some(digits) = after.strip_prefix("u{") {
        let end = digits.bytes().take(5).position(|b| b == b'}');
        end.and_then(|end| digits.get(..end))
    } else {
        None
    };
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .and_then(char::from_u32)
        .is_some_and(|c| is_obeyed(c) && after.starts_with(&escape(c)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a visible text back: in front of an escape, two backslashes stand for one.
    fn read(shown: &str) -> String {
        let mut text = String::new();
        let mut rest = shown.chars();
        while let Some(c) = rest.next() {
            let after = rest.as_str().trim_start_matches('\\');
            let count = 1 + rest.as_str().len() - after.len();
            if c != '\\' {
                text.push(c);
                continue;
            }
            rest = after.chars();
            if !looks_escaped(after) {
                text.extend(std::iter::repeat_n('\\', count));
                continue;
            }
            text.extend(std::iter::repeat_n('\\', count / 2));
            if count % 2 == 1 {
                let hex: String = after
                    .chars()
                    .skip(1)
                    .skip_while(|c| *c == '{')
                    .take_while(char::is_ascii_hexdigit)
                    .take(if after.starts_with('x') { 2 } else { 4 })
                    .collect();
                let code = u32::from_str_radix(&hex, 16).unwrap();
                let c = char::from_u32(code).unwrap();
                text.push(c);
                rest = after[escape(c).len()..].chars();
            }
        }
        text
    }

    /// Whatever there is, and often what escapes are made of.
    fn texts() -> impl Strategy<Value = String> {
        const PARTS: &[&str] = &[
            "\\", "\u{1b}", "x1b", "\n", "x0a", "u{9b}", "\u{9b}", "u{", "}", "x", "\u{202e}",
        ];
        let part = prop_oneof![
            3 => prop::sample::select(PARTS).prop_map(str::to_owned),
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_terminal_interprets_it_and_no_two_texts_look_the_same(text in texts()) {
            let line = Visible::line(&text);
            prop_assert!(!line.as_str().contains(is_obeyed));
            prop_assert_eq!(&read(line.as_str()), &text);
            let lines = Visible::lines(&text);
            prop_assert!(!lines.as_str().contains(|c| is_obeyed(c) && c != '\n'));
            prop_assert_eq!(lines.as_str().matches('\n').count(), text.matches('\n').count());
            prop_assert_eq!(&read(lines.as_str()), &text);
            prop_assert!(!Visible::again(&text).as_str().contains(is_obeyed));
            prop_assert_eq!(Visible::again(line.as_str()), line);
        }

        #[test]
        fn json_means_the_same_and_no_terminal_interprets_it(text in texts()) {
            let shown = json(&serde_json::to_string_pretty(&[&text]).unwrap());
            prop_assert!(!shown.contains(|c| is_obeyed(c) && c != '\n'));
            let [read]: [String; 1] = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read, text);
        }
    }

    #[test]
    fn ordinary_text_is_shown_as_it_is() {
        for text in [
            "größe\t日本 👩‍💻",
            r"C:\new \x20 \x2d\\",
            r"\u{20} \u{",
            "😀\\",
        ] {
            assert_eq!(Visible::line(text).as_str(), text);
        }
        assert_eq!(Visible::lines("a\nb\\\nc").as_str(), "a\nb\\\nc");
    }

    #[test]
    fn what_a_terminal_would_interpret_is_made_visible() {
        let shown = |text| Visible::line(text).to_string();
        assert_eq!(
            shown("a\u{1b}]52;c;x\u{7}\r\n"),
            r"a\x1b]52;c;x\x07\x0d\x0a"
        );
        assert_eq!(
            shown("\u{7f}\u{9b}2J\u{202e}\u{2028}"),
            r"\x7f\u{9b}2J\u{202e}\u{2028}"
        );
        assert_eq!(shown(r"\x1b"), r"\\x1b");
        assert_eq!(shown("\\\u{1b}"), r"\\\x1b");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(cut("größe", 5), "größe");
        assert_eq!(cut("größer", 5), "größe…");
    }
}
