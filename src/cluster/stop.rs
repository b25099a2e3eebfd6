//! `ExecStop=` and `ExecStopPost=` of the cluster unit.
//!
//! Both look at the unit's own job. On `stop`, they wait for the instances to be gone and then have
//! the socket stopped; on `restart` they return at once and the port stays open. systemd skips
//! `ExecStop=` when it stops a unit in the middle of a reload, so the second does the work of both.

use std::time::{Duration, Instant};

use super::verdict::{self, Verdict};
use super::{Cluster, LOOK, notify};
use crate::systemd::{Error, Manager, Verb};

/// Longer than any instance's own time-outs allow.
const LONGEST: Duration = Duration::from_mins(10);
const EXTENSION: Duration = Duration::from_secs(30);

/// How the stop is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// As asked.
    Clean,
    /// The instances failed for good: the unit must end as failed, for this reason.
    Failed(String),
}

/// `ExecStop=`.
///
/// # Errors
/// When systemd cannot be asked.
pub fn stop(manager: &mut dyn Manager, cluster: &Cluster) -> Result<Stopped, Error> {
    match verdict::read(cluster) {
        Some(Verdict::Failed(why)) => return Ok(Stopped::Failed(why)),
        Some(Verdict::Idle) => return Ok(Stopped::Clean),
        None => {}
    }
    if is_stopping(manager, cluster)? {
        wait_until_gone(manager, cluster)?;
    }
    Ok(Stopped::Clean)
}

/// `ExecStopPost=`, also after a start that failed.
///
/// # Errors
/// When systemd cannot be asked.
pub fn stopped(manager: &mut dyn Manager, cluster: &Cluster) -> Result<(), Error> {
    // After a verdict the port stays open: the next connection is the next try.
    if verdict::take(cluster).is_some() || !is_stopping(manager, cluster)? {
        return Ok(());
    }
    wait_until_gone(manager, cluster)?;
    manager.queue(Verb::Stop, &cluster.socket())?;
    Ok(())
}

fn is_stopping(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    Ok(manager
        .unit(&cluster.unit())?
        .job
        .is_some_and(|j| j.kind == "stop"))
}

fn wait_until_gone(manager: &mut dyn Manager, cluster: &Cluster) -> Result<(), Error> {
    let end = Instant::now() + LONGEST;
    while Instant::now() < end {
        let mut left = 0;
        for number in cluster.numbers(manager)? {
            let unit = manager.unit(&cluster.instance(number))?;
            left += u32::from(!unit.is_gone());
        }
        if left == 0 {
            break;
        }
        notify(&format!("waiting for {left} to finish"), EXTENSION);
        manager.pause(LOOK);
    }
    Ok(())
}
