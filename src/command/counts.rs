//! The number of instances before and after a deployment that changes nothing else about them.

/// Both numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) from: u32,
    pub(super) to: u32,
}
