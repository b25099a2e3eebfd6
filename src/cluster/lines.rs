//! Keeps the first and the last lines of a text that may have no end, or lines without an end: bytes in, lines out.
//! Pure.
//!
//! Nothing is escaped here; the code that shows the lines has to do that.

use std::collections::VecDeque;

use crate::visible;

/// The largest number of characters of a line; one more shows that there were more.
pub const LONGEST: usize = 500;
/// The line that stands for omitted lines.
pub const LEFT_OUT: &str = "…";

/// How many lines are kept: the message may be the first thing that a program writes, or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The number of lines that are kept at the beginning.
    pub first: usize,
    /// The number of lines that are kept at the end.
    pub last: usize,
}

impl Extent {
    /// Enough for a message, its stack and what Node prints around the two.
    pub const OF_A_PROGRAM: Self = Self { first: 8, last: 20 };
    /// For the cluster unit, whose lines repeat those of a program.
    pub const OF_A_CLUSTER: Self = Self {
        first: 20,
        last: 40,
    };

    /// Returns the number of lines that are shown at most; one further line may stand for the omitted ones.
    #[must_use]
    pub const fn most(self) -> usize {
        self.first + self.last
    }
}

/// The first and the last lines of what was read, each shortened if necessary.
#[derive(Debug)]
pub struct Lines {
    extent: Extent,
    first: Vec<String>,
    last: VecDeque<String>,
    seen: usize,
    /// The beginning of the line that has not ended yet.
    open: Vec<u8>,
    /// Lines that begin with this are passed over.
    passed_over: Option<String>,
}

impl Lines {
    /// The number of bytes of a line that are kept, enough for all characters that are shown.
    const KEPT: usize = 4 * (LONGEST + 1);

    /// Makes an empty value.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            first: Vec::new(),
            last: VecDeque::new(),
            seen: 0,
            open: Vec::new(),
            passed_over: None,
        }
    }

    /// Passes over lines that begin with this text.
    #[must_use]
    pub fn without(self, beginning: &str) -> Self {
        Self {
            passed_over: Some(beginning.to_owned()),
            ..self
        }
    }

    /// Adds what was read next, which may end in the middle of a line or a character.
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

    /// Returns whether everything that is read from now on belongs to the end.
    #[must_use]
    pub fn has_its_beginning(&self) -> bool {
        self.first.len() >= self.extent.first
    }

    /// Returns the number of lines so far, including those that are not kept.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen
    }

    fn close(&mut self) {
        let line = visible::cut(&String::from_utf8_lossy(&self.open), LONGEST);
        self.open.clear();
        let passed_over = self.passed_over.as_deref();
        if passed_over.is_some_and(|beginning| line.starts_with(beginning)) {
            return;
        }
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

    /// Returns the lines, including one that has not ended.
    #[must_use]
    pub fn end(mut self) -> Vec<String> {
        self.finish();
        let mut lines = self.first;
        let is_shortened = self.seen > self.extent.most();
        lines.extend(is_shortened.then(|| LEFT_OUT.to_owned()));
        lines.extend(self.last);
        lines
    }

    /// Returns the lines, of which `self` has the end and `beginning` has the first. Lines between the two are omitted.
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
