//! `ExecReload=` of the cluster unit: the walk, told to systemd, the journal and the progress file.
//!
//! A second reload that systemd queued walks again: it may have been asked for because of a version
//! that the first walk did not see. A stop in the middle sends SIGTERM: the walk then touches nothing
//! more and ends well, or the stop would leave the unit failed.

use std::process::Command;
use std::time::Duration;

use super::progress::{self, Lock, Progress};
use super::{Cluster, notify};
use crate::systemd::Manager;
use crate::walk::{self, Event, Failed, Plan, Witness};

/// Why a reload did not end with every instance new.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Another walk of this app runs.
    #[error("another reload of `{0}` is under way")]
    Busy(String),
    /// The state folder cannot be used.
    #[error("{0}: {1}")]
    State(String, std::io::Error),
    /// The walk failed.
    #[error("{}", .0)]
    Walk(Box<Failed>),
}

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
    let state = |e| ReloadError::State(cluster.state.display().to_string(), e);
    let Some(_lock) = Lock::take(cluster).map_err(state)? else {
        return Err(ReloadError::Busy(cluster.app.clone()));
    };
    let progress = Progress::begin(cluster).map_err(state)?;
    let mut teller = Teller {
        cluster,
        progress,
        say,
        at_most: plan.step,
    };
    walk::walk(manager, plan, &mut teller).map_err(|failed| {
        for line in last_words(&failed) {
            (teller.say)(&format!("  {line}"));
        }
        ReloadError::Walk(Box::new(failed))
    })
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
        notify("", at_most);
    }

    fn tell(&mut self, event: &Event) {
        let failure = match event {
            Event::Aborted { failed } => Some(failed),
            _ => None,
        };
        notify(&event.to_string(), self.at_most);
        self.progress.tell(event, failure);
        (self.say)(&event.to_string());
    }

    fn forget(&mut self, number: u32) {
        // Not being there is the usual case.
        let _ = std::fs::remove_file(self.cluster.deaths(number));
    }

    fn remember_canary(&mut self, number: Option<u32>) {
        progress::remember_canary(self.cluster, number);
    }

    fn canary_left(&mut self) -> Option<u32> {
        progress::canary(self.cluster)
    }
}

/// The last lines that the failed run wrote to the journal.
fn last_words(failed: &Failed) -> Vec<String> {
    if failed.invocation.is_empty() {
        return Vec::new();
    }
    let this_run = format!("_SYSTEMD_INVOCATION_ID={}", failed.invocation);
    let output = Command::new("journalctl")
        .args(["--sync", "--quiet"])
        .status()
        .and_then(|_| {
            Command::new("journalctl")
                .args([
                    &this_run,
                    "--lines=10",
                    "--output=cat",
                    "--quiet",
                    "--no-pager",
                ])
                .output()
        });
    // Without a journal there are no last words; the reason has been told.
    let Ok(output) = output else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
