//! `rsgen stop`: stops apps or instances, and waits until they are gone.

use clap::Args;

use super::context::Context;
use super::kept;
use super::manual::{self, Manual};
use super::options::Targets;
use super::power::{self, Done};
use super::remote::{self, Remote};
use super::subcommand::Subcommand;
use super::targets::Target;
use crate::output::Failure;
use crate::systemd::Verb;

/// Stop apps or instances
#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    targets: Targets,
}

impl Subcommand for Stop {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen stop web",
                "Stops all instances of an app and closes its port.",
            ),
            ("rsgen stop all", "Stops every app."),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        power::each(
            context,
            &self.targets,
            "stop",
            |jobs, target| match target {
                Target::App(app) => jobs.stop(app),
                Target::Instance(app, number) => {
                    // It is down already, and the end of the pause would start it again.
                    kept::refuse_paused(jobs, app)?;
                    jobs.stop_instance(app, *number)
                }
            },
        )
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        let done = remote::carry_out(remote, &self.targets, Verb::Stop)?;
        remote.sink.answer(&Done { done });
        Ok(())
    }
}
