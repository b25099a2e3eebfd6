//! `rsgen scale`: adds instances to an app, or drains and stops the last ones. The others are not touched.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::apply::JsonChange;
use super::context::Context;
use super::jobs::{Jobs, LONGEST, TICK};
use super::kept;
use super::manual::{self, Manual};
use super::number::Number;
use super::resize;
use super::steps::{Scaling, Steps, refuse_to_stop_all, steps};
use super::subcommand::Subcommand;
use super::targets;
use super::writing::Writing;
use crate::generate;
use crate::journal::Happening;
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Shown, Style, counted};
use crate::plan::diff::Change;
use crate::record::Record;
use crate::state::{Entry, Lock, Name};
use crate::systemd::ActiveState;
use crate::unit::name::Units;
use crate::visible::Visible;

/// Add instances to an app or stop the last ones, leaving the others alone
#[derive(Debug, Args)]
pub(super) struct Scale {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
    /// How many instances: a number, `max` for one on each CPU, +2 for two more, -1 for one fewer
    #[arg(value_name = "N", allow_negative_numbers = true)]
    number: Number,
    /// Show what would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was done, or with `--dry-run` would be, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Scaled {
    /// Whether a file or a process has changed.
    pub(super) changed: bool,
    pub(super) dry_run: bool,
    pub(super) app: String,
    /// The number of instances that the app has now.
    pub(super) instances: u32,
    /// The number of instances that the app had.
    pub(super) before: u32,
    pub(super) changes: Vec<JsonChange>,
    pub(super) started: Vec<String>,
    pub(super) stopped: Vec<String>,
    #[serde(skip)]
    pub(super) is_up: bool,
}

impl Shown for Scaled {
    fn shown(&self, _: Style) -> Option<Visible> {
        let Self { app, .. } = self;
        let number = counted(self.instances);
        let text = if !self.changed {
            format!("nothing to do: {app} has {number}")
        } else if self.dry_run {
            let steps = [("start", &self.started), ("stop", &self.stopped)];
            let steps = steps.into_iter().filter(|(_, of)| !of.is_empty());
            let lines = steps.map(|(verb, of)| format!("{app}: would {verb} {}", of.join(", ")));
            lines.collect::<Vec<_>>().join("\n")
        } else if self.is_up {
            format!("{app}: {number}")
        } else {
            format!("{app}: {number} from its next start on; it is not active")
        };
        (!text.is_empty()).then(|| Visible::lines(&text))
    }
}

impl Subcommand for Scale {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen scale web 8",
                "Brings an app with four instances to eight: starts four more.",
            ),
            (
                "rsgen scale web +2",
                "Starts two more instances than there are.",
            ),
            (
                "rsgen scale web -1",
                "Drains and stops the instance with the highest number.",
            ),
            (
                "rsgen scale web max",
                "Brings the app to one instance for each CPU, also after a boot with more or fewer of them.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        refuse_job(&context.layout, &app)?;
        if !self.dry_run {
            context.require_permission("scale")?;
        }
        let cpus = context.host.cpus;
        let locks = if self.dry_run {
            None
        } else {
            let mut jobs = context.jobs()?;
            let lock = lock(&mut jobs, &app)?;
            Some((lock, Writing::begin(&mut jobs, &app)?))
        };
        // Read under the locks, because another command may have scaled or installed the app meanwhile.
        let from = targets::size(&context.layout, cpus, &app)
            .ok_or_else(|| Failure::failed(format!("the file of `{app}` cannot be read")))?;
        let wanted = self.number.of(&app, from)?;
        let changes = resize::resize(&context.layout, cpus, &app, wanted)?;
        let to = wanted.resolve(cpus);
        let mark = Entry::new(&context.layout.state(&app), Name::Scaling);
        let scaling = Scaling {
            app: &app,
            from,
            to,
            known: unfinished(&mark).map_or(from, |number| from.min(number)),
        };
        let steps = if let Some((lock, writing)) = locks {
            let mut jobs = context.jobs()?;
            let steps = carry_out(&mut jobs, scaling, &changes, lock, writing)?;
            // Usually there is none, since nothing had to be done.
            let _ = mark.remove();
            steps
        } else {
            let steps = context
                .jobs()
                .and_then(|mut jobs| steps(&mut jobs, scaling));
            for change in &changes {
                context.sink.notice(&Notice::Diff(change));
            }
            steps.unwrap_or_default()
        };
        let names = |numbers: &[u32]| numbers.iter().map(|n| format!("{app}@{n}")).collect();
        context.sink.answer(&Scaled {
            changed: !changes.is_empty() || !steps.is_empty(),
            dry_run: self.dry_run,
            instances: to,
            before: from,
            changes: JsonChange::each(&changes, self.dry_run),
            started: names(&steps.start),
            stopped: names(&steps.stop),
            is_up: steps.is_up,
            app: app.clone(),
        });
        Ok(())
    }
}

/// Returns the number of instances before a command that has not done its work.
fn unfinished(mark: &Entry) -> Option<u32> {
    mark.read().ok()?.trim().parse().ok()
}

/// Scales the app and tells the journal. Returns what was done.
fn carry_out(
    jobs: &mut Jobs<'_>,
    scaling: Scaling<'_>,
    changes: &[Change],
    lock: Lock,
    writing: Writing,
) -> Result<Steps, Failure> {
    let begun = Instant::now();
    let (steps, is_walking, done) = scale(jobs, scaling, changes, writing)?;
    drop(lock);
    let done = if is_walking {
        // What has failed is tried once more.
        outlast_walk(jobs, scaling)
    } else {
        done
    };
    if !changes.is_empty() || !steps.is_empty() {
        record(jobs, scaling, begun.elapsed(), &done);
    }
    done.map(|()| steps)
}

/// Tells the journal.
fn record(jobs: &Jobs<'_>, scaling: Scaling<'_>, took: Duration, done: &Result<(), Failure>) {
    let Scaling { app, from, to, .. } = scaling;
    let why = done
        .as_ref()
        .err()
        .map(|e| format!(" failed: {}", e.message));
    let text = format!(
        "scale from {from} to {}{}",
        counted(to),
        why.unwrap_or_default()
    );
    jobs.record(
        app,
        &Record {
            is_failed: done.is_err(),
            took: Some(took),
            change: Some((from.to_string(), to.to_string())),
            ..Record::new(Happening::Scaled, &text)
        },
    );
}

fn refuse_job(layout: &Layout, app: &str) -> Result<(), Failure> {
    if !generate::is_known_job(layout, app) {
        return Ok(());
    }
    let file = layout.file(app);
    let message = format!("`{app}` is a job, and its instances run only when it does");
    Err(Failure::new(Exit::Usage, message).help(format!(
        "write `instances` into its file, and run `rsgen install {}`",
        file.display()
    )))
}

/// Takes the lock of the app's walks. A walk that runs is waited for.
fn lock(jobs: &mut Jobs<'_>, app: &str) -> Result<Lock, Failure> {
    let folder = jobs.layout.state(app);
    jobs.outlast_reload(app, |_| {
        let taken = Lock::take(&folder);
        taken.map_err(|e| Failure::failed(format!("{}: {e}", folder.display())))
    })
}

/// Writes the files, and starts and stops instances. Returns these, whether a walk has been waiting for the lock since before systemd
/// read the files, and whether the instances did as they were told. Such a walk knows only the number before, however this ends.
fn scale(
    jobs: &mut Jobs<'_>,
    scaling: Scaling<'_>,
    changes: &[Change],
    writing: Writing,
) -> Result<(Steps, bool, Result<(), Failure>), Failure> {
    let Scaling {
        app,
        from,
        to,
        known,
    } = scaling;
    kept::refuse(jobs, app)?;
    let planned = steps(jobs, scaling)?;
    refuse_to_stop_all(jobs, scaling, &planned)?;
    if changes.is_empty() && planned.is_empty() {
        return Ok((planned, false, Ok(())));
    }
    for change in changes {
        jobs.sink.notice(&Notice::Changed(change));
    }
    let mark = Entry::new(&jobs.layout.state(app), Name::Scaling);
    mark.write(&known.to_string())
        .map_err(|e| Failure::failed(format!("{}: {e}", mark.path().display())))?;
    // A command that was killed may have written the files, and no more.
    writing.write(jobs, changes)?;
    // A canary that a killed walk has left is stopped below, or is one of the wanted from now on. Usually there is none.
    let _ = Entry::new(&jobs.layout.state(app), Name::Canary).remove();
    let cluster = jobs.manager.unit(&Units::of(app).cluster())?;
    let is_walking = cluster.active == ActiveState::Reloading;
    if !planned.is_empty() && from != to {
        jobs.sink.notice(&Notice::Scaling(app, from, to));
    }
    let stopped = jobs.stop_instances(app, &planned.stop);
    let done = stopped.and_then(|()| jobs.start_instances(app, &planned.start));
    Ok((planned, is_walking, done))
}

/// Waits for the end of a walk that brings the app back to the number before, and repeats what it has undone.
fn outlast_walk(jobs: &mut Jobs<'_>, scaling: Scaling<'_>) -> Result<(), Failure> {
    let cluster = Units::of(scaling.app).cluster();
    let end = jobs.manager.now() + LONGEST;
    jobs.sink.notice(&Notice::Waiting(
        scaling.app,
        "waiting for a reload that was asked for before",
    ));
    while jobs.manager.unit(&cluster)?.active == ActiveState::Reloading && jobs.manager.now() < end
    {
        jobs.manager.pause(TICK);
    }
    let _lock = lock(jobs, scaling.app)?;
    let undone = steps(jobs, scaling)?;
    jobs.stop_instances(scaling.app, &undone.stop)?;
    jobs.start_instances(scaling.app, &undone.start)
}
