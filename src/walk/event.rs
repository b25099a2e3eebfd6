//! What a walk tells: stable names for scripts, one line each for people.

use std::fmt;

use serde::Serialize;

/// What a failure means for the instances that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Whatever served before the walk serves still, unchanged.
    Untouched,
    /// Those after it run what they ran.
    AsTheyWere,
    /// All were restarted at once.
    Restarted,
}

/// Why a walk or a step of it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The instance, if it was one.
    pub number: Option<u32>,
    /// Whether that was the canary.
    pub canary: bool,
    /// For people.
    pub why: String,
    /// systemd's word for how the unit ended, `Result=` of systemctl(1); empty if it was no unit.
    pub result: String,
    /// The exit status or the signal of its main process.
    pub exit_status: i32,
    /// Whether it was not READY in time.
    pub timed_out: bool,
    /// Whether every instance that served before still does, unchanged.
    pub untouched: bool,
    /// What became of the others.
    pub others: Others,
    /// The failed run, for the journal.
    pub invocation: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(_) if self.canary => write!(f, "the canary failed: {}", self.why)?,
            Some(number) if self.others == Others::Restarted => {
                write!(f, "instance {number} failed: {}", self.why)?;
            }
            Some(number) => write!(f, "instance {number} failed twice: {}", self.why)?,
            None => f.write_str(&self.why)?,
        }
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
        /// From its start until it had settled.
        took_ms: u64,
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
        /// From the stop of the old process to READY of the new, a second chance included.
        took_ms: u64,
    },
    /// It failed and gets its second chance.
    Retrying {
        /// Its number.
        number: u32,
        /// How it failed.
        failed: Failed,
    },
    /// Somebody else's job cancelled the one of this step, which is asked for again.
    Canceled {
        /// Its number.
        number: u32,
        /// Whether it is the canary.
        canary: bool,
    },
    /// It did not end by itself, and every process of it was killed.
    Killed {
        /// Its number.
        number: u32,
        /// Whether it was the canary.
        canary: bool,
        /// How long it had been waited for.
        after_ms: u64,
    },
    /// Every instance is restarted at once, as the app asks for after a failure.
    RestartingAll,
    /// An instance beyond the wanted number, or the canary, is gone.
    Stopped {
        /// Its number.
        number: u32,
        /// Whether it was the canary.
        canary: bool,
        /// The drain and the stop.
        took_ms: u64,
    },
    /// Every instance is new.
    Done {
        /// How many there are.
        instances: u32,
        /// The whole walk.
        took_ms: u64,
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

/// Milliseconds as people read them.
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
