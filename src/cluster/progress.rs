//! The files that a walk leaves in the state folder of its app: its progress, its success, its canary.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use super::Cluster;
use crate::state::Name;
use crate::visible;
use crate::walk::{Event, Plan, Record};

/// The progress file of a walk that runs: one [`Record`] a line.
pub(super) struct Progress {
    file: File,
}

impl Progress {
    /// A new file in place of the previous walk's: a reader tells the two apart by their inode.
    pub(super) fn begin(cluster: &Cluster) -> io::Result<Self> {
        let file = cluster.file(Name::Walk).begin()?;
        Ok(Self { file })
    }

    /// Appends an event.
    pub(super) fn tell(&mut self, event: &Event) {
        let line = visible::json(&Record::new(event).line()) + "\n";
        // When /run is full, a reader misses a line and the walk goes on.
        let _ = self.file.write_all(line.as_bytes());
    }
}

/// Notes that a walk which began at this time has replaced every instance.
pub(super) fn done(cluster: &Cluster, began: Duration, plan: &Plan) {
    // Without the note, one walk more than necessary is made.
    let _ = cluster.file(Name::Done).write(&note(began, plan));
}

/// Whether a walk by the same plan began after `asked` and succeeded: nothing is then left to do.
pub(super) fn is_done_since(cluster: &Cluster, asked: Duration, plan: &Plan) -> bool {
    let note = cluster.file(Name::Done).read().unwrap_or_default();
    is_noted(&note, asked, plan)
}

/// The note on a walk that succeeded: the time at which it began, in microseconds since boot, and its plan.
#[must_use]
pub fn note(began: Duration, plan: &Plan) -> String {
    format!("{} {}", began.as_micros(), parameters(plan))
}

/// Whether a note is on a walk by this plan that began later. A note of another version may name other parameters: it
/// is then on another plan.
#[must_use]
pub fn is_noted(note: &str, asked: Duration, plan: &Plan) -> bool {
    note.split_once(' ').is_some_and(|(began, done)| {
        began
            .parse()
            .is_ok_and(|began: u128| asked.as_micros() < began)
            && done == parameters(plan)
    })
}

/// Every parameter of a plan; the name of the app is the last, since whatever follows it would belong to it.
fn parameters(plan: &Plan) -> String {
    // A field that is not named here does not compile.
    let Plan {
        app,
        instances,
        canary,
        parallel,
        settle,
        on_failure,
        step,
        longest_stop,
    } = plan;
    let [settle, step, longest_stop] = [settle, step, longest_stop].map(Duration::as_nanos);
    format!(
        "instances={instances} canary={canary} parallel={parallel} settle={settle} on_failure={on_failure} \
         step={step} longest_stop={longest_stop} app={app}"
    )
}

/// Notes the number of the canary, or that there is none, for the walk after one that is killed.
pub(super) fn remember_canary(cluster: &Cluster, number: Option<u32>) {
    let file = cluster.file(Name::Canary);
    // Without the note, a canary that is left over runs until the end of the next walk.
    let _ = match number {
        Some(number) => file.write(&number.to_string()),
        None => file.remove(),
    };
}

/// The canary that a killed walk has left.
pub(super) fn canary(cluster: &Cluster) -> Option<u32> {
    cluster.file(Name::Canary).read().ok()?.parse().ok()
}
