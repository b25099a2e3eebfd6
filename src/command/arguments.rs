//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{check, completions, generate, install, list, pages, power, reload, uninstall, unit};
use crate::output::Colour;

/// PM2's cluster mode for every language, on systemd alone.
#[derive(Debug, Parser)]
#[command(
    name = "rsgen",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit status: 0 done, 1 the operation failed, 2 usage, 3 the ecosystem file is invalid,
4 systemd cannot be reached or permission is missing, 5 timed out waiting for ready."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Global {
    /// Work on the calling user's own systemd
    #[arg(long, global = true)]
    pub(super) user: bool,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print the result only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: Colour,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Install the apps of an ecosystem file, or one script, and start them
    Install(install::Install),
    /// Stop apps and remove what install wrote
    Uninstall(uninstall::Uninstall),
    /// Replace the instances of apps one by one, losing no request
    Reload(reload::Reload),
    /// Start apps or instances
    Start(power::Power),
    /// Stop apps or instances
    Stop(power::Power),
    /// Stop and start apps or instances at once; see reload for one by one
    Restart(power::Power),
    /// Forget how often instances have died, so that those given up may be started again
    Reset(power::Power),
    /// List apps and their instances
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Check ecosystem files without installing them
    Check(check::Check),
    /// Write the units of an ecosystem file into a folder, for packages
    Generate(generate::Generate),
    /// Print what a shell needs to complete this command line
    Completions(completions::Completions),
    /// Write the manual pages and completions for a package
    #[command(hide = true)]
    Pages(pages::Pages),
    /// What the units themselves run
    #[command(hide = true)]
    Unit(unit::Unit),
}

/// What a command works on.
#[derive(Debug, Args)]
pub(super) struct Targets {
    /// App names, instances as APP@N, `all`, or ecosystem files
    #[arg(required = true, value_name = "TARGET")]
    pub(super) targets: Vec<String>,
    /// Of an ecosystem file, only these apps
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    pub(super) only: Vec<String>,
}

/// An ecosystem file and which of its apps.
#[derive(Debug, Args)]
pub(super) struct FileAndOnly {
    /// The ecosystem file
    #[arg(value_name = "FILE", default_value = "ecosystem.toml")]
    pub(super) file: PathBuf,
    /// Only these apps of the file
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    pub(super) only: Vec<String>,
}
