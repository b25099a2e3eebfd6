//! `rsgen resume`: ends the pause of an app.

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::manual::{self, Manual};
use super::remote::{self, Remote};
use super::subcommand::Subcommand;
use super::targets;
use crate::cluster::pause::{self, Paused};
use crate::output::{Failure, Shown, Style, counted};
use crate::unit::name::Units;
use crate::visible::Visible;

/// End the pause of an app: start its instances again, which accept the waiting connections
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
}

/// An app that is not paused any more, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Resumed {
    pub(super) app: String,
    /// Whether the app was paused.
    pub(super) changed: bool,
    /// The numbers of the instances that were started.
    pub(super) instances: Vec<u32>,
}

impl Shown for Resumed {
    fn shown(&self, _: Style) -> Option<Visible> {
        let app = &self.app;
        let count = u32::try_from(self.instances.len()).unwrap_or(u32::MAX);
        let text = if self.changed {
            format!("{app}: resumed, {} started", counted(count))
        } else {
            format!("nothing to do: {app} is not paused")
        };
        Some(Visible::line(&text))
    }
}

impl Subcommand for Resume {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[(
            "rsgen resume web",
            "Starts the instances again that `rsgen pause web` has ended, and waits until they serve.",
        )],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        context.require_permission("resume")?;
        let sink = context.sink;
        let mut jobs = context.jobs()?;
        let paused = Paused::read(&jobs.layout.state(&app));
        let changed = pause::unit(jobs.manager, &app)?.is_some();
        let instances = paused.filter(|_| changed).map(|paused| paused.numbers);
        let instances = instances.unwrap_or_default();
        if changed {
            let _asked = jobs.ask(&app);
            jobs.end_pause(&app)?;
            jobs.manager.reset_failed(&Units::of(&app).pause())?;
            jobs.serve(&app, Some(&instances))?;
        }
        sink.answer(&Resumed {
            app,
            changed,
            instances,
        });
        Ok(())
    }
    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        let resumed = remote::resume(remote, &self.app)?;
        remote.sink.answer(&resumed);
        Ok(())
    }
}
