//! A line of a walk's progress file: an event, and its text for people.

use serde::{Deserialize, Serialize};

use super::{Event, Failed};
use crate::contract::Course;

/// A line of `walk.jsonl`, written by the walk and read by the commands that follow it.
///
/// The two may be of different versions, as while a package is upgraded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The event; `None` for one that only a newer version knows.
    #[serde(flatten)]
    pub event: Option<Event>,
    /// The event as the walk itself words it.
    #[serde(default)]
    pub text: String,
    /// Of a failure, the two fields that scripts look at, repeated where they are found easily.
    #[serde(flatten)]
    summary: Option<Summary>,
}

/// The fields of [`Failed`] that stand beside the event as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Summary {
    timed_out: bool,
    untouched: bool,
}

impl Record {
    /// The line for an event.
    #[must_use]
    pub fn new(event: &Event) -> Self {
        let summary = match event {
            Event::Aborted { failed } => Some(Summary {
                timed_out: failed.timed_out,
                untouched: failed.untouched,
            }),
            _ => None,
        };
        Self {
            event: Some(event.clone()),
            text: event.to_string(),
            summary,
        }
    }

    /// Reads a line; `None` if the line is not a JSON object, as when its walk was killed in the middle of it.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// The line, without a newline, its keys in alphabetical order.
    #[must_use]
    pub fn line(&self) -> String {
        // Neither the keys nor the values of a record can fail to be JSON.
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// Whether this is the end of a walk that did all that was asked of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(
            self.event,
            Some(Event::Done { .. } | Event::CanaryKept { .. } | Event::CanaryDropped)
        )
    }

    /// Whether this is the end of a walk that took this course.
    #[must_use]
    pub fn is_end_of(&self, course: Option<Course>) -> bool {
        match course {
            None | Some(Course::Promote) => matches!(self.event, Some(Event::Done { .. })),
            Some(Course::CanaryOnly) => matches!(self.event, Some(Event::CanaryKept { .. })),
            Some(Course::Abort) => matches!(self.event, Some(Event::CanaryDropped)),
        }
    }

    /// The failure that ended the walk, if this is one.
    #[must_use]
    pub fn failure(&self) -> Option<&Failed> {
        match &self.event {
            Some(Event::Aborted { failed }) => Some(failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::walk::Others;

    fn failures() -> impl Strategy<Value = Failed> {
        let others = prop::sample::select(vec![
            Others::Untouched,
            Others::NoneServes,
            Others::AsTheyWere,
            Others::Restarted,
            Others::Replaced,
        ]);
        let words = (any::<String>(), any::<String>(), any::<String>());
        let flags = any::<[bool; 3]>();
        (any::<Option<u32>>(), words, any::<i32>(), flags, others).prop_map(
            |(number, (why, result, invocation), exit_status, flags, others)| Failed {
                number,
                canary: flags[0],
                canaries: flags[2].then_some(2),
                why,
                result,
                exit_status,
                timed_out: flags[1],
                unmet: flags[0],
                untouched: flags[2],
                others,
                invocation,
            },
        )
    }

    /// An event of each kind. A new kind has to be added here: see `every_kind_is_tried`.
    fn kinds(number: u32, pid: u32, ms: u64, flag: bool, failed: &Failed) -> Vec<Event> {
        let (instances, canary, old_pid, took_ms) = (number, flag, pid / 2, ms);
        let (retried, twice) = (failed.clone(), failed.clone());
        let (failed, canaries) = (failed.clone(), flag.then_some(pid));
        vec![
            Event::Begun {
                instances,
                canary,
                kept: flag,
                canaries,
            },
            Event::CanaryStarting { number, canaries },
            Event::CanaryReady {
                number,
                canaries,
                pid,
                took_ms,
            },
            Event::Replacing { number, old_pid },
            Event::Ready {
                number,
                old_pid,
                pid,
                took_ms,
            },
            Event::Retrying {
                number,
                failed: retried,
            },
            Event::Canceled {
                number,
                canary,
                canaries,
            },
            Event::Killed {
                number,
                canary,
                canaries,
                after_ms: ms,
            },
            Event::RestartingAll,
            Event::Stopped {
                number,
                canary,
                canaries,
                took_ms,
            },
            Event::Done { instances, took_ms },
            Event::Aborted { failed },
            Event::Failed {
                number,
                failed: twice,
                failures: pid,
                most: number,
            },
            Event::CanaryKept { number, pid },
            Event::CanaryDropped,
        ]
    }

    proptest! {
        #[test]
        fn what_a_walk_writes_is_what_a_command_reads(
            number: u32, pid: u32, ms: u64, flag: bool, failed in failures(),
        ) {
            for event in kinds(number, pid, ms, flag, &failed) {
                let record = Record::new(&event);
                let line = record.line();
                prop_assert!(!line.contains('\n'));
                prop_assert_eq!(Record::parse(&line), Some(record), "{}", line);
            }
        }
    }

    /// The place of each kind in [`kinds`]; a kind without one does not compile.
    fn place(event: &Event) -> usize {
        match event {
            Event::Begun { .. } => 0,
            Event::CanaryStarting { .. } => 1,
            Event::CanaryReady { .. } => 2,
            Event::Replacing { .. } => 3,
            Event::Ready { .. } => 4,
            Event::Retrying { .. } => 5,
            Event::Canceled { .. } => 6,
            Event::Killed { .. } => 7,
            Event::RestartingAll => 8,
            Event::Stopped { .. } => 9,
            Event::Done { .. } => 10,
            Event::Aborted { .. } => 11,
            Event::Failed { .. } => 12,
            Event::CanaryKept { .. } => 13,
            Event::CanaryDropped => 14,
        }
    }

    #[test]
    fn every_kind_is_tried() {
        let kinds = kinds(1, 2, 3, true, &Failed::default());
        let places: Vec<usize> = kinds.iter().map(place).collect();
        assert_eq!(places, (0..15).collect::<Vec<_>>());
    }

    /// Lines as version 0.2.0 wrote them: scripts and commands of that time read them.
    #[test]
    fn the_lines_are_those_of_older_versions() {
        let begun = r#"{"canary":true,"event":"begun","instances":2,"text":"replacing 2 instances, a canary first"}"#;
        let aborted = concat!(
            r#"{"event":"aborted","failure":{"canary":true,"exit_status":1,"invocation":"0a","number":2,"others":"untouched","#,
            r#""result":"exit-code","timed_out":false,"untouched":true,"why":"it ended with status 1"},"#,
            r#""text":"the canary failed: it ended with status 1; every instance still serves what it served","#,
            r#""timed_out":false,"untouched":true}"#
        );
        let killed = r#"{"after_ms":9000,"canary":false,"event":"killed","number":1,"text":"instance 1: did not end within 9 s: killed"}"#;
        for line in [begun, aborted, killed] {
            let record = Record::parse(line).unwrap();
            let event = record.event.as_ref().unwrap();
            assert_eq!(Record::new(event).line(), line);
        }
        assert!(Record::parse(aborted).unwrap().failure().unwrap().untouched);
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over() {
        let kind = r#"{"event":"warming-up","number":1,"text":"instance 1: warming up"}"#;
        let record = Record::parse(kind).unwrap();
        assert_eq!(
            (record.event, record.text.as_str()),
            (None, "instance 1: warming up")
        );
        let field =
            r#"{"event":"done","instances":2,"took_ms":1,"colour":{"a":[1]},"text":"done"}"#;
        assert!(Record::parse(field).unwrap().is_done());
        let word = r#"{"event":"aborted","failure":{"others":"half","why":"so","untouched":true},"text":"so"}"#;
        let failed = Record::parse(word).unwrap().failure().cloned().unwrap();
        assert_eq!(
            (failed.others, failed.untouched),
            (Others::AsTheyWere, true)
        );
        for broken in ["", "{\"event\":\"do", "[1]", "7"] {
            assert_eq!(Record::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn each_course_has_an_end_of_its_own() {
        let (instances, took_ms, number, pid) = (2, 3, 4, 5);
        let done = Event::Done { instances, took_ms };
        let kept = Event::CanaryKept { number, pid };
        let courses = |event: &Event| {
            let all = [
                None,
                Some(Course::Promote),
                Some(Course::CanaryOnly),
                Some(Course::Abort),
            ];
            all.map(|course| Record::new(event).is_end_of(course))
        };
        assert_eq!(courses(&done), [true, true, false, false]);
        assert_eq!(courses(&kept), [false, false, true, false]);
        assert_eq!(courses(&Event::CanaryDropped), [false, false, false, true]);
    }
}
