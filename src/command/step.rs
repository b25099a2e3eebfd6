//! What an install does to processes: nothing, a start or a walk.

use super::apply::Prepared;
use super::context::Context;
use super::follow;
use super::state;
use crate::output::Failure;
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// What has to be done so that the instances are what the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// They are.
    Nothing,
    /// The app does not run.
    Start,
    /// Its instances are of another version, or some of them may be.
    Reload,
}

impl Step {
    /// The step that an app needs; looks only.
    pub(super) fn of(context: &mut Context, prepared: &Prepared) -> Result<Self, Failure> {
        let app = &prepared.app.name;
        let unit = context.manager()?.unit(&Units::of(app).cluster())?;
        let up = matches!(unit.active, ActiveState::Active | ActiveState::Reloading);
        if !up || prepared.readdressed.is_some() {
            return Ok(Self::Start);
        }
        // A walk that stopped half-way left the new files there: they alone do not tell.
        let walked = !state::is_half_walked(&context.layout, app, unit.active_for());
        Ok(if prepared.changes.is_empty() && walked {
            Self::Nothing
        } else {
            Self::Reload
        })
    }

    /// Takes it.
    pub(super) fn take(self, context: &mut Context, prepared: &Prepared) -> Result<(), Failure> {
        let app = &prepared.app.name;
        match self {
            Self::Nothing => Ok(()),
            Self::Start => follow::start(context, app),
            Self::Reload => follow::reload(context, app)
                .map_err(|failure| follow::keep_old(context, prepared, failure)),
        }
    }
}
