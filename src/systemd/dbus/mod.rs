//! The D-Bus client. Only this folder uses zbus.
//!
//! The client subscribes to `JobRemoved` before it queues the first job, and keeps the results by path, so that the result of
//! a job is not lost that ends before anybody waits for it. Properties are read anew each time. While the bus restarts, and
//! during a daemon-reload or daemon-reexec, calls wait.

mod batch;
mod error;
mod far;
mod link;
mod listed;
mod overheard;
mod properties;
mod queued;
mod several;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use zbus::OwnedObjectPath;

use super::unit::{ActiveState, Brief, Pulse, QueuedJob, Timer, Unit, Used};
use super::{Error, Job, JobResult, Manager, Verb, Whom};
use crate::layout::Scope;
use error::explain;
pub(super) use link::HELLO;
use link::{Link, Question};
use properties::{Properties, get, read_timer, read_unit, text};

const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";
const SOCKET_UNIT: &str = "org.freedesktop.systemd1.Socket";
const TIMER: &str = "org.freedesktop.systemd1.Timer";
const JOB: &str = "org.freedesktop.systemd1.Job";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How often a job itself is looked at, because its signal may have been lost.
const LOOK: Duration = Duration::from_millis(500);

/// When no signal has come for this long, the signal of a job that is gone is taken for lost.
const LAST: Duration = Duration::from_millis(50);

/// A row of `ListUnitsByPatterns` and `ListUnitsByNames`: the name, the description, `LoadState`, `ActiveState`, `SubState`, the unit
/// that it follows, the object path, and the number, the kind and the object path of a job.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// The job in such a row.
fn job_of(row: &Row) -> Option<QueuedJob> {
    (row.7 != 0).then(|| QueuedJob {
        path: row.9.to_string(),
        kind: row.8.clone(),
    })
}

/// The state in such a row.
fn brief(row: &Row) -> Brief {
    Brief {
        name: row.0.clone(),
        active: ActiveState::from_word(&row.3),
        sub: row.4.clone(),
        job: job_of(row),
    }
}

/// The interface that a unit has because of its kind, as far as rsgen reads one.
fn interface(unit: &str) -> Option<&'static str> {
    if unit.ends_with(".service") {
        return Some(SERVICE_UNIT);
    }
    unit.ends_with(".socket").then_some(SOCKET_UNIT)
}

/// A connection to one systemd.
pub(super) struct Bus {
    link: Link,
    ended: HashMap<String, JobResult>,
    /// When each job that is waited for was last looked at, by path.
    looked: HashMap<String, Instant>,
    /// What the unit has said that is listened to.
    overheard: Option<overheard::Overheard>,
    /// The program that carries the connection to another host. It ends after the connection.
    carrier: Option<far::Carrier>,
}

impl Bus {
    pub(super) fn connect(scope: Scope, hello: Duration) -> Result<Self, Error> {
        Self::dial(link::bus(scope), hello)
    }

    fn dial(dial: link::Dial, hello: Duration) -> Result<Self, Error> {
        Ok(Self::over(Link::connect(dial, hello)?, None))
    }

    fn over(link: Link, carrier: Option<far::Carrier>) -> Self {
        Self {
            link,
            ended: HashMap::new(),
            looked: HashMap::new(),
            overheard: None,
            carrier,
        }
    }

    /// See [`super::connect_through`].
    pub(super) fn connect_through(program: &mut Command) -> Result<(Self, Vec<String>), Error> {
        far::connect(program)
    }

    /// A unit by its properties. The monotonic clock of another host says nothing here.
    fn read(
        &self,
        name: &str,
        unit: &Properties,
        own: &Properties,
        job: Option<QueuedJob>,
    ) -> Unit {
        let read = read_unit(name, unit, own, job);
        match self.carrier {
            Some(_) => far::by_this_clock(read, unit, own),
            None => read,
        }
    }

    fn call<B, R>(
        &mut self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, Error>
    where
        B: serde::Serialize + zbus::wire::DynamicType,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let reply = self.link.call(path, interface, method, body)?;
        reply.body().deserialize().map_err(|e| explain(&e))
    }

    fn properties(&mut self, path: &str, interface: &str) -> Result<Properties, Error> {
        self.call(path, PROPERTIES, "GetAll", &interface)
    }

    /// The answers to several questions, in their order.
    fn ask<A, R>(&mut self, questions: &[Question<A>]) -> Result<Vec<R>, Error>
    where
        A: serde::Serialize + zbus::wire::DynamicType,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let replies = self.link.calls(questions)?;
        let read = |reply: zbus::Message| reply.body().deserialize().map_err(|e| explain(&e));
        replies.into_iter().map(read).collect()
    }

    /// Sends a signal to processes of a unit. systemd refuses that for a unit without such a process, which is no error here.
    fn signal_any(&mut self, unit: &str, whom: &str, signal: i32) -> Result<(), Error> {
        match self.call(PATH, MANAGER, "KillUnit", &(unit, whom, signal)) {
            Err(Error::Refused { .. } | Error::NoSuchUnit { .. }) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn queued(&mut self, properties: &Properties) -> Option<QueuedJob> {
        let (id, path): (u32, OwnedObjectPath) = get(properties, "Job")?;
        if id == 0 {
            return None;
        }
        // An error means that the job has ended since.
        let job = self.properties(&path, JOB).ok()?;
        Some(QueuedJob {
            path: path.to_string(),
            kind: text(&job, "JobType"),
        })
    }

    /// Waits for a `JobRemoved` for at most this long and keeps its result; returns whether one came.
    fn listen(&mut self, at_most: Duration) -> bool {
        if let Some(overheard) = &mut self.overheard {
            overheard.look(|message| self.link.is_of_systemd(message));
        }
        let Some(message) = self.link.signal(at_most) else {
            return false;
        };
        let arguments: Result<(u32, OwnedObjectPath, String, String), _> =
            message.body().deserialize();
        if let Ok((_, path, _, result)) = arguments {
            self.ended
                .insert(path.to_string(), JobResult::from_word(&result));
        }
        true
    }

    /// Whether a job still exists. When its signal was lost, only this shows that the job has ended.
    fn exists(&mut self, job: &Job) -> Result<bool, Error> {
        match self.properties(&job.path, JOB) {
            Ok(_) => Ok(true),
            Err(Error::Refused { .. } | Error::NoSuchUnit { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The result of a job whose signal was lost, as far as the state of its unit shows it.
    fn guess(&mut self, job: &Job) -> Result<JobResult, Error> {
        let unit = self.unit(&job.unit)?;
        let good = unit.is_ready() || unit.active == ActiveState::Inactive;
        Ok(if good {
            JobResult::Done
        } else {
            JobResult::Failed
        })
    }
}

impl Manager for Bus {
    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        let path: OwnedObjectPath = self.call(PATH, MANAGER, "LoadUnit", &name)?;
        // Both at once: a walk and the end of each instance wait for these answers.
        let mut answers = self.ask(&several::all_of(name, &path))?.into_iter();
        let unit: Properties = answers.next().unwrap_or_default();
        let own = answers.next().unwrap_or_default();
        let job = self.queued(&unit);
        Ok(self.read(name, &unit, &own, job))
    }

    fn each(&mut self, names: &[String]) -> Result<Vec<Unit>, Error> {
        several::each(self, names)
    }

    fn glances(
        &mut self,
        globs: &[String],
        choose: &mut dyn FnMut(&[Brief]) -> Vec<String>,
        has_process: fn(&str) -> bool,
    ) -> Result<Vec<Unit>, Error> {
        several::glances(self, globs, choose, has_process)
    }

    fn used(&mut self, services: &[String]) -> Result<Vec<Used>, Error> {
        several::used(self, services)
    }

    fn pulses(&mut self, services: &[String]) -> Result<Vec<Pulse>, Error> {
        several::pulses(self, services)
    }

    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        let rows = listed::matching(self, &[pattern])?;
        Ok(rows.iter().map(brief).collect())
    }

    fn unit_files(&mut self, pattern: &str) -> Result<Vec<String>, Error> {
        far::unit_files(self, pattern)
    }

    fn commands(&mut self, services: &[String]) -> Result<Vec<Vec<Vec<String>>>, Error> {
        far::commands(self, services)
    }

    fn addresses(&mut self, sockets: &[String]) -> Result<Vec<Vec<String>>, Error> {
        far::addresses(self, sockets)
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        queued::queue(self, verb, unit)
    }

    fn listen_to(&mut self, unit: &str) -> Result<(), Error> {
        overheard::listen_to(self, unit)
    }

    fn heard(&mut self) -> Option<String> {
        overheard::heard(self)
    }

    fn hold(&mut self, unit: &str) {
        let _ = self.link.call(PATH, MANAGER, "RefUnit", &unit);
    }

    fn release(&mut self, unit: &str) {
        let _ = self.link.call(PATH, MANAGER, "UnrefUnit", &unit);
    }

    fn cut_short(&mut self, unit: &str) -> Result<(), Error> {
        self.signal_any(unit, "control", libc::SIGTERM)
    }

    fn kill(&mut self, unit: &str) -> Result<(), Error> {
        self.signal_any(unit, "all", libc::SIGKILL)
    }

    fn signal(&mut self, unit: &str, whom: Whom, signal: i32) -> Result<(), Error> {
        self.call(PATH, MANAGER, "KillUnit", &(unit, whom.word(), signal))
    }

    fn attach(&mut self, unit: &str) -> Result<(), Error> {
        let own = [std::process::id()];
        self.call(
            PATH,
            MANAGER,
            "AttachProcessesToUnit",
            &(unit, "", &own[..]),
        )
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        let start = Instant::now();
        loop {
            if let Some(result) = self.ended.remove(&job.path) {
                self.looked.remove(&job.path);
                return Ok(result);
            }
            let Some(left) = at_most.checked_sub(start.elapsed()) else {
                let what = format!("the job for {}", job.unit);
                return Err(Error::TimedOut {
                    what,
                    after: at_most,
                });
            };
            self.listen(left.min(LOOK));
            // Counted across calls of `wait`, because each of them may be shorter than `LOOK`.
            let looked = self.looked.entry(job.path.clone()).or_insert(start);
            if self.ended.contains_key(&job.path) || looked.elapsed() < LOOK {
                continue;
            }
            *looked = Instant::now();
            if !self.exists(job)? {
                self.looked.remove(&job.path);
                // The job's signal may still be in the socket, behind those of many other jobs. If not, it was sent to a
                // connection, or by a systemd, that no longer exists.
                while !self.ended.contains_key(&job.path)
                    && start.elapsed() < at_most
                    && self.listen(LAST)
                {}
                return match self.ended.remove(&job.path) {
                    Some(result) => Ok(result),
                    None => self.guess(job),
                };
            }
        }
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        match self.link.call(PATH, MANAGER, "ResetFailedUnit", &unit) {
            Ok(_) | Err(Error::NoSuchUnit { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn timer(&mut self, timer: &str) -> Result<Option<Timer>, Error> {
        let path: OwnedObjectPath = self.call(PATH, MANAGER, "LoadUnit", &timer)?;
        let unit = self.properties(&path, UNIT)?;
        if text(&unit, "LoadState") != "loaded" {
            return Ok(None);
        }
        let properties = self.properties(&path, TIMER)?;
        Ok(Some(read_timer(&unit, &properties)))
    }

    fn forget_times(&mut self, timer: &str) -> Result<(), Error> {
        let what: &[&str] = &["state"];
        match self.link.call(PATH, MANAGER, "CleanUnit", &(timer, what)) {
            // A timer that keeps nothing is refused.
            Ok(_) | Err(Error::NoSuchUnit { .. } | Error::Refused { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn daemon_reload(&mut self) -> Result<(), Error> {
        self.link.call(PATH, MANAGER, "Reload", &()).map(|_| ())
    }

    fn version(&mut self) -> Result<u32, Error> {
        let properties = self.properties(PATH, MANAGER)?;
        let version = text(&properties, "Version");
        let digits: String = version
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().map_err(|_| Error::Refused {
            reason: format!("its version is `{version}`"),
        })
    }
}
