//! `rsgen completions`: prints the script with which a shell completes the command line.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use super::context::Context;
use super::manual::Manual;
use super::remote::Remote;
use super::subcommand::Subcommand;
use crate::output::{Exit, Failure};

/// Print the completion script for a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that will read the script
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl Subcommand for Completions {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Usage],
        examples: &[(
            "rsgen completions bash",
            "Prints the script for bash(1). The packages of rsgen have installed it already.",
        )],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let shell: Shell = self.shell.parse().map_err(|e: String| Failure::failed(e))?;
        let command = (context.command_line)().command;
        // A closed pipe means that the reader has seen enough.
        let _ = io::stdout().write_all(&script(shell, command));
        Ok(())
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        Err(remote.refuse_everywhere())
    }
}

/// Returns the whole script for a shell.
pub(super) fn script(shell: Shell, mut command: clap::Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "rsgen", &mut text);
    text
}
