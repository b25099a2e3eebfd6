//! The order of the rows of `rsgen list`, and which of them are shown.

use std::cmp::Ordering;

use super::status::{AppStatus, InstanceStatus};

/// The states by which rows are chosen, as the command line has them.
pub(super) const STATES: &[&str] = &[
    "online",
    "paused",
    "not-accepting",
    "starting",
    "stopping",
    "restarting",
    "errored",
    "stopped",
    "running",
    "failed",
    "waiting",
];

/// The number of an instance by which it is ordered; a larger one comes first.
type Value = fn(&InstanceStatus) -> Option<f64>;

/// What rows are ordered by.
const KEYS: &[(&str, Value)] = &[
    ("cpu", |i| i.cpu_percent),
    ("memory", |i| i.memory_bytes.map(approximate)),
    ("restarts", |i| Some(i.restarts.into())),
    ("uptime", |i| i.uptime_seconds.map(approximate)),
    ("connections", |i| {
        i.connections.map(|count| approximate(count as u64))
    }),
];

/// An order of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    key: String,
    is_ascending: bool,
}

impl Order {
    /// Parses `KEY`, `KEY:asc` or `KEY:desc`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (key, direction) = text.split_once(':').unwrap_or((text, ""));
        if key != "name" && !KEYS.iter().any(|(known, _)| *known == key) {
            let known = KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>();
            return Err(format!("write `name`, `{}`", known.join("`, `")));
        }
        let is_ascending = match direction {
            // The largest is looked for, and names are read from A.
            "" => key == "name",
            "asc" => true,
            "desc" => false,
            _ => return Err("write `asc` or `desc` behind the colon".to_owned()),
        };
        Ok(Self {
            key: key.to_owned(),
            is_ascending,
        })
    }

    /// Whether rates are needed.
    pub(super) fn is_by_cpu(&self) -> bool {
        self.key == "cpu"
    }

    /// Orders the instances of each app, and the apps by their first instances. What has no value comes last.
    pub(super) fn apply(&self, apps: &mut [AppStatus]) {
        let Some((_, value)) = KEYS.iter().find(|(key, _)| *key == self.key) else {
            let by_name = |a: &AppStatus, b: &AppStatus| a.name.cmp(&b.name);
            apps.sort_by(|a, b| self.directed(by_name(a, b)));
            return;
        };
        for app in &mut *apps {
            app.instances
                .sort_by(|a, b| self.compare(value(a), value(b)));
        }
        let first = |app: &AppStatus| app.instances.first().and_then(value);
        apps.sort_by(|a, b| self.compare(first(a), first(b)));
    }

    fn compare(&self, a: Option<f64>, b: Option<f64>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => self.directed(a.total_cmp(&b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }

    fn directed(&self, order: Ordering) -> Ordering {
        if self.is_ascending {
            order
        } else {
            order.reverse()
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a difference that small orders nothing"
)]
fn approximate(value: u64) -> f64 {
    value as f64
}

/// Leaves the instances in these states, and the jobs; apps without any are left out.
pub(super) fn keep(apps: &mut Vec<AppStatus>, states: &[String]) {
    let is_kept = |status: &str| states.iter().any(|s| *s == status.replace(' ', "-"));
    for app in &mut *apps {
        app.instances.retain(|i| is_kept(i.status));
    }
    apps.retain(|app| !app.instances.is_empty() || app.status.is_some_and(is_kept));
}
