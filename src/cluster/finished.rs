//! Instances that have ended by themselves and are not started again, because the app says so: by `autorestart = false`, or by its
//! `stop_exit_codes`.
//!
//! Such a program may be quicker than the start of the cluster unit, which then must neither run the program again nor wait for it.
//! While that start is under way, nothing can stop the cluster unit either: the brake unit does so afterwards.

use std::time::Duration;

use super::stop_reason::StopReason;
use super::{Cluster, LOOK, ended, serving};
use crate::brake::Deaths;
use crate::state::Name;
use crate::systemd::{ActiveState, Error, Manager, QueuedJob, Unit};

/// How long the commands at the end of an instance are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes that an instance has ended while the cluster unit has a job. For another job, the note means nothing.
pub(super) fn note(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    number: u32,
    unit: &Unit,
) -> Result<(), Error> {
    if let Some(job) = cluster.job(manager)? {
        // Without the note, the program is run again.
        let _ = cluster
            .file(Name::Finished(number))
            .write(&text(&job, unit));
    }
    Ok(())
}

fn text(job: &QueuedJob, unit: &Unit) -> String {
    format!("{} {}", job.path, unit.invocation)
}

/// Returns whether an instance has ended for good since the present job of the cluster unit was queued. The commands at its end are
/// waited for: a start that is queued meanwhile would run the program again.
pub(super) fn is_noted(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    name: &str,
) -> Result<bool, Error> {
    let end = manager.now() + PATIENCE;
    let mut unit = manager.unit(name)?;
    while unit.active == ActiveState::Deactivating
        && unit.job.is_none()
        && unit.main_pid == 0
        && manager.now() < end
    {
        manager.pause(LOOK);
        unit = manager.unit(name)?;
    }
    let number = cluster.units().number(name);
    let Some(number) = number.filter(|_| unit.is_gone() && unit.job.is_none()) else {
        return Ok(false);
    };
    let Ok(noted) = cluster.file(Name::Finished(number)).read() else {
        return Ok(false);
    };
    let Some(job) = cluster.job(manager)? else {
        return Ok(false);
    };
    Ok(noted == text(&job, &unit))
}

/// Has the cluster unit stopped if its last instance ended during its start, when the end of the instance could not.
pub(super) fn speak(manager: &mut dyn Manager, cluster: &Cluster) -> Result<(), Error> {
    let instances = cluster.instances(manager)?;
    let Some((number, _)) = instances.first() else {
        return Ok(());
    };
    if serving::anybody(manager, cluster, None)? {
        return Ok(());
    }
    let mut stop_reason = StopReason::Done;
    for (number, brief) in &instances {
        let deaths = Deaths::load(&cluster.deaths(*number));
        let is_errored = deaths.as_ref().is_some_and(|deaths| deaths.errored);
        if is_errored || brief.active == ActiveState::Failed {
            let reason = deaths.map(|deaths| deaths.reason);
            let reason = reason.filter(|reason| !reason.is_empty());
            let why = match reason {
                Some(reason) => reason,
                None => manager.unit(&brief.name)?.why(),
            };
            stop_reason = StopReason::Failed(format!("no instance is left: {why}"));
        }
    }
    ended::speak_for_the_cluster(manager, cluster, *number, &stop_reason)
}
