//! Commands that find a canary which a reload has kept, or an app that is paused.

use super::hint;
use super::jobs::Jobs;
use crate::cluster::{pause, progress};
use crate::output::Failure;
use crate::unit::name::Units;

/// Refuses what would replace or renumber instances while a canary is kept or the app is paused. A canary that is gone is not an obstacle.
pub(super) fn refuse(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    refuse_paused(jobs, app)?;
    for number in progress::kept(&jobs.layout.state(app)) {
        let name = Units::of(app).instance(number);
        let unit = jobs.manager.unit(&name)?;
        if !unit.is_gone() || unit.job.is_some() {
            let message = format!("{name} is kept as a canary");
            let help = format!(
                "run `rsgen reload {app} --promote` to continue with it, or `rsgen reload {app} --abort` to stop it"
            );
            let help = hint::for_manager(jobs.layout.scope, &help);
            return Err(Failure::failed(message).help(help));
        }
    }
    Ok(())
}

/// Refuses what the end of a pause would undo, or what would cut connections that wait for it.
pub(super) fn refuse_paused(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    if pause::unit(jobs.manager, app)?.is_none() {
        return Ok(());
    }
    let help = format!("run `rsgen resume {app}` first");
    Err(Failure::failed(format!("`{app}` is paused"))
        .help(hint::for_manager(jobs.layout.scope, &help)))
}
