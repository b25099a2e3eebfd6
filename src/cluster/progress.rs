//! The files that a walk leaves in the state folder of its app: its progress, its success, and its canaries.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::Cluster;
use crate::contract::{canaries, time};
use crate::state::{Entry, Name};
use crate::visible;
use crate::walk::{Event, Plan, Record};

/// The progress file of a walk, with one [`Record`] in each line.
pub(super) struct Progress {
    file: File,
}

impl Progress {
    /// Makes a new file in place of the previous walk's. A reader distinguishes the two by their inodes.
    pub(super) fn begin(cluster: &Cluster) -> io::Result<Self> {
        let file = cluster.file(Name::Walk).begin()?;
        Ok(Self { file })
    }

    /// Appends an event.
    pub(super) fn tell(&mut self, event: &Event) {
        let line = visible::json(&Record::new(event).line()) + "\n";
        // When /run is full, a reader misses a line and the walk continues.
        let _ = self.file.write_all(line.as_bytes());
    }
}

/// Notes that a walk that began at this time has replaced every instance.
pub(super) fn done(cluster: &Cluster, began: Duration, plan: &Plan) {
    // Without the note, one walk more than necessary takes place.
    let _ = cluster.file(Name::Done).write(&note(began, plan));
}

/// Returns whether a walk with the same plan began after `asked` and succeeded, so that nothing is left to do.
pub(super) fn is_done_since(cluster: &Cluster, asked: Duration, plan: &Plan) -> bool {
    let note = cluster.file(Name::Done).read().unwrap_or_default();
    is_noted(&note, asked, plan)
}

/// Returns the note on a successful walk: when it began, in microseconds since boot, and its plan.
#[must_use]
pub fn note(began: Duration, plan: &Plan) -> String {
    format!("{} {}\n", began.as_micros(), words(plan))
}

/// Writes everything in which two plans of one app can differ.
fn words(plan: &Plan) -> String {
    let Plan {
        app: _,
        instances,
        canaries,
        max_failures,
        parallel,
        settle,
        on_failure,
        step,
        longest_stop,
    } = plan;
    let [settle, step, longest_stop] = [settle, step, longest_stop].map(|time| time::show(*time));
    format!(
        "instances={instances} canaries={canaries} parallel={parallel} settle={settle} on-failure={on_failure} \
         max-failures={max_failures} step={step} longest-stop={longest_stop}"
    )
}

/// Returns whether a note describes a walk that had this plan and began later. The notes of older versions have another
/// format and never match, so that the walk takes place.
#[must_use]
pub fn is_noted(note: &str, asked: Duration, plan: &Plan) -> bool {
    let note = note.strip_suffix('\n').and_then(|n| n.split_once(' '));
    note.is_some_and(|(began, done)| {
        let is_later = |began: u128| asked.as_micros() < began;
        began.parse().is_ok_and(is_later) && done == words(plan)
    })
}

/// Notes the numbers of the canaries, or that there are none, for a walk that follows one that was killed.
pub(super) fn remember_canaries(cluster: &Cluster, numbers: &[u32]) {
    let file = cluster.file(Name::Canary);
    // Without the note, a canary that is left over runs until the end of the next walk or scale.
    let _ = if numbers.is_empty() {
        file.remove()
    } else {
        file.write(&canaries::note(numbers))
    };
}

/// Notes the canaries that stay when the walk has ended.
pub(super) fn keep_canaries(cluster: &Cluster, numbers: &[u32]) -> io::Result<()> {
    let note = canaries::note_of_kept(numbers);
    cluster.file(Name::Canary).write(&note)
}

/// Returns the canaries of a walk, which a killed walk has left.
pub(super) fn canaries(cluster: &Cluster) -> Vec<u32> {
    noted(&cluster.state, false)
}

/// Returns the canaries that a walk has kept, in the state folder of an app.
#[must_use]
pub fn kept(state: &Path) -> Vec<u32> {
    noted(state, true)
}

/// Returns whether an instance beyond the number of an app may be a canary, kept or not.
#[must_use]
pub fn has_canary(state: &Path) -> bool {
    [false, true]
        .iter()
        .any(|are_kept| !noted(state, *are_kept).is_empty())
}

fn noted(state: &Path, are_kept: bool) -> Vec<u32> {
    let note = Entry::new(state, Name::Canary).read().unwrap_or_default();
    if canaries::are_kept(&note) == are_kept {
        canaries::noted(&note)
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::OnFailure;

    const BEGAN: Duration = Duration::from_millis(1500);

    fn plan() -> Plan {
        Plan {
            app: "web".into(),
            instances: 4,
            canaries: 1,
            parallel: 1,
            settle: Duration::from_secs(1),
            on_failure: OnFailure::Abort,
            max_failures: 0,
            step: Duration::from_millis(60_100),
            longest_stop: Duration::from_secs(20),
        }
    }

    #[test]
    fn a_note_is_on_a_walk_by_the_same_plan_that_began_later() {
        let note = note(BEGAN, &plan());
        assert_eq!(
            note,
            "1500000 instances=4 canaries=1 parallel=1 settle=1s on-failure=abort max-failures=0 step=60100ms longest-stop=20s\n"
        );
        assert!(is_noted(&note, Duration::from_secs(1), &plan()));
        assert!(!is_noted(&note, BEGAN, &plan()));
    }

    #[test]
    fn a_walk_by_any_other_plan_is_another_walk() {
        let note = note(BEGAN, &plan());
        let second = Duration::from_secs(2);
        let others = [
            Plan {
                instances: 5,
                ..plan()
            },
            Plan {
                canaries: 2,
                ..plan()
            },
            Plan {
                max_failures: 1,
                ..plan()
            },
            Plan {
                parallel: 2,
                ..plan()
            },
            Plan {
                settle: second,
                ..plan()
            },
            Plan {
                on_failure: OnFailure::Restart,
                ..plan()
            },
            Plan {
                step: second,
                ..plan()
            },
            Plan {
                longest_stop: second,
                ..plan()
            },
        ];
        for other in others {
            assert!(!is_noted(&note, Duration::ZERO, &other), "{other:?}");
        }
    }

    /// The notes of 0.1.0 and 0.2.0, and an incomplete one.
    #[test]
    fn what_an_older_version_left_is_on_no_walk() {
        let older = "1500000 Plan { app: \"web\", instances: 4, canary: true, parallel: 1, settle: 1s, on_failure: Abort, step: 60.1s, longest_stop: 20s }";
        assert!(!is_noted(older, Duration::ZERO, &plan()));
        let note = note(BEGAN, &plan());
        assert!(!is_noted(note.trim_end(), Duration::ZERO, &plan()));
        assert!(!is_noted("", Duration::ZERO, &plan()));
    }
}
