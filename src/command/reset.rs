//! `rsgen reset`: forgets crash loops, that is, the worker's count of deaths and systemd's `failed` state.

use clap::Args;

use super::context::Context;
use super::manual::{self, Manual};
use super::options::Targets;
use super::power;
use super::state;
use super::subcommand::Subcommand;
use super::targets::Target;
use crate::output::Failure;
use crate::unit::name::Units;

/// Reset the count of quick deaths, so that errored instances can be started again
#[derive(Debug, Args)]
pub(super) struct Reset {
    #[command(flatten)]
    targets: Targets,
}

impl Subcommand for Reset {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen reset web",
                "Lets all instances of an app be started again.",
            ),
            ("rsgen reset web@0", "Lets one instance be started again."),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        power::each(context, &self.targets, "reset", |jobs, target| {
            let (app, number) = match target {
                Target::App(app) => (app, None),
                Target::Instance(app, number) => (app, Some(*number)),
            };
            state::forget_deaths(jobs.layout, app, number);
            match number {
                Some(number) => {
                    let unit = Units::of(app).instance(number);
                    Ok(jobs.manager.reset_failed(&unit)?)
                }
                None => jobs.forget_failures(app),
            }
        })
    }
}
