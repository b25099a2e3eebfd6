//! The events of a walk: names that scripts can rely on, and one line of text for people.
//!
//! The JSON of an event is an interface. Fields may be added; a reader ignores those that it does not know, and takes
//! the default for one that an older version did not write.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of the instances that a failure does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Every instance that served before the walk still serves, unchanged.
    Untouched,
    /// All instances were restarted at once.
    Restarted,
    /// The instances that come after the failed one run what they ran. A word of a newer version is read as this one.
    #[default]
    #[serde(other)]
    AsTheyWere,
}

/// Why a walk or a step of one failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failed {
    /// The instance that failed, if it was one.
    pub number: Option<u32>,
    /// Whether that was the canary.
    pub canary: bool,
    /// The reason, for people.
    pub why: String,
    /// `Result=` of the unit, see systemctl(1); empty if no unit failed.
    pub result: String,
    /// The exit status of its main process, or the number of the signal that ended it.
    pub exit_status: i32,
    /// Whether it was not READY in time.
    pub timed_out: bool,
    /// Whether every instance that served before still does, unchanged.
    pub untouched: bool,
    /// The state of the other instances.
    pub others: Others,
    /// The invocation ID of the failed run, by which the journal finds its lines.
    pub invocation: String,
}

impl Failed {
    /// The failure and its reason, without the state of the others.
    #[must_use]
    pub fn cause(&self) -> String {
        match self.number {
            Some(_) if self.canary => format!("the canary failed: {}", self.why),
            Some(number) if self.others == Others::Restarted => {
                format!("instance {number} failed: {}", self.why)
            }
            Some(number) => format!("instance {number} failed twice: {}", self.why),
            None => self.why.clone(),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        f.write_str(match self.others {
            Others::Untouched => "; every instance still serves what it served",
            Others::AsTheyWere if self.number.is_some() => {
                "; the instances after it are as they were"
            }
            Others::AsTheyWere => "; the instances not yet replaced are as they were",
            Others::Restarted => ", after all instances were restarted",
        })
    }
}

/// A step of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The walk begins.
    Begun {
        /// How many instances there will be.
        instances: u32,
        /// Whether a canary goes first.
        canary: bool,
    },
    /// The extra instance starts from the new version.
    CanaryStarting {
        /// The number of the canary.
        number: u32,
    },
    /// The canary is READY and stayed up.
    CanaryReady {
        /// The number of the canary.
        number: u32,
        /// The PID of its main process.
        pid: u32,
        /// Milliseconds from its start until it had settled.
        took_ms: u64,
    },
    /// An instance is drained, stopped and started again.
    Replacing {
        /// The number of the instance.
        number: u32,
        /// The PID of its main process until now, 0 for none.
        old_pid: u32,
    },
    /// An instance is READY again.
    Ready {
        /// The number of the instance.
        number: u32,
        /// The PID of its main process before.
        old_pid: u32,
        /// The PID of its main process now.
        pid: u32,
        /// Milliseconds from the stop of the old process to READY of the new one, a second attempt included.
        took_ms: u64,
    },
    /// An instance failed and is started a second time.
    Retrying {
        /// The number of the instance.
        number: u32,
        /// The first failure.
        failed: Failed,
    },
    /// Another job of systemd cancelled the one of this step, which is queued again.
    Canceled {
        /// The number of the instance.
        number: u32,
        /// Whether it is the canary.
        canary: bool,
    },
    /// An instance did not end by itself, and all of its processes were killed.
    Killed {
        /// The number of the instance.
        number: u32,
        /// Whether it was the canary.
        canary: bool,
        /// Milliseconds that the walk had waited for its end.
        after_ms: u64,
    },
    /// Every instance is restarted at once, which is what `on_failure = "restart"` asks for.
    RestartingAll,
    /// An instance beyond the wanted number, or the canary, is gone.
    Stopped {
        /// The number of the instance.
        number: u32,
        /// Whether it was the canary.
        canary: bool,
        /// Milliseconds that the drain and the stop took.
        took_ms: u64,
    },
    /// Every instance is new.
    Done {
        /// How many there are.
        instances: u32,
        /// Milliseconds that the whole walk took.
        took_ms: u64,
    },
    /// The walk ended early.
    Aborted {
        /// The reason.
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
            Self::CanaryReady { pid, took_ms, .. } => {
                write!(f, "canary: ready after {} (pid {pid})", Span(*took_ms))
            }
            Self::Replacing { number, old_pid: 0 } => write!(f, "instance {number}: starting"),
            Self::Replacing { number, old_pid } => {
                write!(f, "instance {number}: replacing pid {old_pid}")
            }
            Self::Ready {
                number,
                pid,
                took_ms,
                ..
            } => {
                write!(
                    f,
                    "instance {number}: ready after {} (pid {pid})",
                    Span(*took_ms)
                )
            }
            Self::Retrying { number, failed } => {
                write!(f, "instance {number}: {}; once more", failed.why)
            }
            Self::Canceled { number, canary } => write!(
                f,
                "{}: its job was cancelled by another job of systemd; asked for again",
                Who(*number, *canary)
            ),
            Self::Killed {
                number,
                canary,
                after_ms,
            } => write!(
                f,
                "{}: did not end within {} s: killed",
                Who(*number, *canary),
                after_ms / 1000
            ),
            Self::RestartingAll => f.write_str("restarting every instance at once"),
            Self::Stopped { canary: true, .. } => f.write_str("canary: stopped"),
            Self::Stopped { number, .. } => {
                write!(f, "instance {number}: stopped, it was one too many")
            }
            Self::Done { instances, took_ms } => {
                write!(
                    f,
                    "done: {instances} of {instances} replaced in {}",
                    Span(*took_ms)
                )
            }
            Self::Aborted { failed } => write!(f, "{failed}"),
        }
    }
}

/// An instance by its number, or the canary.
struct Who(u32, bool);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(_, true) => f.write_str("canary"),
            Self(number, _) => write!(f, "instance {number}"),
        }
    }
}

/// Milliseconds, shown as people read a time.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms @ ..1000 => write!(f, "{ms} ms"),
            ms @ ..60_000 => write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100),
            ms => write!(f, "{} min {} s", ms / 60_000, ms / 1000 % 60),
        }
    }
}
