//! The note that the last instance leaves for the cluster unit, which says why the unit is being stopped.
//!
//! `ended` writes the note and queues the stop, `ExecStop=` reads the note, and `ExecStopPost=` removes it.

use std::io;

use super::Cluster;
use crate::state::Name;

/// Why the cluster unit is being stopped although nobody requested it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The last instance failed for good: the cluster unit must end as failed.
    Failed(String),
    /// The last instance was stopped by hand: the next connection may start the cluster again.
    Idle,
    /// The last instance has ended by itself, as the app allows. Apart from that as `Idle`.
    Done,
}

impl StopReason {
    /// The text of the note.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Failed(why) => format!("failed {why}\n"),
            Self::Idle => "idle\n".to_owned(),
            Self::Done => "done\n".to_owned(),
        }
    }

    /// Parses the text of a note. Blanks at the end do not belong to the reason.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim_end();
        match text.split_once(' ').unwrap_or((text, "")) {
            ("failed", why) => Self::Failed(why.to_owned()),
            ("done", "") => Self::Done,
            _ => Self::Idle,
        }
    }
}

pub(super) fn write(cluster: &Cluster, stop_reason: &StopReason) -> io::Result<()> {
    cluster.file(Name::StopReason).write(&stop_reason.text())
}

pub(super) fn read(cluster: &Cluster) -> Option<StopReason> {
    let text = cluster.file(Name::StopReason).read().ok()?;
    Some(StopReason::parse(&text))
}

/// Reads the note and removes it.
pub(super) fn take(cluster: &Cluster) -> Option<StopReason> {
    let stop_reason = read(cluster);
    // Usually no such file exists.
    let _ = cluster.file(Name::StopReason).remove();
    stop_reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_without_a_reason_is_one() {
        let failed = |why: &str| StopReason::Failed(why.to_owned());
        assert_eq!(StopReason::parse(&failed("").text()), failed(""));
        assert_eq!(StopReason::parse(&failed(" why").text()), failed(" why"));
        for stop_reason in [StopReason::Idle, StopReason::Done] {
            assert_eq!(StopReason::parse(&stop_reason.text()), stop_reason);
        }
        assert_eq!(StopReason::parse("failedly"), StopReason::Idle);
    }
}
