//! The rolling reload: the canary, then every instance in order, each after the one before is READY.
//!
//! A state machine over [`Manager`]: no file, no bus, no clock of its own. Every step is told as an
//! [`Event`]; what was not seen to work is never told as done.

mod event;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use event::{Event, Failed};

use crate::systemd::{Error, Job, JobResult, Manager, Unit, Verb};

/// What a failure of one instance, twice in a row, leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The walk ends there.
    Abort,
    /// Every instance is restarted at once.
    Restart,
}

/// One walk.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The app.
    pub app: String,
    /// How many instances there shall be.
    pub instances: u32,
    /// Whether a canary goes first.
    pub canary: bool,
    /// Instances replaced at a time, at least one.
    pub parallel: u32,
    /// How long the canary must stay up before an instance that serves is touched.
    pub settle: Duration,
    /// What follows a failure.
    pub on_failure: OnFailure,
    /// The bound of one step: stop an instance and start it until READY.
    pub step: Duration,
}

/// What a walk does to the world outside systemd.
pub trait Witness {
    /// Told before each step, with the longest it may take.
    fn step(&mut self, at_most: Duration);
    /// Told of each event.
    fn tell(&mut self, event: &Event);
    /// Asked to forget the quick deaths of an instance: it gets a new start.
    fn forget(&mut self, number: u32);
}

/// How often a settling canary is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Walks.
///
/// # Errors
/// What failed and what that means for the others; systemd's own errors as such a failure.
pub fn walk(
    manager: &mut dyn Manager,
    plan: &Plan,
    witness: &mut dyn Witness,
) -> Result<(), Failed> {
    Walk {
        manager,
        plan,
        witness,
        touched: false,
    }
    .run()
}

struct Walk<'a> {
    manager: &'a mut dyn Manager,
    plan: &'a Plan,
    witness: &'a mut dyn Witness,
    /// Whether an instance that served was touched.
    touched: bool,
}

impl Walk<'_> {
    fn run(mut self) -> Result<(), Failed> {
        let result = self.all();
        match &result {
            Ok(()) => self.witness.tell(&Event::Done {
                instances: self.plan.instances,
            }),
            Err(failed) => self.witness.tell(&Event::Aborted {
                failed: failed.clone(),
            }),
        }
        result
    }

    fn all(&mut self) -> Result<(), Failed> {
        self.witness.tell(&Event::Begun {
            instances: self.plan.instances,
            canary: self.plan.canary,
        });
        if self.plan.canary {
            self.canary()?;
        }
        let numbers: Vec<u32> = (0..self.plan.instances).collect();
        let at_a_time = usize::try_from(self.plan.parallel.max(1)).unwrap_or(1);
        for chunk in numbers.chunks(at_a_time) {
            if let Err(failed) = self.replace(chunk) {
                return self.give_up(failed);
            }
        }
        self.stop_surplus().map_err(|e| self.bus(&e))
    }

    fn canary(&mut self) -> Result<(), Failed> {
        let number = self.plan.instances;
        self.witness.tell(&Event::CanaryStarting { number });
        let started = self
            .fresh(number)
            .and_then(|job| self.verdict(number, &job, 0));
        let settled = started.and_then(|unit| self.settle(number, &unit));
        match settled {
            Ok(pid) => {
                self.witness.tell(&Event::CanaryReady { number, pid });
                Ok(())
            }
            Err(failed) => {
                // It failed already; that stopping it fails as well changes nothing for the others.
                let _ = self.stop(&[number]);
                Err(failed)
            }
        }
    }

    /// The canary has to stay up for a while: many programs die just after they began to listen.
    fn settle(&mut self, number: u32, ready: &Unit) -> Result<u32, Failed> {
        let mut left = self.plan.settle;
        while !left.is_zero() {
            let pause = left.min(LOOK);
            self.manager.pause(pause);
            left = left.saturating_sub(pause);
            let unit = self.look(number)?;
            if !unit.is_ready() || unit.main_pid != ready.main_pid {
                return Err(self.failed(number, &unit, JobResult::Failed));
            }
        }
        Ok(ready.main_pid)
    }

    /// Replaces some instances at once, each with a second chance.
    fn replace(&mut self, numbers: &[u32]) -> Result<(), Failed> {
        let mut jobs = Vec::new();
        for number in numbers {
            let old = self.look(*number)?.main_pid;
            self.witness.tell(&Event::Replacing {
                number: *number,
                old_pid: old,
            });
            self.touched |= old != 0;
            jobs.push((*number, old, self.fresh(*number)?));
        }
        for (number, old, job) in jobs {
            let unit = match self.verdict(number, &job, old) {
                Ok(unit) => unit,
                Err(first) => self.again(number, first)?,
            };
            self.witness.tell(&Event::Ready {
                number,
                old_pid: old,
                pid: unit.main_pid,
            });
        }
        Ok(())
    }

    fn again(&mut self, number: u32, first: Failed) -> Result<Unit, Failed> {
        self.witness.tell(&Event::Retrying {
            number,
            failed: first,
        });
        let job = self.fresh(number)?;
        self.verdict(number, &job, 0)
    }

    fn give_up(&mut self, failed: Failed) -> Result<(), Failed> {
        if self.plan.on_failure == OnFailure::Restart {
            return self.restart_all();
        }
        // The rest keep what they run. The canary goes: a walk leaves N instances, not N + 1.
        let _ = self.stop_surplus();
        Err(failed)
    }

    /// What PM2 calls the classic restart, for the whole app.
    fn restart_all(&mut self) -> Result<(), Failed> {
        self.witness.tell(&Event::RestartingAll);
        let mut jobs = Vec::new();
        for number in 0..self.plan.instances {
            jobs.push((number, self.fresh(number)?));
        }
        let mut worst = None;
        for (number, job) in jobs {
            match self.verdict(number, &job, 0) {
                Ok(unit) => self.witness.tell(&Event::Ready {
                    number,
                    old_pid: 0,
                    pid: unit.main_pid,
                }),
                Err(failed) => worst = Some(failed),
            }
        }
        self.stop_surplus().map_err(|e| self.bus(&e))?;
        worst.map_or(Ok(()), Err)
    }

    /// Queues a restart with a clean slate; one that does not run is started by it.
    fn fresh(&mut self, number: u32) -> Result<Job, Failed> {
        self.witness.step(self.plan.step);
        self.witness.forget(number);
        let unit = self.unit(number);
        self.manager
            .reset_failed(&unit)
            .and_then(|()| self.manager.queue(Verb::Restart, &unit))
            .map_err(|e| self.bus(&e))
    }

    /// Waits for the end of a job; the job's result is the verdict, and the unit has to bear it out.
    fn verdict(&mut self, number: u32, job: &Job, old_pid: u32) -> Result<Unit, Failed> {
        let result = match self.manager.wait(job, self.plan.step) {
            Ok(result) => result,
            Err(Error::TimedOut { .. }) => JobResult::Timeout,
            Err(e) => return Err(self.bus(&e)),
        };
        if result == JobResult::Canceled {
            self.outlast_others(number)?;
        }
        let unit = self.look(number)?;
        let new = unit.main_pid != 0 && unit.main_pid != old_pid;
        let good = matches!(
            result,
            JobResult::Done | JobResult::Canceled | JobResult::Skipped
        );
        if good && unit.is_ready() && new {
            Ok(unit)
        } else {
            Err(self.failed(number, &unit, result))
        }
    }

    /// Somebody else's job took the place of ours: what it leads to counts.
    fn outlast_others(&mut self, number: u32) -> Result<(), Failed> {
        let mut left = self.plan.step;
        while self.look(number)?.job.is_some() && !left.is_zero() {
            self.manager.pause(LOOK);
            left = left.saturating_sub(LOOK);
        }
        Ok(())
    }

    /// Stops every instance beyond the wanted number, the canary included.
    fn stop_surplus(&mut self) -> Result<(), Error> {
        let running = self
            .manager
            .units(&format!("{}@*.service", self.plan.app))?;
        let surplus: Vec<u32> = running
            .iter()
            .filter_map(|brief| number_of(&self.plan.app, &brief.name))
            .filter(|number| *number >= self.plan.instances)
            .collect();
        self.stop(&surplus)
    }

    fn stop(&mut self, numbers: &[u32]) -> Result<(), Error> {
        let mut jobs = Vec::new();
        for number in numbers {
            self.witness.step(self.plan.step);
            let unit = self.unit(*number);
            if !self.manager.unit(&unit)?.is_gone() {
                jobs.push((*number, self.manager.queue(Verb::Stop, &unit)?));
            }
        }
        for (number, job) in jobs {
            self.manager.wait(&job, self.plan.step)?;
            let canary = self.plan.canary && number == self.plan.instances;
            self.witness.tell(&Event::Stopped { number, canary });
        }
        for number in numbers {
            self.witness.forget(*number);
            let unit = self.unit(*number);
            self.manager.reset_failed(&unit)?;
        }
        Ok(())
    }

    fn look(&mut self, number: u32) -> Result<Unit, Failed> {
        let unit = self.unit(number);
        self.manager.unit(&unit).map_err(|e| self.bus(&e))
    }

    fn unit(&self, number: u32) -> String {
        format!("{}@{number}.service", self.plan.app)
    }

    fn failed(&self, number: u32, unit: &Unit, result: JobResult) -> Failed {
        Failed {
            number: Some(number),
            canary: number >= self.plan.instances,
            why: unit.why(),
            timed_out: result == JobResult::Timeout || unit.result == "timeout",
            untouched: !self.touched,
            invocation: unit.invocation.clone(),
        }
    }

    fn bus(&self, error: &Error) -> Failed {
        Failed {
            number: None,
            canary: false,
            why: error.to_string(),
            timed_out: false,
            untouched: !self.touched,
            invocation: String::new(),
        }
    }
}

/// The number of an instance by its unit's name.
#[must_use]
pub fn number_of(app: &str, unit: &str) -> Option<u32> {
    unit.strip_prefix(app)?
        .strip_prefix('@')?
        .strip_suffix(".service")?
        .parse()
        .ok()
}
