//! `rsgen pause`: lets the instances of an app exit while its port stays open, for a limited time.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::jobs::Jobs;
use super::kept;
use super::manual::{self, Manual};
use super::paused;
use super::subcommand::Subcommand;
use super::targets;
use super::writing::Writing;
use crate::cluster::pause::{self, LONGEST, Paused};
use crate::contract::time;
use crate::ecosystem::values::parse_time;
use crate::generate;
use crate::output::{Exit, Failure, Notice, Shown, Style, counted};
use crate::systemd::ActiveState;
use crate::unit::name::Units;
use crate::visible::Visible;

/// Let the instances of an app finish and exit while new connections wait, for a limited time
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
    /// The longest time, up to 10min; then the instances are started again, even if this command was interrupted
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = span)]
    time: Duration,
}

/// An app that is paused, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct AppPaused {
    pub(super) app: String,
    /// Whether the app was not paused before.
    pub(super) changed: bool,
    /// After how many seconds the pause ends by itself.
    pub(super) seconds: u64,
    /// The numbers of the instances that have ended for it.
    pub(super) instances: Vec<u32>,
    #[serde(skip)]
    pub(super) at: String,
}

impl Shown for AppPaused {
    fn shown(&self, _: Style) -> Option<Visible> {
        let Self { app, at, .. } = self;
        let left = time::rough(Duration::from_secs(self.seconds));
        let how = if self.changed {
            let count = u32::try_from(self.instances.len()).unwrap_or(u32::MAX);
            format!("paused, {} ended and connections wait", counted(count))
        } else {
            "is paused already".to_owned()
        };
        Some(Visible::line(&format!(
            "{app}: {how}; `rsgen resume {app}` ends the pause, which otherwise ends in {left}, at {at}"
        )))
    }
}

/// Reads the time of a pause.
fn span(text: &str) -> Result<Duration, String> {
    match parse_time(text) {
        Err(fault) => Err(format!("{}; {}", fault.message, fault.help)),
        Ok(time) if time < Duration::from_secs(1) => Err("write at least 1s".to_owned()),
        Ok(time) if time > LONGEST => Err(
            "write at most 10min: a client gives up after about two minutes when the queue is full; for longer, use `rsgen stop`"
                .to_owned(),
        ),
        Ok(time) => Ok(time),
    }
}

impl Subcommand for Pause {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen pause web --for 30s",
                "Lets each instance finish its requests and exit. New connections wait until `rsgen resume web`, for at most 30 s.",
            ),
            (
                "rsgen pause web",
                "Does the same, for at most 60 s. The next command, such as a database migration, runs while no instance uses the database.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        if generate::is_known_job(&context.layout, &app) {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{app}` is a job, and jobs cannot be paused"),
            )
            .help(format!(
                "`rsgen stop {app}` stops its timer, and `rsgen start {app}` starts it again"
            )));
        }
        context.require_permission("pause")?;
        let sink = context.sink;
        let mut jobs = context.jobs()?;
        let changed = begin(&mut jobs, &app, self.time)?;
        let now = jobs.manager.now();
        let paused = Paused::read(&jobs.layout.state(&app)).filter(|paused| !paused.is_asked());
        let paused = paused.ok_or_else(|| {
            Failure::failed(format!("the pause of `{app}` is over already"))
                .help(format!("run `rsgen history {app}`"))
        })?;
        let left = paused.until.saturating_sub(now);
        sink.answer(&AppPaused {
            changed,
            seconds: left.as_millis().div_ceil(1000).try_into().unwrap_or(0),
            instances: paused.numbers,
            at: paused::clock(left),
            app,
        });
        Ok(())
    }
}

/// Pauses the app, or gives a pause that it has another end. Returns whether it was not paused.
fn begin(jobs: &mut Jobs<'_>, app: &str, time: Duration) -> Result<bool, Failure> {
    let writing = Writing::begin(jobs, app)?;
    let is_paused = pause::unit(jobs.manager, app)?;
    if let Some(unit) = is_paused {
        if unit.active != ActiveState::Active || unit.job.is_some() {
            return Err(
                Failure::failed(format!("a pause of `{app}` is just beginning or ending"))
                    .help(format!("run `rsgen list {app}`, and this command again")),
            );
        }
        let state = jobs.layout.state(app);
        if let Some(mut paused) = Paused::read(&state) {
            let until = jobs.manager.now() + time;
            paused.until = until.min(paused.since + LONGEST);
            let written = paused.write(&state);
            written.map_err(|e| Failure::failed(format!("{}: {e}", state.display())))?;
        }
        return Ok(false);
    }
    kept::refuse(jobs, app)?;
    let cluster = jobs.manager.unit(&Units::of(app).cluster())?;
    if !cluster.is_ready() {
        return Err(Failure::failed(format!(
            "`{app}` is not active, so there is nothing to pause"
        ))
        .help(format!("run `rsgen start {app}`")));
    }
    let _asked = jobs.ask(app);
    jobs.sink.notice(&Notice::Noted(app, "pausing"));
    jobs.begin_pause(writing, app, time)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_neither_nothing_nor_endless() {
        for (text, time) in [("30s", Some(30)), ("10min", Some(600)), ("1s", Some(1))] {
            assert_eq!(span(text).ok(), time.map(Duration::from_secs), "{text}");
        }
        for text in ["0", "999ms", "601s", "soon", "30"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
