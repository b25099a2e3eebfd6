//! Instances beyond the number of their app: `systemctl start web@12` starts one, and editing units by hand may leave some. An
//! install stops them, as a reload does at its end.

use super::apply::Prepared;
use super::jobs::Jobs;
use super::targets;
use crate::cluster::{pause, progress};
use crate::output::{Failure, Notice, counted};
use crate::state::Lock;
use crate::systemd::ActiveState;
use crate::unit::name::Units;

impl Jobs<'_> {
    /// Returns how many instances there are to be, as the files say now: since this command has read them, which may be minutes ago where
    /// it brings up several apps, another one may have scaled the app.
    fn size(&self, prepared: &Prepared) -> Option<u32> {
        targets::size(self.layout, prepared.cpus?, &prepared.app)
    }

    /// Returns the numbers of the instances beyond the number of an app, the highest first. There are none while one of them may stand in
    /// for another, as a canary of a reload or of the recycling, or while no other instance serves.
    pub(super) fn surplus(&mut self, prepared: &Prepared) -> Result<Vec<u32>, Failure> {
        let (app, units) = (&prepared.app, Units::of(&prepared.app));
        let Some(wanted) = self.size(prepared).filter(|_| !prepared.is_job) else {
            return Ok(Vec::new());
        };
        let is_up = self.manager.unit(&units.cluster())?.active == ActiveState::Active;
        if !is_up
            || progress::has_canary(&self.layout.state(app))
            || pause::unit(self.manager, app)?.is_some()
        {
            return Ok(Vec::new());
        }
        let loaded = self.manager.units(&units.instances())?;
        let numbered = loaded
            .iter()
            .filter_map(|brief| Some((units.number(&brief.name)?, brief)));
        let (within, beyond): (Vec<_>, Vec<_>) = numbered.partition(|(number, _)| *number < wanted);
        if !within.iter().any(|(_, brief)| brief.is_ready()) {
            return Ok(Vec::new());
        }
        let running = beyond
            .iter()
            .filter(|(_, brief)| !brief.is_gone() || brief.job.is_some());
        let mut surplus: Vec<u32> = running.map(|(number, _)| *number).collect();
        surplus.sort_unstable_by(|a, b| b.cmp(a));
        Ok(surplus)
    }

    /// Drains and stops these instances, unless a walk has begun meanwhile, which does so at its end.
    pub(super) fn stop_surplus(&mut self, prepared: &Prepared) -> Result<(), Failure> {
        let app = &prepared.app;
        let folder = self.layout.state(app);
        let lock = Lock::take(&folder);
        let lock = lock.map_err(|e| Failure::failed(format!("{}: {e}", folder.display())))?;
        let surplus = match lock {
            Some(_) => self.surplus(prepared)?,
            None => return Ok(()),
        };
        if surplus.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = surplus.iter().map(|n| format!("{app}@{n}")).collect();
        let number = counted(self.size(prepared).unwrap_or_default());
        let text = format!("has {number}: stopping {}", names.join(", "));
        self.sink.notice(&Notice::Noted(app, &text));
        self.stop_instances(app, &surplus)
    }
}
