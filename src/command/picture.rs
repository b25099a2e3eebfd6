//! The picture of a walk on a terminal: a line for each instance, and an estimate of the time that is left. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::systemd::{ActiveState, Unit};
use crate::visible::Visible;
use crate::walk::Event;

/// What an instance is at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting,
    /// On its way down or up, in these words.
    Moving(String),
    Ready {
        took_ms: u64,
    },
    Failed(String),
}

/// A walk as its events tell it.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) app: String,
    /// The instances by their numbers, each with whether it is a canary.
    rows: BTreeMap<u32, (State, bool)>,
    /// When the first instance was replaced, since boot.
    began: Option<Duration>,
}

impl Picture {
    pub(super) fn new(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            rows: BTreeMap::new(),
            began: None,
        }
    }

    /// Takes in an event. Returns whether the picture shows all of it, so that it needs no line of its own.
    pub(super) fn take(&mut self, event: &Event, now: Duration) -> bool {
        match event {
            Event::Begun { instances, .. } => {
                for number in 0..*instances {
                    self.rows.insert(number, (State::Waiting, false));
                }
            }
            Event::CanaryStarting { number, .. } => self.set(*number, starting(), true),
            Event::CanaryReady {
                number, took_ms, ..
            } => self.set(*number, State::Ready { took_ms: *took_ms }, true),
            Event::Replacing { number, old_pid } => {
                self.began.get_or_insert(now);
                let state = match old_pid {
                    0 => starting(),
                    _ => State::Moving("stopping".into()),
                };
                self.set(*number, state, false);
            }
            Event::Ready {
                number, took_ms, ..
            } => self.set(*number, State::Ready { took_ms: *took_ms }, false),
            Event::Stopped { number, canary, .. } => {
                self.rows.remove(number);
                return *canary;
            }
            Event::Retrying { number, .. } => {
                self.set(*number, State::Moving("starting again".into()), false);
                return false;
            }
            Event::Failed { number, failed, .. } => {
                self.set(*number, State::Failed(failed.why.clone()), false);
                return false;
            }
            _ => return false,
        }
        true
    }

    fn set(&mut self, number: u32, state: State, is_canary: bool) {
        self.rows.insert(number, (state, is_canary));
    }

    /// The instances that are on their way, about which systemd knows more.
    pub(super) fn moving(&self) -> Vec<u32> {
        let rows = self.rows.iter();
        rows.filter(|(_, (state, _))| matches!(state, State::Moving(_)))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Takes in what systemd knows of an instance that is on its way.
    pub(super) fn see(&mut self, number: u32, unit: &Unit) {
        if let Some((State::Moving(words), _)) = self.rows.get_mut(&number) {
            match unit.active {
                ActiveState::Deactivating => *words = leaving(unit),
                ActiveState::Activating if unit.sub == "auto-restart" => {
                    "waiting for its restart".clone_into(words);
                }
                ActiveState::Activating => "starting".clone_into(words),
                _ => {}
            }
        }
    }

    /// The lines of the picture, no more than there is room for: those that wait or are ready are counted only, if they do not fit.
    pub(super) fn lines(&self, now: Duration, room: usize) -> Vec<Visible> {
        let mut lines = vec![self.heading(now)];
        let fits = self.rows.len() < room;
        for (number, (state, is_canary)) in &self.rows {
            let is_quiet = matches!(state, State::Waiting | State::Ready { .. });
            if fits || !is_quiet {
                let name = format!("{}@{number}", self.app);
                let mark = if *is_canary { "canary, " } else { "" };
                lines.push(format!("  {name:<12} {mark}{}", state.told()).into());
            }
        }
        lines.truncate(room.max(1));
        lines
    }

    fn heading(&self, now: Duration) -> Visible {
        let instances = self.rows.values().filter(|(_, is_canary)| !is_canary);
        let (all, replaced) = instances.fold((0_u32, 0_u32), |(all, replaced), (state, _)| {
            let is_ready = matches!(state, State::Ready { .. });
            (all + 1, replaced + u32::from(is_ready))
        });
        let left = self.left(now, all, replaced);
        let left = left.map_or(String::new(), |left| {
            format!(", about {} s left", left.as_secs() + 1)
        });
        match (all, replaced) {
            (0, _) => "  a canary".into(),
            _ => format!("  {replaced} of {all} replaced{left}").into(),
        }
    }

    /// The time that the others take if each takes as long as those so far.
    fn left(&self, now: Duration, all: u32, replaced: u32) -> Option<Duration> {
        let taken = now.saturating_sub(self.began?);
        let each = taken.checked_div(replaced)?;
        let missing = all.saturating_sub(replaced);
        (missing > 0).then(|| each.saturating_mul(missing))
    }
}

fn starting() -> State {
    State::Moving("starting".into())
}

/// The progress of an instance that is being stopped. The drain, which is the unit's `ExecStop=`, shows as the unit's status how many
/// connections are left when they are not gone within a second.
fn leaving(unit: &Unit) -> String {
    if unit.sub != "stop" {
        return "stopping".to_owned();
    }
    let busy = unit
        .status_text
        .strip_prefix("draining, busy connections: ");
    match busy.and_then(|busy| busy.parse::<u32>().ok()) {
        Some(1) => "draining, 1 connection left".to_owned(),
        Some(busy) => format!("draining, {busy} connections left"),
        None => "draining".to_owned(),
    }
}

impl State {
    fn told(&self) -> String {
        match self {
            Self::Waiting => "waiting".to_owned(),
            Self::Moving(words) => words.clone(),
            Self::Ready {
                took_ms: ms @ ..1000,
            } => format!("ready in {ms} ms"),
            Self::Ready { took_ms } => {
                format!("ready in {}.{} s", took_ms / 1000, took_ms % 1000 / 100)
            }
            Self::Failed(why) => format!("failed: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn begun(instances: u32) -> Picture {
        let mut picture = Picture::new("web");
        let begun = Event::Begun {
            instances,
            canary: true,
            canaries: None,
            kept: false,
        };
        assert!(picture.take(&begun, seconds(0)));
        picture
    }

    fn shown(picture: &Picture, now: u64, room: usize) -> Vec<String> {
        let lines = picture.lines(seconds(now), room);
        lines.iter().map(|l| l.as_str().trim().to_owned()).collect()
    }

    fn replacing(number: u32) -> Event {
        Event::Replacing { number, old_pid: 7 }
    }

    fn ready(number: u32) -> Event {
        Event::Ready {
            number,
            old_pid: 7,
            pid: 8,
            took_ms: 210,
        }
    }

    #[test]
    fn each_instance_has_a_line_and_the_rest_an_estimate() {
        let mut picture = begun(3);
        let canary = Event::CanaryStarting {
            number: 3,
            canaries: None,
        };
        picture.take(&canary, seconds(1));
        assert_eq!(
            shown(&picture, 1, 9),
            [
                "0 of 3 replaced",
                "web@0        waiting",
                "web@1        waiting",
                "web@2        waiting",
                "web@3        canary, starting",
            ]
        );
        picture.take(&replacing(0), seconds(2));
        picture.take(&ready(0), seconds(4));
        picture.take(&replacing(1), seconds(4));
        let unit = Unit {
            active: ActiveState::Deactivating,
            sub: "stop".into(),
            status_text: "draining, busy connections: 3".into(),
            ..Unit::default()
        };
        assert_eq!(picture.moving(), [1, 3]);
        picture.see(1, &unit);
        let lines = shown(&picture, 4, 9);
        assert_eq!(lines[0], "1 of 3 replaced, about 5 s left");
        assert_eq!(lines[1], "web@0        ready in 210 ms");
        assert_eq!(lines[2], "web@1        draining, 3 connections left");
        picture.take(&ready(1), seconds(6));
        picture.see(1, &unit);
        assert_eq!(shown(&picture, 6, 9)[2], "web@1        ready in 210 ms");
    }

    #[test]
    fn where_there_is_no_room_only_those_on_their_way_are_shown() {
        let mut picture = begun(64);
        picture.take(&replacing(40), seconds(1));
        // With the heading there is one line more than there are instances.
        for room in [10, 64] {
            assert_eq!(
                shown(&picture, 1, room),
                ["0 of 64 replaced", "web@40       stopping"]
            );
        }
        for number in 0..20 {
            picture.take(&replacing(number), seconds(1));
        }
        assert_eq!(shown(&picture, 1, 10).len(), 10);
    }

    #[test]
    fn what_the_picture_cannot_show_gets_a_line() {
        let mut picture = begun(1);
        let failed = crate::walk::Failed {
            why: "exited with status 1".into(),
            ..crate::walk::Failed::default()
        };
        let retrying = Event::Retrying {
            number: 0,
            failed: failed.clone(),
        };
        assert!(!picture.take(&retrying, seconds(1)));
        assert_eq!(shown(&picture, 1, 9)[1], "web@0        starting again");
        assert!(!picture.take(&Event::Aborted { failed }, seconds(1)));
        assert!(!picture.take(&Event::RestartingAll, seconds(1)));
    }

    #[test]
    fn an_instance_is_shown_until_it_is_gone() {
        let mut picture = begun(0);
        assert_eq!(shown(&picture, 0, 9), ["a canary"]);
        let ready = Event::CanaryReady {
            number: 1,
            canaries: None,
            pid: 8,
            took_ms: 1530,
        };
        assert!(picture.take(&ready, seconds(1)));
        let line = "web@1        canary, ready in 1.5 s";
        assert_eq!(shown(&picture, 1, 9), ["a canary", line]);
        // The heading needs a line as well.
        assert_eq!(shown(&picture, 1, 1), ["a canary"]);
        for canary in [true, false] {
            let stopped = Event::Stopped {
                number: 1,
                canary,
                canaries: None,
                took_ms: 5,
            };
            assert_eq!(picture.take(&stopped, seconds(1)), canary);
            assert_eq!(shown(&picture, 1, 9), ["a canary"]);
        }
    }

    #[test]
    fn an_instance_that_was_down_starts_and_one_that_fails_says_why() {
        let mut picture = begun(2);
        let replacing = Event::Replacing {
            number: 0,
            old_pid: 0,
        };
        assert!(picture.take(&replacing, seconds(1)));
        assert_eq!(shown(&picture, 1, 9)[1], "web@0        starting");
        for (active, sub, words) in [
            (ActiveState::Deactivating, "stop-sigterm", "stopping"),
            (
                ActiveState::Activating,
                "auto-restart",
                "waiting for its restart",
            ),
            (ActiveState::Activating, "start", "starting"),
            (ActiveState::Inactive, "dead", "starting"),
        ] {
            let unit = Unit {
                active,
                sub: sub.into(),
                ..Unit::default()
            };
            picture.see(0, &unit);
            assert_eq!(shown(&picture, 1, 9)[1], format!("web@0        {words}"));
        }
        let failed = Event::Failed {
            number: 0,
            failed: crate::walk::Failed {
                why: "exited with status 1".into(),
                ..crate::walk::Failed::default()
            },
            failures: 1,
            most: 2,
        };
        assert!(!picture.take(&failed, seconds(2)));
        let lines = shown(&picture, 2, 9);
        assert_eq!(lines[1], "web@0        failed: exited with status 1");
        // Nothing is left of those that are all replaced.
        picture.take(&ready(0), seconds(3));
        picture.take(&ready(1), seconds(3));
        assert_eq!(shown(&picture, 3, 9)[0], "2 of 2 replaced");
    }
}
