//! The port of an app that nobody serves after a start that opened it.
//!
//! systemd opens the port before the program is started. Where the start fails, clients would connect and wait, and each
//! of them would be a reason to start the program again. So the port is closed, as it was before. An app that had its port open
//! keeps it: whoever connects waits for the next start.

use super::jobs::Jobs;
use super::locate;
use crate::output::Failure;
use crate::systemd::{ActiveState, Verb};
use crate::unit::name::Units;

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
    for socket in jobs.sockets(app)? {
        jobs.run(Verb::Stop, &socket)?;
    }
    // A connection may have begun another start.
    jobs.run(Verb::Stop, &Units::of(app).cluster())?;
    Ok(true)
}
