//! The walk of an app that runs, or ran last.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::output::table;
use crate::state::{Entry, Name};
use crate::walk::{Event, Record};

/// A walk as scripts read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Walk {
    /// `running`, `done`, `failed`, or `killed` for one that has come to no end.
    pub(super) state: &'static str,
    /// The text of its last event.
    pub(super) text: String,
    /// How long it took; null for one that did not replace every instance.
    pub(super) took_ms: Option<u64>,
    /// How long ago its last event was.
    pub(super) seconds_ago: u64,
}

/// Reads the progress of the last walk since the machine booted; `None` if there was none. `active_state` is that of the cluster
/// unit.
pub(super) fn last(folder: &Path, active_state: &str) -> Option<Walk> {
    let file = Entry::new(folder, Name::Walk).open().ok()?;
    let written = file.metadata().and_then(|found| found.modified()).ok()?;
    let ago = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let last = lines.filter_map(|line| Record::parse(&line)).last()?;
    let (state, took_ms) = match &last.event {
        Some(Event::Done { took_ms, .. }) => ("done", Some(*took_ms)),
        Some(Event::CanaryKept { .. } | Event::CanaryDropped) => ("done", None),
        Some(Event::Aborted { .. }) => ("failed", None),
        _ if active_state == "reloading" => ("running", None),
        _ => ("killed", None),
    };
    Some(Walk {
        state,
        text: last.text,
        took_ms,
        seconds_ago: ago.as_secs(),
    })
}

impl Walk {
    /// Describes the walk for people.
    pub(super) fn told(&self) -> String {
        let (text, ago) = (&self.text, table::span(self.seconds_ago));
        match self.state {
            "running" => format!("runs: {text}"),
            "killed" => format!("was killed {ago} ago, after: {text}"),
            "failed" => format!("failed {ago} ago: {text}"),
            _ => format!("{text}, {ago} ago"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::walk::Failed;

    fn after(events: &[Event], active_state: &str) -> Option<(&'static str, String)> {
        let run = tempfile::tempdir().unwrap();
        let folder = run.path().join("rsgen/web");
        let mut file = Entry::new(&folder, Name::Walk).begin().unwrap();
        for event in events {
            writeln!(file, "{}", Record::new(event).line()).unwrap();
        }
        write!(file, "{{\"event\":\"do").unwrap();
        last(&folder, active_state).map(|walk| (walk.state, walk.told()))
    }

    #[test]
    fn a_walk_without_an_end_runs_or_was_killed() {
        let (instances, canary) = (2, false);
        let begun = Event::Begun {
            instances,
            canary,
            canaries: None,
            kept: false,
        };
        let done = Event::Done {
            instances,
            took_ms: 5,
        };
        let failed = Failed {
            why: "no".into(),
            ..Failed::default()
        };
        let aborted = Event::Aborted { failed };
        let told = |events: &[Event], state| after(events, state).unwrap();
        let (state, text) = told(std::slice::from_ref(&begun), "reloading");
        assert_eq!((state, &*text), ("running", "runs: replacing 2 instances"));
        let (state, text) = told(std::slice::from_ref(&begun), "active");
        let was = "was killed 0s ago, after: replacing 2 instances";
        assert_eq!((state, &*text), ("killed", was));
        let (state, text) = told(&[begun.clone(), done], "active");
        assert_eq!(
            (state, &*text),
            ("done", "done: 2 of 2 replaced in 5 ms, 0s ago")
        );
        let (state, text) = told(&[begun, aborted], "active");
        assert!(
            state == "failed" && text.starts_with("failed 0s ago: no"),
            "{text}"
        );
        // A reload that is asked for a part is done when that part is.
        let kept = Event::CanaryKept { number: 2, pid: 7 };
        for part in [kept, Event::CanaryDropped] {
            let (state, text) = told(std::slice::from_ref(&part), "active");
            assert!(state == "done" && text.ends_with(", 0s ago"), "{text}");
        }
        assert_eq!(after(&[], "active"), None);
    }
}
