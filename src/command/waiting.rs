//! Says what a command is waiting for when it has been silent for a while.

use std::time::{Duration, Instant};

use crate::output::{Notice, Sink};
use crate::systemd::{ActiveState, Brief, Manager, Unit};
use crate::unit::name::{Units, owner};

/// How long a command stays silent.
const SILENCE: Duration = Duration::from_secs(2);
/// How long to wait before the same line is shown again, once the wait is a long one.
const AGAIN: Duration = Duration::from_secs(10);
/// The wait that is a long one. Until then nothing is silent for longer than [`SILENCE`], whoever reads along.
const LONG: Duration = Duration::from_secs(30);
/// The largest number of instances that a line names.
const NAMED: usize = 3;

/// A wait, and what has been said about it.
pub(super) struct Waiting {
    begun: Instant,
    told: Instant,
    last: String,
}

impl Waiting {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            told: now,
            last: String::new(),
        }
    }

    /// Restarts the silence, because something else was shown.
    pub(super) fn is_interrupted(&mut self, now: Instant) {
        self.told = now;
    }

    /// Whether nothing has been told for a while.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.told) >= SILENCE
    }

    /// The line that is due, if it says something new or has not been said for a while.
    pub(super) fn line(&mut self, now: Instant, what: String) -> Option<String> {
        let waited = now.duration_since(self.begun);
        let again = if waited < LONG { SILENCE } else { AGAIN };
        if what == self.last && now.duration_since(self.told) < again {
            return None;
        }
        let seconds = waited.as_secs();
        let shown = if what == self.last {
            "as before"
        } else {
            &what
        };
        let line = format!("waiting for {seconds} s: {shown}");
        (self.told, self.last) = (now, what);
        Some(line)
    }

    /// Says in these words what a command is waiting for, if nothing has been shown for a while.
    pub(super) fn tell_of(&mut self, sink: &dyn Sink, app: &str, what: &str) {
        let now = Instant::now();
        if self.is_due(now)
            && let Some(line) = self.line(now, what.to_owned())
        {
            sink.notice(&Notice::Waiting(app, &line));
        }
    }

    /// Says what the job of a unit is waiting for, if nothing has been shown for a while. Asking systemd does not
    /// prolong the wait, and a systemd that does not answer makes the wait itself fail.
    pub(super) fn tell(&mut self, manager: &mut dyn Manager, sink: &dyn Sink, unit: &str) {
        let now = Instant::now();
        if !self.is_due(now) {
            return;
        }
        let Some((app, _)) = owner(unit) else {
            return;
        };
        let line = progress(manager, app).and_then(|what| self.line(now, what));
        if let Some(line) = line {
            sink.notice(&Notice::Waiting(app, &line));
        }
    }
}

/// Describes how far an app has come: the status of the cluster unit, and the instances that are not up or not down
/// yet.
fn progress(manager: &mut dyn Manager, app: &str) -> Option<String> {
    let units = Units::of(app);
    let cluster = manager.unit(&units.cluster()).ok()?;
    let mut briefs = manager.units(&units.instances()).ok()?;
    briefs.retain(|brief| !brief.is_ready() && !brief.is_gone());
    briefs.sort_by_key(|brief| units.number(&brief.name));
    let mut parts: Vec<String> = own_words(&cluster).into_iter().collect();
    for brief in briefs.iter().take(NAMED) {
        parts.push(state(&manager.unit(&brief.name).ok()?, brief));
    }
    if briefs.len() > NAMED {
        parts.push(format!("and {} more", briefs.len() - NAMED));
    }
    if parts.is_empty() {
        parts.push("other jobs of systemd, see `systemctl list-jobs`".into());
    }
    Some(parts.join("; "))
}

/// Returns the status that the cluster unit has set while it runs one of its commands.
fn own_words(cluster: &Unit) -> Option<String> {
    let is_busy = cluster.is_moving() || cluster.active == ActiveState::Reloading;
    let words = cluster.status_text.trim();
    (is_busy && !words.is_empty()).then(|| words.to_owned())
}

fn state(unit: &Unit, brief: &Brief) -> String {
    let name = brief.name.trim_end_matches(".service");
    match (unit.status_text.as_str(), brief.active) {
        // The worker sets this status to say how long it delays the program, and why.
        (words, ActiveState::Activating) if !words.is_empty() => format!("{name}: {words}"),
        (_, ActiveState::Deactivating) => format!("{name}: being stopped ({})", brief.sub),
        _ if brief.sub.starts_with("auto-restart") => format!("{name}: about to be started again"),
        _ => format!("{name}: {}", unit.why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::stage::{Recorder, unit};
    use crate::systemd::fake::Fake;

    #[test]
    fn a_line_is_due_after_two_seconds_and_in_a_long_wait_what_is_told_already_after_ten() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut waiting = Waiting::begin(begun);
        assert!(!waiting.is_due(at(1)) && waiting.is_due(at(2)));
        let line = waiting.line(at(2), "a".into());
        assert_eq!(line.as_deref(), Some("waiting for 2 s: a"));
        assert!(!waiting.is_due(at(3)));
        assert_eq!(waiting.line(at(3), "a".into()), None);
        let line = waiting.line(at(4), "a".into());
        assert_eq!(line.as_deref(), Some("waiting for 4 s: as before"));
        let line = waiting.line(at(28), "b".into());
        assert_eq!(line.as_deref(), Some("waiting for 28 s: b"));
        assert_eq!(waiting.line(at(30), "b".into()), None);
        assert_eq!(waiting.line(at(37), "b".into()), None);
        assert!(waiting.line(at(38), "c".into()).is_some());
        assert!(waiting.line(at(48), "c".into()).is_some());
        waiting.is_interrupted(at(50));
        assert!(!waiting.is_due(at(51)));
    }

    #[test]
    fn what_is_waited_for_is_told_after_a_silence() {
        let sink = Recorder::default();
        let mut waiting = Waiting::begin(Instant::now());
        waiting.tell_of(&sink, "web", "a reload");
        assert_eq!(sink.told(), [""; 0]);
        let begun = Instant::now().checked_sub(SILENCE).unwrap();
        let mut waiting = Waiting::begin(begun);
        for _ in 0..2 {
            waiting.tell_of(&sink, "web", "a reload");
        }
        assert_eq!(sink.told(), ["web: waiting for 2 s: a reload"]);
    }

    #[test]
    fn the_cluster_and_the_instances_on_their_way_are_named() {
        let mut fake = Fake::running(&["web.service", "web@9.service"]);
        let on_its_way = |name: &str, active, sub: &str, words: &str| Unit {
            name: name.into(),
            load: "loaded".into(),
            active,
            sub: sub.into(),
            status_text: words.into(),
            ..Unit::default()
        };
        let up = ActiveState::Activating;
        fake.set(on_its_way("web.service", up, "start", "1 of 6 serving"));
        fake.set(on_its_way("web@0.service", up, "start", ""));
        fake.set(on_its_way(
            "web@1.service",
            up,
            "start",
            "waiting 3s after: x",
        ));
        let down = ActiveState::Deactivating;
        fake.set(on_its_way("web@2.service", down, "stop-sigterm", ""));
        for number in 3..5 {
            let name = format!("web@{number}.service");
            fake.set(on_its_way(&name, up, "auto-restart", ""));
        }
        assert_eq!(
            progress(&mut fake, "web").unwrap(),
            "1 of 6 serving; web@0: started, but not READY yet; web@1: waiting 3s after: x; \
             web@2: being stopped (stop-sigterm); and 2 more"
        );
        let waits = progress(&mut Fake::running(&["web.service"]), "web").unwrap();
        assert!(waits.contains("systemctl list-jobs"), "{waits}");
    }

    #[test]
    fn the_words_of_a_cluster_count_while_it_does_something() {
        let mut fake = Fake::running(&["web.service"]);
        let mut told = |active, sub: &str, words: &str| {
            fake.set(Unit {
                status_text: words.into(),
                ..unit("web.service", active, sub)
            });
            for number in 0..NAMED {
                let name = format!("web@{number}.service");
                fake.set(unit(&name, ActiveState::Activating, sub));
            }
            progress(&mut fake, "web").unwrap()
        };
        let three = "web@0: about to be started again; web@1: about to be started again; web@2: about to be started again";
        let words = format!("replacing; {three}");
        let sub = "auto-restart";
        assert_eq!(told(ActiveState::Reloading, sub, "replacing"), words);
        assert_eq!(told(ActiveState::Active, sub, "replacing"), three);
        assert_eq!(told(ActiveState::Reloading, sub, " "), three);
    }
}
