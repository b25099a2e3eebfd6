//! `ExecReload=` of the cluster unit: runs the walk and reports it to systemd, the journal and the progress file.
//!
//! systemd runs one reload of a unit at a time and merges all reloads that are queued meanwhile into one more. That one
//! walks again, since the previous walk may have brought the requested version to only half of the instances.
//! Walks that are started by hand wait for each other; one that waited while another began *and* succeeded has nothing
//! left to do. A stop in the middle of a walk sends SIGTERM: the walk then touches nothing more and exits with 0, because
//! the stop would leave the unit failed otherwise.

use std::time::{Duration, Instant};

use super::asked;
use super::pause;
use super::progress::{self, Progress};
use super::stop_reason::{self, StopReason};
use super::{Cluster, EXTENSION, LOOK, extend, notify, notify_at_the_end, recycle, serving};
use crate::contract::Course;
use crate::journal::Happening;
use crate::record::Record;
use crate::state::{self, Lock};
use crate::systemd::{Error, Manager, Verb};
use crate::walk::{self, Cause, Effects, Event, Failed, Plan};

/// A reload that did not replace every instance.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Another walk of this app runs and does not end.
    #[error("another reload of `{0}` is under way")]
    Busy(String),
    /// An earlier walk has kept a canary.
    #[error(
        "{0} is kept as a canary; `rsgen reload {1} --promote` continues with it, `rsgen reload {1} --abort` stops it"
    )]
    Kept(String, String),
    /// There is no canary to continue with or to stop.
    #[error("no canary of `{0}` is kept")]
    NoneKept(String),
    /// The walk began too late to do what it was asked for.
    #[error("the options for this reload were requested too long ago; nothing was done")]
    Old,
    /// The app is paused.
    #[error("`{0}` is paused; `rsgen resume {0}` ends the pause")]
    Paused(String),
    /// systemd could not be asked.
    #[error(transparent)]
    Systemd(#[from] Error),
    /// The state folder cannot be used.
    #[error("{0}: {1}")]
    State(String, std::io::Error),
    /// The walk failed.
    #[error("{}", .0)]
    Walk(Box<Failed>),
}

/// The longest wait for another walk of the app.
const PATIENCE: Duration = Duration::from_mins(30);

/// Runs a walk. `say` gets a line for each step.
///
/// # Errors
/// As [`ReloadError`] says. Every instance that the error does not name serves as before.
pub fn reload(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<(), ReloadError> {
    let done = replace(manager, cluster, plan, say);
    // The pause has set a status that says until when.
    if !matches!(done, Err(ReloadError::Paused(_))) {
        notify_at_the_end(cluster, &status(plan, &done));
    }
    done.map(drop)
}

/// What has happened, in words that stay true whatever becomes of the instances.
fn status(plan: &Plan, done: &Result<Option<Course>, ReloadError>) -> String {
    match done {
        Ok(Some(Course::CanaryOnly)) => "the last reload started a canary and kept it".to_owned(),
        Ok(Some(Course::Abort)) => "the last reload stopped a canary".to_owned(),
        Ok(None | Some(Course::Promote)) => {
            format!("the last reload replaced all {}", plan.instances)
        }
        Err(ReloadError::Walk(failed)) => format!("the last reload failed: {}", failed.cause()),
        Err(error) => format!("the last reload failed: {error}"),
    }
}

fn replace(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Option<Course>, ReloadError> {
    let asked = manager.now();
    let _lock = lock(manager, cluster)?;
    if pause::unit(manager, &cluster.app)?.is_some() {
        return Err(ReloadError::Paused(cluster.app.clone()));
    }
    let wish = asked::take(&cluster.state, manager.now()).map_err(|asked::Old| ReloadError::Old)?;
    let course = wish.course;
    let kept = kept(manager, cluster, course)?;
    if course.is_none() && progress::is_done_since(cluster, asked, plan) {
        say("a reload that began after this request has already replaced every instance");
        return Ok(course);
    }
    let began = manager.now();
    let progress = Progress::begin(cluster).map_err(|e| state(cluster, e))?;
    let mut teller = Teller {
        cluster,
        progress,
        say,
        at_most: plan.step,
        begun: Instant::now(),
    };
    match walk::walk_by(manager, &wish.applied_to(plan), course, &kept, &mut teller) {
        Ok(()) => {
            match course {
                None | Some(Course::Promote) => {
                    // At whatever pace, every instance is new.
                    progress::done(cluster, began, plan);
                    // Instances can be started again.
                    recycle::forget_failures(cluster);
                }
                Some(Course::CanaryOnly) => {}
                // The canary may have been the only one that served.
                Some(Course::Abort) => end_if_nobody_serves(manager, cluster, &StopReason::Idle),
            }
            Ok(course)
        }
        Err(failed) => {
            for line in cluster.words_of(&failed) {
                (teller.say)(&format!("  {line}"));
            }
            let why = StopReason::Failed(format!("no instance is left: {}", failed.why));
            end_if_nobody_serves(manager, cluster, &why);
            Err(ReloadError::Walk(Box::new(failed)))
        }
    }
}

/// Returns the canaries that an earlier walk has kept. They are to be there for the courses that need them, and not for others.
fn kept(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    course: Option<Course>,
) -> Result<Vec<u32>, ReloadError> {
    let kept = progress::kept(&cluster.state);
    if matches!(course, Some(Course::Promote | Course::Abort)) {
        let app = cluster.app.clone();
        return Some(kept)
            .filter(|kept| !kept.is_empty())
            .ok_or(ReloadError::NoneKept(app));
    }
    for number in &kept {
        let name = cluster.units().instance(*number);
        let unit = manager.unit(&name)?;
        if !unit.is_gone() || unit.job.is_some() {
            return Err(ReloadError::Kept(name, cluster.app.clone()));
        }
    }
    if !kept.is_empty() {
        // Somebody has stopped them, or they were given up.
        progress::remember_canaries(cluster, &[]);
    }
    Ok(Vec::new())
}

fn state(cluster: &Cluster, error: std::io::Error) -> ReloadError {
    ReloadError::State(cluster.state.display().to_string(), error)
}

pub(super) fn lock(manager: &mut dyn Manager, cluster: &Cluster) -> Result<Lock, ReloadError> {
    let mut left = PATIENCE;
    loop {
        if let Some(lock) = Lock::take(&cluster.state).map_err(|e| state(cluster, e))? {
            return Ok(lock);
        }
        if left.is_zero() {
            return Err(ReloadError::Busy(cluster.app.clone()));
        }
        notify("waiting for another reload", EXTENSION);
        manager.pause(LOOK);
        left = left.saturating_sub(LOOK);
    }
}

/// Stops the cluster if no instance is left. While this command runs, the end of the last instance does not do so.
fn end_if_nobody_serves(manager: &mut dyn Manager, cluster: &Cluster, why: &StopReason) {
    // If systemd cannot be asked, instances may still be running.
    if serving::anybody(manager, cluster, None).unwrap_or(true) {
        return;
    }
    if stop_reason::write(cluster, why).is_ok() {
        // The stop job replaces the job of this reload, which is about to end anyway. If the stop cannot be queued, the
        // reload fails.
        let _ = manager.queue(Verb::Stop, &cluster.units().cluster());
    }
}

struct Teller<'a> {
    cluster: &'a Cluster,
    progress: Progress,
    say: &'a mut dyn FnMut(&str),
    at_most: Duration,
    begun: Instant,
}

impl Teller<'_> {
    /// Tells how the walk has ended. Returns whether the event needs no line any more.
    fn record(&self, event: &Event, text: &str) -> bool {
        let (happening, instance) = match event {
            Event::Done { .. } => (Happening::Reloaded, None),
            Event::CanaryKept { number, .. } => (Happening::CanaryKept, Some(*number)),
            Event::CanaryDropped => (Happening::CanaryDropped, None),
            Event::Aborted { failed } => (Happening::ReloadFailed, failed.number),
            _ => return false,
        };
        self.cluster.journal.tell_instead(&Record {
            instance,
            took: Some(self.begun.elapsed()),
            ..Record::new(happening, text)
        })
    }
}

impl Effects for Teller<'_> {
    fn step(&mut self, at_most: Duration) {
        self.at_most = at_most;
        extend(at_most);
    }

    fn tell(&mut self, event: &Event) {
        let text = event.to_string();
        notify(&text, self.at_most);
        self.progress.tell(event);
        if !self.record(event, &text) {
            (self.say)(&text);
        }
    }

    fn forget(&mut self, number: u32) {
        state::forget_deaths(&self.cluster.state, Some(number));
        self.cluster.forget_release(number);
    }

    fn remember_canaries(&mut self, numbers: &[u32]) {
        progress::remember_canaries(self.cluster, numbers);
    }

    fn keep_canaries(&mut self, numbers: &[u32]) -> bool {
        progress::keep_canaries(self.cluster, numbers).is_ok()
    }

    fn canaries_left(&mut self) -> Vec<u32> {
        progress::canaries(self.cluster)
    }

    fn cause(&self, number: u32) -> Option<Cause> {
        self.cluster.last_cause(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brake::Deaths;
    use crate::layout::Scope;
    use crate::record::Journal;

    #[test]
    fn the_cause_of_an_instance_that_never_ran_is_the_reason_of_its_last_death() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "web".into(),
            state: folder.path().join("web"),
            scope: Scope::System,
            journal: Journal::default(),
        };
        let teller = Teller {
            progress: Progress::begin(&cluster).unwrap(),
            cluster: &cluster,
            say: &mut |_| {},
            at_most: Duration::ZERO,
            begun: Instant::now(),
        };
        assert_eq!(teller.cause(0), None);
        for (reason, cause) in [("", None), ("a file is missing", Some("a file is missing"))] {
            let deaths = Deaths {
                count: 1,
                reason: reason.into(),
                ..Deaths::default()
            };
            deaths.store(&cluster.deaths(0)).unwrap();
            let known = teller.cause(0).map(|cause| cause.why);
            assert_eq!(known.as_deref(), cause);
            assert_eq!(teller.cause(1), None);
        }
    }
}
