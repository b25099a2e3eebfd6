//! The note that the last instance leaves for the cluster unit: why it is being stopped.
//!
//! `ended` writes it and queues the stop, `ExecStop=` reads it, `ExecStopPost=` takes it away.

use std::io;

use super::Cluster;
use crate::state::Name;

/// Why the cluster unit is stopped though nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The last instance failed for good: the cluster unit must end as failed.
    Failed(String),
    /// The last instance was stopped by hand: the next connection may start the cluster again.
    Idle,
}

pub(super) fn write(cluster: &Cluster, verdict: &Verdict) -> io::Result<()> {
    let text = match verdict {
        Verdict::Failed(why) => format!("failed {why}\n"),
        Verdict::Idle => "idle\n".to_owned(),
    };
    cluster.file(Name::Verdict).write(&text)
}

pub(super) fn read(cluster: &Cluster) -> Option<Verdict> {
    let text = cluster.file(Name::Verdict).read().ok()?;
    Some(match text.trim_end().strip_prefix("failed ") {
        Some(why) => Verdict::Failed(why.to_owned()),
        None => Verdict::Idle,
    })
}

/// Reads it and takes it away.
pub(super) fn take(cluster: &Cluster) -> Option<Verdict> {
    let verdict = read(cluster);
    // Not being there is the usual case.
    let _ = cluster.file(Name::Verdict).remove();
    verdict
}
