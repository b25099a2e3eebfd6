//! The state of a unit, from the properties of its two interfaces.

use std::fmt;
use std::time::Duration;

use libc::{CLD_DUMPED, CLD_EXITED, CLD_KILLED};

use crate::contract::ERRORED;

/// A unit's state, see systemctl(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActiveState {
    /// Running, or for the cluster unit: started.
    Active,
    /// Active, and its reload runs.
    Reloading,
    /// Stopped.
    #[default]
    Inactive,
    /// Ended badly, and not to be started again by itself.
    Failed,
    /// On its way up, waiting for a restart included.
    Activating,
    /// On its way down.
    Deactivating,
}

impl ActiveState {
    /// From the word of the property; an unknown one counts as inactive.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "reloading" | "refreshing" => Self::Reloading,
            "failed" => Self::Failed,
            "activating" | "maintenance" => Self::Activating,
            "deactivating" => Self::Deactivating,
            _ => Self::Inactive,
        }
    }
}

impl fmt::Display for ActiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        })
    }
}

/// A unit in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// The name of the unit.
    pub name: String,
    /// The state of the unit.
    pub active: ActiveState,
    /// The state within that state, `SubState=`, e.g. `running`, `auto-restart`.
    pub sub: String,
    /// The job it has now.
    pub job: Option<QueuedJob>,
}

impl Brief {
    /// Whether it serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.active, ActiveState::Active | ActiveState::Reloading)
    }

    /// Whether it has ended and will not come back by itself.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.active, ActiveState::Inactive | ActiveState::Failed)
    }

    /// Whether it is on its way up or down.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        is_moving(self.active, &self.sub)
    }
}

/// Whether a unit comes to another state by itself, with no job of its own; one that waits for its next
/// automatic start does so for as long as it is told.
fn is_moving(active: ActiveState, sub: &str) -> bool {
    match active {
        ActiveState::Activating => !sub.starts_with("auto-restart"),
        ActiveState::Deactivating => true,
        _ => false,
    }
}

/// The job that a unit has just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// The object path of the job.
    pub path: String,
    /// `start`, `stop`, `restart`, `reload`, …
    pub kind: String,
}

impl QueuedJob {
    /// Whether the unit is to stop and stay so.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        self.kind == "stop"
    }

    /// Whether the unit stops only to be started again. Once it is down, systemd calls the job `start`.
    #[must_use]
    pub fn is_restart(&self) -> bool {
        matches!(self.kind.as_str(), "restart" | "try-restart")
    }
}

/// A unit. Times are `CLOCK_MONOTONIC`, microseconds in systemd's properties; zero means never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// The name of the unit.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// The state of the unit.
    pub active: ActiveState,
    /// The state within that state, `SubState=`, e.g. `running`, `auto-restart`.
    pub sub: String,
    /// Why it failed: `success`, `exit-code`, `timeout`, …
    pub result: String,
    /// The program; 0 for none.
    pub main_pid: u32,
    /// The job it has now.
    pub job: Option<QueuedJob>,
    /// How the last main process ended: a `CLD_` code of waitid(2), 0 for not at all.
    pub exit_code: i32,
    /// The exit status of the last main process, or the signal that ended it.
    pub exit_status: i32,
    /// Of this run, for the journal.
    pub invocation: String,
    /// Automatic restarts so far.
    pub n_restarts: u32,
    /// When it last became active, and when it last left inactivity.
    pub active_enter: Duration,
    /// When it last left inactivity.
    pub inactive_exit: Duration,
    /// When the last main process ended.
    pub main_exit: Duration,
    /// When the last main process was started, by the clock: since 1970.
    pub began: Duration,
    /// When the last main process ended, by the clock; zero while the process runs.
    pub ended: Duration,
    /// `TimeoutStopUSec=`: how long each step of its stop may take before systemd ends it.
    pub stop_timeout: Duration,
    /// The last `STATUS=` of the unit, see `sd_notify(3)`.
    pub status_text: String,
    /// Whether its file changed since systemd read it.
    pub need_daemon_reload: bool,
    /// Memory of its control group in bytes, where that is counted.
    pub memory_current: Option<u64>,
    /// Processor time of its control group in nanoseconds, where that is counted.
    pub cpu_usage_nsec: Option<u64>,
}

impl Unit {
    /// Whether it serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.active, ActiveState::Active | ActiveState::Reloading)
    }

    /// Whether it has ended and will not come back by itself.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.active, ActiveState::Inactive | ActiveState::Failed)
    }

    /// Whether it is on its way up or down.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        is_moving(self.active, &self.sub)
    }

    /// Why it is as it is, for people.
    #[must_use]
    pub fn why(&self) -> String {
        match (self.result.as_str(), self.exit_code) {
            ("timeout", _) => "timed out".into(),
            ("exit-code", _) if self.exit_status == i32::from(ERRORED) => {
                "errored: too many quick deaths in a row".into()
            }
            ("success" | "exit-code", CLD_EXITED) => {
                format!("exited with status {}", self.exit_status)
            }
            (_, CLD_KILLED | CLD_DUMPED) => format!("killed by signal {}", self.exit_status),
            ("" | "success", _) => self.active.to_string(),
            (result, _) => result.to_owned(),
        }
    }

    /// How long it has been active.
    #[must_use]
    pub fn active_for(&self) -> Duration {
        since(self.active_enter)
    }

    /// How long it has not been inactive.
    #[must_use]
    pub fn started_for(&self) -> Duration {
        since(self.inactive_exit)
    }
}

fn since(time: Duration) -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .unwrap_or_default();
    now.saturating_sub(time)
}

/// A timer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timer {
    /// The unit that the timer starts.
    pub starts: String,
    /// Whether the timer runs.
    pub is_active: bool,
    /// When the timer elapses next, by the clock: since 1970. `None` while it does not run, or waits for its unit to end.
    pub next: Option<Duration>,
}
