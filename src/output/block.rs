//! Lines at the end of a terminal's output, which are redrawn in place.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::visible::{self, Visible};

/// A block of lines. Nothing else may be written below the block unless it was left or erased.
#[derive(Debug)]
pub struct Block {
    /// How many lines of the terminal the block takes now.
    drawn: usize,
}

/// The columns and rows of the terminal.
type Size = (usize, usize);

impl Block {
    /// Creates a block of no lines; `None` if the terminal has no size.
    pub(super) fn new() -> Option<Self> {
        size().map(|_| Self { drawn: 0 })
    }

    /// Returns how many lines there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        size().map_or(1, |(_, rows)| rows.saturating_sub(1).max(1))
    }

    /// Draws these lines over the present ones, as many as there is room for.
    pub fn draw(&mut self, lines: &[Visible]) {
        let size = size().unwrap_or((80, 24));
        let (text, drawn) = drawing(lines, self.drawn, size);
        show(&text);
        self.drawn = drawn;
    }

    /// Leaves the lines as they are. The next drawing begins below.
    pub fn leave(&mut self) {
        self.drawn = 0;
    }

    /// Removes the lines, so that something else can be written in their place.
    pub fn erase(&mut self) {
        self.draw(&[]);
    }
}

fn size() -> Option<Size> {
    let (columns, rows) = terminal_size::terminal_size()?;
    Some((usize::from(columns.0), usize::from(rows.0)))
}

/// The bytes to write, and the number of lines that the block takes then. A line that is too long would take two.
fn drawing(lines: &[Visible], drawn: usize, (columns, rows): Size) -> (String, usize) {
    let room = rows.saturating_sub(1).max(1);
    let mut text = String::new();
    // After the terminal has become smaller, the lines above have scrolled away.
    let up = drawn.min(room);
    if up > 0 {
        let _ = write!(text, "\x1b[{up}A");
    }
    text.push('\r');
    for line in lines.iter().take(room) {
        let line = visible::cut(line.as_str(), columns.saturating_sub(2));
        let _ = write!(text, "{line}\x1b[K\r\n");
    }
    text.push_str("\x1b[J");
    (text, lines.len().min(room))
}

fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    // A terminal that is gone does not end the walk, which continues without the block.
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_replace_those_before_and_never_take_more_room_than_there_is() {
        let lines: Vec<Visible> = ["a", "b", "c"].map(Visible::from).into();
        let first = drawing(&lines[..2], 0, (80, 24));
        assert_eq!(first, ("\ra\x1b[K\r\nb\x1b[K\r\n\x1b[J".to_owned(), 2));
        let (text, drawn) = drawing(&lines, 2, (80, 24));
        assert!(text.starts_with("\x1b[2A\ra\x1b[K"), "{text:?}");
        assert_eq!(drawn, 3);
        let (text, drawn) = drawing(&lines, 3, (80, 3));
        assert!(
            text.starts_with("\x1b[2A") && !text.contains('c'),
            "{text:?}"
        );
        assert_eq!(drawn, 2);
        let (text, _) = drawing(&["0123456789".into()], 0, (8, 24));
        assert!(
            text.contains("012345") && !text.contains("01234567"),
            "{text:?}"
        );
    }
}
