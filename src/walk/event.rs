//! The events of a walk: names that scripts can rely on. The texts for people are in `text`.
//!
//! The JSON of an event is an interface. Fields may be added; a reader ignores those that it does not know, and takes
//! the default for one that an older version did not write.

use serde::{Deserialize, Serialize};

/// The state of the instances that a failure does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Every instance that served before the walk still serves, unchanged.
    Untouched,
    /// None is touched, and none serves.
    NoneServes,
    /// All instances were restarted at once.
    Restarted,
    /// All instances were replaced, except those that failed.
    Replaced,
    /// The instances that come after the failed one run what they ran. A word of a newer version is read as this one.
    #[default]
    #[serde(other)]
    AsTheyWere,
}

/// How a run of an instance ended, if that is known better than systemd reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The reason, for people.
    pub why: String,
    /// The invocation ID of the run; empty if unknown.
    pub invocation: String,
}

/// Why a walk or a step of one failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the JSON of its own"
)]
pub struct Failed {
    /// The instance that failed, if it was one.
    pub number: Option<u32>,
    /// Whether that was a canary.
    pub canary: bool,
    /// How many canaries the walk had, if several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canaries: Option<u32>,
    /// The reason, for people.
    pub why: String,
    /// `Result=` of the unit, see systemctl(1); empty if no unit failed.
    pub result: String,
    /// The exit status of its main process, or the number of the signal that ended it.
    pub exit_status: i32,
    /// Whether it was not READY in time.
    pub timed_out: bool,
    /// Whether it was not started, because a condition or an assertion of its unit did not hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unmet: bool,
    /// Whether every instance that served before still does, unchanged.
    pub untouched: bool,
    /// The state of the other instances.
    pub others: Others,
    /// The invocation ID of the failed run, by which the journal finds its lines.
    pub invocation: String,
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
        /// How many canaries go first, if several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canaries: Option<u32>,
        /// Whether a canary is there already, which an earlier walk has kept.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        kept: bool,
    },
    /// An extra instance starts from the new version.
    CanaryStarting {
        /// The number of the canary.
        number: u32,
        /// How many canaries there are, if several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canaries: Option<u32>,
    },
    /// A canary is READY and stayed up.
    CanaryReady {
        /// The number of the canary.
        number: u32,
        /// How many canaries there are, if several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canaries: Option<u32>,
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
    /// An instance failed twice, and the walk continues, because fewer than `max_failures` had failed.
    Failed {
        /// The number of the instance.
        number: u32,
        /// The second failure.
        #[serde(rename = "failure")]
        failed: Failed,
        /// How many instances have failed by now.
        failures: u32,
        /// How many may fail.
        most: u32,
    },
    /// Another job of systemd cancelled the one of this step, which is queued again.
    Canceled {
        /// The number of the instance.
        number: u32,
        /// Whether it is a canary.
        canary: bool,
        /// How many canaries there are, if several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canaries: Option<u32>,
    },
    /// An instance did not end by itself, and all of its processes were killed.
    Killed {
        /// The number of the instance.
        number: u32,
        /// Whether it was a canary.
        canary: bool,
        /// How many canaries there were, if several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canaries: Option<u32>,
        /// Milliseconds that the walk had waited for its end.
        after_ms: u64,
    },
    /// Every instance is restarted at once, which is what `on_failure = "restart"` asks for.
    RestartingAll,
    /// An instance beyond the wanted number, or a canary, is gone.
    Stopped {
        /// The number of the instance.
        number: u32,
        /// Whether it was a canary.
        canary: bool,
        /// How many canaries there were, if several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canaries: Option<u32>,
        /// Milliseconds that the drain and the stop took.
        took_ms: u64,
    },
    /// A canary stays when the walk ends, until another walk continues with it or stops it.
    CanaryKept {
        /// The number of the canary.
        number: u32,
        /// The PID of its main process.
        pid: u32,
    },
    /// The canary that was kept is gone, and no instance was replaced.
    CanaryDropped,
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
