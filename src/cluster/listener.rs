//! The listener of an instance that has one of its own, after the instance has ended.
//!
//! As long as it is open, connections wait at it. An instance that is restarted on purpose gets them a moment later. One that
//! has crashed may take a while, and one that was given up never comes back: where others serve, the kernel moves what waits at
//! a listener to theirs when it is closed. The start of the instance opens it again.

use super::{Cluster, EXTENSION, Ended};
use crate::contract::NOT_STARTED;
use crate::systemd::{ActiveState, Error, Manager, QueuedJob, Unit, Verb};

/// Whether another instance serves, and will keep serving.
pub(super) fn has_heir(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    ended: u32,
) -> Result<bool, Error> {
    let instances = cluster.instances(manager)?;
    Ok(instances.into_iter().any(|(number, brief)| {
        let is_stopping = brief.job.as_ref().is_some_and(QueuedJob::is_stop);
        number != ended && brief.is_ready() && !is_stopping
    }))
}

/// Why a program was not started, if that is because systemd could not open the listener: usually another program has the port.
pub(super) fn fault(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: Ended<'_>,
    ended: &Unit,
) -> Result<Option<String>, Error> {
    if !end.own_listener || !ended.status_text.starts_with(NOT_STARTED) {
        return Ok(None);
    }
    let listener = cluster.units().listener(end.number);
    let has_failed = manager.unit(&listener)?.active == ActiveState::Failed;
    Ok(has_failed
        .then(|| format!("{listener} could not be started; see `systemctl status {listener}`")))
}

/// Closes the listener before systemd sees the instance as gone: from then on a connection would start it again.
pub(super) fn close(manager: &mut dyn Manager, cluster: &Cluster, ended: u32) -> Result<(), Error> {
    let socket = cluster.units().listener(ended);
    let job = match manager.queue(Verb::StopAlone, &socket) {
        Err(Error::NoSuchUnit { .. }) => return Ok(()),
        job => job?,
    };
    match manager.wait(&job, EXTENSION) {
        // The listener is closed nevertheless, only later than would be best.
        Err(Error::TimedOut { .. }) => Ok(()),
        done => done.map(drop),
    }
}
