//! The texts of events: a line for people.

use std::fmt;

use super::{Event, Failed, Others};

impl Failed {
    /// The failure and its reason, without the state of the others.
    #[must_use]
    pub fn cause(&self) -> String {
        match self.number {
            Some(number) if self.canary && self.canaries.is_some() => {
                format!("canary {number} failed: {}", self.why)
            }
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
            Others::NoneServes => "; no instance serves, as before",
            Others::AsTheyWere if self.number.is_some() => "; the instances after it are unchanged",
            Others::AsTheyWere => "; the instances not yet replaced are unchanged",
            Others::Replaced => "; every instance that did not fail was replaced",
            Others::Restarted => ", after all instances were restarted",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { .. } | Self::RestartingAll | Self::CanaryDropped | Self::Done { .. } => {
                self.of_all(f)
            }
            Self::Retrying { .. } | Self::Failed { .. } | Self::Aborted { .. } => {
                self.of_failure(f)
            }
            _ => self.of_one(f),
        }
    }
}

/// The number of instances in words.
fn counted(instances: u32) -> String {
    match instances {
        1 => "1 instance".to_owned(),
        many => format!("{many} instances"),
    }
}

impl Event {
    fn of_all(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun {
                instances,
                canaries: Some(canaries),
                ..
            } => {
                let what = counted(*instances);
                write!(f, "replacing {what}, {canaries} canaries first")
            }
            Self::Begun {
                instances,
                kept: true,
                ..
            } => write!(f, "replacing {}, after the canary", counted(*instances)),
            Self::Begun {
                instances,
                canary: true,
                ..
            } => write!(f, "replacing {}, a canary first", counted(*instances)),
            Self::Begun { instances, .. } => write!(f, "replacing {}", counted(*instances)),
            Self::RestartingAll => f.write_str("restarting every instance at once"),
            Self::CanaryDropped => f.write_str("done: no instance was replaced"),
            Self::Done { instances, took_ms } => {
                let took = Span(*took_ms);
                write!(f, "done: {instances} of {instances} replaced in {took}")
            }
            _ => Ok(()),
        }
    }

    fn of_failure(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retrying { number, failed } => {
                write!(f, "instance {number}: {}; trying again", failed.why)
            }
            Self::Failed {
                number,
                failed,
                failures,
                most,
            } => {
                let why = &failed.why;
                write!(
                    f,
                    "instance {number}: failed twice: {why}; continuing, {failures} of at most {most} failures"
                )
            }
            Self::Aborted { failed } => write!(f, "{failed}"),
            _ => Ok(()),
        }
    }

    fn of_one(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(which) = self.which() else {
            return Ok(());
        };
        match self {
            Self::CanaryStarting { .. } | Self::Replacing { old_pid: 0, .. } => {
                write!(f, "{which}: starting")
            }
            Self::Replacing { old_pid, .. } => write!(f, "{which}: replacing pid {old_pid}"),
            Self::CanaryKept { number, pid } => {
                write!(
                    f,
                    "done: the canary was started and kept, as instance {number} (pid {pid})"
                )
            }
            Self::CanaryReady { pid, took_ms, .. } | Self::Ready { pid, took_ms, .. } => {
                write!(f, "{which}: ready after {} (pid {pid})", Span(*took_ms))
            }
            Self::Canceled { .. } => write!(
                f,
                "{which}: its job was cancelled by another job of systemd; queued again"
            ),
            Self::Killed { after_ms, .. } => {
                let seconds = after_ms / 1000;
                write!(f, "{which}: did not end within {seconds} s: killed")
            }
            Self::Stopped { canary: true, .. } => write!(f, "{which}: stopped"),
            Self::Stopped { .. } => write!(f, "{which}: stopped, it was surplus"),
            _ => Ok(()),
        }
    }

    /// The instance that an event is about, if it is about one.
    fn which(&self) -> Option<Which> {
        match self {
            Self::CanaryStarting { number, canaries }
            | Self::CanaryReady {
                number, canaries, ..
            } => Some(Which::of(*number, true, *canaries)),
            Self::CanaryKept { number, .. } => Some(Which::of(*number, true, None)),
            Self::Replacing { number, .. } | Self::Ready { number, .. } => {
                Some(Which::of(*number, false, None))
            }
            Self::Canceled {
                number,
                canary,
                canaries,
            }
            | Self::Killed {
                number,
                canary,
                canaries,
                ..
            }
            | Self::Stopped {
                number,
                canary,
                canaries,
                ..
            } => Some(Which::of(*number, *canary, *canaries)),
            _ => None,
        }
    }
}

/// An instance, the only canary, or one of several.
enum Which {
    Instance(u32),
    Canary,
    OneOfSeveral(u32),
}

impl Which {
    fn of(number: u32, canary: bool, canaries: Option<u32>) -> Self {
        match (canary, canaries) {
            (false, _) => Self::Instance(number),
            (true, None) => Self::Canary,
            (true, Some(_)) => Self::OneOfSeveral(number),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(number) => write!(f, "instance {number}"),
            Self::Canary => f.write_str("canary"),
            Self::OneOfSeveral(number) => write!(f, "canary {number}"),
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
