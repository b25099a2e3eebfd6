//! The error of everything that reads a value of the user's.

/// What is wrong with a value, and what to write instead.
///
/// The two are fields, and nobody looks for the boundary in a text: a value that is quoted in the message may
/// hold any character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {help}")]
pub struct Fault {
    /// What is wrong: lower case, no full stop, the value in backticks.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Fault {
    /// A fault and its remedy.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}
