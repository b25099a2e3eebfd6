//! The rolling reload: the canaries, then every instance in order, each after the one before is READY.
//!
//! A state machine over [`Manager`]: no file, no bus. Every step is reported as an [`Event`]; what was
//! not seen to work is never told as done.

mod canary;
mod event;
mod overdue;
mod record;
mod some;
mod step;
#[cfg(test)]
mod tests;
mod text;

use std::time::{Duration, Instant};

pub use event::{Cause, Event, Failed, Others};
pub use overdue::{Killed, Overdue};
pub use record::Record;
pub use some::walk_some;

use crate::contract::{Course, OnFailure};
use crate::systemd::{Brief, Manager, Unit};
use crate::unit::name::Units;

/// The parameters of a walk.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The app.
    pub app: String,
    /// How many instances there shall be.
    pub instances: u32,
    /// How many canaries go first.
    pub canaries: u32,
    /// Instances replaced at a time: at least one, and no fewer than there are canaries.
    pub parallel: u32,
    /// How long the canaries must stay up before an instance that serves is touched. Without a canary,
    /// each instance must before the next is touched.
    pub settle: Duration,
    /// The step after more instances than `max_failures` failed twice.
    pub on_failure: OnFailure,
    /// How many instances may fail twice while the walk continues.
    pub max_failures: u32,
    /// The bound of one step: stop an instance and start it until READY.
    pub step: Duration,
    /// The longest that the stop of an instance takes by the app's own bounds.
    pub longest_stop: Duration,
}

/// The effects of a walk on the world outside systemd.
pub trait Effects {
    /// Told before each step, with the longest it may take.
    fn step(&mut self, at_most: Duration);
    /// Told of each event.
    fn tell(&mut self, event: &Event);
    /// Asked to forget the quick deaths of an instance: it gets a new start.
    fn forget(&mut self, number: u32);
    /// Asked to remember the canaries until there are none, beyond the end of this process.
    fn remember_canaries(&mut self, numbers: &[u32]);
    /// Asked to remember these canaries as kept. Returns whether they are: others end canaries whose walk has ended.
    fn keep_canaries(&mut self, numbers: &[u32]) -> bool;
    /// The canaries of a walk that was killed.
    fn canaries_left(&mut self) -> Vec<u32>;
    /// How the last run of an instance ended, if that is known better than systemd reports it.
    fn cause(&self, number: u32) -> Option<Cause>;
}

/// Replaces all instances.
///
/// # Errors
/// The failure, and what it means for the others; an error of systemd is such a failure as well.
pub fn walk(
    manager: &mut dyn Manager,
    plan: &Plan,
    effects: &mut dyn Effects,
) -> Result<(), Failed> {
    walk_by(manager, plan, None, &[], effects)
}

/// Does what `course` says, or replaces all instances. `kept` are the canaries that an earlier walk has kept.
///
/// # Errors
/// As of [`walk`].
pub fn walk_by(
    manager: &mut dyn Manager,
    plan: &Plan,
    course: Option<Course>,
    kept: &[u32],
    effects: &mut dyn Effects,
) -> Result<(), Failed> {
    Walk::new(manager, plan, effects).run(course, kept)
}

struct Walk<'a> {
    manager: &'a mut dyn Manager,
    plan: &'a Plan,
    effects: &'a mut dyn Effects,
    /// The canaries while there are any.
    canaries: Vec<u32>,
    /// The failures that the walk has gone on after.
    failures: Vec<Failed>,
    /// How far the others have been touched.
    others: Others,
    /// Those that do not end by themselves.
    overdue: Overdue,
    /// How long instances that are on their way up may still be waited for.
    patience: Duration,
}

/// An instance on its way up.
struct Rising {
    number: u32,
    old_pid: u32,
    job: crate::systemd::Job,
    since: Instant,
}

impl<'a> Walk<'a> {
    fn new(manager: &'a mut dyn Manager, plan: &'a Plan, effects: &'a mut dyn Effects) -> Self {
        Self {
            manager,
            plan,
            effects,
            canaries: Vec::new(),
            failures: Vec::new(),
            others: Others::Untouched,
            overdue: Overdue::new(&plan.app, plan.longest_stop),
            patience: step::ON_THE_WAY,
        }
    }
}

impl Walk<'_> {
    /// The names of the app's units.
    fn units(&self) -> Units<'_> {
        Units::of(&self.plan.app)
    }

    fn run(mut self, course: Option<Course>, kept: &[u32]) -> Result<(), Failed> {
        let since = Instant::now();
        let result = match course {
            None | Some(Course::Promote) => self.all(kept).map(|()| Event::Done {
                instances: self.plan.instances,
                took_ms: milliseconds(since),
            }),
            Some(Course::CanaryOnly) => self.canary_only(),
            Some(Course::Abort) => self.drop_kept(kept),
        };
        match result {
            Ok(end) => {
                self.effects.tell(&end);
                Ok(())
            }
            Err(mut failed) => {
                if failed.others == Others::Untouched && !self.does_any_serve() {
                    failed.others = Others::NoneServes;
                }
                self.effects.tell(&Event::Aborted {
                    failed: failed.clone(),
                });
                Err(failed)
            }
        }
    }

    /// Returns whether an instance that is not a canary serves; true if systemd cannot be queried, since one may.
    fn does_any_serve(&mut self) -> bool {
        let units = self.manager.units(&self.units().instances());
        units.map_or(true, |units| {
            let is_canary = |unit: &Brief| {
                let number = self.units().number(&unit.name);
                number.is_some_and(|number| self.canaries.contains(&number))
            };
            units.iter().any(|unit| unit.is_ready() && !is_canary(unit))
        })
    }

    fn all(&mut self, kept: &[u32]) -> Result<(), Failed> {
        // A canary that is promoted and does not serve any more is replaced, also where a reload has none.
        let canaries = self.plan.canaries.max(u32::from(!kept.is_empty()));
        self.effects.tell(&Event::Begun {
            instances: self.plan.instances,
            canary: canaries > 0,
            canaries: Some(canaries).filter(|count| *count > 1),
            kept: !kept.is_empty(),
        });
        self.stop_left_canaries().map_err(|e| self.bus(&e))?;
        self.adopt(kept)?;
        self.start_canaries(canaries)?;
        let numbers: Vec<u32> = (0..self.plan.instances).collect();
        // Each canary stands in for one that is being replaced.
        let parallel = usize::try_from(self.plan.parallel).unwrap_or(1);
        let at_a_time = parallel.max(self.canaries.len()).max(1);
        let replaced = numbers
            .chunks(at_a_time)
            .try_for_each(|chunk| self.replace(chunk))
            .and_then(|()| self.confirm(&numbers));
        match replaced {
            Ok(()) => self.finish(),
            Err(failed) => self.give_up(failed),
        }
    }

    fn finish(&mut self) -> Result<(), Failed> {
        self.stop_surplus().map_err(|e| self.bus(&e))?;
        match self.failures.first() {
            Some(failed) => Err(Failed {
                others: Others::Replaced,
                ..failed.clone()
            }),
            None => Ok(()),
        }
    }

    /// Notes a failure after which the walk continues. Returns the failure if it is one too many.
    fn tolerate(&mut self, failed: Failed) -> Result<(), Failed> {
        let failures = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        let (Some(number), true) = (failed.number, failures < self.plan.max_failures) else {
            return Err(failed);
        };
        self.effects.tell(&Event::Failed {
            number,
            failed: failed.clone(),
            failures: failures + 1,
            most: self.plan.max_failures,
        });
        self.failures.push(failed);
        Ok(())
    }

    /// Replaces some instances at once, each with a second chance. All of them are waited for, also
    /// when one fails: what becomes of them has to be known before the canaries go.
    fn replace(&mut self, numbers: &[u32]) -> Result<(), Failed> {
        let mut rising = Vec::new();
        for number in numbers {
            let before = self.pulse(*number)?;
            let old_pid = before.main_pid;
            self.effects.tell(&Event::Replacing {
                number: *number,
                old_pid,
            });
            if old_pid != 0 {
                self.others = Others::AsTheyWere;
            }
            let since = Instant::now();
            rising.push(Rising {
                number: *number,
                old_pid,
                job: self.renew(*number, &before)?,
                since,
            });
        }
        let mut first_failure = Ok(());
        for one in &rising {
            match self.bring_up(one) {
                Err(failed) if failed.number.is_none() => return Err(failed),
                Err(failed) => first_failure = first_failure.and(self.tolerate(failed)),
                Ok(()) => {}
            }
        }
        first_failure
    }

    fn bring_up(&mut self, one: &Rising) -> Result<(), Failed> {
        let pid = match self.proven(one.number, &one.job, one.old_pid) {
            Ok(pid) => pid,
            Err(first) => self.again(one.number, first)?,
        };
        self.effects.tell(&Event::Ready {
            number: one.number,
            old_pid: one.old_pid,
            pid,
            took_ms: milliseconds(one.since),
        });
        Ok(())
    }

    /// READY, and if no canary has shown that the new version stays up, settled.
    fn proven(
        &mut self,
        number: u32,
        job: &crate::systemd::Job,
        old_pid: u32,
    ) -> Result<u32, Failed> {
        let pid = self.judge(number, job, old_pid)?;
        if self.canaries.is_empty() {
            self.settle(&[(number, pid)])?;
        }
        Ok(pid)
    }

    /// The classic restart of one instance.
    fn again(&mut self, number: u32, first: Failed) -> Result<u32, Failed> {
        if first.number.is_none() {
            return Err(first);
        }
        self.effects.tell(&Event::Retrying {
            number,
            failed: first,
        });
        let job = self.fresh(number)?;
        self.proven(number, &job, 0)
    }

    /// An instance that died since it was READY has failed as well.
    fn confirm(&mut self, numbers: &[u32]) -> Result<(), Failed> {
        let mut ready = self.ready().map_err(|e| self.bus(&e))?;
        for number in numbers {
            let has_failed = |failed: &Failed| failed.number == Some(*number);
            if self.failures.iter().any(has_failed) {
                let unit = self.look(*number)?;
                self.look_again(*number, &unit)?;
                ready.clear();
                continue;
            }
            if ready.contains(number) {
                continue;
            }
            let unit = self.look(*number)?;
            if unit.is_ready() {
                continue;
            }
            // What was seen of the others is old by the time that this one is up.
            ready.clear();
            let since = Instant::now();
            let failed = self.failed(*number, &unit, None);
            match self.again(*number, failed) {
                Ok(pid) => self.came_up(*number, pid, since),
                Err(failed) => self.tolerate(failed)?,
            }
        }
        Ok(())
    }

    /// An instance that failed twice may have come up since, because systemd keeps starting it.
    fn look_again(&mut self, number: u32, unit: &Unit) -> Result<(), Failed> {
        let since = Instant::now();
        if !unit.is_ready() {
            return Ok(());
        }
        match self.settle(&[(number, unit.main_pid)]) {
            Ok(()) => {
                self.failures.retain(|failed| failed.number != Some(number));
                self.came_up(number, unit.main_pid, since);
            }
            Err(failed) if failed.number.is_none() => return Err(failed),
            Err(_) => {}
        }
        Ok(())
    }

    fn came_up(&mut self, number: u32, pid: u32, since: Instant) {
        self.effects.tell(&Event::Ready {
            number,
            old_pid: 0,
            pid,
            took_ms: milliseconds(since),
        });
    }

    fn give_up(&mut self, failed: Failed) -> Result<(), Failed> {
        if self.plan.on_failure == OnFailure::Restart && failed.number.is_some() {
            return self.restart_all();
        }
        // The rest keep what they run, those too many included. The canaries go: they were extra.
        let _ = self.stop_canaries();
        Err(failed)
    }

    /// Restarts the whole app at once: the classic restart, as PM2 calls it.
    fn restart_all(&mut self) -> Result<(), Failed> {
        self.effects.tell(&Event::RestartingAll);
        self.others = Others::Restarted;
        let since = Instant::now();
        let mut jobs = Vec::new();
        for number in 0..self.plan.instances {
            jobs.push((number, self.fresh(number)?));
        }
        let mut result = Ok(());
        for (number, job) in jobs {
            match self.judge(number, &job, 0) {
                Ok(pid) => self.came_up(number, pid, since),
                Err(failed) => result = result.and(Err(failed)),
            }
        }
        self.stop_surplus().map_err(|e| self.bus(&e))?;
        result
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
