//! The changes that bring installed apps in line with a file, for commands other than `install`.

use super::apply::Prepared;
use super::context::Context;
use super::install::{apply_all, select};
use super::locate::{self, Missed};
use super::selection::Wanted;
use crate::output::Failure;

/// The changes that install the apps of a file.
pub(super) struct Preparation {
    pub(super) prepared: Vec<Prepared>,
    /// The apps that cannot be prepared. The others are prepared nevertheless.
    pub(super) missed: Vec<String>,
    pub(super) failures: Vec<Failure>,
}

/// Returns the changes that install these apps. Without `may_start`, no program is started to find out where it listens.
pub(super) fn prepare(
    context: &mut Context<'_>,
    wanted: &Wanted<'_>,
    may_start: bool,
) -> Result<Preparation, Failure> {
    let mut selected = select(context, wanted)?;
    let mut missed: Vec<String> = selected.iter().map(|s| s.app.name.clone()).collect();
    let Missed { failures, later } = locate::locate(context, &mut selected, !may_start, false)?;
    if let Some(app) = later.first() {
        return Err(Failure::failed(format!("`{app}` leaves `listen` out")));
    }
    missed.retain(|name| selected.iter().all(|s| s.app.name != *name));
    Ok(Preparation {
        prepared: apply_all(context, &selected, false)?,
        missed,
        failures,
    })
}
