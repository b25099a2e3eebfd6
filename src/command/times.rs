//! The schedule of an app as `rsgen list` shows it: the next time, and how the last run went.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::overview::Overview;
use crate::output::{Failure, table};
use crate::systemd::{ActiveState, Manager, Unit};
use crate::unit::name::Units;

/// The schedule of an app as scripts read it; times are seconds since 1970.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Schedule {
    /// `run` for a job, `reload` for an app that lasts.
    pub(super) does: &'static str,
    /// Whether the timer runs.
    pub(super) active: bool,
    pub(super) next: Option<u64>,
    pub(super) last: Option<Last>,
}

/// The last run, or the last reload by the schedule, since the machine booted.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Last {
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) seconds: f64,
    pub(super) good: bool,
    /// The reason when it was not good, and what was done if a condition has kept instances of a job down.
    pub(super) reason: Option<String>,
}

/// Returns what the last run of a job reports if a condition has kept instances down: `0 of 1 done`.
pub(super) fn skipped(cluster: &Unit) -> Option<&str> {
    let done = cluster.status_text.strip_suffix(" done")?;
    let (number, of) = done.split_once(" of ")?;
    (number != of).then_some(cluster.status_text.as_str())
}

/// Returns the schedule of an app; `instances` are those that are loaded. `None` for an app without a schedule.
pub(super) fn schedule(
    manager: &mut dyn Manager,
    overview: &Overview,
    units: Units<'_>,
    instances: &[Unit],
) -> Result<Option<Schedule>, Failure> {
    let name = units.timer();
    if overview.unit(&name).load != "loaded" {
        return Ok(None);
    }
    // A timer of the user's own may have that name.
    let timer = manager.timer(&name)?;
    let Some(timer) = timer.filter(|t| [units.cluster(), units.reloader()].contains(&t.starts))
    else {
        return Ok(None);
    };
    let is_job = timer.starts == units.cluster();
    let last = if is_job {
        last(&overview.unit(&units.cluster()), instances)
    } else {
        last(&overview.unit(&units.reloader()), &[])
    };
    let now = now();
    Ok(Some(Schedule {
        does: if is_job { "run" } else { "reload" },
        active: timer.is_active,
        next: timer
            .next
            .filter(|next| timer.is_active && *next > now)
            .map(|next| next.as_secs()),
        last,
    }))
}

/// Returns how the last run of a unit ended; `None` while it runs, or when it has not run yet.
fn last(unit: &Unit, instances: &[Unit]) -> Option<Last> {
    if unit.ended.is_zero() || unit.ended < unit.began {
        return None;
    }
    let good = unit.active != ActiveState::Failed;
    let failed = instances.iter().filter(|i| i.active == ActiveState::Failed);
    let mut reasons: Vec<String> = failed.map(Unit::why).collect();
    reasons.sort();
    reasons.dedup();
    if reasons.is_empty() {
        reasons.push(unit.why());
    }
    Some(Last {
        began: unit.began.as_secs(),
        ended: unit.ended.as_secs(),
        seconds: unit.ended.saturating_sub(unit.began).as_secs_f64(),
        good,
        reason: if good {
            skipped(unit).map(str::to_owned)
        } else {
            Some(reasons.join("; "))
        },
    })
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

impl Schedule {
    /// Returns whether the app is a job.
    pub(super) fn is_job(&self) -> bool {
        self.does == "run"
    }

    /// Returns the status of a job: `running`, `failed`, `waiting` for its next time, or `stopped`.
    pub(super) fn status(&self, cluster: &Unit) -> &'static str {
        match (cluster.active, self.active) {
            (ActiveState::Activating | ActiveState::Deactivating, _) => "running",
            (ActiveState::Failed, _) => "failed",
            (_, true) => "waiting",
            (_, false) => "stopped",
        }
    }

    /// Describes the last and the next time.
    pub(super) fn told(&self) -> String {
        let now = now().as_secs();
        let last = self.last.as_ref().map(|last| {
            let how = last.reason.as_deref().unwrap_or("done");
            let ago = table::span(now.saturating_sub(last.ended));
            format!("{how} {ago} ago, after {:.1}s", last.seconds)
        });
        let next = self.next.map(|next| {
            let left = table::span(next.saturating_sub(now));
            format!("next in {left}")
        });
        last.into_iter().chain(next).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: ActiveState, status: i32) -> Unit {
        let failed = active == ActiveState::Failed;
        let ended = now();
        Unit {
            active,
            result: if failed { "exit-code" } else { "success" }.into(),
            exit_code: libc::CLD_EXITED,
            exit_status: status,
            began: ended.saturating_sub(Duration::from_millis(1500)),
            ended,
            ..Unit::default()
        }
    }

    fn told(cluster: &Unit, instances: &[Unit]) -> String {
        let schedule = Schedule {
            does: "run",
            active: true,
            next: Some(now().as_secs() + 3700),
            last: last(cluster, instances),
        };
        schedule.told()
    }

    #[test]
    fn a_run_that_failed_says_how_its_program_ended() {
        let good = unit(ActiveState::Inactive, 0);
        assert_eq!(told(&good, &[]), "done 0s ago, after 1.5s; next in 1h 1min");
        let failed = unit(ActiveState::Failed, 1);
        let instances = [unit(ActiveState::Failed, 3), good];
        let why = "exited with status 3 0s ago, after 1.5s; next in 1h 1min";
        assert_eq!(told(&failed, &instances), why);
        assert!(told(&failed, &[]).starts_with("exited with status 1 "));
        assert_eq!(told(&Unit::default(), &[]), "next in 1h 1min");
    }

    #[test]
    fn a_run_that_a_condition_has_prevented_is_not_called_done() {
        for (text, how) in [
            ("0 of 1 done", "0 of 1 done 0s"),
            ("2 of 2 done", "done 0s"),
        ] {
            let good = Unit {
                status_text: text.into(),
                ..unit(ActiveState::Inactive, 0)
            };
            assert!(told(&good, &[]).starts_with(how), "{text}");
        }
    }
}
