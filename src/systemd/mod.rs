//! systemd as the other rooms see it: typed units and jobs behind the [`Manager`] trait.
//!
//! The trait is synchronous and object safe, so that the walk runs on a [`fake`] in its tests. The
//! meaning of every property and result is that of org.freedesktop.systemd1(5).

mod dbus;
pub mod fake;
mod unit;

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::layout::Scope;
pub use unit::{ActiveState, Brief, QueuedJob, Timer, Unit};

/// So often a job is asked for again that somebody else's job cancelled. Whoever may start any unit can cancel all jobs, so
/// without a bound it would be asked for without end.
pub const ATTEMPTS: usize = 5;

/// What to do to a unit; every job replaces what is queued for it, as systemctl's do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it at once, though units are to be stopped before it: mode `ignore-dependencies` of
    /// systemctl(1). For what runs inside the stop of such a unit.
    StopAlone,
    /// Stop and start it, or start it.
    Restart,
    /// Run its `ExecReload=`.
    Reload,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop | Self::StopAlone => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        })
    }
}

/// A job that was queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its object path, by which its end is recognised.
    pub path: String,
    /// The unit it is for.
    pub unit: String,
}

/// How a job ended: the only verdict there is, since `Restart=always` hides a failed start from the
/// unit's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// As asked.
    Done,
    /// Another job took its place, or all jobs were thrown away.
    Canceled,
    /// The job's own time-out.
    Timeout,
    /// The unit failed.
    Failed,
    /// A unit it depends on failed.
    Dependency,
    /// Nothing was to be done.
    Skipped,
    /// Any other word of systemd's.
    Other,
}

impl JobResult {
    /// From the word in `JobRemoved`.
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

/// What can go wrong between us and systemd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no bus, or systemd is not on it.
    #[error("systemd cannot be reached: {reason}")]
    NoBus {
        /// What the connection said.
        reason: String,
    },
    /// systemd, or polkit for it, refused.
    #[error("permission is missing: {reason}")]
    AccessDenied {
        /// What systemd said.
        reason: String,
    },
    /// The unit does not exist.
    #[error("there is no unit `{unit}`")]
    NoSuchUnit {
        /// Its name.
        unit: String,
    },
    /// The deadline passed first.
    #[error("{what} was not done within {after:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// Another job took the place of one, or all jobs were thrown away (mode `flush` of systemctl(1)).
    #[error("{what} was cancelled by another job of systemd")]
    Canceled {
        /// What was asked for.
        what: String,
    },
    /// systemd's own words.
    #[error("systemd refused: {reason}")]
    Refused {
        /// What systemd said.
        reason: String,
    },
}

impl Error {
    /// The next step for whoever reads it, if there is one.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::NoBus { .. } => Some(
                "see that systemd is PID 1 and `systemctl status dbus` is active; for --user, that \
                 DBUS_SESSION_BUS_ADDRESS is set, as in a login",
            ),
            Self::AccessDenied { .. } => Some("run it as root, or allow it in polkit(8)"),
            Self::NoSuchUnit { .. } => Some("see `systemctl list-units --all`"),
            Self::TimedOut { .. } => Some("see `systemctl list-jobs` for what it waits for"),
            Self::Canceled { .. } => {
                Some("run it again; `systemctl list-jobs` shows what is queued")
            }
            Self::Refused { .. } => None,
        }
    }
}

/// The part of systemd's manager that rsgen uses.
pub trait Manager {
    /// All that is to be known of a unit; one that does not exist is `not-found` and inactive.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn unit(&mut self, name: &str) -> Result<Unit, Error>;

    /// The loaded units whose name matches a glob.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error>;

    /// Queues a job.
    ///
    /// # Errors
    /// When the unit does not exist or systemd refuses.
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error>;

    /// Asks the command that a unit runs just now, its `ExecStop=` for one, to end.
    ///
    /// # Errors
    /// When systemd refuses; a unit that runs no command has none to end.
    fn cut_short(&mut self, unit: &str) -> Result<(), Error>;

    /// Sends SIGKILL to every process of a unit, whatever it does just now.
    ///
    /// # Errors
    /// When systemd cannot be asked; a unit without processes has none to kill.
    fn kill(&mut self, unit: &str) -> Result<(), Error>;

    /// Waits for the end of a job queued here.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after `at_most`; the job goes on and can be waited for again.
    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error>;

    /// Forgets that a unit failed; one that is not loaded has nothing to forget.
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

    /// Has systemd read its files again, generators included.
    ///
    /// # Errors
    /// When systemd cannot be asked or refuses.
    fn daemon_reload(&mut self) -> Result<(), Error>;

    /// systemd's version, e.g. 252.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn version(&mut self) -> Result<u32, Error>;

    /// Since boot, sleep included; a fake has a time of its own.
    fn now(&mut self) -> Duration {
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map(Duration::from)
            .unwrap_or_default()
    }

    /// Waits without doing anything: a fake lets no time pass.
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Connects to the systemd of a scope.
///
/// # Errors
/// [`Error::NoBus`] when there is no bus or no systemd on it.
pub fn connect(scope: Scope) -> Result<Box<dyn Manager>, Error> {
    Ok(Box::new(dbus::Bus::connect(scope)?))
}
