//! The steps a walk is made of: one job, its verdict, and looking at what came of it.

use std::time::{Duration, Instant};

use super::{Event, Failed, Walk, milliseconds, number_of};
use crate::systemd::{Error, Job, JobResult, Unit, Verb};

/// How often a settling canary is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What the bound told to the witness exceeds our own by: ours shall be the one that is met.
const MARGIN: Duration = Duration::from_secs(5);

impl Walk<'_> {
    /// Queues a restart with a clean slate; one that does not run is started by it.
    pub(super) fn fresh(&mut self, number: u32) -> Result<Job, Failed> {
        self.announce(self.plan.step);
        self.witness.forget(number);
        let unit = self.unit(number);
        self.manager
            .reset_failed(&unit)
            .and_then(|()| self.manager.queue(Verb::Restart, &unit))
            .map_err(|e| self.bus(&e))
    }

    /// Waits for the end of a job; the job's result is the verdict, and the unit has to bear it out.
    pub(super) fn verdict(&mut self, number: u32, job: &Job, old_pid: u32) -> Result<Unit, Failed> {
        self.announce(self.plan.step);
        let result = match self.manager.wait(job, self.plan.step) {
            Ok(result) => Some(result),
            Err(Error::TimedOut { .. }) => None,
            Err(e) => return Err(self.bus(&e)),
        };
        if result == Some(JobResult::Canceled) {
            self.outlast_others(number)?;
        }
        let unit = self.look(number)?;
        let new = unit.main_pid != 0 && unit.main_pid != old_pid;
        let good = matches!(
            result,
            Some(JobResult::Done | JobResult::Canceled | JobResult::Skipped)
        );
        if good && unit.is_ready() && new {
            return Ok(unit);
        }
        let mut failed = self.failed(number, &unit, result);
        if result.is_none() {
            failed.timed_out = true;
            failed.why = format!("not ready within {:?}", self.plan.step);
        }
        Err(failed)
    }

    /// Somebody else's job took the place of ours: what it leads to counts.
    fn outlast_others(&mut self, number: u32) -> Result<(), Failed> {
        self.announce(self.plan.step);
        let mut left = self.plan.step;
        while self.look(number)?.job.is_some() && !left.is_zero() {
            self.manager.pause(LOOK);
            left = left.saturating_sub(LOOK);
        }
        Ok(())
    }

    /// It has to stay up for a while: many programs die just after they began to listen.
    pub(super) fn settle(&mut self, number: u32, ready: Unit) -> Result<Unit, Failed> {
        let mut left = self.plan.settle;
        self.announce(left);
        while !left.is_zero() {
            let pause = left.min(LOOK);
            self.manager.pause(pause);
            left = left.saturating_sub(pause);
            let unit = self.look(number)?;
            if !unit.is_ready() || unit.main_pid != ready.main_pid {
                let mut failed = self.failed(number, &unit, None);
                failed.why = if unit.is_ready() {
                    format!("ready, and then pid {} died", ready.main_pid)
                } else {
                    format!("ready, and then {}", failed.why)
                };
                return Err(failed);
            }
        }
        Ok(ready)
    }

    /// The first number beyond the wanted ones that nobody has: after a scale-down there are
    /// instances there that serve.
    pub(super) fn free_number(&mut self) -> Result<u32, Failed> {
        let taken = self.beyond().map_err(|e| self.bus(&e))?;
        let mut number = self.plan.instances;
        while taken.contains(&number) {
            number += 1;
        }
        Ok(number)
    }

    /// The instances beyond the wanted number that are there or on their way.
    fn beyond(&mut self) -> Result<Vec<u32>, Error> {
        let pattern = format!("{}@*.service", self.plan.app);
        let loaded = self.manager.units(&pattern)?;
        let mut numbers: Vec<u32> = loaded
            .iter()
            .filter(|brief| !brief.is_gone() || brief.job.is_some())
            .filter_map(|brief| number_of(&self.plan.app, &brief.name))
            .filter(|number| *number >= self.plan.instances)
            .collect();
        // systemd lists units in no order.
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Stops every instance beyond the wanted number, the canary included.
    pub(super) fn stop_surplus(&mut self) -> Result<(), Error> {
        let mut surplus = self.beyond()?;
        surplus.retain(|number| self.canary != Some(*number));
        self.stop(&surplus)?;
        self.stop_canary()
    }

    /// Stops the canary, if there is one.
    pub(super) fn stop_canary(&mut self) -> Result<(), Error> {
        if let Some(number) = self.canary {
            self.stop(&[number])?;
            self.canary = None;
            self.witness.remember_canary(None);
        }
        Ok(())
    }

    /// Stops the canary of a walk that was killed, unless it has become one of the wanted since.
    pub(super) fn stop_left_canary(&mut self) -> Result<(), Error> {
        self.canary = self
            .witness
            .canary_left()
            .filter(|n| *n >= self.plan.instances);
        self.stop_canary()
    }

    fn stop(&mut self, numbers: &[u32]) -> Result<(), Error> {
        let since = Instant::now();
        let mut jobs = Vec::new();
        for number in numbers {
            let unit = self.unit(*number);
            if !self.manager.unit(&unit)?.is_gone() {
                jobs.push((*number, self.manager.queue(Verb::Stop, &unit)?));
            }
        }
        for (number, job) in jobs {
            self.announce(self.plan.step);
            self.manager.wait(&job, self.plan.step)?;
            self.witness.tell(&Event::Stopped {
                number,
                canary: self.canary == Some(number),
                took_ms: milliseconds(since),
            });
        }
        for number in numbers {
            self.witness.forget(*number);
            let unit = self.unit(*number);
            self.manager.reset_failed(&unit)?;
        }
        Ok(())
    }

    fn announce(&mut self, at_most: Duration) {
        self.witness.step(at_most + MARGIN);
    }

    pub(super) fn look(&mut self, number: u32) -> Result<Unit, Failed> {
        let unit = self.unit(number);
        self.manager.unit(&unit).map_err(|e| self.bus(&e))
    }

    fn unit(&self, number: u32) -> String {
        format!("{}@{number}.service", self.plan.app)
    }

    pub(super) fn failed(&self, number: u32, unit: &Unit, job: Option<JobResult>) -> Failed {
        // Where the unit itself did not fail, only the job knows what did.
        let why = match job {
            Some(job @ (JobResult::Dependency | JobResult::Canceled | JobResult::Timeout)) => {
                format!("{}; its job ended as `{job}`", unit.why())
            }
            _ => unit.why(),
        };
        Failed {
            number: Some(number),
            canary: self.canary == Some(number),
            why,
            result: unit.result.clone(),
            exit_status: unit.exit_status,
            timed_out: job == Some(JobResult::Timeout) || unit.result == "timeout",
            untouched: self.others == super::Others::Untouched,
            others: self.others,
            invocation: unit.invocation.clone(),
        }
    }

    pub(super) fn bus(&self, error: &Error) -> Failed {
        Failed {
            number: None,
            canary: false,
            why: error.to_string(),
            result: String::new(),
            exit_status: 0,
            timed_out: false,
            untouched: self.others == super::Others::Untouched,
            others: self.others,
            invocation: String::new(),
        }
    }
}
