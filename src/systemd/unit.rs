//! The state of a unit, as the properties of org.freedesktop.systemd1(5) describe it.

use std::fmt;
use std::time::Duration;

use super::reason::reason;

/// The property `ActiveState` of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActiveState {
    /// The unit is running; the cluster unit was started.
    Active,
    /// The unit is active and its reload runs.
    Reloading,
    /// The unit is stopped.
    #[default]
    Inactive,
    /// The unit failed, and systemd does not restart it.
    Failed,
    /// The unit is being started, or waits for an automatic restart.
    Activating,
    /// The unit is being stopped.
    Deactivating,
}

impl ActiveState {
    /// The state that the property names by this word; an unknown word counts as inactive.
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

/// A unit as a list of units shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// The name of the unit.
    pub name: String,
    /// The state of the unit.
    pub active: ActiveState,
    /// The state within that state, `SubState=`, e.g. `running`, `auto-restart`.
    pub sub: String,
    /// The queued or running job of the unit.
    pub job: Option<QueuedJob>,
}

impl Brief {
    /// Whether the unit is READY and serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.active, ActiveState::Active | ActiveState::Reloading)
    }

    /// Whether the unit is down and systemd does not restart it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.active, ActiveState::Inactive | ActiveState::Failed)
    }

    /// Whether the unit is being started or stopped.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        is_moving(self.active, &self.sub)
    }
}

/// What runs of a service, and nothing about why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// The state of the unit.
    pub state: Brief,
    /// The PID of the main process; 0 for none.
    pub main_pid: u32,
    /// The invocation ID of the present run.
    pub invocation: String,
}

impl Pulse {
    /// Whether the unit is READY and serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.is_ready()
    }

    /// Whether a program of the unit runs that is not READY yet, or one whose `ExecStartPost=` runs.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        is_starting(self.state.active, &self.state.sub, self.main_pid)
    }
}

impl From<Unit> for Pulse {
    fn from(unit: Unit) -> Self {
        Self {
            state: Brief {
                name: unit.name,
                active: unit.active,
                sub: unit.sub,
                job: unit.job,
            },
            main_pid: unit.main_pid,
            invocation: unit.invocation,
        }
    }
}

fn is_starting(active: ActiveState, sub: &str, main_pid: u32) -> bool {
    active == ActiveState::Activating && main_pid != 0 && matches!(sub, "start" | "start-post")
}

/// Whether a unit will soon reach another state without a job. A unit that waits for an automatic restart does not count: its
/// `RestartSec=` may be long.
fn is_moving(active: ActiveState, sub: &str) -> bool {
    match active {
        ActiveState::Activating => !sub.starts_with("auto-restart"),
        ActiveState::Deactivating => true,
        _ => false,
    }
}

/// The queued or running job of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// The object path of the job.
    pub path: String,
    /// `start`, `stop`, `restart`, `reload`, …
    pub kind: String,
}

impl QueuedJob {
    /// Whether the job stops the unit for good.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        self.kind == "stop"
    }

    /// Whether the job stops the unit in order to start it again. Once the unit is down, systemd calls the job `start`.
    #[must_use]
    pub fn is_restart(&self) -> bool {
        matches!(self.kind.as_str(), "restart" | "try-restart")
    }
}

/// A unit with the properties that rsgen uses. Times are those of `CLOCK_MONOTONIC`; zero means never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// The name of the unit.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// The condition or assertion that has kept the last start from happening, e.g. `ConditionPathExists=/srv/data`; empty for none.
    pub unmet: String,
    /// The state of the unit.
    pub active: ActiveState,
    /// The state within that state, `SubState=`, e.g. `running`, `auto-restart`.
    pub sub: String,
    /// Why the unit failed: `success`, `exit-code`, `timeout`, …
    pub result: String,
    /// The PID of the main process; 0 for none.
    pub main_pid: u32,
    /// The PID of the last main process, which may have ended; 0 for none.
    pub last_main_pid: u32,
    /// The user of the unit's processes; `None` where systemd names none, as for root and in the manager of a user.
    pub uid: Option<u32>,
    /// The queued or running job of the unit.
    pub job: Option<QueuedJob>,
    /// How the last main process ended: a `CLD_` code of waitid(2), 0 if none has ended.
    pub exit_code: i32,
    /// The exit status of the last main process, or the signal that ended it.
    pub exit_status: i32,
    /// The invocation ID of the present run, by which the journal is filtered.
    pub invocation: String,
    /// The number of automatic restarts so far.
    pub n_restarts: u32,
    /// When the unit last became active.
    pub active_enter: Duration,
    /// When the unit last left the inactive state.
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
    /// Whether the unit's files changed since systemd read them.
    pub need_daemon_reload: bool,
    /// The control group of a service or a socket, as a path below the root of the hierarchy; empty if there is none.
    pub control_group: String,
    /// Memory of the unit's control group in bytes; `None` without memory accounting.
    pub memory_current: Option<u64>,
    /// Processor time of the unit's control group in nanoseconds; `None` without CPU accounting.
    pub cpu_usage_nsec: Option<u64>,
    /// Whether a process of an earlier run was seen in its control group, as `KillMode=process` leaves some.
    pub has_leftovers: bool,
}

impl Unit {
    /// Whether the unit is READY and serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.active, ActiveState::Active | ActiveState::Reloading)
    }

    /// Whether the unit is down and systemd does not restart it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.active, ActiveState::Inactive | ActiveState::Failed)
    }

    /// Whether the unit is being started or stopped.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        is_moving(self.active, &self.sub)
    }

    /// Whether a program of the unit runs that is not READY yet, or one whose `ExecStartPost=` runs.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        is_starting(self.active, &self.sub, self.main_pid)
    }

    /// Notes what the processes of the unit use.
    pub fn set_used(&mut self, used: Used) {
        self.memory_current = used.memory_current;
        self.cpu_usage_nsec = used.cpu_usage_nsec;
    }

    /// The reason for the present state, in words for a user.
    #[must_use]
    pub fn why(&self) -> String {
        reason(self)
    }

    /// Whether systemd has no usable files for it, so that it cannot be started again.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        !matches!(self.load.as_str(), "" | "loaded")
    }

    /// Whether the unit is down because a condition or an assertion of it did not hold when it was started last.
    #[must_use]
    pub fn is_unmet(&self) -> bool {
        self.is_gone() && self.job.is_none() && !self.unmet.is_empty()
    }

    /// Whether a start failed before there was a program.
    #[must_use]
    pub fn never_ran(&self) -> bool {
        self.exit_code == 0
    }

    /// How long the unit has been active.
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

/// What the processes of a service use; `None` without accounting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Memory in bytes.
    pub memory_current: Option<u64>,
    /// Processor time in nanoseconds.
    pub cpu_usage_nsec: Option<u64>,
}

impl From<&Unit> for Used {
    fn from(unit: &Unit) -> Self {
        Self {
            memory_current: unit.memory_current,
            cpu_usage_nsec: unit.cpu_usage_nsec,
        }
    }
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
