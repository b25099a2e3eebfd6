//! `rsgen start`: starts apps or instances and waits until they serve.

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

/// Start apps or instances
#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    targets: Targets,
}

impl Subcommand for Start {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            ("rsgen start web", "Starts all instances of an app."),
            ("rsgen start web@1", "Starts one instance."),
            (
                "rsgen start backup",
                "Runs a job at once and waits for its end; of `all`, only the timers of jobs are started.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        power::each(
            context,
            &self.targets,
            "start",
            |jobs, target| match target {
                Target::App(app) if !self.targets.name(app) && jobs.arm(app)? => Ok(()),
                Target::App(app) => jobs.start(app),
                Target::Instance(app, number) => jobs.start_instance(app, *number),
            },
        )
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        let done = remote::carry_out(remote, &self.targets, Verb::Start)?;
        remote.sink.answer(&Done { done });
        Ok(())
    }
}
