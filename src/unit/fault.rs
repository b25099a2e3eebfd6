//! The error of every function that reads a value from the user.

/// The fault of a value, and what to write instead.
///
/// These are two fields rather than one text that is split later, because a value quoted in the message may contain any
/// character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {help}")]
pub struct Fault {
    /// The fault: lower case, no full stop, the value in backticks.
    pub message: String,
    /// The next step.
    pub help: String,
}

impl Fault {
    /// Makes a fault with its remedy.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}
