//! What the manual pages say in addition to `--help`.

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

/// The parts of a manual page that `--help` does not have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manual {
    /// The exit statuses that the subcommand can have.
    pub(super) exits: &'static [Exit],
    /// Command lines, each with a sentence that says what it does. The first one is an example in rsgen(1), too.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

impl Manual {
    /// For a hidden subcommand, which has no page.
    pub(super) const NONE: Self = Self {
        exits: &[],
        examples: &[],
    };
}

/// The whole command line, for subcommands that generate documentation from it.
pub(super) struct CommandLine {
    pub(super) command: clap::Command,
    /// The manual of each subcommand, by its name.
    pub(super) manuals: &'static [(&'static str, Manual)],
}
