//! The commands of the pause unit, see [`crate::cluster::pause`].

use super::super::context::Context;
use super::super::paused;
use super::{beside, longest_stop};
use crate::cluster::pause::{self, PauseError};
use crate::contract::{Pause, Resume};
use crate::log;
use crate::output::Failure;

/// Has the instances end, and waits until the time is over or a signal comes: whatever ends the unit runs [`resume`].
pub(super) fn pause(context: &mut Context<'_>, pause: &Pause) -> Result<(), Failure> {
    let cluster = beside(context, &pause.app);
    let times = (pause.time, longest_stop(context, &pause.app, None)?);
    let manager = context.manager()?;
    pause::pause(manager, &cluster, times, &paused::clock, &mut |line| {
        log::say(5, line);
    })
    .map_err(of_pause)
}

pub(super) fn resume(context: &mut Context<'_>, resume: &Resume) -> Result<(), Failure> {
    let cluster = beside(context, &resume.app);
    pause::resume(context.manager()?, &cluster).map_err(of_pause)
}

fn of_pause(error: PauseError) -> Failure {
    match error {
        PauseError::Systemd(error) => error.into(),
        error => Failure::failed(error.to_string()),
    }
}
