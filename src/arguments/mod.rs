//! The command lines of `rsgen-worker`, as the units have them. Pure.
//!
//! Read before every program, so without clap.

pub mod drain;
pub mod run;

/// Why a command line is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not one that units write.
    #[error("{0}")]
    Usage(String),
}
