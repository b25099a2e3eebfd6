//! The first and the last lines of one who writes what they like, without end or in lines without end: bytes in, lines out.
//! Pure.
//!
//! Nothing is made visible here, that is for whoever shows them.

use std::collections::VecDeque;

use crate::visible;

/// Characters of a line; that there were more is one more.
pub const LONGEST: usize = 500;
/// The line that stands for those that are left out.
pub const LEFT_OUT: &str = "…";

/// How many lines are kept: a message may be the first thing that a program writes, or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The lines that are kept of the beginning.
    pub first: usize,
    /// The lines that are kept of the end.
    pub last: usize,
}

impl Extent {
    /// Enough for a message, its stack and what Node prints around the two.
    pub const OF_A_PROGRAM: Self = Self { first: 8, last: 20 };
    /// The lines of the cluster unit repeat those of a program.
    pub const OF_A_CLUSTER: Self = Self {
        first: 20,
        last: 40,
    };

    /// The lines that are shown at most; a line more is in place of those that are left out.
    #[must_use]
    pub const fn most(self) -> usize {
        self.first + self.last
    }
}

/// The first and the last lines of what was read, each cut.
#[derive(Debug)]
pub struct Lines {
    extent: Extent,
    first: Vec<String>,
    last: VecDeque<String>,
    seen: usize,
    /// The beginning of the line that has not ended yet.
    open: Vec<u8>,
}

impl Lines {
    /// Bytes of a line that are kept: never fewer than the characters that are shown.
    const KEPT: usize = 4 * (LONGEST + 1);

    /// Nothing read yet.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            first: Vec::new(),
            last: VecDeque::new(),
            seen: 0,
            open: Vec::new(),
        }
    }

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

    /// Whether nothing that is read from now on belongs to the beginning.
    #[must_use]
    pub fn has_its_beginning(&self) -> bool {
        self.first.len() >= self.extent.first
    }

    /// The lines so far, those that are not kept included.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen
    }

    fn close(&mut self) {
        let line = visible::cut(&String::from_utf8_lossy(&self.open), LONGEST);
        self.open.clear();
        self.seen += 1;
        if self.has_its_beginning() {
            self.last.push_back(line);
        } else {
            self.first.push(line);
        }
        if self.last.len() > self.extent.last {
            self.last.pop_front();
        }
    }

    /// The lines, one that has not ended included.
    #[must_use]
    pub fn end(mut self) -> Vec<String> {
        self.finish();
        let mut lines = self.first;
        let is_shortened = self.seen > self.extent.most();
        lines.extend(is_shortened.then(|| LEFT_OUT.to_owned()));
        lines.extend(self.last);
        lines
    }

    /// The lines where these are only the end, and `beginning` has the first: what is between the two is left out.
    #[must_use]
    pub fn end_after(mut self, beginning: Self) -> Vec<String> {
        self.finish();
        let mut last: VecDeque<String> = self.first.into();
        last.extend(self.last);
        let surplus = last.len().saturating_sub(self.extent.last);
        let mut lines = beginning.first;
        lines.push(LEFT_OUT.to_owned());
        lines.extend(last.into_iter().skip(surplus));
        lines
    }

    fn finish(&mut self) {
        if !self.open.is_empty() {
            self.close();
        }
    }
}
