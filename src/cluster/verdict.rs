//! The note that the last instance leaves for the cluster unit: why it is being stopped.
//!
//! `ended` writes it and queues the stop, `ExecStop=` reads it, `ExecStopPost=` takes it away.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::Cluster;

/// Why the cluster unit is stopped though nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The last instance failed for good: the cluster unit must end as failed.
    Failed(String),
    /// The last instance was stopped by hand: the next connection may start the cluster again.
    Idle,
}

fn path(cluster: &Cluster) -> PathBuf {
    cluster.state.join("verdict")
}

pub(super) fn write(cluster: &Cluster, verdict: &Verdict) -> io::Result<()> {
    fs::create_dir_all(&cluster.state)?;
    let text = match verdict {
        Verdict::Failed(why) => format!("failed {why}\n"),
        Verdict::Idle => "idle\n".to_owned(),
    };
    fs::write(path(cluster), text)
}

pub(super) fn read(cluster: &Cluster) -> Option<Verdict> {
    let text = fs::read_to_string(path(cluster)).ok()?;
    Some(match text.trim_end().strip_prefix("failed ") {
        Some(why) => Verdict::Failed(why.to_owned()),
        None => Verdict::Idle,
    })
}

/// Reads it and takes it away.
pub(super) fn take(cluster: &Cluster) -> Option<Verdict> {
    let verdict = read(cluster);
    // Not being there is the usual case.
    let _ = fs::remove_file(path(cluster));
    verdict
}
