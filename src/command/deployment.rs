//! Brings the processes of apps in line with their files, for `install`, `deploy` and `reload`: writes the changed
//! files, then starts or reloads the apps that need it.

use std::time::Instant;

use super::apply::{self, Prepared, Timer};
use super::half_open;
use super::jobs::Jobs;
use super::kept;
use super::outcome::{Action, Deployed, Outcome};
use super::passage::{self, Crossing};
use super::released;
use super::state;
use super::uninstall;
use super::writing::{self, Writing};
use crate::cluster::asked::Wish;
use crate::cluster::{pause, progress};
use crate::generate::{self, files};
use crate::layout::Scope;
use crate::output::{Failure, Notice};
use crate::plan::diff::{Change, Content};
use crate::systemd::{ActiveState, Verb};
use crate::unit::name::Units;

/// The state that a deployment brings the instances to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The instances run what the files say; those that already do are left alone, and others are replaced as it is wished.
    Current(Wish),
    /// Every instance is a new process; those of an app that serves are replaced as it is wished.
    Fresh(Wish),
}

impl Goal {
    /// The instances run what the files say, at the pace that those say.
    pub(super) const CURRENT: Self = Self::Current(Wish::NONE);
}

/// Writes the changes of all apps, all or none, and then brings the instances of one app after the other to the goal.
pub(super) fn deploy(
    jobs: &mut Jobs<'_>,
    prepared: &[Prepared],
    goal: Goal,
) -> Result<Outcome, Failure> {
    let scope = jobs.layout.scope;
    each(jobs, prepared, goal)?.outcome(prepared, scope)
}

/// Does the same as [`deploy`], and returns the result of each app.
pub(super) fn each(
    jobs: &mut Jobs<'_>,
    prepared: &[Prepared],
    goal: Goal,
) -> Result<Deployed, Failure> {
    for app in prepared {
        // During a pause, clients wait at the addresses that an app leaves.
        if app.readdressed.is_some() || app.is_of_another_kind {
            kept::refuse_paused(jobs, &app.app)?;
        }
        let is_kept = !progress::kept(&jobs.layout.state(&app.app)).is_empty();
        let is_held = is_kept || pause::unit(jobs.manager, &app.app)?.is_some();
        if is_held && needed(jobs, app, goal)? == Action::Reload {
            kept::refuse(jobs, &app.app)?;
        }
    }
    let was_open = prepared.iter().map(|p| half_open::is_open(jobs, &p.app));
    let was_open = was_open.collect::<Result<Vec<_>, _>>()?;
    let changes: Vec<Change> = prepared.iter().flat_map(|p| p.changes.clone()).collect();
    let writing = match prepared.first() {
        Some(first) if !changes.is_empty() => Some(Writing::begin(jobs, &first.app)?),
        _ => None,
    };
    for app in prepared {
        released::before(jobs, app, writing.as_ref());
    }
    // Before anything is stopped for the sake of these changes.
    writing::compare(&changes)?;
    stop_first(jobs, prepared)?;
    open_all(jobs, prepared)?;
    stop_timers(jobs, prepared)?;
    if let Some(writing) = writing {
        let written = writing.write(jobs, &changes);
        if let Err(failure) = written {
            close_all(jobs, prepared)?;
            return Err(failure);
        }
        for prepared in prepared {
            forget_joins(jobs, prepared)?;
        }
    } else if matches!(goal, Goal::Fresh(_)) && must_reread(jobs, prepared) {
        jobs.manager.daemon_reload()?;
        jobs.is_reread.set(true);
    }
    // An app that fails does not keep the others from what their files, which are written by now, say.
    let ends = prepared.iter().zip(was_open).map(|(p, was_open)| {
        let begun = Instant::now();
        let end = make_room(jobs, p).and_then(|()| bring_up(jobs, p, goal));
        let told = end.as_ref().map(|action| action.word());
        jobs.record_deployment(p, begun.elapsed(), told);
        if end.is_ok() {
            released::after(jobs, &p.app);
        }
        end.map_err(|failure| {
            if was_open {
                failure
            } else {
                half_open::close(jobs, &p.app, failure)
            }
        })
    });
    Ok(Deployed(ends.collect()))
}

/// Whether systemd has to read files that others may have written. Drop-ins are read once for a command, so that it does not take the longer
/// for each of its apps the more apps there are. A file that is not pinned takes effect through the generator, which a daemon-reload runs.
fn must_reread(jobs: &Jobs<'_>, prepared: &[Prepared]) -> bool {
    let is_generated = |p: &Prepared| generate::pinned(jobs.layout, &p.app).is_none();
    !jobs.is_reread.get() || prepared.iter().any(is_generated)
}

/// Removes the apps whose addresses an app needs. Two apps may need those of one, which is gone by the second.
fn make_room(jobs: &mut Jobs<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let is_there = |app: &&String| files::content(&jobs.layout.file(app)).is_some();
    let replaced: Vec<_> = prepared.replaces.iter().filter(is_there).collect();
    let mut replaced = replaced.into_iter();
    replaced.try_for_each(|app| uninstall::remove_unchanged(jobs, app))
}

/// Stops what cannot run beside what the files say now.
fn stop_first(jobs: &mut Jobs<'_>, prepared: &[Prepared]) -> Result<(), Failure> {
    for other in prepared.iter().filter(|p| p.is_of_another_kind) {
        jobs.stop(&other.app)?;
        state::forget_deaths(jobs.layout, &other.app, None);
    }
    for moved in prepared.iter().filter(|p| p.readdressed.is_some()) {
        let _asked = jobs.ask(&moved.app);
        jobs.run(Verb::Stop, &Units::of(&moved.app).cluster())?;
        for socket in jobs.sockets(&moved.app)? {
            jobs.run(Verb::Stop, &socket)?;
        }
        jobs.close_listeners(&moved.app)?;
    }
    Ok(())
}

/// Stops the timers that no longer have a file: they would stay loaded and keep running.
fn stop_timers(jobs: &mut Jobs<'_>, prepared: &[Prepared]) -> Result<(), Failure> {
    for ended in prepared.iter().filter(|p| p.timer == Timer::Stop) {
        jobs.stop_timer(&ended.app)?;
    }
    for timer in prepared.iter().filter_map(ended_recycling) {
        jobs.run(Verb::Stop, &timer)?;
    }
    Ok(())
}

/// Opens the addresses that apps are given while they serve. Where one cannot be opened, none stays open.
fn open_all(jobs: &mut Jobs<'_>, prepared: &[Prepared]) -> Result<(), Failure> {
    for p in prepared {
        match &p.crossing {
            None => passage::tidy(jobs, &p.app)?,
            Some(crossing) => {
                if let Err(failure) = passage::open(jobs, &p.app, crossing) {
                    close_all(jobs, prepared)?;
                    return Err(failure);
                }
            }
        }
    }
    Ok(())
}

/// Closes them again.
fn close_all(jobs: &mut Jobs<'_>, prepared: &[Prepared]) -> Result<(), Failure> {
    prepared
        .iter()
        .filter(|p| p.crossing.is_some())
        .try_for_each(|p| passage::tidy(jobs, &p.app))
}

/// Has systemd forget the units that failed to join a balance which the app does not have any more. It remembers a unit that has
/// failed though its files are gone.
fn forget_joins(jobs: &mut Jobs<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let units = Units::of(&prepared.app);
    let is_template = |c: &&Change| c.new.is_none() && c.path.ends_with(units.join_template());
    if prepared.changes.iter().any(|c| is_template(&c)) {
        for unit in jobs.manager.units(&units.joins())? {
            jobs.manager.reset_failed(&unit.name)?;
        }
    }
    Ok(())
}

/// Brings the instances of one app to the goal.
fn bring_up(jobs: &mut Jobs<'_>, prepared: &Prepared, goal: Goal) -> Result<Action, Failure> {
    let action = needed(jobs, prepared, goal)?;
    match action {
        Action::Nothing | Action::Arm => schedule(jobs, prepared)?,
        Action::Start | Action::Mend { .. } => {
            make_anew(jobs, prepared)?;
            let started = jobs.start(&prepared.app);
            schedule(jobs, prepared)?;
            started?;
            // The start of an app that is down stops them by itself.
            if action == (Action::Mend { has_surplus: true }) {
                jobs.stop_surplus(prepared)?;
            }
        }
        Action::Trim => {
            schedule(jobs, prepared)?;
            jobs.stop_surplus(prepared)?;
        }
        Action::Reload => {
            let (Goal::Fresh(wish) | Goal::Current(wish)) = goal;
            jobs.reload(&prepared.app, wish)
                .map_err(|failure| keep_old(jobs, prepared, failure))?;
            schedule(jobs, prepared)?;
        }
    }
    if let Some(crossing) = &prepared.crossing {
        passage::close(jobs, &prepared.app, crossing)?;
    }
    follow_beside(jobs, prepared, action)?;
    Ok(action)
}

/// Starts, restarts or stops the watch unit and the timer of the recycling if they have changed, because a reload of the app does
/// not touch them.
fn follow_beside(jobs: &mut Jobs<'_>, prepared: &Prepared, done: Action) -> Result<(), Failure> {
    let units = Units::of(&prepared.app);
    for unit in [units.watch(), units.recycle_timer()] {
        match change_of(prepared, &unit) {
            // That of the timer was stopped before its file went.
            Some(change) if change.new.is_none() && unit == units.watch() => {
                jobs.run(Verb::Stop, &unit)?;
            }
            Some(change) if change.new.is_some() && done != Action::Start => {
                jobs.run(Verb::Restart, &unit)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The change of the file of a unit. A link to that file is not such a change.
fn change_of<'a>(prepared: &'a Prepared, unit: &str) -> Option<&'a Change> {
    let is_file = |change: &&Change| {
        let content = change.new.as_ref().or(change.old.as_ref());
        change.path.ends_with(unit) && matches!(content, Some(Content::File(_)))
    };
    prepared.changes.iter().find(is_file)
}

/// The timer of the recycling, if the app has it no more.
fn ended_recycling(prepared: &Prepared) -> Option<String> {
    let timer = Units::of(&prepared.app).recycle_timer();
    let change = change_of(prepared, &timer)?;
    change.new.is_none().then_some(timer)
}

/// Stops a socket unit whose socket file was removed, as some programs do with theirs, so that the start creates the
/// file again.
fn make_anew(jobs: &mut Jobs<'_>, prepared: &Prepared) -> Result<(), Failure> {
    if prepared.socket_files.iter().all(|file| file.exists()) {
        return Ok(());
    }
    for socket in jobs.sockets(&prepared.app)? {
        if jobs.manager.unit(&socket)?.active == ActiveState::Active {
            jobs.run(Verb::Stop, &socket)?;
        }
    }
    Ok(())
}

/// The outcome that [`deploy`] would have, also for apps whose address is not known yet. Without a systemd to ask, as when an
/// image is built, only the changes of the files are known.
pub(super) fn foresee(
    mut jobs: Option<Jobs<'_>>,
    prepared: &[Prepared],
    unlocated: Vec<String>,
    goal: Goal,
    scope: Scope,
) -> Result<Outcome, Failure> {
    let mut actions = Vec::new();
    if let Some(jobs) = &mut jobs {
        for prepared in prepared {
            actions.push(needed(jobs, prepared, goal)?);
        }
    }
    let mut outcome = Outcome::new(prepared, &actions, true, scope);
    for app in &unlocated {
        outcome.changed = true;
        outcome.apps.push(app.clone());
        let cluster = jobs
            .as_mut()
            .map(|jobs| jobs.manager.unit(&Units::of(app).cluster()));
        match cluster.transpose()?.map(|cluster| cluster.is_ready()) {
            Some(true) => outcome.reloaded.push(app.clone()),
            Some(false) => outcome.started.push(app.clone()),
            None => {}
        }
    }
    outcome.unlocated = unlocated;
    Ok(outcome)
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
    // A job runs the new version at its next run; a run that is under way is left alone.
    if prepared.is_job {
        return Ok(Action::Nothing);
    }
    let unit = jobs.manager.unit(&Units::of(&prepared.app).cluster())?;
    let is_up = matches!(unit.active, ActiveState::Active | ActiveState::Reloading);
    if !is_up || prepared.readdressed.is_some() {
        return Ok(Action::Start);
    }
    // Files that need no change do not prove that every instance runs them: a walk may have stopped half-way.
    let changes = &prepared.changes;
    let is_current = (changes.is_empty()
        || apply::leaves_instances(jobs.layout, &prepared.app, changes))
        && !state::is_half_walked(jobs.layout, &prepared.app, unit.active_for());
    if matches!(goal, Goal::Fresh(_)) || !is_current || prepared.crossing.is_some() {
        return Ok(Action::Reload);
    }
    let has_surplus = !jobs.surplus(prepared)?.is_empty();
    // Starting an active app starts those of its instances that are down.
    Ok(match jobs.is_whole(&prepared.app)? {
        false => Action::Mend { has_surplus },
        true if has_surplus => Action::Trim,
        true => Action::Nothing,
    })
}

/// Brings the timer of an app in line with its file. systemd computes the next time again when a timer is started.
fn schedule(jobs: &mut Jobs<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let timer = Units::of(&prepared.app).timer();
    match prepared.timer {
        Timer::None | Timer::Stop => Ok(()),
        Timer::Restart => jobs.run(Verb::Restart, &timer),
        Timer::Runs if jobs.manager.unit(&timer)?.is_ready() => Ok(()),
        Timer::Runs => jobs.run(Verb::Start, &timer),
    }
}

/// Restores the old units after a walk that touched no instance, so that an instance that restarts runs the same
/// version as the others.
fn keep_old(jobs: &mut Jobs<'_>, prepared: &Prepared, failure: Failure) -> Failure {
    let crossing = prepared.crossing.as_ref();
    if prepared.changes.is_empty() || !failure.untouched {
        return failure.help_also(crossing.and_then(Crossing::interrupted));
    }
    if let Some(Err(e)) = crossing.map(|crossing| passage::abandon(jobs, crossing)) {
        return failure.help_also(Some(e.message));
    }
    let writing = Writing::begin(jobs, &prepared.app);
    match writing.and_then(|writing| writing.roll_back(jobs, &prepared.changes)) {
        Ok(()) => {
            jobs.sink.notice(&Notice::PutBack(&prepared.app));
            if crossing.is_some() {
                // The next boot removes the rest of it.
                let _ = passage::forget(jobs, &prepared.app);
            }
            if prepared.timer == Timer::Stop {
                // If this fails, the next boot starts the timer, since the link that enables it has been restored.
                let _ = jobs.run(Verb::Start, &Units::of(&prepared.app).timer());
            }
            if let Some(timer) = ended_recycling(prepared) {
                // If this fails, the next start of the app starts the timer.
                let _ = jobs.run(Verb::Start, &timer);
            }
            failure
        }
        Err(e) => failure.help(format!(
            "the old units could not be put back: {}",
            e.message
        )),
    }
}
