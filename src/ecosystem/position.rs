//! Determines line and column of places in a text, if the places come in their order in the text. Pure.
//!
//! Every fault of a file has a place. Counting each from the beginning of the text would take quadratic time for a file
//! that is full of faults.

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column, from 1, in characters.
    pub(super) column: usize,
    /// The byte at which the line begins.
    pub(super) line_start: usize,
}

/// A position in a text that moves forward from place to place.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    position: Position,
    /// The number of bytes that have been read.
    #[cfg(test)]
    work: usize,
}

const START: Position = Position {
    line: 1,
    column: 1,
    line_start: 0,
};

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            position: START,
            #[cfg(test)]
            work: 0,
        }
    }

    /// Returns the position of a byte. Only a place before the previous one is counted from the beginning.
    pub(super) fn position_of(&mut self, byte: usize) -> Position {
        let byte = self.text.floor_char_boundary(byte);
        if byte < self.at {
            (self.at, self.position) = (0, START);
        }
        let passed = self.text.get(self.at..byte).unwrap_or_default();
        #[cfg(test)]
        {
            self.work += passed.len();
        }
        let mut tail = passed;
        if let Some(end) = passed.rfind('\n') {
            self.position.line += passed.matches('\n').count();
            self.position.column = 1;
            self.position.line_start = self.at + end + 1;
            tail = passed.get(end + 1..).unwrap_or_default();
        }
        self.position.column += tail.chars().count();
        self.at = byte;
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str, byte: usize) -> Position {
        let before = &text[..byte];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: text[line_start..byte].chars().count() + 1,
            line_start,
        }
    }

    #[test]
    fn places_are_those_that_are_counted_from_the_beginning() {
        let text = "a = 1\n\nä = \"ü\" # é\r\nlast";
        let mut cursor = Cursor::new(text);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for place in places.iter().chain(places.iter().rev()) {
            assert_eq!(cursor.position_of(*place), counted(text, *place), "{place}");
        }
        let end = counted(text, text.len());
        assert_eq!(cursor.position_of(text.len() + 9), end);
    }

    #[test]
    fn a_text_is_gone_through_once_however_many_places_there_are() {
        for text in ["=\n".repeat(1000), "=".repeat(2000)] {
            let mut cursor = Cursor::new(&text);
            for place in 0..text.len() {
                // Several faults may have the same place.
                let position = cursor.position_of(place);
                assert_eq!(cursor.position_of(place), position);
            }
            assert_eq!(cursor.work, text.len() - 1);
        }
    }
}
