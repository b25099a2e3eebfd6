//! `rsgen scale`: adds instances to an app, or drains and stops the last ones. The others are not touched.

use std::time::{Duration, Instant};

use clap::Args;

use super::apply::JsonChange;
use super::by_unit;
use super::context::Context;
use super::jobs::{Jobs, LONGEST};
use super::kept;
use super::manual::{self, Manual};
use super::number::Number;
use super::remote::{self, Remote};
use super::resize;
use super::scaled::{Refused, Scaled, refuse_job};
use super::steps::{Scaling, Steps, refuse_to_stop_all, steps};
use super::subcommand::Subcommand;
use super::targets;
use super::waiting::{TICK, Waiting};
use super::writing::Writing;
use crate::journal::Happening;
use crate::output::{Failure, Notice, counted};
use crate::plan::diff::Change;
use crate::record::Record;
use crate::state::{Entry, Lock, Name};
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// Add instances to an app or stop the last ones, without touching the others
#[derive(Debug, Args)]
pub(super) struct Scale {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
    /// The number of instances: a number, `max` for one per CPU, +2 for two more, -1 for one fewer
    #[arg(value_name = "N", allow_negative_numbers = true)]
    number: Number,
    /// Show what would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
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
                "Brings the app to one instance per CPU, even if a later boot has more or fewer CPUs.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        let scaled = match context.require_permission("scale") {
            Err(refused) if !self.dry_run => by_unit::scale(context, &app, self.number, refused),
            _ => to(context, &app, (self.number, None), self.dry_run).map_err(Refused::failure),
        };
        context.sink.answer(&scaled?);
        Ok(())
    }

    /// The differences of files are known to whoever reads them.
    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        if self.dry_run {
            return Err(remote.refuse_option("`--dry-run`"));
        }
        let scaled = remote::scale(remote, &self.app, self.number)?;
        remote.sink.answer(&scaled);
        Ok(())
    }
}

/// Brings an app to this number of instances, or with `dry_run` shows what that would change. With a second number, only an app that has so
/// many by then.
pub(super) fn to(
    context: &mut Context<'_>,
    app: &str,
    (number, only_from): (Number, Option<u32>),
    dry_run: bool,
) -> Result<Scaled, Refused> {
    refuse_job(&context.layout, app)?;
    let cpus = context.host.cpus;
    let locks = if dry_run {
        None
    } else {
        let mut jobs = context.jobs()?;
        let lock = lock(&mut jobs, app)?;
        Some((lock, Writing::begin(&mut jobs, app)?))
    };
    // Read under the locks, because another command may have scaled or installed the app meanwhile.
    let from = targets::size(&context.layout, cpus, app)
        .ok_or_else(|| Failure::failed(format!("the file of `{app}` cannot be read")))?;
    if only_from.is_some_and(|only| only != from) {
        return Err(Refused::Moved(from));
    }
    let wanted = number.of(app, from)?;
    let changes = resize::resize(&context.layout, cpus, app, wanted)?;
    let to = wanted.resolve(cpus);
    let mark = Entry::new(&context.layout.state(app), Name::Scaling);
    let scaling = Scaling {
        app,
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
    Ok(Scaled {
        changed: !changes.is_empty() || !steps.is_empty(),
        dry_run,
        instances: to,
        before: from,
        changes: JsonChange::each(&changes, dry_run),
        started: names(&steps.start),
        stopped: names(&steps.stop),
        is_up: steps.is_up,
        app: app.to_owned(),
    })
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
    let mark = Entry::new(&jobs.layout.state(app), Name::Scaling);
    mark.write(&known.to_string())
        .map_err(|e| Failure::failed(format!("{}: {e}", mark.path().display())))?;
    // A command that was killed may have written the files, and no more.
    writing.write(jobs, changes)?;
    for change in changes {
        jobs.sink.notice(&Notice::Changed(change));
    }
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
        "waiting for a reload that was requested earlier",
    ));
    let mut waiting = Waiting::begin(jobs.sink);
    while jobs.manager.unit(&cluster)?.active == ActiveState::Reloading && jobs.manager.now() < end
    {
        jobs.manager.pause(TICK);
        waiting.tell(jobs.manager, jobs.sink, Some(jobs.layout), &cluster);
    }
    let _lock = lock(jobs, scaling.app)?;
    let undone = steps(jobs, scaling)?;
    jobs.stop_instances(scaling.app, &undone.stop)?;
    jobs.start_instances(scaling.app, &undone.start)
}
