//! Writes the section KEYS of rsgen.toml(5), see man(7).

use std::fmt::Write;

use rsgen::ecosystem::key::Fallback;
use rsgen::ecosystem::rows;

use crate::markdown::{Piece, pieces};
use crate::tables;

pub(crate) fn section() -> String {
    let mut section = String::new();
    for row in rows() {
        let default = match row.default() {
            Fallback::Required => "Required.".to_owned(),
            Fallback::Value(value) => format!("Default: {}.", roff(&format!("`{value}`"))),
            Fallback::Said(said) => format!("Default: {}.", roff(said)),
        };
        let text = sentences(&tables::text(row));
        writeln!(section, ".TP\n.B {}\n{text}\n{default}", row.name).unwrap();
    }
    section
}

/// One sentence in each line, as man(7) recommends, without sentences that only refer to a page of docs/.
fn sentences(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let kept = text.split(". ").filter(|s| !s.starts_with("See ["));
    let lines = kept.map(|sentence| {
        let line = roff(sentence);
        let is_request = line.starts_with(['.', '\'']);
        format!("{}{line}.", if is_request { "\\&" } else { "" })
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn roff(text: &str) -> String {
    let pieces = pieces(text).into_iter();
    let shown = pieces.map(|piece| match piece {
        Piece::Text(text) => pages(text),
        Piece::Link(label, _) => escaped(label),
        Piece::Code(code) => page(code).unwrap_or_else(|| format!("\\fB{}\\fR", escaped(code))),
    });
    shown.collect()
}

/// The text with names of manual pages in bold, see man-pages(7).
fn pages(text: &str) -> String {
    let words = text.split(' ');
    let shown = words.map(|word| page(word).unwrap_or_else(|| escaped(word)));
    shown.collect::<Vec<_>>().join(" ")
}

/// The name of the manual page at the beginning of a word.
fn page(word: &str) -> Option<String> {
    let (name, section) = word.split_once('(')?;
    let is_page = !name.is_empty() && section.starts_with(|c: char| c.is_ascii_digit());
    is_page.then(|| format!("\\fB{}\\fR({section}", escaped(name)))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
