//! Checks whether any instance is there for the connections that the socket accepts.

use super::Cluster;
use crate::contract;
use crate::systemd::{ActiveState, Brief, Error, Manager};

/// Returns whether any instance serves or will soon serve. One instance that is about to end is not counted.
pub(super) fn anybody(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    but: Option<u32>,
) -> Result<bool, Error> {
    for (number, brief) in cluster.instances(manager)? {
        if Some(number) != but && is_there(manager, &brief)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_there(manager: &mut dyn Manager, brief: &Brief) -> Result<bool, Error> {
    Ok(match &brief.job {
        Some(job) if job.is_stop() => false,
        Some(job) if job.is_restart() => true,
        job => match brief.active {
            // If there is still a job, it starts the instance.
            ActiveState::Inactive | ActiveState::Failed => job.is_some(),
            // After the end of the process, the unit's status shows whether systemd starts it again.
            ActiveState::Deactivating => {
                let status = u8::try_from(manager.unit(&brief.name)?.exit_status);
                !status.is_ok_and(contract::is_final)
            }
            _ => true,
        },
    })
}
