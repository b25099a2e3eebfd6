//! The steps a walk is made of: one job, its outcome, and looking at what came of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Cause, Event, Failed, Walk, milliseconds};
use crate::contract::UNHEALTHY;
use crate::systemd::{ATTEMPTS, ActiveState, Error, Job, JobResult, Pulse, QueuedJob, Unit, Verb};
use crate::unit::name::Units;

/// How often a settling canary is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a walk waits, all in all, for instances that are on their way up before it stops them.
pub(super) const ON_THE_WAY: Duration = Duration::from_secs(3);
/// Added to the deadline that systemd gets, so that the deadline of the walk expires first.
const MARGIN: Duration = Duration::from_secs(5);
/// While a job is awaited, instances that do not end are looked for this often.
const GLANCE: Duration = Duration::from_secs(1);

impl Walk<'_> {
    /// Queues a restart with a clean slate; one that does not run is started by it.
    pub(super) fn fresh(&mut self, number: u32) -> Result<Job, Failed> {
        let pulse = self.pulse(number)?;
        self.renew(number, &pulse)
    }

    /// Does the same with an instance that has just been looked at.
    pub(super) fn renew(&mut self, number: u32, pulse: &Pulse) -> Result<Job, Failed> {
        if pulse.is_starting() {
            self.outlast_start(number).map_err(|e| self.bus(&e))?;
        }
        self.announce(self.plan.step);
        self.effects.forget(number);
        let unit = self.unit(number);
        self.manager
            .reset_failed(&unit)
            .and_then(|()| self.manager.queue(Verb::Restart, &unit))
            .map_err(|e| self.bus(&e))
    }

    /// Waits until an instance that systemd has started again is READY, or has failed. Until it is READY, a stop runs no
    /// `ExecStop=`: requests that the program has accepted by then would be lost without a drain.
    fn outlast_start(&mut self, number: u32) -> Result<(), Error> {
        let unit = self.unit(number);
        self.announce(self.patience);
        while self.manager.pulse(&unit)?.is_starting() && !self.patience.is_zero() {
            let pause = self.patience.min(LOOK);
            self.manager.pause(pause);
            self.patience = self.patience.saturating_sub(pause);
        }
        Ok(())
    }

    /// Waits for the end of a job; the job's result is the outcome, and the unit has to bear it out. A job
    /// that somebody else's job cancelled is queued again.
    /// Returns the PID of the new program.
    pub(super) fn judge(&mut self, number: u32, job: &Job, old_pid: u32) -> Result<u32, Failed> {
        let mut job = job.clone();
        let mut left = ATTEMPTS;
        loop {
            let result = self.outcome(number, &job).map_err(|e| self.bus(&e))?;
            let canceled = result == Some(JobResult::Canceled);
            let replaced = canceled && self.outlast_others(number)?;
            let good = matches!(
                result,
                Some(JobResult::Done | JobResult::Canceled | JobResult::Skipped)
            );
            let is_proof =
                |is_ready: bool, pid: u32| good && is_ready && ![0, old_pid].contains(&pid);
            let pulse = self.pulse(number)?;
            if is_proof(pulse.is_ready(), pulse.main_pid) {
                return Ok(pulse.main_pid);
            }
            let unit = self.look(number)?;
            if is_proof(unit.is_ready(), unit.main_pid) {
                return Ok(unit.main_pid);
            }
            if !canceled || replaced || left == 0 || !self.is_wanted()? {
                return Err(self.unproven(number, &unit, result));
            }
            left -= 1;
            self.effects.tell(&Event::Canceled {
                number,
                canary: self.canaries.contains(&number),
                canaries: self.several(),
            });
            job = self.fresh(number)?;
        }
    }

    /// How a job ends; `None` when it does not within a step. An instance that does not end is killed,
    /// and the step begins again.
    fn outcome(&mut self, number: u32, job: &Job) -> Result<Option<JobResult>, Error> {
        self.announce(self.plan.step);
        let mut end = self.manager.now() + self.plan.step;
        loop {
            let left = end.saturating_sub(self.manager.now());
            match self.manager.wait(job, left.min(GLANCE)) {
                Err(Error::TimedOut { .. }) => {}
                result => return result.map(Some),
            }
            if self.end_overdue()?.contains(&number) {
                self.announce(self.plan.step);
                end = self.manager.now() + self.plan.step;
            }
            if self.manager.now() >= end {
                return Ok(None);
            }
        }
    }

    /// Kills the instances that do not end, and returns which these were.
    fn end_overdue(&mut self) -> Result<Vec<u32>, Error> {
        let killed = self.overdue.look(self.manager)?;
        for one in &killed {
            self.effects.tell(&Event::Killed {
                number: one.number,
                canary: self.canaries.contains(&one.number),
                canaries: self.several(),
                after_ms: u64::try_from(one.after.as_millis()).unwrap_or(u64::MAX),
            });
        }
        Ok(killed.iter().map(|one| one.number).collect())
    }

    /// After the end of a job that was cancelled: whether somebody else's job took its place, what that
    /// one leads to counts. If all jobs were discarded, the instance continues to where it was going.
    fn outlast_others(&mut self, number: u32) -> Result<bool, Failed> {
        self.announce(self.plan.step);
        let end = self.manager.now() + self.plan.step;
        let mut replaced = false;
        loop {
            let unit = self.look(number)?;
            replaced |= unit.job.is_some();
            let is_settled = unit.job.is_none() && !unit.is_moving();
            if is_settled || self.manager.now() >= end {
                return Ok(replaced);
            }
            self.end_overdue().map_err(|e| self.bus(&e))?;
            self.manager.pause(LOOK);
        }
    }

    /// Whether the cluster should continue. A stop or restart of it ends this walk at any moment.
    fn is_wanted(&mut self) -> Result<bool, Failed> {
        let cluster = self.units().cluster();
        let units = self.manager.units(&cluster).map_err(|e| self.bus(&e))?;
        let is_ending = |job: &QueuedJob| job.is_stop() || job.is_restart();
        Ok(units.iter().all(|unit| {
            unit.active != ActiveState::Deactivating && !unit.job.as_ref().is_some_and(is_ending)
        }))
    }

    fn unproven(&self, number: u32, unit: &Unit, result: Option<JobResult>) -> Failed {
        let mut failed = self.failed(number, unit, result);
        if result.is_none() {
            failed.timed_out = true;
            failed.why = format!("not ready within {:?}", self.plan.step);
        }
        failed
    }

    /// These instances have to stay up for a while: many programs die just after they began to listen.
    /// Each is given with the PID of its program.
    pub(super) fn settle(&mut self, ready: &[(u32, u32)]) -> Result<(), Failed> {
        let mut left = self.plan.settle;
        self.announce(left);
        while !left.is_zero() {
            let pause = left.min(LOOK);
            self.manager.pause(pause);
            left = left.saturating_sub(pause);
            for (number, pid) in ready {
                self.is_still_up(*number, *pid)?;
            }
        }
        Ok(())
    }

    fn is_still_up(&mut self, number: u32, pid: u32) -> Result<(), Failed> {
        let pulse = self.pulse(number)?;
        if pulse.is_ready() && pulse.main_pid == pid {
            return Ok(());
        }
        let unit = self.look(number)?;
        if unit.is_ready() && unit.main_pid == pid {
            return Ok(());
        }
        let mut failed = self.failed(number, &unit, None);
        failed.why = if unit.is_ready() {
            format!("ready, and then pid {pid} died")
        } else {
            format!("ready, and then {}", failed.why)
        };
        Err(failed)
    }

    /// The instances that are READY, by one question.
    pub(super) fn ready(&mut self) -> Result<BTreeSet<u32>, Error> {
        let names = Units::of(&self.plan.app);
        let units = self.manager.units(&names.instances())?;
        let ready = units.iter().filter(|unit| unit.is_ready());
        Ok(ready.filter_map(|unit| names.number(&unit.name)).collect())
    }

    /// The instances beyond the wanted number that are there or on their way.
    pub(super) fn beyond(&mut self) -> Result<Vec<u32>, Error> {
        let names = Units::of(&self.plan.app);
        let loaded = self.manager.units(&names.instances())?;
        let mut numbers: Vec<u32> = loaded
            .iter()
            .filter(|brief| !brief.is_gone() || brief.job.is_some())
            .filter_map(|brief| names.number(&brief.name))
            .filter(|number| *number >= self.plan.instances)
            .collect();
        // systemd lists units in no order.
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Stops every instance beyond the wanted number, the canaries included.
    pub(super) fn stop_surplus(&mut self) -> Result<(), Error> {
        let mut surplus = self.beyond()?;
        surplus.retain(|number| !self.canaries.contains(number));
        self.stop(&surplus)?;
        self.stop_canaries()
    }

    pub(super) fn stop(&mut self, numbers: &[u32]) -> Result<(), Error> {
        let since = Instant::now();
        let mut jobs = Vec::new();
        for number in numbers {
            let unit = self.unit(*number);
            self.outlast_start(*number)?;
            if !self.manager.pulse(&unit)?.state.is_gone() {
                jobs.push((*number, self.manager.queue(Verb::Stop, &unit)?));
            }
        }
        for (number, job) in jobs {
            self.see_gone(number, job)?;
            self.effects.tell(&Event::Stopped {
                number,
                canary: self.canaries.contains(&number),
                canaries: self.several(),
                took_ms: milliseconds(since),
            });
        }
        for number in numbers {
            self.effects.forget(*number);
            let unit = self.unit(*number);
            self.manager.reset_failed(&unit)?;
        }
        Ok(())
    }

    /// Waits for the end of a stop, which is queued again if somebody else's job cancelled it.
    fn see_gone(&mut self, number: u32, mut job: Job) -> Result<(), Error> {
        for _ in 0..=ATTEMPTS {
            let result = self.outcome(number, &job)?.ok_or_else(|| Error::TimedOut {
                what: format!("the stop of `{}`", job.unit),
                after: self.plan.step,
            })?;
            if result != JobResult::Canceled || self.manager.unit(&job.unit)?.is_gone() {
                return Ok(());
            }
            job = self.manager.queue(Verb::Stop, &job.unit)?;
        }
        Err(Error::Canceled {
            what: format!("the stop of `{}`", job.unit),
        })
    }

    fn announce(&mut self, at_most: Duration) {
        self.effects.step(at_most + MARGIN);
    }

    pub(super) fn pulse(&mut self, number: u32) -> Result<Pulse, Failed> {
        let unit = self.unit(number);
        self.manager.pulse(&unit).map_err(|e| self.bus(&e))
    }

    pub(super) fn look(&mut self, number: u32) -> Result<Unit, Failed> {
        let unit = self.unit(number);
        self.manager.unit(&unit).map_err(|e| self.bus(&e))
    }

    pub(super) fn unit(&self, number: u32) -> String {
        self.units().instance(number)
    }

    pub(super) fn failed(&self, number: u32, unit: &Unit, job: Option<JobResult>) -> Failed {
        let is_unrun = unit.never_ran() && unit.result == "exit-code";
        // Of one that is unhealthy, systemd knows only that a command failed, and how the program ended when it was stopped. Once the next
        // run has begun, systemd knows nothing of the one that failed.
        let is_next_run = |cause: &Cause| {
            let is_begun =
                unit.active == ActiveState::Activating && !unit.sub.starts_with("auto-restart");
            let is_of_another = !cause.invocation.is_empty() && cause.invocation != unit.invocation;
            is_begun && job == Some(JobResult::Failed) && is_of_another
        };
        // What was noted of this very run says more than an exit status, such as which file was missing.
        let is_noted = |cause: &Cause| {
            let is_of_this = !cause.invocation.is_empty() && cause.invocation == unit.invocation;
            is_of_this && !unit.is_moving() && job == Some(JobResult::Failed)
        };
        let cause = self.effects.cause(number).filter(|cause| {
            is_unrun || cause.why.starts_with(UNHEALTHY) || is_next_run(cause) || is_noted(cause)
        });
        let invocation = cause.as_ref().filter(|cause| is_next_run(cause));
        let invocation = invocation.map_or(&unit.invocation, |cause| &cause.invocation);
        // What was written was written by the run before.
        let invocation = if unit.is_unmet() {
            String::new()
        } else {
            invocation.clone()
        };
        // Where the unit itself did not fail, only the job knows what did.
        let why = match job {
            _ if cause.is_some() => cause.map(|cause| cause.why).unwrap_or_default(),
            Some(JobResult::Canceled) => {
                format!(
                    "{}; its job was cancelled by another job of systemd",
                    unit.why()
                )
            }
            Some(JobResult::Dependency) => {
                format!("{}; a unit that it needs could not be started", unit.why())
            }
            Some(JobResult::Timeout) => format!("{}; its job timed out", unit.why()),
            _ => unit.why(),
        };
        Failed {
            number: Some(number),
            canary: self.canaries.contains(&number),
            canaries: self.several(),
            why,
            result: unit.result.clone(),
            exit_status: unit.exit_status,
            timed_out: job == Some(JobResult::Timeout) || unit.result == "timeout",
            unmet: unit.is_unmet(),
            untouched: self.others == super::Others::Untouched,
            others: self.others,
            invocation,
        }
    }

    pub(super) fn bus(&self, error: &Error) -> Failed {
        Failed {
            number: None,
            canary: false,
            canaries: None,
            why: error.to_string(),
            result: String::new(),
            exit_status: 0,
            timed_out: false,
            unmet: false,
            untouched: self.others == super::Others::Untouched,
            others: self.others,
            invocation: String::new(),
        }
    }
}
