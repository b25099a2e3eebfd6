//! The results of starts that a test asks for.

/// The result of the next start of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The unit becomes READY.
    Works,
    /// The unit exits with status 1 before READY, and systemd is about to restart it.
    Fails,
    /// The unit exits with status 1 before READY, and nothing starts it again.
    GivesUp,
    /// The unit never becomes READY: the start times out.
    Hangs,
    /// The unit never becomes READY, and the job does not end either.
    Stuck,
    /// The unit becomes READY, and exits with the next pause.
    DiesLater,
    /// The unit becomes READY, and the job is skipped.
    Skips,
}
