//! `ExecStop=` and `ExecStopPost=` of the cluster unit.
//!
//! Both look at the unit's own job. On `stop`, they have the socket stopped and wait for the instances
//! to be gone; on `restart` they return at once and the port stays open. systemd skips `ExecStop=`
//! when it stops a unit in the middle of a start or a reload, so the second does the work of both.
//!
//! The socket's job waits for those of the instances, which are ordered after it. Even so it has to be queued before
//! the first instance is gone: from then on, unless the socket is being stopped, a connection makes systemd start the
//! cluster again instead of stopping it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::stop_reason::{self, StopReason};
use super::{Cluster, EXTENSION, LOOK, hold_off, notify, notify_at_the_end};
use crate::journal::Happening;
use crate::record::Record;
use crate::state;
use crate::systemd::{ATTEMPTS, ActiveState, Error, JobResult, Manager, QueuedJob, Verb};
use crate::walk::Overdue;

/// The longest wait for something that has not begun to stop, because it waits for units that an administrator ordered
/// before it.
const LONGEST: Duration = Duration::from_mins(10);

/// How the cluster unit has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// Stopped as asked.
    Clean,
    /// The instances failed for good: the unit must end as failed, for this reason.
    Failed(String),
}

/// `ExecStop=`. Instances that do not end though a stop by the app's own bounds takes no more than
/// `longest` are killed; `say` gets a line for each.
///
/// # Errors
/// When systemd cannot be asked.
pub fn stop(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    longest: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<Stopped, Error> {
    // Instances that are down already would otherwise be started again with what they ran then.
    state::forget_releases(&cluster.state);
    match stop_reason::read(cluster) {
        Some(StopReason::Failed(why)) => {
            notify(&why, EXTENSION);
            return Ok(Stopped::Failed(why));
        }
        Some(StopReason::Idle | StopReason::Done) => return Ok(Stopped::Clean),
        None => {}
    }
    if is_stopping(manager, cluster)? {
        close(manager, cluster, longest, say)?;
    }
    Ok(Stopped::Clean)
}

/// `ExecStopPost=`, also after a start that failed; `longest` and `say` as for [`stop`].
///
/// # Errors
/// When systemd cannot be asked.
pub fn stopped(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    longest: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    // After a failure of the instances the port stays open, and the next connection starts the cluster again.
    match stop_reason::take(cluster) {
        Some(StopReason::Failed(_)) => return Ok(()),
        Some(stop_reason) => {
            let text = match stop_reason {
                StopReason::Done => "the last instance has ended by itself",
                _ => "the last instance was stopped",
            };
            cluster.tell_asked(&Record::new(Happening::Stopped, text));
            return Ok(());
        }
        None => {}
    }
    let unit = manager.unit(&cluster.units().cluster())?;
    let mut job = unit.job;
    let failed = !matches!(unit.result.as_str(), "" | "success");
    if failed && !job.as_ref().is_some_and(is_asked_for) {
        state::forget_releases(&cluster.state);
        stop_trying(manager, cluster)?;
        let pause = hold_off::after_failure(cluster, manager.now());
        job = hold_off::wait(manager, cluster, pause)?;
        notify_at_the_end(cluster, "no instance came up at the last start");
    }
    if job.is_some_and(|j| j.is_stop()) {
        close(manager, cluster, longest, say)?;
        for socket in cluster.sockets(manager)? {
            close_port(manager, &socket)?;
        }
        // The end of an instance closes its own listener. One that was about to be started again had ended before that.
        let listeners = manager.units(&cluster.units().listeners())?;
        for listener in listeners.iter().filter(|listener| !listener.is_gone()) {
            close_port(manager, &listener.name)?;
        }
        cluster.tell_asked(&Record::new(Happening::Stopped, "stopped"));
    }
    Ok(())
}

/// Stops the socket. systemd stops a socket only after its service, that is, after this command; a caller who waits for
/// the stop of the cluster expects the port to be free by then.
fn close_port(manager: &mut dyn Manager, socket: &str) -> Result<(), Error> {
    for _ in 0..=ATTEMPTS {
        let closing = manager.queue(Verb::StopAlone, socket)?;
        if manager.wait(&closing, EXTENSION)? != JobResult::Canceled {
            return Ok(());
        }
    }
    let what = format!("the stop of `{socket}`");
    Err(Error::Canceled { what })
}

fn is_asked_for(job: &QueuedJob) -> bool {
    job.is_stop() || job.is_restart()
}

/// Whether the cluster is being stopped, and not only to be started again.
pub(super) fn is_stopping(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    Ok(cluster.job(manager)?.is_some_and(|j| j.is_stop()))
}

fn close(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    longest: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    cluster.stop_sockets(manager)?;
    let mut asked = BTreeSet::new();
    let mut overdue = Overdue::new(&cluster.app, longest);
    let end = manager.now() + LONGEST.max(longest.saturating_mul(2));
    while manager.now() < end && is_stopping(manager, cluster)? {
        let instances = cluster.instances(manager)?;
        let left = instances.iter().filter(|(_, i)| !i.is_gone()).count();
        if left == 0 {
            break;
        }
        for (number, instance) in instances {
            // PartOf= has brought a stop to each, but not to one that was masked while it ran.
            let is_ending = instance.is_gone() || instance.active == ActiveState::Deactivating;
            if !is_ending && instance.job.is_none() && asked.insert(number) {
                match manager.queue(Verb::Stop, &instance.name) {
                    Ok(_) | Err(Error::NoSuchUnit { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        for killed in overdue.look(manager)? {
            say(&killed.to_string());
        }
        notify(&format!("waiting for {left} to finish"), EXTENSION);
        manager.pause(LOOK);
    }
    // Nothing is waited for any more.
    notify("", EXTENSION);
    Ok(())
}

/// Stops instances that are still trying to start, because the start was given up. An instance that came up at the last
/// moment serves.
fn stop_trying(manager: &mut dyn Manager, cluster: &Cluster) -> Result<(), Error> {
    for (_, instance) in cluster.instances(manager)? {
        if !instance.is_gone() && !instance.is_ready() {
            manager.queue(Verb::Stop, &instance.name)?;
        }
    }
    Ok(())
}
