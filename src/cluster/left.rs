//! The canaries of a walk that has ended without stopping them, because the walk was killed. Each start of an instance, a canary
//! included, starts the brake unit, which outlasts the walk and ends such canaries.

use std::time::Duration;

use super::{Cluster, progress};
use crate::state::Lock;
use crate::systemd::{Error, Manager, Verb};
use crate::walk::Overdue;

/// How often canaries that are being stopped are looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// Stops the canaries that a walk has left, once another instance serves. Returns whether there is nothing left to do: the canaries of a
/// walk that goes on stay, and those that would leave nobody to serve are for the next walk.
pub(super) fn end_canaries(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    say: &mut dyn FnMut(&str),
) -> Result<bool, Error> {
    if progress::canaries(cluster).is_empty() {
        return Ok(true);
    }
    // The kernel releases the lock of a walk when the walk ends, however it does. No other walk begins meanwhile.
    let _lock = match Lock::take(&cluster.state) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(false),
        // The next walk stops the canaries.
        Err(_) => return Ok(true),
    };
    let canaries = progress::canaries(cluster);
    if canaries.is_empty() {
        return Ok(true);
    }
    match others(manager, cluster, &canaries)? {
        Others::Serve => {}
        // A canary may be the only one that serves.
        Others::ComeUp => return Ok(false),
        Others::Gone => return Ok(true),
    }
    let names = canaries.iter().map(|n| cluster.units().instance(*n));
    let names: Vec<String> = names.collect();
    if !stop(manager, cluster, &names, say)? {
        return Ok(false);
    }
    for name in &names {
        manager.reset_failed(name)?;
    }
    progress::remember_canaries(cluster, &[]);
    Ok(true)
}

/// The state of the instances other than the canaries together.
enum Others {
    Serve,
    ComeUp,
    Gone,
}

fn others(manager: &mut dyn Manager, cluster: &Cluster, canaries: &[u32]) -> Result<Others, Error> {
    let mut instances = cluster.instances(manager)?;
    instances.retain(|(number, _)| !canaries.contains(number));
    Ok(if instances.iter().any(|(_, brief)| brief.is_ready()) {
        Others::Serve
    } else if instances
        .iter()
        .any(|(_, brief)| !brief.is_gone() || brief.job.is_some())
    {
        Others::ComeUp
    } else {
        Others::Gone
    })
}

/// Stops these units at once. Returns whether all are gone.
fn stop(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    units: &[String],
    say: &mut dyn FnMut(&str),
) -> Result<bool, Error> {
    let longest = manager.unit(&cluster.units().cluster())?.stop_timeout;
    let mut overdue = Overdue::new(&cluster.app, longest);
    let mut jobs = Vec::new();
    for name in units {
        let unit = manager.unit(name)?;
        if !unit.is_gone() || unit.job.is_some() {
            say(&format!(
                "{name} is stopped: it was the canary of a reload that was killed"
            ));
            jobs.push(manager.queue(Verb::Stop, name)?);
        }
    }
    for job in &jobs {
        while let Err(error) = manager.wait(job, GLANCE) {
            if !matches!(error, Error::TimedOut { .. }) {
                return Err(error);
            }
            for killed in overdue.look(manager)? {
                say(&killed.to_string());
            }
        }
    }
    for job in &jobs {
        if !manager.unit(&job.unit)?.is_gone() {
            return Ok(false);
        }
    }
    Ok(true)
}
