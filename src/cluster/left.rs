//! The canaries of a walk that has ended without stopping them, because the walk was killed. Each start of an instance, a canary
//! included, starts the brake unit, which outlasts the walk and ends such canaries.

use std::time::Duration;

use super::{Cluster, progress};
use crate::state::Lock;
use crate::systemd::{Error, Job, Manager, Verb};
use crate::walk::Overdue;

/// How long a look waits for canaries that are being stopped. The caller has other instances to look at.
const GLANCE: Duration = Duration::from_millis(50);

/// The end of such canaries, which may have connections to finish.
#[derive(Debug, Default)]
pub(super) struct Left {
    stopping: Option<Stopping>,
}

/// Canaries that are being stopped.
#[derive(Debug)]
struct Stopping {
    /// No walk begins meanwhile.
    _lock: Lock,
    names: Vec<String>,
    /// The stops that are not known to be done.
    jobs: Vec<Job>,
    overdue: Overdue,
}

impl Left {
    /// Has the canaries that a walk has left stopped, once another instance serves. Returns whether there is nothing left to do: the
    /// canaries of a walk that goes on stay, and those that would leave nobody to serve are for the next walk.
    pub(super) fn look(
        &mut self,
        manager: &mut dyn Manager,
        cluster: &Cluster,
        say: &mut dyn FnMut(&str),
    ) -> Result<bool, Error> {
        if self.stopping.is_none() {
            match begin(manager, cluster, say)? {
                Begun::Stopping(stopping) => self.stopping = Some(stopping),
                Begun::Nothing => return Ok(true),
                Begun::Later => return Ok(false),
            }
        }
        let Some(stopping) = &mut self.stopping else {
            return Ok(true);
        };
        while let Some(job) = stopping.jobs.last() {
            match manager.wait(job, GLANCE) {
                Err(Error::TimedOut { .. }) => {
                    for killed in stopping.overdue.look(manager)? {
                        say(&killed.to_string());
                    }
                    return Ok(false);
                }
                done => drop(done?),
            }
            stopping.jobs.pop();
        }
        let mut are_gone = true;
        for name in &stopping.names {
            are_gone &= manager.unit(name)?.is_gone();
        }
        if are_gone {
            forget(manager, cluster, &stopping.names)?;
        }
        self.stopping = None;
        Ok(are_gone)
    }
}

/// The next thing to do, according to the state of the app.
enum Begun {
    Stopping(Stopping),
    Nothing,
    /// Another look is needed.
    Later,
}

fn begin(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    say: &mut dyn FnMut(&str),
) -> Result<Begun, Error> {
    if progress::canaries(cluster).is_empty() {
        return Ok(Begun::Nothing);
    }
    // The kernel releases the lock of a walk when the walk ends, however it does.
    let lock = match Lock::take(&cluster.state) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(Begun::Later),
        // The next walk stops the canaries.
        Err(_) => return Ok(Begun::Nothing),
    };
    let canaries = progress::canaries(cluster);
    if canaries.is_empty() {
        return Ok(Begun::Nothing);
    }
    match others(manager, cluster, &canaries)? {
        Others::Serve => {}
        // A canary may be the only one that serves.
        Others::ComeUp => return Ok(Begun::Later),
        Others::Gone => return Ok(Begun::Nothing),
    }
    let names = canaries.iter().map(|n| cluster.units().instance(*n));
    let names: Vec<String> = names.collect();
    let mut jobs = Vec::new();
    for name in &names {
        let unit = manager.unit(name)?;
        if unit.is_gone() && unit.job.is_none() {
            continue;
        }
        say(&format!(
            "{name} is stopped: it was the canary of a reload that was killed"
        ));
        jobs.push(manager.queue(Verb::Stop, name)?);
    }
    if jobs.is_empty() {
        forget(manager, cluster, &names)?;
        return Ok(Begun::Nothing);
    }
    let longest = manager.unit(&cluster.units().cluster())?.stop_timeout;
    Ok(Begun::Stopping(Stopping {
        _lock: lock,
        overdue: Overdue::new(&cluster.app, longest),
        jobs,
        names,
    }))
}

fn forget(manager: &mut dyn Manager, cluster: &Cluster, canaries: &[String]) -> Result<(), Error> {
    for canary in canaries {
        manager.reset_failed(canary)?;
    }
    progress::remember_canaries(cluster, &[]);
    Ok(())
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
