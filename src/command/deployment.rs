//! From the files of apps to their processes, for `install`, `deploy` and `reload`: writes what changes, then starts or reloads
//! what has to be.

use serde::Serialize;

use super::apply::{self, JsonChange, Prepared, Timer};
use super::hint;
use super::jobs::Jobs;
use super::state;
use crate::layout::Scope;
use crate::output::{Failure, Notice, Shown, Style};
use crate::plan::diff::{Change, Content};
use crate::systemd::{ActiveState, Verb};
use crate::unit::name::Units;
use crate::visible::Visible;

/// The state that a deployment leaves the instances in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The instances are what the files say: one that is already is not touched.
    Current,
    /// Every instance is a new process.
    Fresh,
}

/// The action that brings the processes of an app to its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The instances are what the files say.
    Nothing,
    /// The app is not active, or some of its instances have failed.
    Start,
    /// The instances are of another version, or some of them may be.
    Reload,
    /// The timer of the app, which somebody has stopped, is to run.
    Arm,
}

/// The result of a deployment, or with `--dry-run` the expected one, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// Whether a file or a process is not what it was.
    changed: bool,
    dry_run: bool,
    changes: Vec<JsonChange>,
    pub(super) apps: Vec<String>,
    /// The apps that were not active.
    pub(super) started: Vec<String>,
    /// The apps whose instances were replaced one by one.
    reloaded: Vec<String>,
    /// The apps whose timer was started, and nothing else.
    #[serde(skip)]
    armed: Vec<String>,
    /// The apps that last, which new code needs a reload for.
    #[serde(skip)]
    lasting: Vec<String>,
    #[serde(skip)]
    scope: Scope,
}

impl Outcome {
    fn new(prepared: &[Prepared], actions: &[Action], dry_run: bool, scope: Scope) -> Self {
        let names = |wanted: Action| {
            let with = prepared.iter().zip(actions).filter(|(_, a)| **a == wanted);
            with.map(|(p, _)| p.app.clone()).collect()
        };
        let changes = prepared.iter().flat_map(|p| &p.changes);
        Self {
            changed: prepared.iter().any(|p| !p.changes.is_empty())
                || actions.iter().any(|a| *a != Action::Nothing),
            dry_run,
            changes: changes.map(|c| JsonChange::new(c, dry_run)).collect(),
            apps: prepared.iter().map(|p| p.app.clone()).collect(),
            started: names(Action::Start),
            reloaded: names(Action::Reload),
            armed: names(Action::Arm),
            lasting: prepared
                .iter()
                .filter(|p| !p.is_job)
                .map(|p| p.app.clone())
                .collect(),
            scope,
        }
    }
}

impl Shown for Outcome {
    fn shown(&self, _: Style) -> Option<Visible> {
        if !self.changed {
            let apps = self.lasting.join(" ");
            let text = match apps.as_str() {
                // The next run of a job is of the new code.
                "" => "nothing to do".to_owned(),
                apps => format!("nothing to do; for new code, run `rsgen reload {apps}`"),
            };
            return Some(hint::for_manager(self.scope, &text).into());
        }
        // A notice has told each step while it was done.
        if !self.dry_run {
            return None;
        }
        let started = self.started.iter().map(|app| format!("{app}: would start"));
        let reloaded = self
            .reloaded
            .iter()
            .map(|app| format!("{app}: would reload"));
        let armed = self
            .armed
            .iter()
            .map(|app| format!("{app}: would start the timer"));
        let lines: Vec<String> = started.chain(reloaded).chain(armed).collect();
        (!lines.is_empty()).then(|| Visible::lines(&lines.join("\n")))
    }
}

/// What became of each app of a deployment, in their order.
pub(super) struct Deployed(Vec<Result<Action, Failure>>);

impl Deployed {
    pub(super) fn is_any_failed(&self) -> bool {
        self.0.iter().any(Result::is_err)
    }

    /// The app at `index` was deployed once more, alone.
    pub(super) fn replace(&mut self, index: usize, mut again: Self) {
        if let (Some(before), Some(now)) = (self.0.get_mut(index), again.0.pop()) {
            *before = now;
        }
    }

    /// The result of the whole, which has failed if one of the apps has.
    pub(super) fn outcome(self, prepared: &[Prepared], scope: Scope) -> Result<Outcome, Failure> {
        let mut actions = Vec::new();
        let mut failures = Vec::new();
        for end in self.0 {
            match end {
                Ok(action) => actions.push(action),
                Err(failure) => failures.push(failure),
            }
        }
        match Failure::of_several(failures, prepared.len()) {
            None => Ok(Outcome::new(prepared, &actions, false, scope)),
            Some(failure) => Err(failure),
        }
    }
}

/// Writes the changes of all apps, all or none, and then brings their instances to the goal, one app after the other.
pub(super) fn deploy(
    jobs: &mut Jobs<'_>,
    prepared: &[Prepared],
    goal: Goal,
) -> Result<Outcome, Failure> {
    let scope = jobs.layout.scope;
    each(jobs, prepared, goal)?.outcome(prepared, scope)
}

/// The same as [`deploy`], with what became of each app.
pub(super) fn each(
    jobs: &mut Jobs<'_>,
    prepared: &[Prepared],
    goal: Goal,
) -> Result<Deployed, Failure> {
    for other in prepared.iter().filter(|p| p.is_of_another_kind) {
        jobs.stop(&other.app)?;
        state::forget_deaths(jobs.layout, &other.app, None);
    }
    for moved in prepared.iter().filter(|p| p.readdressed.is_some()) {
        let units = Units::of(&moved.app);
        jobs.run(Verb::Stop, &units.cluster())?;
        for socket in units.sockets() {
            jobs.run(Verb::Stop, &socket)?;
        }
        jobs.close_listeners(&moved.app)?;
    }
    // A timer whose file is gone would stay loaded.
    for ended in prepared.iter().filter(|p| p.timer == Timer::Stop) {
        jobs.stop_timer(&ended.app)?;
    }
    let changes: Vec<Change> = prepared.iter().flat_map(|p| p.changes.clone()).collect();
    if !changes.is_empty() {
        apply::write(jobs.manager, &changes)?;
    } else if goal == Goal::Fresh {
        // A file that is not pinned takes effect through the generator, which systemd runs now.
        jobs.manager.daemon_reload()?;
    }
    // An app that fails does not keep the others from what their files, which are written by now, say.
    let ends = prepared.iter().map(|p| bring_up(jobs, p, goal));
    Ok(Deployed(ends.collect()))
}

/// Brings the instances of one app to the goal.
fn bring_up(jobs: &mut Jobs<'_>, prepared: &Prepared, goal: Goal) -> Result<Action, Failure> {
    let action = needed(jobs, prepared, goal)?;
    match action {
        Action::Nothing | Action::Arm => schedule(jobs, prepared)?,
        Action::Start => {
            make_anew(jobs, prepared)?;
            let started = jobs.start(&prepared.app);
            schedule(jobs, prepared)?;
            started?;
        }
        Action::Reload => {
            jobs.reload(&prepared.app)
                .map_err(|failure| keep_old(jobs, prepared, failure))?;
            schedule(jobs, prepared)?;
        }
    }
    follow_watch(jobs, prepared, action)?;
    Ok(action)
}

/// Starts, restarts or stops the watch unit if it changed: a reload of the app leaves the unit as it is.
fn follow_watch(jobs: &mut Jobs<'_>, prepared: &Prepared, done: Action) -> Result<(), Failure> {
    let watch = Units::of(&prepared.app).watch();
    let mut units = prepared.changes.iter().filter(|c| c.path.ends_with(&watch));
    match units.find(|change| {
        matches!(
            change.new.as_ref().or(change.old.as_ref()),
            Some(Content::File(_))
        )
    }) {
        Some(change) if change.new.is_none() => jobs.run(Verb::Stop, &watch),
        Some(_) if done != Action::Start => jobs.run(Verb::Restart, &watch),
        _ => Ok(()),
    }
}

/// Stops a socket unit whose file is gone, so that the start makes the file again. Programs remove the file of their socket.
fn make_anew(jobs: &mut Jobs<'_>, prepared: &Prepared) -> Result<(), Failure> {
    if prepared.socket_files.iter().all(|file| file.exists()) {
        return Ok(());
    }
    for socket in Units::of(&prepared.app).sockets() {
        if jobs.manager.unit(&socket)?.active == ActiveState::Active {
            jobs.run(Verb::Stop, &socket)?;
        }
    }
    Ok(())
}

/// The outcome that [`deploy`] would have. Without a systemd to ask, as when an image is built, only the changes of the files
/// are known.
pub(super) fn foresee(
    jobs: Option<&mut Jobs<'_>>,
    prepared: &[Prepared],
    goal: Goal,
    scope: Scope,
) -> Result<Outcome, Failure> {
    let mut actions = Vec::new();
    if let Some(jobs) = jobs {
        for prepared in prepared {
            actions.push(needed(jobs, prepared, goal)?);
        }
    }
    Ok(Outcome::new(prepared, &actions, true, scope))
}

fn needed(jobs: &mut Jobs<'_>, prepared: &Prepared, goal: Goal) -> Result<Action, Failure> {
    let action = of_instances(jobs, prepared, goal)?;
    let timer = Units::of(&prepared.app).timer();
    let is_stopped = action == Action::Nothing
        && prepared.timer == Timer::Runs
        && !jobs.manager.unit(&timer)?.is_ready();
    Ok(if is_stopped { Action::Arm } else { action })
}

fn of_instances(jobs: &mut Jobs<'_>, prepared: &Prepared, goal: Goal) -> Result<Action, Failure> {
    // The next run of a job is of the new version. One that is under way is left alone.
    if prepared.is_job {
        return Ok(Action::Nothing);
    }
    let unit = jobs.manager.unit(&Units::of(&prepared.app).cluster())?;
    let is_up = matches!(unit.active, ActiveState::Active | ActiveState::Reloading);
    if !is_up || prepared.readdressed.is_some() {
        return Ok(Action::Start);
    }
    // Files that are already there do not mean that every instance has them: a walk may have stopped half-way.
    let changes = &prepared.changes;
    let is_current = (changes.is_empty()
        || apply::leaves_instances(jobs.layout, &prepared.app, changes))
        && !state::is_half_walked(jobs.layout, &prepared.app, unit.active_for());
    if goal == Goal::Fresh || !is_current {
        return Ok(Action::Reload);
    }
    // A start of what is active starts those of its instances that are not.
    Ok(if jobs.is_whole(&prepared.app)? {
        Action::Nothing
    } else {
        Action::Start
    })
}

/// Brings the timer of an app to its file. systemd reckons the next time anew when a timer is started.
fn schedule(jobs: &mut Jobs<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let timer = Units::of(&prepared.app).timer();
    match prepared.timer {
        Timer::None | Timer::Stop => Ok(()),
        Timer::Restart => jobs.run(Verb::Restart, &timer),
        Timer::Runs if jobs.manager.unit(&timer)?.is_ready() => Ok(()),
        Timer::Runs => jobs.run(Verb::Start, &timer),
    }
}

/// After a walk that touched no instance, puts the old units back, so that a restart runs the old version.
fn keep_old(jobs: &mut Jobs<'_>, prepared: &Prepared, failure: Failure) -> Failure {
    if prepared.changes.is_empty() || !failure.untouched {
        return failure;
    }
    match apply::roll_back(jobs.manager, &prepared.changes) {
        Ok(()) => {
            jobs.sink.notice(&Notice::PutBack(&prepared.app));
            if prepared.timer == Timer::Stop {
                // Should that fail, the next boot starts the timer: its link is there again.
                let _ = jobs.run(Verb::Start, &Units::of(&prepared.app).timer());
            }
            failure
        }
        Err(e) => failure.help(format!(
            "the old units could not be put back: {}",
            e.message
        )),
    }
}
