//! The port of an app that nobody serves after a start that opened it.
//!
//! systemd opens the port before the program is started. Where the start fails, clients would connect and wait, and each
//! of them would be a reason to start the program again. So the port is closed, as it was before. An app that had its port open
//! keeps it: whoever connects waits for the next start.

use std::time::Duration;

use super::jobs::Jobs;
use super::locate;
use super::waiting::{TICK, Waiting};
use crate::output::Failure;
use crate::systemd::{ActiveState, Brief, Verb};
use crate::unit::name::Units;

/// How long the brake unit is waited for.
const SOON: Duration = Duration::from_secs(5);

/// Whether systemd listens for an app.
pub(super) fn is_open(jobs: &mut Jobs<'_>, app: &str) -> Result<bool, Failure> {
    for socket in jobs.sockets(app)? {
        if jobs.manager.unit(&socket)?.active == ActiveState::Active {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Starts an app, and closes its port if it was closed before and the start fails.
pub(super) fn with(
    jobs: &mut Jobs<'_>,
    app: &str,
    start: impl FnOnce(&mut Jobs<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let was_open = is_open(jobs, app)?;
    match start(jobs) {
        Err(failure) if !was_open => Err(close(jobs, app, failure)),
        end => end,
    }
}

/// Closes the port of an app whose start has failed, unless an instance serves.
pub(super) fn close(jobs: &mut Jobs<'_>, app: &str, failure: Failure) -> Failure {
    match close_unserved(jobs, app) {
        Ok(false) => failure,
        Ok(true) => failure.help_also(Some(format!(
            "the port is closed again; `rsgen start {app}` opens it"
        ))),
        Err(e) => failure.help_also(Some(format!(
            "the port cannot be closed again: {}",
            e.message
        ))),
    }
}

/// Whether the port was open, and is closed now.
fn close_unserved(jobs: &mut Jobs<'_>, app: &str) -> Result<bool, Failure> {
    if locate::serves(jobs, app)? || !is_open(jobs, app)? {
        return Ok(false);
    }
    await_first_result(jobs, app)?;
    for socket in jobs.sockets(app)? {
        jobs.run(Verb::Stop, &socket)?;
    }
    // A connection may have begun another start.
    jobs.run(Verb::Stop, &Units::of(app).cluster())?;
    Ok(true)
}

/// Waits while the cluster unit is active and no instance is left, as after programs that ended during its start and are not started again.
/// The brake unit has it fail then, which a stop would hide.
fn await_first_result(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    let units = Units::of(app);
    let end = jobs.manager.now() + SOON;
    let mut waiting = Waiting::begin(jobs.sink);
    while jobs.manager.now() < end {
        let cluster = jobs.manager.unit(&units.cluster())?;
        let instances = jobs.manager.units(&units.instances())?;
        let is_over = |unit: &Brief| unit.is_gone() && unit.job.is_none();
        if cluster.active != ActiveState::Active || !instances.iter().all(is_over) {
            break;
        }
        waiting.tell_of(jobs.sink, app, "the status of the app to say how it ended");
        jobs.manager.pause(TICK);
    }
    Ok(())
}
