//! `ExecStopPost=` of an instance: counts quick deaths, and speaks for the cluster when it was the last.
//!
//! An active cluster unit with nobody behind its socket would swallow connections in silence: the
//! socket waits for a unit that is active already. So the last instance has the cluster stopped, by a
//! stop that leaves a verdict behind: with it the port stays open, and the next connection is the
//! next try.

use std::time::Duration;

use super::serving::is_final_status;
use super::verdict::{self, Verdict};
use super::{Cluster, serving};
use crate::brake::{Deaths, ERRORED, Policy};
use crate::systemd::{ActiveState, Error, Manager, QueuedJob, Unit, Verb};

/// The end of one run, as systemd puts it into the environment, see systemd.exec(5).
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// Which instance.
    pub number: u32,
    /// `$SERVICE_RESULT`
    pub result: String,
    /// `$EXIT_CODE`: `exited`, `killed`, `dumped`.
    pub code: String,
    /// `$EXIT_STATUS`: a number or the name of a signal.
    pub status: String,
    /// Whether systemd starts it again by itself.
    pub autorestart: bool,
}

impl Ended {
    fn is_errored(&self) -> bool {
        self.code == "exited" && self.status == ERRORED.to_string()
    }

    /// Whether systemd will not start it again: given up, or systemd could not even run it.
    fn is_final(&self) -> bool {
        !self.autorestart || self.code == "exited" && self.status.parse().is_ok_and(is_final_status)
    }

    fn reason(&self) -> String {
        match (self.result.as_str(), self.code.as_str()) {
            ("timeout", _) => "it was not ready, or not gone, in time".into(),
            (_, "exited") => format!("exited with status {}", self.status),
            (_, "killed" | "dumped") => format!("killed by SIG{}", self.status),
            (result, _) => result.to_owned(),
        }
    }
}

/// Notes the end of an instance.
///
/// # Errors
/// When systemd cannot be asked; the state file is written as well as it can be.
pub fn ended(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: &Ended,
    policy: &Policy,
    now: Duration,
) -> Result<(), Error> {
    let unit = manager.unit(&cluster.instance(end.number))?;
    let job = unit.job.as_ref();
    if job.is_some_and(QueuedJob::is_restart) {
        return Ok(());
    }
    let requested = job.is_some_and(QueuedJob::is_stop);
    if !requested {
        // A job called `start` is the one that has just failed.
        let deaths = count(cluster, end, &unit, policy, now);
        // A worker whose sandbox hides /run does not see the count and would go on for ever.
        let is_unseen = deaths.count > policy.max_restarts;
        if is_unseen {
            manager.queue(Verb::Stop, &unit.name)?;
        }
        if !end.is_final() && !is_unseen {
            return Ok(());
        }
    }
    speak_for_the_cluster(manager, cluster, end, requested)
}

fn speak_for_the_cluster(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: &Ended,
    requested: bool,
) -> Result<(), Error> {
    let leader = manager.unit(&cluster.unit())?;
    if let Some(job) = leader.job {
        // Before this instance is gone, or a connection would start the cluster in place of the stop.
        if job.is_stop() && verdict::read(cluster).is_none() {
            manager.queue(Verb::Stop, &cluster.socket())?;
        }
        return Ok(());
    }
    if leader.active != ActiveState::Active || serving::anybody(manager, cluster, Some(end.number))?
    {
        return Ok(());
    }
    let why = if requested {
        Verdict::Idle
    } else {
        Verdict::Failed(format!("no instance is left: {}", cause(cluster, end)))
    };
    // Without the note the cluster would end as stopped by hand, and close its port.
    if verdict::write(cluster, &why).is_ok() {
        manager.queue(Verb::Stop, &cluster.unit())?;
    }
    Ok(())
}

/// Of one that was given up, how it died, not how the worker ended.
fn cause(cluster: &Cluster, end: &Ended) -> String {
    let known = Deaths::load(&cluster.deaths(end.number)).map(|d| d.reason);
    known
        .filter(|reason| end.is_errored() && !reason.is_empty())
        .unwrap_or_else(|| end.reason())
}

fn count(cluster: &Cluster, end: &Ended, unit: &Unit, policy: &Policy, now: Duration) -> Deaths {
    let path = cluster.deaths(end.number);
    let before = Deaths::load(&path);
    let deaths = if end.is_errored() {
        before.unwrap_or_default().given_up(policy)
    } else {
        Deaths::after(before, uptime(unit), now, end.reason(), policy)
    };
    // A count that is lost costs a few more restarts, nothing else.
    let _ = deaths.store(&path);
    deaths
}

/// From READY to the end; zero for a run that never was READY.
fn uptime(unit: &Unit) -> Duration {
    if unit.active_enter > unit.inactive_exit {
        unit.main_exit.saturating_sub(unit.active_enter)
    } else {
        Duration::ZERO
    }
}
