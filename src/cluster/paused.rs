//! The file of a pause, and the note that asks for one.

use std::path::Path;
use std::time::Duration;

use super::pause::LONGEST;
use crate::state::{Entry, Name};

/// A pause as its file has it. Times are those since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// When it began.
    pub since: Duration,
    /// When it ends by itself.
    pub until: Duration,
    /// The instances that it has stopped.
    pub numbers: Vec<u32>,
}

impl Paused {
    /// A pause that has only been asked for.
    const ASKED: Self = Self {
        since: Duration::ZERO,
        until: Duration::ZERO,
        numbers: Vec::new(),
    };

    /// Reads the file; `None` if there is none.
    #[must_use]
    pub fn read(state: &Path) -> Option<Self> {
        let Ok(text) = Entry::new(state, Name::Pause).read() else {
            let asked = Entry::new(state, Name::PauseAsked).read();
            return asked.ok().map(|_| Self::ASKED);
        };
        let mut words = text.split_ascii_whitespace();
        let mut time = || Some(Duration::from_micros(words.next()?.parse().ok()?));
        let (since, until) = (time()?, time()?);
        let numbers = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self {
            since,
            until,
            numbers,
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn write(&self, state: &Path) -> std::io::Result<()> {
        let times = [self.since, self.until].map(|time| time.as_micros().to_string());
        let numbers = self.numbers.iter().map(u32::to_string);
        let words: Vec<String> = times.into_iter().chain(numbers).collect();
        Entry::new(state, Name::Pause).write(&words.join(" "))?;
        // Usually there is none any more.
        let _ = Entry::new(state, Name::PauseAsked).remove();
        Ok(())
    }

    /// Leaves the note without which the pause unit does nothing. It is not the file of the pause, whose presence keeps the timer of an
    /// app from reloading it: if the command is killed before the unit is queued, nothing would remove that.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn ask(state: &Path) -> std::io::Result<()> {
        // That of a pause whose end was killed.
        let _ = Entry::new(state, Name::Pause).remove();
        Entry::new(state, Name::PauseAsked).write("")
    }

    /// Removes the note, and the file.
    pub fn forget(state: &Path) {
        for name in [Name::Pause, Name::PauseAsked] {
            // Usually there is one of the two.
            let _ = Entry::new(state, name).remove();
        }
    }

    /// Whether the pause has only been asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.until.is_zero()
    }

    /// Whether the pause has not only been asked for, and its instances are not being started again either.
    pub(super) fn is_on(&self) -> bool {
        self.until > self.since
    }

    /// When the pause ends, regardless of the file.
    pub(super) fn end(&self) -> Duration {
        self.until.min(self.since + LONGEST)
    }
}
