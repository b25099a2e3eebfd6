//! The canary of a walk that has ended without stopping it, because the walk was killed. Each start of an instance, a canary
//! included, starts the brake unit, which outlasts the walk and ends such a canary.

use std::time::Duration;

use super::{Cluster, progress};
use crate::state::Lock;
use crate::systemd::{Error, Job, Manager, Verb};
use crate::walk::Overdue;

/// How long a look waits for a canary that is being stopped. The caller has other instances to look at.
const GLANCE: Duration = Duration::from_millis(50);

/// The end of such a canary, which may have connections to finish.
#[derive(Debug, Default)]
pub(super) struct Left {
    stopping: Option<Stopping>,
}

/// A canary that is being stopped.
#[derive(Debug)]
struct Stopping {
    /// No walk begins meanwhile.
    _lock: Lock,
    name: String,
    job: Job,
    overdue: Overdue,
}

impl Left {
    /// Has the canary that a walk has left stopped, once another instance serves. Returns whether there is nothing left to do: the canary
    /// of a walk that goes on stays, and one that would leave nobody to serve is for the next walk.
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
        match manager.wait(&stopping.job, GLANCE) {
            Err(Error::TimedOut { .. }) => {
                for killed in stopping.overdue.look(manager)? {
                    say(&killed.to_string());
                }
                return Ok(false);
            }
            done => drop(done?),
        }
        let is_gone = manager.unit(&stopping.name)?.is_gone();
        if is_gone {
            forget(manager, cluster, &stopping.name)?;
        }
        self.stopping = None;
        Ok(is_gone)
    }
}

/// What follows from the state of the app.
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
    if progress::canary(cluster).is_none() {
        return Ok(Begun::Nothing);
    }
    // The kernel releases the lock of a walk when the walk ends, however it does.
    let lock = match Lock::take(&cluster.state) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(Begun::Later),
        // The next walk stops the canary.
        Err(_) => return Ok(Begun::Nothing),
    };
    let Some(number) = progress::canary(cluster) else {
        return Ok(Begun::Nothing);
    };
    let name = cluster.units().instance(number);
    match others(manager, cluster, number)? {
        Others::Serve => {}
        // The canary may be the only one that serves.
        Others::ComeUp => return Ok(Begun::Later),
        Others::Gone => return Ok(Begun::Nothing),
    }
    let unit = manager.unit(&name)?;
    if unit.is_gone() && unit.job.is_none() {
        forget(manager, cluster, &name)?;
        return Ok(Begun::Nothing);
    }
    say(&format!(
        "{name} is stopped: it was the canary of a reload that was killed"
    ));
    let longest = manager.unit(&cluster.units().cluster())?.stop_timeout;
    Ok(Begun::Stopping(Stopping {
        _lock: lock,
        job: manager.queue(Verb::Stop, &name)?,
        overdue: Overdue::new(&cluster.app, longest),
        name,
    }))
}

fn forget(manager: &mut dyn Manager, cluster: &Cluster, canary: &str) -> Result<(), Error> {
    manager.reset_failed(canary)?;
    progress::remember_canary(cluster, None);
    Ok(())
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
