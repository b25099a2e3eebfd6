//! The brake on a cluster that cannot start: a connection that waits at the socket would start the cluster again at
//! once, forever. A start limit cannot be used, because systemd closes the socket when it is reached.
//!
//! Instead the end of a failed start is delayed, and the next start with it. This happens only while a connection
//! waits, so a person who starts a broken app gets an answer at once.

use std::time::Duration;

use super::{Cluster, LOOK, notify};
use crate::state::Name;
use crate::systemd::{Error, Manager, QueuedJob};

/// Failures that are further apart than this are not consecutive.
const IN_A_ROW: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_secs(15);
/// The extra time that systemd is asked for again and again while the end is delayed.
const EXTENSION: Duration = Duration::from_secs(10);

/// Forgets the failures, after a successful start.
pub(super) fn forget(cluster: &Cluster) {
    // Not being there is the usual case.
    let _ = cluster.file(Name::Failures).remove();
}

/// Counts one more failed start, and returns how long the next one has to be delayed.
pub(super) fn after_failure(cluster: &Cluster, now: Duration) -> Duration {
    let file = cluster.file(Name::Failures);
    let count = failures(&file.read().unwrap_or_default(), now);
    let note = file.write(&format!("{count} {}", now.as_micros()));
    // Failures that cannot be counted must not lead to endless restarts either.
    if note.is_err() { LONGEST } else { pause(count) }
}

/// Returns the number of consecutive failures including this one, from the note on those before.
#[must_use]
pub fn failures(note: &str, now: Duration) -> u32 {
    earlier(note, now).saturating_add(1)
}

fn earlier(note: &str, now: Duration) -> u32 {
    let parsed = note
        .split_once(' ')
        .and_then(|(count, at)| Some((count.parse().ok()?, at.parse().ok()?)));
    match parsed {
        Some((count, at)) if now.saturating_sub(Duration::from_micros(at)) < IN_A_ROW => count,
        _ => 0,
    }
}

/// Returns the delay: nothing after the first failure, then one second, doubled with each failure, up to 15 s.
#[must_use]
pub fn pause(count: u32) -> Duration {
    match count {
        0 | 1 => Duration::ZERO,
        _ => Duration::from_secs(1 << (count - 2).min(4)).min(LONGEST),
    }
}

/// Delays the end of this command. Returns the job that ended the delay early, if one stops the unit.
pub(super) fn wait(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    pause: Duration,
) -> Result<Option<QueuedJob>, Error> {
    let mut left = pause;
    while !left.is_zero() {
        manager.pause(LOOK);
        left = left.saturating_sub(LOOK);
        let job = cluster.job(manager)?;
        if job.as_ref().is_some_and(|j| j.is_stop() || j.is_restart()) {
            return Ok(job);
        }
        if !somebody_knocks(manager, cluster)? {
            break;
        }
        let status = format!("no instance started; the next try in {} s", left.as_secs());
        notify(&status, EXTENSION);
    }
    Ok(None)
}

/// Returns whether a connection waits: a socket is then `running`, otherwise `listening`.
fn somebody_knocks(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    for socket in cluster.units().sockets() {
        let found = manager.units(&socket)?;
        if found.iter().any(|s| s.sub == "running") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_failures_is_too_large() {
        let now = Duration::from_secs(1000);
        let most = format!("{} {}", u32::MAX, u64::MAX);
        assert_eq!(failures(&most, now), u32::MAX);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn failures_are_in_a_row_when_less_than_a_minute_is_between_them() {
        let last = "3 40000000";
        assert_eq!(failures(last, Duration::from_micros(99_999_999)), 4);
        assert_eq!(failures(last, Duration::from_secs(100)), 1);
    }

    #[test]
    fn failures_in_a_row_are_held_back_longer_and_longer() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "web".into(),
            state: folder.path().join("web"),
            scope: crate::layout::Scope::System,
            journal: crate::record::Journal::default(),
        };
        let mut now = Duration::from_secs(1000);
        let mut held = Vec::new();
        for _ in 0..7 {
            let pause = after_failure(&cluster, now);
            held.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(held, [0, 1, 2, 4, 8, 15, 15]);
        now += IN_A_ROW;
        assert_eq!(after_failure(&cluster, now), Duration::ZERO);
        forget(&cluster);
        assert_eq!(after_failure(&cluster, now), Duration::ZERO);
    }
}
