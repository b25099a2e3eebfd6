//! `rsgen restart`: restarts apps or instances at once. `rsgen reload` does it one by one.

use clap::Args;

use super::context::Context;
use super::manual::{self, Manual};
use super::options::Targets;
use super::power::{self, Done};
use super::remote::{self, Remote};
use super::subcommand::Subcommand;
use super::targets::Target;
use crate::output::Failure;
use crate::systemd::Verb;

/// Stop and start apps or instances at once; `reload` does it one by one
#[derive(Debug, Args)]
pub(super) struct Restart {
    #[command(flatten)]
    targets: Targets,
}

impl Subcommand for Restart {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen restart web",
                "Restarts all instances of an app at once; its port stays open.",
            ),
            ("rsgen restart web@0", "Restarts one instance."),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        power::each(
            context,
            &self.targets,
            "restart",
            |jobs, target| match target {
                Target::App(app) if !self.targets.name(app) && jobs.arm(app)? => Ok(()),
                Target::App(app) => jobs.restart(app),
                Target::Instance(app, number) => jobs.restart_instance(app, *number),
            },
        )
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        let done = remote::carry_out(remote, &self.targets, Verb::Restart)?;
        remote.sink.answer(&Done { done });
        Ok(())
    }
}
