//! The canaries of a walk: the extra instances that start first and are stopped last.

use std::time::Instant;

use super::{Event, Failed, Walk, milliseconds};
use crate::systemd::Error;

impl Walk<'_> {
    /// Starts so many canaries at once, those included that are there already. If one fails, all are stopped: no instance that
    /// serves has been touched by then.
    pub(super) fn start_canaries(&mut self, count: u32) -> Result<(), Failed> {
        let new = self.free_numbers(count)?;
        if new.is_empty() {
            return Ok(());
        }
        self.canaries.extend(&new);
        let since = Instant::now();
        self.effects.remember_canaries(&self.canaries);
        let canaries = self.several();
        for number in &new {
            self.effects.tell(&Event::CanaryStarting {
                number: *number,
                canaries,
            });
        }
        match self.raise(&new) {
            Ok(ready) => {
                for (number, pid) in ready {
                    self.effects.tell(&Event::CanaryReady {
                        number,
                        canaries,
                        pid,
                        took_ms: milliseconds(since),
                    });
                }
                Ok(())
            }
            Err(failed) => {
                // The walk has failed already; a canary that cannot be stopped either changes nothing for the others.
                let _ = self.stop_canaries();
                Err(failed)
            }
        }
    }

    /// Starts one canary, which stays when the walk ends.
    pub(super) fn canary_only(&mut self) -> Result<Event, Failed> {
        self.stop_left_canaries().map_err(|e| self.bus(&e))?;
        self.start_canaries(1)?;
        let number = self.canaries.first().copied().unwrap_or_default();
        let unit = self.look(number)?;
        if self.effects.keep_canaries(&self.canaries) {
            let pid = unit.main_pid;
            return Ok(Event::CanaryKept { number, pid });
        }
        let mut failed = self.failed(number, &unit, None);
        failed.why = String::from("the note that it is kept cannot be written");
        let _ = self.stop_canaries();
        Err(failed)
    }

    /// Takes over the canaries that an earlier walk has kept, except those that do not serve any more.
    pub(super) fn adopt(&mut self, kept: &[u32]) -> Result<(), Failed> {
        if kept.is_empty() {
            return Ok(());
        }
        // From now on they are canaries like others, which do not outlast their walk.
        self.effects.remember_canaries(kept);
        let (mut serving, mut down) = (Vec::new(), Vec::new());
        for number in kept.iter().copied() {
            if self.look(number)?.is_ready() {
                serving.push(number);
            } else {
                down.push(number);
            }
        }
        self.stop(&down).map_err(|e| self.bus(&e))?;
        self.canaries = serving;
        Ok(())
    }

    /// Stops the canaries that an earlier walk has kept.
    pub(super) fn drop_kept(&mut self, kept: &[u32]) -> Result<Event, Failed> {
        self.effects.remember_canaries(kept);
        self.canaries = kept.to_vec();
        self.stop_canaries().map_err(|e| self.bus(&e))?;
        Ok(Event::CanaryDropped)
    }

    /// How many canaries there are, if several.
    pub(super) fn several(&self) -> Option<u32> {
        let count = u32::try_from(self.canaries.len()).ok();
        count.filter(|count| *count > 1)
    }

    /// Starts instances, and returns the PID of each program once all are proven.
    fn raise(&mut self, numbers: &[u32]) -> Result<Vec<(u32, u32)>, Failed> {
        let units: Vec<String> = numbers.iter().map(|number| self.unit(*number)).collect();
        // No unit wants a canary, so systemd would forget why it did not start one.
        for unit in &units {
            self.manager.hold(unit);
        }
        let raised = self.raise_held(numbers);
        for unit in &units {
            self.manager.release(unit);
        }
        raised
    }

    fn raise_held(&mut self, numbers: &[u32]) -> Result<Vec<(u32, u32)>, Failed> {
        let mut jobs = Vec::new();
        for number in numbers.iter().copied() {
            jobs.push((number, self.fresh(number)?));
        }
        let mut ready = Vec::new();
        for (number, job) in jobs {
            ready.push((number, self.judge(number, &job, 0)?));
        }
        self.settle(&ready)?;
        Ok(ready)
    }

    /// The first numbers beyond the wanted ones that nobody has: after a scale-down, instances that serve have some of them.
    fn free_numbers(&mut self, wanted: u32) -> Result<Vec<u32>, Failed> {
        let missing = usize::try_from(wanted).unwrap_or(0);
        let missing = missing.saturating_sub(self.canaries.len());
        if missing == 0 {
            return Ok(Vec::new());
        }
        let taken = self.beyond().map_err(|e| self.bus(&e))?;
        let free = (self.plan.instances..).filter(|number| !taken.contains(number));
        Ok(free.take(missing).collect())
    }

    /// Stops the canaries, if there are any.
    pub(super) fn stop_canaries(&mut self) -> Result<(), Error> {
        let numbers = self.canaries.clone();
        if !numbers.is_empty() {
            self.stop(&numbers)?;
            self.canaries.clear();
            self.effects.remember_canaries(&[]);
        }
        Ok(())
    }

    /// Stops the canaries of a walk that was killed, except those that have become wanted instances since.
    pub(super) fn stop_left_canaries(&mut self) -> Result<(), Error> {
        let mut left = self.effects.canaries_left();
        let is_any = !left.is_empty();
        left.retain(|number| *number >= self.plan.instances);
        if is_any && left.is_empty() {
            self.effects.remember_canaries(&[]);
        }
        self.canaries = left;
        self.stop_canaries()
    }
}
