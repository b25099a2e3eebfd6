//! `ExecStopPost=` of an instance: counts quick deaths, and speaks for the cluster when it was the last.
//!
//! An active cluster unit with nobody behind its socket would swallow connections in silence: the
//! socket waits for a unit that is active already. So the last instance has the cluster stopped, by a
//! stop that leaves a verdict behind: with it the port stays open, and the next connection is the
//! next try.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::verdict::{self, Verdict};
use super::{Cluster, serving};
use crate::brake::Deaths;
use crate::contract::{self, ERRORED, Policy, Statuses};
use crate::systemd::{ActiveState, Error, Manager, QueuedJob, Unit, Verb};

/// An instance whose run has ended. How, systemd is asked: it says so in variables as well
/// (`$EXIT_STATUS`, see systemd.exec(5)), but `Environment=` and `EnvironmentFile=` go over those.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which instance.
    pub number: u32,
    /// Whether systemd starts it again by itself.
    pub autorestart: bool,
    /// Exit statuses after which systemd does not.
    pub stop_exit_codes: Statuses,
}

impl Ended {
    /// Whether systemd will not start it again: given up, or systemd could not even run it.
    fn is_final(&self, unit: &Unit) -> bool {
        !self.autorestart || exit_status(unit).is_some_and(contract::is_final)
    }

    /// Whether the app itself says that such an end is one for good.
    fn is_meant(&self, unit: &Unit) -> bool {
        exit_status(unit).is_some_and(|status| self.stop_exit_codes.has(status))
    }
}

/// The status of a main process that exited by itself.
fn exit_status(unit: &Unit) -> Option<u8> {
    (unit.exit_code == libc::CLD_EXITED).then(|| u8::try_from(unit.exit_status).ok())?
}

fn is_errored(unit: &Unit) -> bool {
    exit_status(unit) == Some(ERRORED)
}

fn reason(unit: &Unit) -> String {
    match (unit.result.as_str(), unit.exit_code) {
        ("timeout", _) => "it was not ready, or not gone, in time".into(),
        (_, libc::CLD_EXITED) => format!("exited with status {}", unit.exit_status),
        (_, libc::CLD_KILLED | libc::CLD_DUMPED) => {
            format!("killed by {}", signal(unit.exit_status))
        }
        (result, _) => result.to_owned(),
    }
}

fn signal(number: i32) -> String {
    Signal::try_from(number).map_or_else(
        // A real-time signal, see signal(7).
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
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
    let unit = manager.unit(&cluster.units().instance(end.number))?;
    let job = unit.job.as_ref();
    if job.is_some_and(QueuedJob::is_restart) {
        return Ok(());
    }
    let requested = job.is_some_and(QueuedJob::is_stop) || end.is_meant(&unit);
    if !requested {
        // A job called `start` is the one that has just failed.
        let deaths = count(cluster, end.number, &unit, policy, now);
        // A worker whose sandbox hides /run does not see the count and would go on for ever.
        let is_unseen = deaths.count > policy.max_restarts;
        if is_unseen {
            manager.queue(Verb::Stop, &unit.name)?;
        }
        if !end.is_final(&unit) && !is_unseen {
            return Ok(());
        }
    }
    speak_for_the_cluster(manager, cluster, &unit, end.number, requested)
}

fn speak_for_the_cluster(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    ended: &Unit,
    number: u32,
    requested: bool,
) -> Result<(), Error> {
    let leader = manager.unit(&cluster.units().cluster())?;
    if let Some(job) = leader.job {
        // Before this instance is gone, or a connection would start the cluster in place of the stop.
        if job.is_stop() && verdict::read(cluster).is_none() {
            cluster.stop_sockets(manager)?;
        }
        return Ok(());
    }
    if leader.active != ActiveState::Active || serving::anybody(manager, cluster, Some(number))? {
        return Ok(());
    }
    let why = if requested {
        Verdict::Idle
    } else {
        Verdict::Failed(format!(
            "no instance is left: {}",
            cause(cluster, ended, number)
        ))
    };
    // Without the note the cluster would end as stopped by hand, and close its port.
    if verdict::write(cluster, &why).is_ok() {
        manager.queue(Verb::Stop, &cluster.units().cluster())?;
    }
    Ok(())
}

/// Of one that was given up, how it died, not how the worker ended.
fn cause(cluster: &Cluster, ended: &Unit, number: u32) -> String {
    let known = Deaths::load(&cluster.deaths(number)).map(|d| d.reason);
    known
        .filter(|reason| is_errored(ended) && !reason.is_empty())
        .unwrap_or_else(|| reason(ended))
}

fn count(cluster: &Cluster, number: u32, unit: &Unit, policy: &Policy, now: Duration) -> Deaths {
    let file = cluster.deaths(number);
    let before = Deaths::load(&file);
    let deaths = if is_errored(unit) {
        before.unwrap_or_default().given_up(policy)
    } else {
        Deaths {
            invocation: unit.invocation.clone(),
            ..Deaths::after(before, uptime(unit), now, reason(unit), policy)
        }
    };
    // A count that is lost costs a few more restarts, nothing else.
    let _ = deaths.store(&file);
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
