//! Reloads in two parts: a canary that is started and kept, and what becomes of it. See [`Course`].

use clap::Args;

use super::apply::Prepared;
use super::context::Context;
use super::jobs::Jobs;
use super::kept;
use super::targets::{self, Target};
use crate::cluster::progress;
use crate::contract::Course;
use crate::generate;
use crate::output::{Exit, Failure};
use crate::state::{self, Lock};
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// The part of a reload that is wanted; all of it without a flag.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Part {
    /// Start one canary of the new version, and keep it until `--promote` or `--abort`
    #[arg(long)]
    canary_only: bool,
    /// Go on with a canary that `--canary-only` has started: replace the instances
    #[arg(long)]
    promote: bool,
    /// Drain and stop a canary that `--canary-only` has started
    #[arg(long)]
    abort: bool,
}

impl Part {
    /// The course that a flag asks for.
    pub(super) fn course(&self) -> Option<Course> {
        let flags = [
            (self.canary_only, Course::CanaryOnly),
            (self.promote, Course::Promote),
            (self.abort, Course::Abort),
        ];
        flags
            .into_iter()
            .find_map(|(is_on, course)| is_on.then_some(course))
    }
}

/// Has the walk of one app take this course.
pub(super) fn take(context: &mut Context<'_>, app: &str, course: Course) -> Result<(), Failure> {
    if generate::is_known_job(&context.layout, app) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{app}` is a job, which has no reload"),
        ));
    }
    let mut jobs = context.jobs()?;
    let _lock = lock(&jobs, app)?;
    let active = jobs.manager.unit(&Units::of(app).cluster())?.active;
    let refused = |message: String, help: String| Err(Failure::failed(message).help(help));
    match active {
        ActiveState::Active => {}
        ActiveState::Reloading => {
            return refused(
                format!("a reload of `{app}` is under way"),
                "try again when it has ended".to_owned(),
            );
        }
        _ => {
            return refused(
                format!("`{app}` is not active"),
                format!("run `rsgen start {app}`"),
            );
        }
    }
    if course == Course::CanaryOnly {
        kept::refuse(&mut jobs, app)?;
    } else if progress::kept(&jobs.layout.state(app)).is_empty() {
        return refused(
            format!("no canary of `{app}` is kept"),
            format!("run `rsgen reload {app} --canary-only`"),
        );
    }
    jobs.reload_by(app, Some(course))
}

/// Takes the lock of commands like this one. systemd runs the job of a second one after the first, whose walk has by then taken
/// the note of both: without a note, that job would replace all instances.
fn lock(jobs: &Jobs<'_>, app: &str) -> Result<Lock, Failure> {
    let folder = state::part(&jobs.layout.run, app);
    let taken = Lock::take(&folder);
    let taken = taken.map_err(|e| Failure::failed(format!("{}: {e}", folder.display())))?;
    taken.ok_or_else(|| {
        Failure::failed(format!(
            "another command has a part of a reload of `{app}` done"
        ))
        .help("try again when it has ended")
    })
}

/// Refuses a canary of new units: every other instance would run them from its next start on, and an abort could not take them back.
pub(super) fn refuse_changes(prepared: &Prepared) -> Result<(), Failure> {
    if prepared.all_changes().next().is_none() {
        return Ok(());
    }
    let app = &prepared.app;
    Err(Failure::failed(format!(
        "the units of `{app}` would change, and `--canary-only` is for new code with the same units; nothing was changed"
    ))
    .help(format!(
        "run `rsgen reload {app}`, which starts with a canary as well"
    )))
}

/// The apps among targets that name no file.
pub(super) fn apps(words: &[String], targets: Vec<Target>) -> Result<Vec<String>, Failure> {
    if let Some(file) = words.iter().find(|word| targets::is_file(word)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{file}` is a file, and a canary is kept of an app that is installed"),
        )
        .help("write the name of the app"));
    }
    let apps = targets.into_iter().filter_map(|target| match target {
        Target::App(app) => Some(app),
        Target::Instance(..) => None,
    });
    Ok(apps.collect())
}
