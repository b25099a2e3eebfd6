//! `ExecReload=` of the cluster unit: the walk, told to systemd, the journal and the progress file.
//!
//! systemd runs one reload of a unit at a time and makes all that are asked for meanwhile into one
//! more. That one walks again: the version it was asked for may be one that the walk before it saw on
//! half of the instances only. Walks started by hand wait for each other; one that waited while
//! another began *and* ended well has nothing left to do. A stop in the middle sends SIGTERM: the
//! walk then touches nothing more and ends well, or the stop would leave the unit failed.

use std::time::Duration;

use super::progress::{self, Progress};
use super::verdict::{self, Verdict};
use super::{Cluster, EXTENSION, LOOK, extend, notify, now, serving};
use crate::state::Lock;
use crate::systemd::{Manager, Verb};
use crate::walk::{self, Event, Failed, Plan, Witness};

/// Why a reload did not end with every instance new.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Another walk of this app runs, and does not end.
    #[error("another reload of `{0}` is under way")]
    Busy(String),
    /// The state folder cannot be used.
    #[error("{0}: {1}")]
    State(String, std::io::Error),
    /// The walk failed.
    #[error("{}", .0)]
    Walk(Box<Failed>),
}

/// A walk is waited for so long.
const PATIENCE: Duration = Duration::from_mins(30);

/// Walks. `say` gets a line for each step.
///
/// # Errors
/// As [`ReloadError`] says; whatever it is, every instance not named serves as before.
pub fn reload(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<(), ReloadError> {
    let asked = now();
    let _lock = lock(manager, cluster)?;
    if progress::is_done_since(cluster, asked, plan) {
        say("a reload that began after this one was asked for has replaced every instance");
        return Ok(());
    }
    let began = now();
    let progress = Progress::begin(cluster).map_err(|e| state(cluster, e))?;
    let mut teller = Teller {
        cluster,
        progress,
        say,
        at_most: plan.step,
    };
    match walk::walk(manager, plan, &mut teller) {
        Ok(()) => {
            progress::done(cluster, began, plan);
            Ok(())
        }
        Err(failed) => {
            for line in last_words(cluster, &failed) {
                (teller.say)(&format!("  {line}"));
            }
            end_if_nobody_serves(manager, cluster, &failed);
            Err(ReloadError::Walk(Box::new(failed)))
        }
    }
}

fn last_words(cluster: &Cluster, failed: &Failed) -> Vec<String> {
    let Some(number) = failed.number else {
        return Vec::new();
    };
    let unit = cluster.units().instance(number);
    cluster.words_of_the_dead(&unit, failed.exit_status, &failed.invocation)
}

fn state(cluster: &Cluster, error: std::io::Error) -> ReloadError {
    ReloadError::State(cluster.state.display().to_string(), error)
}

fn lock(manager: &mut dyn Manager, cluster: &Cluster) -> Result<Lock, ReloadError> {
    let end = now() + PATIENCE;
    loop {
        if let Some(lock) = Lock::take(&cluster.state).map_err(|e| state(cluster, e))? {
            return Ok(lock);
        }
        if now() > end {
            return Err(ReloadError::Busy(cluster.app.clone()));
        }
        notify("waiting for another reload", EXTENSION);
        manager.pause(LOOK);
    }
}

/// The end of the last instance leaves the cluster to us while we run.
fn end_if_nobody_serves(manager: &mut dyn Manager, cluster: &Cluster, failed: &Failed) {
    // What cannot be asked is not known to be dead.
    if serving::anybody(manager, cluster, None).unwrap_or(true) {
        return;
    }
    let why = Verdict::Failed(format!("no instance is left: {}", failed.why));
    if verdict::write(cluster, &why).is_ok() {
        // It takes the place of this very reload, which is at its end. If it fails, the reload does so too.
        let _ = manager.queue(Verb::Stop, &cluster.units().cluster());
    }
}

struct Teller<'a> {
    cluster: &'a Cluster,
    progress: Progress,
    say: &'a mut dyn FnMut(&str),
    at_most: Duration,
}

impl Witness for Teller<'_> {
    fn step(&mut self, at_most: Duration) {
        self.at_most = at_most;
        extend(at_most);
    }

    fn tell(&mut self, event: &Event) {
        notify(&event.to_string(), self.at_most);
        self.progress.tell(event);
        (self.say)(&event.to_string());
    }

    fn forget(&mut self, number: u32) {
        // Not being there is the usual case.
        let _ = self.cluster.deaths(number).remove();
    }

    fn remember_canary(&mut self, number: Option<u32>) {
        progress::remember_canary(self.cluster, number);
    }

    fn canary_left(&mut self) -> Option<u32> {
        progress::canary(self.cluster)
    }
}
