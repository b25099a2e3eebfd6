//! Lets an instance that is on its way up become READY before a command stops it.
//!
//! Until an instance is READY, systemd stops it without `ExecStop=`, and so without a drain: what the program has accepted by then
//! would be cut.

use std::time::Duration;

use super::connections;
use super::jobs::{Jobs, TICK};
use crate::ecosystem::App;
use crate::generate::sources;
use crate::output::Failure;
use crate::systemd::{ActiveState, Brief};

/// How long a command waits, all in all. A program that is never READY must not keep anybody from stopping it.
const LONGEST: Duration = Duration::from_secs(3);

impl Jobs<'_> {
    /// Waits until no instance that matches is on its way up and has connections.
    pub(super) fn outlast_starts(&mut self, app: &str, pattern: &str) -> Result<(), Failure> {
        let end = self.manager.now() + LONGEST;
        if self.on_their_way(pattern)?.is_empty() {
            return Ok(());
        }
        let source = sources::find(self.layout, app);
        let Some((_, app)) = source.and_then(|source| sources::load(self.layout, &source).ok())
        else {
            return Ok(());
        };
        while self.manager.now() < end && self.is_any_busy(&app, pattern)? {
            self.manager.pause(TICK);
        }
        Ok(())
    }

    fn is_any_busy(&mut self, app: &App, pattern: &str) -> Result<bool, Failure> {
        for brief in self.on_their_way(pattern)? {
            let unit = self.manager.unit(&brief.name)?;
            if unit.is_starting() && connections::of_instance(app, &unit) > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn on_their_way(&mut self, pattern: &str) -> Result<Vec<Brief>, Failure> {
        let mut briefs = self.manager.units(pattern)?;
        briefs.retain(|brief| brief.active == ActiveState::Activating);
        Ok(briefs)
    }
}
