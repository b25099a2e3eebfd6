//! Exit statuses after which systemd does not start an instance again.

use std::ops::RangeInclusive;

use super::{Text, Value};

/// The beginning of a unit's `STATUS=` where no further start would go better: the program binds another address than the
/// declared one. The text behind it says so.
pub const REFUSED: &str = "refused: ";

/// The beginning of a unit's `STATUS=` where the worker could not start the program. The text behind it says why.
pub const NOT_STARTED: &str = "not started: ";

/// The end of a unit's `STATUS=` where the program listens on a port that the file does not declare.
pub const FURTHER: &str = " is bound as well: add it to `listen`, or give each instance its own";

/// The worker's exit status for an instance that is given up, see [`crate::brake`].
pub const ERRORED: u8 = 190;

/// The statuses by which systemd says that it could not run the program, see "Process Exit Codes" in systemd.exec(5).
const NOT_RUN: RangeInclusive<u8> = 200..=243;

/// Every status after which an instance stays stopped, for `RestartPreventExitStatus=`.
pub fn final_statuses() -> impl Iterator<Item = u8> {
    std::iter::once(ERRORED).chain(NOT_RUN)
}

/// Exit statuses that an app names: they end an instance for good, and are no death.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(Vec<u8>);

impl Statuses {
    /// Whether an instance that has exited with this status has ended for good.
    #[must_use]
    pub fn has(&self, status: u8) -> bool {
        self.0.contains(&status)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }

    /// The list as it is written, if there is one.
    pub(super) fn named(&self) -> Option<&Self> {
        Some(self).filter(|statuses| !statuses.0.is_empty())
    }
}

impl From<Vec<u8>> for Statuses {
    fn from(statuses: Vec<u8>) -> Self {
        Self(statuses)
    }
}

impl Value for Statuses {
    fn show(&self) -> Text {
        let statuses: Vec<String> = self.0.iter().map(u8::to_string).collect();
        Text::plain(statuses.join(","))
    }

    fn read(text: &str) -> Option<Self> {
        let statuses = text.split(',').map(|status| status.parse().ok());
        statuses.collect::<Option<_>>().map(Self)
    }
}

/// Whether systemd leaves an instance stopped after this status.
#[must_use]
pub fn is_final(status: u8) -> bool {
    status == ERRORED || NOT_RUN.contains(&status)
}
