//! Exit statuses after which systemd does not start an instance again.

use std::ops::RangeInclusive;

use super::{Text, Value};

/// Prefix of a unit's `STATUS=` when another start could not succeed either, because the program binds another address
/// than the declared one. The text after the prefix says so.
pub const REFUSED: &str = "refused: ";

/// The beginning of the text after that prefix if the program binds another address. The address follows.
pub const BINDS: &str = "the program binds ";

/// The beginning of a unit's `STATUS=` if the worker could not start the program. The text after it says why.
pub const NOT_STARTED: &str = "not started: ";

/// The end of a unit's `STATUS=` if the program listens on a port that the file does not declare.
pub const FURTHER: &str = " is bound as well: add it to `listen`, or give each instance its own";

/// The beginning of a unit's `STATUS=` if the program listens on another port instead of the declared one.
/// That address follows, and then the declared one.
pub const ELSEWHERE: &str = "the program listens on ";

/// The beginning of a unit's `STATUS=` if the program has used all its time without listening. The declared address follows.
pub const NEVER_LISTENED: &str = "the program never listened on ";

/// A unit's `STATUS=` if the program has used all its time without sending `ready`.
pub const UNSENT: &str = "the program did not send 'ready'";

/// The beginning of a unit's `STATUS=` if the program has sent `ready` without being ready. The missing step follows.
pub const SENT_ONLY: &str = "the program sent 'ready', but ";

/// Returns whether the status text of a start that has timed out names the step that the program has not taken in all its time.
#[must_use]
pub fn is_of_a_silent_start(text: &str) -> bool {
    [ELSEWHERE, NEVER_LISTENED, UNSENT, SENT_ONLY]
        .iter()
        .any(|beginning| text.starts_with(beginning))
}

/// A unit's `STATUS=` if the first process of the program has ended, and others live on in the background.
pub const BACKGROUND: &str = "the program went to the background; run it in the foreground, for instance with `daemon off;`, \
                              with `--foreground`, or without `-d`";

/// The worker's exit status for an instance that has been given up, see [`crate::brake`].
pub const ERRORED: u8 = 190;

/// The exit statuses that mean that systemd could not run the program, see "Process Exit Codes" in systemd.exec(5).
const NOT_RUN: RangeInclusive<u8> = 200..=243;

/// Returns every status after which an instance stays stopped, for `RestartPreventExitStatus=`.
pub fn final_statuses() -> impl Iterator<Item = u8> {
    std::iter::once(ERRORED).chain(NOT_RUN)
}

/// Exit statuses that an app names. An instance that exits with one of them stays stopped, and the crash-loop brake
/// does not count the end as a death.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(Vec<u8>);

impl Statuses {
    /// Returns whether an instance that exited with this status stays stopped.
    #[must_use]
    pub fn has(&self, status: u8) -> bool {
        self.0.contains(&status)
    }

    /// Returns all statuses.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }

    /// Returns the list as a flag's value, unless it is empty.
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

/// Returns whether systemd leaves an instance stopped after this status.
#[must_use]
pub fn is_final(status: u8) -> bool {
    status == ERRORED || NOT_RUN.contains(&status)
}
