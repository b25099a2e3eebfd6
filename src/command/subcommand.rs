//! The parts of a subcommand, all of which its own file holds.

use super::context::Context;
use super::manual::Manual;
use super::remote::Remote;
use crate::output::Failure;

/// A subcommand. The type is its arguments as clap parses them; its doc comment is its help text.
pub(super) trait Subcommand: clap::Args {
    /// The part of its manual page that `--help` does not have.
    const MANUAL: Manual;

    /// Does what the arguments ask for.
    ///
    /// # Errors
    /// A failure, whose exit status is one of [`Manual::exits`].
    fn run(self, context: &mut Context<'_>) -> Result<(), Failure>;

    /// Does the same on another host, if that needs only the bus.
    ///
    /// # Errors
    /// As [`Subcommand::run`].
    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        Err(remote.refusal())
    }
}
