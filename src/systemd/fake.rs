//! A fake systemd for tests: units start, fail or hang as the test says, and its clock does not run by itself.
//!
//! A unit has its job until somebody waits for the job, or until the next pause; then the job ends. The clock advances with
//! each pause, and with each wait for a job that does not end.

#[cfg(test)]
mod moment;
mod start;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{ActiveState, Brief, Error, Job, JobResult, Manager, QueuedJob, Timer, Unit, Verb};

#[cfg(test)]
pub use moment::instant;
pub use start::Start;

/// A systemd whose units exist only in this value.
#[derive(Debug, Default)]
pub struct Fake {
    units: BTreeMap<String, Unit>,
    starts: BTreeMap<String, VecDeque<Start>>,
    doomed: Vec<String>,
    /// The units whose start has no result yet, by the path of the job.
    pending: BTreeMap<String, String>,
    ended: BTreeMap<String, JobResult>,
    /// The units that do not stop, each with the path and the verb of the job that waits for it.
    clinging: BTreeMap<String, Option<(String, Verb)>>,
    /// How many of the next jobs of a unit are cancelled.
    cancels: BTreeMap<String, u32>,
    /// The units whose next job is cancelled by a stop job.
    stops: Vec<String>,
    clock: Duration,
    next: u32,
    /// States that units get later, and when.
    later: Vec<(Duration, Unit)>,
    /// The unit whose job is being waited for when the connection to systemd is lost.
    last_awaited: Option<String>,
    is_severed: bool,
    /// The timers that are loaded, by the names of their units.
    pub timers: BTreeMap<String, Timer>,
    /// Every job, in order: `restart web@0.service`, `stop web.socket alone`.
    pub log: Vec<String>,
    /// The smallest number of units that were READY at the same time.
    pub fewest_ready: usize,
}

impl Fake {
    /// A systemd in which these units are READY.
    #[must_use]
    pub fn running(units: &[&str]) -> Self {
        let mut fake = Self {
            next: 100,
            ..Self::default()
        };
        for unit in units {
            fake.start(unit);
        }
        fake.fewest_ready = units.len();
        fake
    }

    /// Sets the results of the next starts of a unit; all later starts work.
    pub fn script(&mut self, unit: &str, starts: &[Start]) {
        self.starts
            .insert(unit.to_owned(), starts.iter().copied().collect());
    }

    /// Makes a running unit ignore its next stop until it is killed.
    pub fn cling(&mut self, unit: &str) {
        self.clinging.insert(unit.to_owned(), None);
    }

    /// Cancels the next jobs of a unit, as `systemctl cancel` without arguments cancels all jobs.
    pub fn cancel(&mut self, unit: &str, times: u32) {
        self.cancels.insert(unit.to_owned(), times);
    }

    /// Replaces the next job of a unit by a stop job of somebody else.
    pub fn stop_instead(&mut self, unit: &str) {
        self.cancel(unit, 1);
        self.stops.push(unit.to_owned());
    }

    /// Sets the state of a unit.
    pub fn set(&mut self, unit: Unit) {
        self.units.insert(unit.name.clone(), unit);
    }

    /// Gives a unit a job of this kind, as if somebody else had queued it.
    pub fn busy(&mut self, unit: &str, kind: &str) {
        let path = format!("/job/other/{unit}");
        let state = self.units.entry(unit.to_owned()).or_insert_with(|| Unit {
            name: unit.to_owned(),
            ..Unit::default()
        });
        state.job = Some(QueuedJob {
            path: path.clone(),
            kind: kind.to_owned(),
        });
        if kind == "start" {
            self.pending.insert(path, unit.to_owned());
        }
    }

    /// The units that are READY.
    #[must_use]
    pub fn ready(&self) -> Vec<&str> {
        self.units
            .values()
            .filter(|u| u.is_ready())
            .map(|u| u.name.as_str())
            .collect()
    }

    /// The main process of a unit.
    #[must_use]
    pub fn pid(&self, unit: &str) -> u32 {
        self.units.get(unit).map_or(0, |u| u.main_pid)
    }

    fn put(&mut self, unit: &str, active: ActiveState, result: &str, main_pid: u32) {
        let state = Unit {
            name: unit.to_owned(),
            load: "loaded".into(),
            active,
            result: result.to_owned(),
            exit_code: i32::from(result == "exit-code"),
            exit_status: i32::from(result == "exit-code"),
            main_pid,
            ..Unit::default()
        };
        self.units.insert(unit.to_owned(), state);
        self.fewest_ready = self.fewest_ready.min(self.ready().len());
    }

    /// Puts a unit into the state of one that has failed and waits for its automatic restart.
    fn put_off(&mut self, unit: &str, result: &str) {
        self.put(unit, ActiveState::Activating, result, 0);
        if let Some(state) = self.units.get_mut(unit) {
            state.sub = "auto-restart".into();
        }
    }

    fn start(&mut self, unit: &str) -> Option<JobResult> {
        self.next += 1;
        let pid = self.next;
        let how = self
            .starts
            .get_mut(unit)
            .and_then(VecDeque::pop_front)
            .unwrap_or(Start::Works);
        match how {
            Start::Works | Start::Skips => self.put(unit, ActiveState::Active, "success", pid),
            Start::Fails => self.put_off(unit, "exit-code"),
            Start::GivesUp => self.put(unit, ActiveState::Failed, "exit-code", 0),
            Start::Hangs => self.put_off(unit, "timeout"),
            Start::Stuck => return None,
            Start::DiesLater => {
                self.put(unit, ActiveState::Active, "success", pid);
                self.doomed.push(unit.to_owned());
            }
        }
        Some(match how {
            Start::Works | Start::DiesLater => JobResult::Done,
            Start::Skips => JobResult::Skipped,
            _ => JobResult::Failed,
        })
    }

    /// Whether the job is cancelled. A unit that was to be restarted is down by then.
    fn is_cancelled(&mut self, verb: Verb, unit: &str, path: &str) -> bool {
        let Some(left) = self.cancels.get_mut(unit).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        let state = self.units.get(unit).map(|unit| unit.active);
        let is_stopping = state == Some(ActiveState::Deactivating);
        if matches!(verb, Verb::Start | Verb::Restart) && !is_stopping {
            self.put(unit, ActiveState::Inactive, "success", 0);
        }
        if self.stops.iter().any(|other| other == unit) {
            self.busy(unit, "stop");
        }
        self.ended.insert(path.to_owned(), JobResult::Canceled);
        true
    }

    /// Whether the job waits for a unit that does not stop.
    fn is_stuck(&mut self, verb: Verb, unit: &str, path: &str) -> bool {
        let pid = self.pid(unit);
        if pid == 0 || !matches!(verb, Verb::Stop | Verb::Restart) {
            return false;
        }
        let Some(asked) = self.clinging.get_mut(unit) else {
            return false;
        };
        *asked = Some((path.to_owned(), verb));
        self.put(unit, ActiveState::Deactivating, "success", pid);
        true
    }

    fn stop(&mut self, unit: &str, path: &str) {
        self.put(unit, ActiveState::Inactive, "success", 0);
        self.ended.insert(path.to_owned(), JobResult::Done);
    }

    fn restart(&mut self, unit: &str, path: &str) {
        self.put(unit, ActiveState::Activating, "success", 0);
        self.pending.insert(path.to_owned(), unit.to_owned());
        if let Some(state) = self.units.get_mut(unit) {
            state.job = Some(QueuedJob {
                path: path.to_owned(),
                kind: "start".into(),
            });
        }
    }

    /// Sets the state of a unit when the clock shows this time.
    pub fn set_at(&mut self, time: Duration, unit: Unit) {
        self.later.push((time, unit));
    }

    /// Loses the connection to systemd, for good, when somebody waits for a job of this unit.
    pub fn sever_at(&mut self, unit: &str) {
        self.last_awaited = Some(unit.to_owned());
    }

    fn check_connection(&self) -> Result<(), Error> {
        if self.is_severed {
            let reason = "the connection was closed".into();
            return Err(Error::NoBus { reason });
        }
        Ok(())
    }

    fn advance(&mut self, time: Duration) {
        self.clock += time;
        #[cfg(test)]
        moment::pass(time);
        let (now, later) = (self.clock, std::mem::take(&mut self.later));
        for (at, unit) in later {
            if at <= now {
                self.set(unit);
            } else {
                self.later.push((at, unit));
            }
        }
    }

    fn finish(&mut self, path: &str) {
        if let Some(unit) = self.pending.remove(path)
            && let Some(result) = self.start(&unit)
        {
            self.ended.insert(path.to_owned(), result);
        }
    }
}

impl Manager for Fake {
    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        self.check_connection()?;
        let is_timer = self.timers.contains_key(name);
        let absent = || Unit {
            name: name.to_owned(),
            load: if is_timer { "loaded" } else { "not-found" }.into(),
            ..Unit::default()
        };
        Ok(self.units.get(name).cloned().unwrap_or_else(absent))
    }

    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        self.check_connection()?;
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let matching = self
            .units
            .values()
            .filter(|u| u.name.starts_with(before) && u.name.ends_with(after));
        Ok(matching
            .map(|u| Brief {
                name: u.name.clone(),
                active: u.active,
                sub: u.sub.clone(),
                job: u.job.clone(),
            })
            .collect())
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        self.check_connection()?;
        let alone = if verb == Verb::StopAlone {
            " alone"
        } else {
            ""
        };
        self.log.push(format!("{verb} {unit}{alone}"));
        let path = format!("/job/{}", self.log.len());
        let job = Job {
            path: path.clone(),
            unit: unit.to_owned(),
        };
        if self.is_cancelled(verb, unit, &path) || self.is_stuck(verb, unit, &path) {
            return Ok(job);
        }
        match verb {
            Verb::Start | Verb::Restart => {
                // The start that another job replaces has no result.
                self.pending.retain(|_, other| other != unit);
                let is_unmet = self.units.get(unit).is_some_and(|u| !u.unmet.is_empty());
                if !is_unmet && (verb == Verb::Restart || self.pid(unit) == 0) {
                    self.restart(unit, &path);
                } else {
                    self.ended.insert(path, JobResult::Done);
                }
            }
            Verb::Stop | Verb::StopAlone => self.stop(unit, &path),
            Verb::Reload | Verb::ReloadIfFree => {
                self.ended.insert(path, JobResult::Done);
            }
        }
        Ok(job)
    }

    fn timer(&mut self, timer: &str) -> Result<Option<Timer>, Error> {
        Ok(self.timers.get(timer).cloned())
    }

    fn cut_short(&mut self, unit: &str) -> Result<(), Error> {
        self.log.push(format!("cut short {unit}"));
        Ok(())
    }

    fn kill(&mut self, unit: &str) -> Result<(), Error> {
        self.log.push(format!("kill {unit}"));
        match self.clinging.remove(unit).flatten() {
            Some((path, Verb::Restart)) => self.restart(unit, &path),
            Some((path, _)) => self.stop(unit, &path),
            None => self.put(unit, ActiveState::Failed, "signal", 0),
        }
        Ok(())
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        self.advance(Duration::ZERO);
        self.is_severed |= self.last_awaited.as_ref() == Some(&job.unit);
        self.check_connection()?;
        self.finish(&job.path);
        let gone = Error::TimedOut {
            what: job.unit.clone(),
            after: at_most,
        };
        let result = self.ended.remove(&job.path).ok_or(gone);
        if result.is_err() {
            self.advance(at_most);
        }
        result
    }

    fn reset_failed(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn daemon_reload(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn version(&mut self) -> Result<u32, Error> {
        Ok(252)
    }

    fn now(&mut self) -> Duration {
        self.clock
    }

    fn pause(&mut self, time: Duration) {
        self.advance(time);
        for unit in &self.stops {
            if let Some(state) = self.units.get_mut(unit) {
                state.job.take_if(|job| job.is_stop());
            }
        }
        for unit in std::mem::take(&mut self.doomed) {
            self.put_off(&unit, "exit-code");
        }
        for path in self.pending.keys().cloned().collect::<Vec<_>>() {
            self.finish(&path);
        }
    }
}
