//! Whether anybody is there for the connections that the socket takes.

use super::Cluster;
use crate::contract;
use crate::systemd::{ActiveState, Brief, Error, Manager};

/// Whether any instance serves or is on its way to, leaving one out that is about to end.
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
            // A job that is still there starts it.
            ActiveState::Inactive | ActiveState::Failed => job.is_some(),
            // Between its end and what follows: its status says whether it comes back.
            ActiveState::Deactivating => {
                let status = u8::try_from(manager.unit(&brief.name)?.exit_status);
                !status.is_ok_and(contract::is_final)
            }
            _ => true,
        },
    })
}
