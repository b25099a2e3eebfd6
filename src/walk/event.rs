//! What a walk tells: stable names for scripts, one line each for people.

use std::fmt;

use serde::Serialize;

/// Why a walk or a step of it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The instance, if it was one.
    pub number: Option<u32>,
    /// Whether that was the canary.
    pub canary: bool,
    /// For people.
    pub why: String,
    /// Whether it was not READY in time.
    pub timed_out: bool,
    /// Whether every instance that served before still does, unchanged.
    pub untouched: bool,
    /// The failed run, for the journal.
    pub invocation: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(_) if self.canary => {
                write!(
                    f,
                    "the canary failed: {}; every instance still serves what it served",
                    self.why
                )
            }
            Some(number) => {
                write!(
                    f,
                    "instance {number} failed twice: {}; the instances after it are as they were",
                    self.why
                )
            }
            None => f.write_str(&self.why),
        }
    }
}

/// One step of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The walk begins.
    Begun {
        /// How many instances there shall be.
        instances: u32,
        /// Whether a canary goes first.
        canary: bool,
    },
    /// The extra instance starts from the new version.
    CanaryStarting {
        /// Its number.
        number: u32,
    },
    /// It is READY and stayed up.
    CanaryReady {
        /// Its number.
        number: u32,
        /// Its main process.
        pid: u32,
    },
    /// An instance is drained, stopped and started again.
    Replacing {
        /// Its number.
        number: u32,
        /// Its main process until now, 0 for none.
        old_pid: u32,
    },
    /// It is READY again.
    Ready {
        /// Its number.
        number: u32,
        /// Its main process before.
        old_pid: u32,
        /// Its main process now.
        pid: u32,
    },
    /// It failed and gets its second chance.
    Retrying {
        /// Its number.
        number: u32,
        /// How it failed.
        failed: Failed,
    },
    /// Every instance is restarted at once, as the app asks for after a failure.
    RestartingAll,
    /// An instance beyond the wanted number, or the canary, is gone.
    Stopped {
        /// Its number.
        number: u32,
        /// Whether it was the canary.
        canary: bool,
    },
    /// Every instance is new.
    Done {
        /// How many there are.
        instances: u32,
    },
    /// The walk ended early.
    Aborted {
        /// Why.
        #[serde(rename = "failure")]
        failed: Failed,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun {
                instances,
                canary: true,
            } => write!(f, "replacing {instances} instances, a canary first"),
            Self::Begun { instances, .. } => write!(f, "replacing {instances} instances"),
            Self::CanaryStarting { .. } => f.write_str("canary: starting"),
            Self::CanaryReady { pid, .. } => write!(f, "canary: ready (pid {pid})"),
            Self::Replacing { number, old_pid: 0 } => write!(f, "instance {number}: starting"),
            Self::Replacing { number, old_pid } => {
                write!(f, "instance {number}: replacing pid {old_pid}")
            }
            Self::Ready { number, pid, .. } => write!(f, "instance {number}: ready (pid {pid})"),
            Self::Retrying { number, failed } => {
                write!(f, "instance {number}: {}; once more", failed.why)
            }
            Self::RestartingAll => f.write_str("restarting every instance at once"),
            Self::Stopped { canary: true, .. } => f.write_str("canary: stopped"),
            Self::Stopped { number, .. } => {
                write!(f, "instance {number}: stopped, it was one too many")
            }
            Self::Done { instances } => write!(f, "done: {instances} of {instances} replaced"),
            Self::Aborted { failed } => write!(f, "{failed}"),
        }
    }
}
