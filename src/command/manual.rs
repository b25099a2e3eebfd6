//! The description of the command line: what its manual pages say beyond `--help`.

use crate::output::Exit;

/// The exit statuses of subcommands that start, reload or stop apps.
pub(super) const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Invalid,
    Exit::Unreachable,
    Exit::TimedOut,
];

/// The part of a manual page that `--help` does not have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manual {
    /// The exit statuses that the subcommand can have.
    pub(super) exits: &'static [Exit],
    /// Command lines, each with a sentence on what it is good for; the first one is an example of rsgen(1) as well.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

impl Manual {
    /// A hidden subcommand has no page.
    pub(super) const NONE: Self = Self {
        exits: &[],
        examples: &[],
    };
}

/// The whole command line, for the subcommands that describe it.
pub(super) struct CommandLine {
    pub(super) command: clap::Command,
    /// The manual of each subcommand, by its name.
    pub(super) manuals: &'static [(&'static str, Manual)],
}
