//! The last few lines of one who writes what they like, without end or in lines without end: bytes in, lines out. Pure.
//!
//! Nothing is made visible here, that is for whoever shows them.

use std::collections::VecDeque;

use crate::visible;

/// Lines.
pub const MOST: usize = 10;
/// Characters of a line; that there were more is one more.
pub const LONGEST: usize = 500;

/// The last few lines of what was read, each cut.
#[derive(Debug, Default)]
pub struct Lines {
    whole: VecDeque<String>,
    /// The beginning of the line that has not ended yet.
    open: Vec<u8>,
}

impl Lines {
    /// Bytes of a line that are kept: never fewer than the characters that are shown.
    const KEPT: usize = 4 * (LONGEST + 1);

    /// Adds what was read next: it may end in the middle of a line, or of a character.
    pub fn add(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let text = part.strip_suffix(b"\n");
            let room = Self::KEPT.saturating_sub(self.open.len());
            self.open.extend(text.unwrap_or(part).iter().take(room));
            if text.is_some() {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let line = String::from_utf8_lossy(&self.open);
        self.whole.push_back(visible::cut(&line, LONGEST));
        self.open.clear();
        if self.whole.len() > MOST {
            self.whole.pop_front();
        }
    }

    /// The last lines, one that has not ended included.
    #[must_use]
    pub fn end(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.close();
        }
        self.whole.into()
    }
}
