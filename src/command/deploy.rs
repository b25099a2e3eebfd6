//! `rsgen deploy`: `install` for new code.

use clap::Args;

use super::context::Context;
use super::course::Pace;
use super::deployment::Goal;
use super::install::{self, Install};
use super::manual::{self, Manual};
use super::subcommand::Subcommand;
use crate::output::Failure;

/// Apply an ecosystem file and replace all instances one by one, even if only the code has changed
#[derive(Debug, Args)]
#[command(aliases = ["startOrReload", "startOrGracefulReload"])]
pub(super) struct Deploy {
    #[command(flatten)]
    install: Install,
    #[command(flatten)]
    pace: Pace,
}

impl Subcommand for Deploy {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen deploy ecosystem.toml",
                "Applies the file and replaces every instance by one of the new code.",
            ),
            (
                "rsgen deploy ecosystem.toml --surge 25%",
                "Does so with a quarter of the instances at a time.",
            ),
            (
                "rsgen deploy ecosystem.toml --only web",
                "Does so for one app of the file.",
            ),
            (
                "rsgen deploy ecosystem.toml --prune",
                "Does so, and removes the apps that the file no longer has.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        install::bring_up(
            context,
            &self.install,
            "deploy",
            Goal::Fresh(self.pace.on(None)),
        )
    }
}
