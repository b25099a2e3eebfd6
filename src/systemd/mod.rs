//! systemd as the other rooms see it: typed units and jobs behind the [`Manager`] trait.
//!
//! The trait is synchronous and object safe, so that the walk runs on a [`fake`] in its tests. The
//! meaning of every property and result is that of org.freedesktop.systemd1(5).

mod dbus;
mod error;
pub mod fake;
mod reason;
mod unit;

use std::fmt;
use std::process::Command;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::layout::Scope;
pub use error::Error;
pub use reason::TIMED_OUT;
pub use unit::{ActiveState, Brief, Pulse, QueuedJob, Timer, Unit, Used};

/// How often a job is queued again that somebody else's job cancelled. Whoever may start any unit can cancel all jobs, so
/// without a bound rsgen would queue the job again forever.
pub const ATTEMPTS: usize = 5;

/// The effect of a job on a unit. A job replaces one that is queued for the same unit, as jobs of systemctl(1) do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start the unit.
    Start,
    /// Stop the unit.
    Stop,
    /// Stop the unit at once, without waiting for units that are ordered before its stop: mode `ignore-dependencies` of
    /// systemctl(1). For commands that run during the stop of such a unit, which would wait for themselves.
    StopAlone,
    /// Stop the unit if it runs, and start it.
    Restart,
    /// Run the unit's `ExecReload=`.
    Reload,
    /// The same, unless that would cancel a job of the unit: mode `fail` of systemctl(1). For reloads that nobody asked for, before
    /// which the stop or start that an operator waits for goes.
    ReloadIfFree,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop | Self::StopAlone => "stop",
            Self::Restart => "restart",
            Self::Reload | Self::ReloadIfFree => "reload",
        })
    }
}

/// The processes of a unit that get a signal, see `--kill-whom=` of systemctl(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The main process.
    Main,
    /// Every process in the control group.
    All,
}

impl Whom {
    /// The word of systemd.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::All => "all",
        }
    }
}

/// A job that was queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The object path of the job, which `JobRemoved` names when the job ends.
    pub path: String,
    /// The unit that the job is for.
    pub unit: String,
}

/// How a job ended, see `JobRemoved` in org.freedesktop.systemd1(5). Only this says whether a start succeeded, because
/// `Restart=always` hides a failed start from the unit's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// The job succeeded.
    Done,
    /// Another job replaced this one, or all jobs were cancelled.
    Canceled,
    /// The job's own time-out was reached.
    Timeout,
    /// The unit failed.
    Failed,
    /// A unit that this unit depends on failed.
    Dependency,
    /// There was nothing to do.
    Skipped,
    /// Any other result.
    Other,
}

impl JobResult {
    /// The result that `JobRemoved` names by this word.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "done" => Self::Done,
            "canceled" => Self::Canceled,
            "timeout" => Self::Timeout,
            "failed" => Self::Failed,
            "dependency" => Self::Dependency,
            "skipped" => Self::Skipped,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Dependency => "dependency",
            Self::Skipped => "skipped",
            Self::Other => "other",
        })
    }
}

/// The part of org.freedesktop.systemd1.Manager that rsgen uses.
pub trait Manager {
    /// The state of a unit; a unit that does not exist is `not-found` and inactive.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn unit(&mut self, name: &str) -> Result<Unit, Error>;

    /// The states of several units, in the order of their names. They are asked for at once: on a busy machine, one question
    /// after another takes long.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn each(&mut self, names: &[String]) -> Result<Vec<Unit>, Error> {
        names.iter().map(|name| self.unit(name)).collect()
    }

    /// The states of units for a table. `choose` gets the loaded units that match these globs, and names those of the table, loaded or
    /// not; they are returned in the order of these names. Of a service that is up, and of a socket, only what such a table shows is asked
    /// for, and everything else has its default. `has_process` says of which services the table shows the process; of the others that are
    /// up it shows the state alone. What a service uses is asked for by [`Manager::used`].
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn glances(
        &mut self,
        globs: &[String],
        choose: &mut dyn FnMut(&[Brief]) -> Vec<String>,
        _has_process: fn(&str) -> bool,
    ) -> Result<Vec<Unit>, Error> {
        let mut loaded = Vec::new();
        for glob in globs {
            loaded.extend(self.units(glob)?);
        }
        self.each(&choose(&loaded))
    }

    /// What each of these services uses, in their order.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn used(&mut self, services: &[String]) -> Result<Vec<Used>, Error> {
        Ok(self.each(services)?.iter().map(Used::from).collect())
    }

    /// What runs of each of these services, in the order of their names: a few properties, where [`Manager::each`] reads hundreds.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn pulses(&mut self, services: &[String]) -> Result<Vec<Pulse>, Error> {
        Ok(self.each(services)?.into_iter().map(Pulse::from).collect())
    }

    /// What runs of a service, see [`Manager::pulses`].
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn pulse(&mut self, service: &str) -> Result<Pulse, Error> {
        let name = service.to_owned();
        let found = self.pulses(std::slice::from_ref(&name))?.pop();
        found.ok_or(Error::NoSuchUnit { unit: name })
    }

    /// The loaded units whose name matches a glob.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error>;

    /// The names of the unit files that match a glob, whether they are loaded or not.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn unit_files(&mut self, _pattern: &str) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    /// The words of each command in `ExecStart=` of each of these services, in their order.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn commands(&mut self, services: &[String]) -> Result<Vec<Vec<Vec<String>>>, Error> {
        Ok(vec![Vec::new(); services.len()])
    }

    /// The addresses of each of these sockets, in their order.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn addresses(&mut self, sockets: &[String]) -> Result<Vec<Vec<String>>, Error> {
        Ok(vec![Vec::new(); sockets.len()])
    }

    /// Keeps what a service says of itself (`STATUS=`) from now on, until [`Manager::heard`] asks for it. A unit that has ended may be
    /// forgotten by systemd, with its status.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn listen_to(&mut self, _unit: &str) -> Result<(), Error> {
        Ok(())
    }

    /// The last words of the service that was listened to; `None` where it has said nothing.
    fn heard(&mut self) -> Option<String> {
        None
    }

    /// Queues a job.
    ///
    /// # Errors
    /// When the unit does not exist or systemd refuses.
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error>;

    /// Has systemd keep in mind how a unit ends that nothing else refers to, until [`Manager::release`] or the end of this connection. A unit
    /// that a condition has kept down is forgotten at once otherwise, with the condition. Where systemd refuses, nothing is kept.
    fn hold(&mut self, _unit: &str) {}

    /// Undoes [`Manager::hold`].
    fn release(&mut self, _unit: &str) {}

    /// Sends SIGTERM to the control process of a unit, for instance to its `ExecStop=` command.
    ///
    /// # Errors
    /// When systemd refuses; a unit without a control process is no error.
    fn cut_short(&mut self, unit: &str) -> Result<(), Error>;

    /// Sends SIGKILL to every process of a unit, whatever the state of the unit.
    ///
    /// # Errors
    /// When systemd cannot be asked; a unit without processes is no error.
    fn kill(&mut self, unit: &str) -> Result<(), Error>;

    /// Sends a signal to processes of a unit.
    ///
    /// # Errors
    /// When systemd refuses, for instance because the unit has no such process.
    fn signal(&mut self, _unit: &str, _whom: Whom, _signal: i32) -> Result<(), Error> {
        Ok(())
    }

    /// Moves this process into the control group of a unit, see `AttachProcessesToUnit()` in org.freedesktop.systemd1(5).
    ///
    /// # Errors
    /// When systemd refuses, as for a unit without `Delegate=` or one that is not active.
    fn attach(&mut self, _unit: &str) -> Result<(), Error> {
        let reason = "this process cannot be moved".to_owned();
        Err(Error::Refused { reason })
    }

    /// Waits for the end of a job that [`Manager::queue`] returned.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `at_most`; the job goes on and can be waited for again.
    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error>;

    /// Resets the failed state of a unit; for a unit that is not loaded there is nothing to do.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn reset_failed(&mut self, unit: &str) -> Result<(), Error>;

    /// A timer; `None` when there is no such unit.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn timer(&mut self, _timer: &str) -> Result<Option<Timer>, Error> {
        Ok(None)
    }

    /// Has a timer that is stopped forget when it last elapsed, see `Persistent=` in systemd.timer(5).
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn forget_times(&mut self, _timer: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Reloads the configuration of systemd (`systemctl daemon-reload`), which runs the generators.
    ///
    /// # Errors
    /// When systemd cannot be asked or refuses.
    fn daemon_reload(&mut self) -> Result<(), Error>;

    /// The major version of systemd, e.g. 252.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn version(&mut self) -> Result<u32, Error>;

    /// The time since boot, including suspend; the clock of a fake is its own.
    fn now(&mut self) -> Duration {
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map(Duration::from)
            .unwrap_or_default()
    }

    /// Sleeps; a fake advances its clock instead.
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Connects to the systemd of a scope.
///
/// # Errors
/// [`Error::NoBus`] when there is no bus or no systemd on it.
pub fn connect(scope: Scope) -> Result<Box<dyn Manager>, Error> {
    connect_within(scope, dbus::HELLO)
}

/// Connects to the systemd of a scope, where a bus that takes connections and does not answer may keep nobody waiting for longer than this.
///
/// # Errors
/// As of [`connect`].
pub fn connect_within(scope: Scope, at_most: Duration) -> Result<Box<dyn Manager>, Error> {
    Ok(Box::new(dbus::Bus::connect(scope, at_most)?))
}

/// Connects to the systemd of another host through a program that carries the bus over its standard input and output. Returns as well
/// what the program has said until then on its standard error.
///
/// # Errors
/// [`Error::NoBus`] with what the program has said, or with how it ended.
pub fn connect_through(program: &mut Command) -> Result<(Box<dyn Manager>, Vec<String>), Error> {
    let (bus, said) = dbus::Bus::connect_through(program)?;
    Ok((Box::new(bus), said))
}
