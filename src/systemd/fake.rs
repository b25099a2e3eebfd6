//! A systemd of a test: units that start, fail or hang as their test says, and no time that passes.
//!
//! A job ends when it is waited for, or with the next pause; until then its unit has it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{ActiveState, Brief, Error, Job, JobResult, Manager, QueuedJob, Unit, Verb};

/// What the next start of a unit comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// READY.
    Works,
    /// It exits with status 1 before it is READY, and is to be started again.
    Fails,
    /// It is given up: nothing starts it again.
    GivesUp,
    /// It is never READY, and systemd ends it.
    Hangs,
    /// Its job does not even end.
    Stuck,
    /// READY, and gone with the next pause.
    DiesLater,
}

/// The fake.
#[derive(Debug, Default)]
pub struct Fake {
    units: BTreeMap<String, Unit>,
    starts: BTreeMap<String, VecDeque<Start>>,
    doomed: Vec<String>,
    /// Starts that have not come to anything yet, by the path of their job.
    pending: BTreeMap<String, String>,
    ended: BTreeMap<String, JobResult>,
    next: u32,
    /// Every job, in order: `restart web@0.service`.
    pub log: Vec<String>,
    /// The fewest units that were READY at once.
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

    /// Puts a unit into any state.
    pub fn set(&mut self, unit: Unit) {
        self.units.insert(unit.name.clone(), unit);
    }

    /// Gives a unit a job of a kind, as if somebody else had queued it.
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

    fn start(&mut self, unit: &str) -> Option<JobResult> {
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
            Start::GivesUp => self.put(unit, ActiveState::Failed, "exit-code", 0),
            Start::Hangs => self.put(unit, ActiveState::Activating, "timeout", 0),
            Start::Stuck => return None,
            Start::DiesLater => {
                self.put(unit, ActiveState::Active, "success", pid);
                self.doomed.push(unit.to_owned());
            }
        }
        Some(match how {
            Start::Works | Start::DiesLater => JobResult::Done,
            _ => JobResult::Failed,
        })
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
                sub: u.sub.clone(),
                job: u.job.clone(),
            })
            .collect())
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        self.log.push(format!("{verb} {unit}"));
        let path = format!("/job/{}", self.log.len());
        match verb {
            Verb::Start | Verb::Restart => {
                // A job that is replaced never ends.
                self.pending.retain(|_, other| other != unit);
                if verb == Verb::Restart || self.pid(unit) == 0 {
                    self.put(unit, ActiveState::Activating, "success", 0);
                    self.pending.insert(path.clone(), unit.to_owned());
                    if let Some(state) = self.units.get_mut(unit) {
                        state.job = Some(QueuedJob {
                            path: path.clone(),
                            kind: "start".into(),
                        });
                    }
                } else {
                    self.ended.insert(path.clone(), JobResult::Done);
                }
            }
            Verb::Stop | Verb::StopAlone => {
                self.put(unit, ActiveState::Inactive, "success", 0);
                self.ended.insert(path.clone(), JobResult::Done);
            }
            Verb::Reload => {
                self.ended.insert(path.clone(), JobResult::Done);
            }
        }
        Ok(Job {
            path,
            unit: unit.to_owned(),
        })
    }

    fn cut_short(&mut self, unit: &str) -> Result<(), Error> {
        self.log.push(format!("cut short {unit}"));
        Ok(())
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        self.finish(&job.path);
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
        for path in self.pending.keys().cloned().collect::<Vec<_>>() {
            self.finish(&path);
        }
    }
}
