//! The canary of a walk that has ended without stopping it, because the walk was killed. Each start of an instance, a canary
//! included, starts the brake unit, which outlasts the walk and ends such a canary.

use std::time::Duration;

use super::{Cluster, progress};
use crate::state::Lock;
use crate::systemd::{Error, Manager, Verb};
use crate::walk::Overdue;

/// How often a canary that is being stopped is looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// Stops the canary that a walk has left, once another instance serves. Returns whether there is nothing left to do: the canary of a walk
/// that goes on stays, and one that would leave nobody to serve is for the next walk.
pub(super) fn end_canary(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    say: &mut dyn FnMut(&str),
) -> Result<bool, Error> {
    if progress::canary(cluster).is_none() {
        return Ok(true);
    }
    // The kernel releases the lock of a walk when the walk ends, however it does. No other walk begins meanwhile.
    let _lock = match Lock::take(&cluster.state) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(false),
        // The next walk stops the canary.
        Err(_) => return Ok(true),
    };
    let Some(number) = progress::canary(cluster) else {
        return Ok(true);
    };
    let name = cluster.units().instance(number);
    match others(manager, cluster, number)? {
        Others::Serve => {}
        // The canary may be the only one that serves.
        Others::ComeUp => return Ok(false),
        Others::Gone => return Ok(true),
    }
    let unit = manager.unit(&name)?;
    if !unit.is_gone() || unit.job.is_some() {
        say(&format!(
            "{name} is stopped: it was the canary of a reload that was killed"
        ));
        stop(manager, cluster, &name, say)?;
        if !manager.unit(&name)?.is_gone() {
            return Ok(false);
        }
    }
    manager.reset_failed(&name)?;
    progress::remember_canary(cluster, None);
    Ok(true)
}

/// The state of the instances other than the canary together.
enum Others {
    Serve,
    ComeUp,
    Gone,
}

fn others(manager: &mut dyn Manager, cluster: &Cluster, canary: u32) -> Result<Others, Error> {
    let mut instances = cluster.instances(manager)?;
    instances.retain(|(number, _)| *number != canary);
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

fn stop(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    unit: &str,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let longest = manager.unit(&cluster.units().cluster())?.stop_timeout;
    let mut overdue = Overdue::new(&cluster.app, longest);
    let job = manager.queue(Verb::Stop, unit)?;
    loop {
        match manager.wait(&job, GLANCE) {
            Err(Error::TimedOut { .. }) => {}
            done => return done.map(drop),
        }
        for killed in overdue.look(manager)? {
            say(&killed.to_string());
        }
    }
}
