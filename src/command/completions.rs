//! `rsgen completions`: what a shell needs to complete the command line.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::arguments::Arguments;
use crate::output::Failure;

/// Arguments of `rsgen completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to read it
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

pub(super) fn run(arguments: &Completions) -> Result<(), Failure> {
    let shell: Shell = arguments
        .shell
        .parse()
        .map_err(|e: String| Failure::failed(e))?;
    // A pipe that was closed means that the reader has seen enough.
    let _ = io::stdout().write_all(&script(shell));
    Ok(())
}

/// The whole script for a shell.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "rsgen", &mut text);
    text
}
