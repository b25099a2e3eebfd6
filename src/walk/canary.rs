//! The canaries of a walk: the extra instances that start first and are stopped last.

use std::time::Instant;

use super::{Event, Failed, Walk, milliseconds};
use crate::systemd::{Error, Unit};

impl Walk<'_> {
    /// Starts all canaries at once. If one fails, all are stopped: no instance that serves has been touched by then.
    pub(super) fn start_canaries(&mut self) -> Result<(), Failed> {
        self.canaries = self.free_numbers()?;
        let since = Instant::now();
        self.witness.remember_canaries(&self.canaries);
        let canaries = self.several();
        for number in self.canaries.clone() {
            self.witness
                .tell(&Event::CanaryStarting { number, canaries });
        }
        match self.raise_canaries() {
            Ok(ready) => {
                for (number, unit) in ready {
                    self.witness.tell(&Event::CanaryReady {
                        number,
                        canaries,
                        pid: unit.main_pid,
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

    /// How many canaries there are, if several.
    pub(super) fn several(&self) -> Option<u32> {
        let count = u32::try_from(self.canaries.len()).ok();
        count.filter(|count| *count > 1)
    }

    fn raise_canaries(&mut self) -> Result<Vec<(u32, Unit)>, Failed> {
        let mut jobs = Vec::new();
        for number in self.canaries.clone() {
            jobs.push((number, self.fresh(number)?));
        }
        let mut ready = Vec::new();
        for (number, job) in jobs {
            ready.push((number, self.verdict(number, &job, 0)?));
        }
        self.settle(&ready)?;
        Ok(ready)
    }

    /// The first numbers beyond the wanted ones that nobody has: after a scale-down, instances that serve have some of them.
    fn free_numbers(&mut self) -> Result<Vec<u32>, Failed> {
        let taken = self.beyond().map_err(|e| self.bus(&e))?;
        let free = (self.plan.instances..).filter(|number| !taken.contains(number));
        let count = usize::try_from(self.plan.canaries).unwrap_or(usize::MAX);
        Ok(free.take(count).collect())
    }

    /// Stops the canaries, if there are any.
    pub(super) fn stop_canaries(&mut self) -> Result<(), Error> {
        let numbers = self.canaries.clone();
        if !numbers.is_empty() {
            self.stop(&numbers)?;
            self.canaries.clear();
            self.witness.remember_canaries(&[]);
        }
        Ok(())
    }

    /// Stops the canaries of a walk that was killed, except those that have become wanted instances since.
    pub(super) fn stop_left_canaries(&mut self) -> Result<(), Error> {
        let mut left = self.witness.canaries_left();
        let is_any = !left.is_empty();
        left.retain(|number| *number >= self.plan.instances);
        if is_any && left.is_empty() {
            self.witness.remember_canaries(&[]);
        }
        self.canaries = left;
        self.stop_canaries()
    }
}
