//! The pause of an app, as commands see it: the unit that exists meanwhile, and what that unit runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::jobs::Jobs;
use super::writing::Writing;
use crate::cluster::pause;
use crate::generate::{files, sources};
use crate::layout::Layout;
use crate::output::Failure;
use crate::plan;
use crate::plan::diff::{Change, Content};
use crate::sys::clock;
use crate::systemd::{Brief, Verb};
use crate::unit::name::Units;

/// systemd ends a pause whose command hangs this much later than the longest one.
const LATE: Duration = Duration::from_secs(30);

impl Jobs<'_> {
    /// Ends the pause of an app, if there is one: its instances are started again.
    pub(super) fn end_pause(&mut self, app: &str) -> Result<(), Failure> {
        if pause::unit(self.manager, app)?.is_some() {
            self.run(Verb::Stop, &Units::of(app).pause())?;
        }
        Ok(())
    }

    /// Starts the unit that pauses an app for this time, and waits until the instances have ended. The right to write is held until the
    /// job is queued: another command would take the note away from the unit, and with it which instances are to be started again.
    pub(super) fn begin_pause(
        &mut self,
        writing: Writing,
        app: &str,
        time: Duration,
    ) -> Result<(), Failure> {
        let units = Units::of(app);
        // Those of instances that are down stay closed, so that nobody connects to them.
        let listeners = self.manager.units(&units.listeners())?;
        let open = listeners.into_iter().filter(Brief::is_ready);
        let open: Vec<String> = open.map(|unit| unit.name).collect();
        let source = sources::find(self.layout, app);
        let loaded = source.and_then(|source| sources::load(self.layout, &source).ok());
        let non_blocking = loaded.is_none_or(|(_, app)| app.is_non_blocking());
        let times = (time, pause::LONGEST + LATE);
        let text = plan::pause(app, self.layout, (&open, non_blocking), times);
        let text = text.map_err(|e| Failure::failed(e.to_string()))?;
        let path = self.layout.runtime_units.join(units.pause());
        let change = Change {
            old: files::content(&path),
            path,
            new: Some(Content::File(text)),
        };
        files::apply(&[change]).map_err(|e| Failure::failed(e.to_string()))?;
        self.manager.daemon_reload()?;
        let state = self.layout.state(app);
        let asked = pause::Paused::ask(&state);
        asked.map_err(|e| Failure::failed(format!("{}: {e}", state.display())))?;
        if let Err(error) = self.manager.queue(Verb::Start, &units.pause()) {
            pause::Paused::forget(&state);
            return Err(error.into());
        }
        drop(writing);
        // A second job of this kind is merged with the existing one.
        self.run(Verb::Start, &units.pause())
    }
}

/// Removes the file of the unit that pauses an app. It would be gone after the next boot.
pub(super) fn forget(layout: &Layout, app: &str) {
    // Usually there is none.
    let _ = std::fs::remove_file(layout.runtime_units.join(Units::of(app).pause()));
}

/// Returns the time of day that is so far away, for people.
pub(super) fn clock(away: Duration) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.unwrap_or_default().saturating_add(away).as_secs();
    let at = i64::try_from(seconds).ok().and_then(clock::local);
    at.map_or_else(
        || "an unknown time".to_owned(),
        |at| format!("{:02}:{:02}:{:02}", at.hour, at.minute, at.second),
    )
}
