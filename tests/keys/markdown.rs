//! The Markdown in the rows: code, links, and names of manual pages.

/// A piece of a text.
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Code(&'a str),
    /// The text of a link, and where it leads.
    Link(&'a str, &'a str),
}

pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            found.push(Piece::Code(part));
            continue;
        }
        let mut rest = part;
        while let Some((before, label, target, after)) = link(rest) {
            found.push(Piece::Text(before));
            found.push(Piece::Link(label, target));
            rest = after;
        }
        found.push(Piece::Text(rest));
    }
    found
}

fn link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (head, tail) = text.split_once("](")?;
    let (before, label) = head.rsplit_once('[')?;
    let (target, after) = tail.split_once(')')?;
    Some((before, label, target, after))
}

/// The text without markup.
pub(crate) fn plain(text: &str) -> String {
    let pieces = pieces(text).into_iter();
    pieces
        .map(|piece| match piece {
            Piece::Text(text) | Piece::Code(text) | Piece::Link(text, _) => text,
        })
        .collect()
}

/// The text with links that are relative to the folder above docs/.
pub(crate) fn from_above(text: &str) -> String {
    let pieces = pieces(text).into_iter();
    let shown = pieces.map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Code(code) => format!("`{code}`"),
        Piece::Link(label, target) => format!("[{label}](docs/{target})"),
    });
    shown.collect()
}
