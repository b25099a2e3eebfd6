//! A systemd of a test: units that start, fail or hang as their test says, and no time that passes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{ActiveState, Brief, Error, Job, JobResult, Manager, Unit, Verb};

/// What the next start of a unit comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// READY.
    Works,
    /// It exits with status 1 before it is READY.
    Fails,
    /// It is never READY.
    Hangs,
    /// READY, and gone with the next pause.
    DiesLater,
}

/// The fake.
#[derive(Debug, Default)]
pub struct Fake {
    units: BTreeMap<String, Unit>,
    starts: BTreeMap<String, VecDeque<Start>>,
    doomed: Vec<String>,
    ended: BTreeMap<String, JobResult>,
    next: u32,
    /// Every job, in order: `restart web@0.service`.
    pub log: Vec<String>,
    /// The fewest units that were READY at once, of those running at the beginning.
    pub fewest_ready: usize,
}

impl Fake {
    /// A systemd where these units run.
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

    /// What the next starts of a unit come to; after them it works.
    pub fn script(&mut self, unit: &str, starts: &[Start]) {
        self.starts
            .insert(unit.to_owned(), starts.iter().copied().collect());
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

    fn start(&mut self, unit: &str) -> JobResult {
        self.next += 1;
        let pid = self.next;
        let how = self
            .starts
            .get_mut(unit)
            .and_then(VecDeque::pop_front)
            .unwrap_or(Start::Works);
        match how {
            Start::Works => self.put(unit, ActiveState::Active, "success", pid),
            Start::Fails => self.put(unit, ActiveState::Activating, "exit-code", 0),
            Start::Hangs => self.put(unit, ActiveState::Activating, "timeout", 0),
            Start::DiesLater => {
                self.put(unit, ActiveState::Active, "success", pid);
                self.doomed.push(unit.to_owned());
            }
        }
        match how {
            Start::Fails => JobResult::Failed,
            Start::Hangs => JobResult::Timeout,
            Start::Works | Start::DiesLater => JobResult::Done,
        }
    }
}

impl Manager for Fake {
    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        let absent = || Unit {
            name: name.to_owned(),
            load: "not-found".into(),
            ..Unit::default()
        };
        Ok(self.units.get(name).cloned().unwrap_or_else(absent))
    }

    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let matching = self
            .units
            .values()
            .filter(|u| u.name.starts_with(before) && u.name.ends_with(after));
        Ok(matching
            .map(|u| Brief {
                name: u.name.clone(),
                active: u.active,
                has_job: u.job.is_some(),
            })
            .collect())
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        self.log.push(format!("{verb} {unit}"));
        let result = match verb {
            Verb::Stop => {
                self.put(unit, ActiveState::Inactive, "success", 0);
                JobResult::Done
            }
            Verb::Restart => {
                self.put(unit, ActiveState::Inactive, "success", 0);
                self.start(unit)
            }
            Verb::Start => self.start(unit),
            Verb::Reload => JobResult::Done,
        };
        let path = format!("/job/{}", self.log.len());
        self.ended.insert(path.clone(), result);
        Ok(Job {
            path,
            unit: unit.to_owned(),
        })
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        let gone = Error::TimedOut {
            what: job.unit.clone(),
            after: at_most,
        };
        self.ended.remove(&job.path).ok_or(gone)
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

    fn pause(&mut self, _: Duration) {
        for unit in std::mem::take(&mut self.doomed) {
            self.put(&unit, ActiveState::Activating, "exit-code", 0);
        }
    }
}
