//! The files in which a walk tells its progress.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use super::Cluster;
use crate::state::Name;
use crate::visible;
use crate::walk::{Event, Failed, Plan};

/// One JSON object a line: the event's own fields, `text` for people, and what a failure means.
pub(super) struct Progress {
    file: File,
}

impl Progress {
    /// A new file in the place of the last walk's, so that a reader sees which is which.
    pub(super) fn begin(cluster: &Cluster) -> io::Result<Self> {
        let file = cluster.file(Name::Walk).begin()?;
        Ok(Self { file })
    }

    pub(super) fn tell(&mut self, event: &Event, failure: Option<&Failed>) {
        let Ok(mut value) = serde_json::to_value(event) else {
            return;
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("text".into(), event.to_string().into());
            if let Some(failed) = failure {
                object.insert("untouched".into(), failed.untouched.into());
                object.insert("timed_out".into(), failed.timed_out.into());
            }
        }
        let line = visible::json(&value.to_string()) + "\n";
        // A full /run costs the reader the progress, not the walk.
        let _ = self.file.write_all(line.as_bytes());
    }
}

/// Notes a walk that replaced every instance, by when it began.
pub(super) fn done(cluster: &Cluster, began: Duration, plan: &Plan) {
    // Lost, it costs one walk too many.
    let _ = cluster.file(Name::Done).write(&note(began, plan));
}

/// Whether a walk by the same plan began after `asked`, and succeeded: it did all that was asked for.
pub(super) fn is_done_since(cluster: &Cluster, asked: Duration, plan: &Plan) -> bool {
    let note = cluster.file(Name::Done).read().unwrap_or_default();
    is_noted(&note, asked, plan)
}

/// The note on a walk that succeeded.
#[must_use]
pub fn note(began: Duration, plan: &Plan) -> String {
    format!("{} {plan:?}", began.as_micros())
}

/// Whether a note is on a walk by this plan that began later.
#[must_use]
pub fn is_noted(note: &str, asked: Duration, plan: &Plan) -> bool {
    note.split_once(' ').is_some_and(|(began, done)| {
        began
            .parse()
            .is_ok_and(|began: u128| asked.as_micros() < began)
            && done == format!("{plan:?}")
    })
}

/// Keeps the number of the canary beyond a killed walk.
pub(super) fn remember_canary(cluster: &Cluster, number: Option<u32>) {
    let file = cluster.file(Name::Canary);
    // Lost, it costs one instance too many until the end of the next walk.
    let _ = match number {
        Some(number) => file.write(&number.to_string()),
        None => file.remove(),
    };
}

pub(super) fn canary(cluster: &Cluster) -> Option<u32> {
    cluster.file(Name::Canary).read().ok()?.parse().ok()
}
