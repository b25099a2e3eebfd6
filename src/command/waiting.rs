//! Says what a command is waiting for when it has been silent for a while.

use std::time::{Duration, Instant};

use super::last_words;
use crate::brake::Deaths;
use crate::contract::REFUSED;
use crate::layout::Layout;
use crate::output::{Notice, Sink};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Brief, Manager, TIMED_OUT, Unit};
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
    /// Whether a program that died has been quoted.
    is_quoted: bool,
}

impl Waiting {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            told: now,
            last: String::new(),
            is_quoted: false,
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

    /// Says what the job of a unit is waiting for, if nothing has been shown for a while, and once what a program that has died meanwhile
    /// wrote: the start may go on for a long time. Asking systemd does not prolong the wait, and a systemd that does not answer makes the
    /// wait itself fail. Without a layout, as of another host, nothing is known of deaths.
    pub(super) fn tell(
        &mut self,
        manager: &mut dyn Manager,
        sink: &dyn Sink,
        layout: Option<&Layout>,
        unit: &str,
    ) {
        let now = Instant::now();
        if !self.is_due(now) {
            return;
        }
        let Some((app, _)) = owner(unit) else {
            return;
        };
        let line = progress(manager, layout, app).and_then(|what| self.line(now, what));
        if let Some(line) = line {
            sink.notice(&Notice::Waiting(app, &line));
            self.quote(manager, sink, layout, app);
        }
    }

    fn quote(
        &mut self,
        manager: &mut dyn Manager,
        sink: &dyn Sink,
        layout: Option<&Layout>,
        app: &str,
    ) {
        let Some(layout) = layout.filter(|_| !self.is_quoted) else {
            return;
        };
        if let Some((number, deaths)) = died(manager, layout, app) {
            // The journal is read once, whatever it has.
            self.is_quoted = true;
            if let Some(line) = last_words::of_a_death(layout, app, number, &deaths) {
                let quote = format!("{app}@{number} wrote: {line}");
                sink.notice(&Notice::Noted(app, &quote));
            }
        }
    }
}

/// Returns an instance that is on its way up and has died before, with its deaths.
fn died(manager: &mut dyn Manager, layout: &Layout, app: &str) -> Option<(u32, Deaths)> {
    let units = Units::of(app);
    let briefs = manager.units(&units.instances()).unwrap_or_default();
    // How one that is being stopped died in an earlier run is not what is waited for.
    let moving = briefs
        .iter()
        .filter(|brief| brief.active == ActiveState::Activating);
    let numbers = moving.filter_map(|brief| units.number(&brief.name));
    let mut died = numbers.filter_map(|number| Some((number, deaths(layout, app, number)?)));
    // The last words of a program that systemd has ended are about that end.
    died.find(|(_, deaths)| !deaths.reason.starts_with(TIMED_OUT))
}

/// Returns the deaths of an instance since it was started, if there are any.
fn deaths(layout: &Layout, app: &str, number: u32) -> Option<Deaths> {
    let file = Entry::new(&layout.state(app), Name::Deaths(number));
    Deaths::load(&file).filter(|deaths| deaths.count > 0 && !deaths.reason.is_empty())
}

/// Describes how far an app has come: the status of the cluster unit, and the instances that are not up or not down
/// yet.
fn progress(manager: &mut dyn Manager, layout: Option<&Layout>, app: &str) -> Option<String> {
    let units = Units::of(app);
    let cluster = manager.unit(&units.cluster()).ok()?;
    let mut briefs = manager.units(&units.instances()).ok()?;
    briefs.retain(|brief| !brief.is_ready() && !brief.is_gone());
    briefs.sort_by_key(|brief| units.number(&brief.name));
    let mut parts: Vec<String> = own_words(&cluster).into_iter().collect();
    for brief in briefs.iter().take(NAMED) {
        let unit = manager.unit(&brief.name).ok()?;
        let number = units.number(&brief.name).zip(layout);
        let deaths = number.and_then(|(number, layout)| deaths(layout, app, number));
        parts.push(state(&unit, brief, deaths.as_ref()));
    }
    if briefs.len() > NAMED {
        parts.push(format!("and {} more", briefs.len() - NAMED));
    }
    if parts.is_empty() {
        let other = match layout {
            Some(_) => "other jobs of systemd, see `systemctl list-jobs`",
            None => "other jobs of its systemd",
        };
        parts.push(other.into());
    }
    Some(parts.join("; "))
}

/// Returns the status that the cluster unit has set while it runs one of its commands.
fn own_words(cluster: &Unit) -> Option<String> {
    let is_busy = cluster.is_moving() || cluster.active == ActiveState::Reloading;
    let words = cluster.status_text.trim();
    (is_busy && !words.is_empty()).then(|| words.to_owned())
}

fn state(unit: &Unit, brief: &Brief, deaths: Option<&Deaths>) -> String {
    let name = brief.name.trim_end_matches(".service");
    let state = match (unit.status_text.as_str(), brief.active) {
        // The worker sets this status to say how long it delays the program, and why.
        (words, ActiveState::Activating) if !words.is_empty() => words.to_owned(),
        // The program has ended, by itself or not, and what remains are the commands after it.
        (_, ActiveState::Deactivating) if brief.sub == "stop-post" => "has ended".to_owned(),
        (_, ActiveState::Deactivating) => format!("being stopped ({})", brief.sub),
        _ if brief.sub.starts_with("auto-restart") => "about to be started again".to_owned(),
        _ => unit.why(),
    };
    let died =
        deaths.filter(|d| brief.active == ActiveState::Activating && !state.contains(&d.reason));
    let died = died.map(|deaths| {
        let reason = deaths.reason.trim_start_matches(REFUSED);
        // It is on its way to the same end.
        let is_same = reason.contains(&state);
        match deaths.count {
            1 if is_same => ", after one death".to_owned(),
            1 => format!(", after one death: {reason}"),
            count if is_same => format!(", after {count} deaths"),
            count => format!(", after {count} deaths, the last: {reason}"),
        }
    });
    format!("{name}: {state}{}", died.unwrap_or_default())
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
            progress(&mut fake, None, "web").unwrap(),
            "1 of 6 serving; web@0: started, but not READY yet; web@1: waiting 3s after: x; \
             web@2: being stopped (stop-sigterm); and 2 more"
        );
        let layout = Layout::system("/nowhere".as_ref());
        let waits = |layout| progress(&mut Fake::running(&["web.service"]), layout, "web").unwrap();
        let here = waits(Some(&layout));
        assert!(here.contains("systemctl list-jobs"), "{here}");
        assert!(!waits(None).contains("systemctl"));
    }

    #[test]
    fn the_words_of_an_instance_are_quoted_as_it_starts_and_not_as_it_is_stopped() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        std::fs::create_dir_all(&layout.run).unwrap();
        let deaths = Deaths {
            count: 1,
            reason: "exited with status 1".into(),
            ..Deaths::default()
        };
        let file = Entry::new(&layout.state("web"), Name::Deaths(1));
        deaths.store(&file).unwrap();
        let of = |active, sub| {
            let mut fake = Fake::running(&["web@0.service"]);
            fake.set(unit("web@1.service", active, sub));
            died(&mut fake, &layout, "web").map(|(number, _)| number)
        };
        assert_eq!(of(ActiveState::Activating, "auto-restart"), Some(1));
        assert_eq!(of(ActiveState::Deactivating, "stop-sigterm"), None);
        assert_eq!(of(ActiveState::Active, "running"), None);
        let timed_out = Deaths {
            reason: format!("{TIMED_OUT}not READY within `listen_timeout`"),
            ..deaths
        };
        timed_out.store(&file).unwrap();
        assert_eq!(of(ActiveState::Activating, "auto-restart"), None);
    }

    #[test]
    fn the_deaths_of_this_start_are_told_with_the_last_reason() {
        let died = |count, reason: &str| {
            let unit = unit("web@0.service", ActiveState::Activating, "auto-restart");
            let mut fake = Fake::running(&[]);
            fake.set(unit.clone());
            let brief = fake.units("web@*.service").unwrap().remove(0);
            let deaths = Deaths {
                count,
                reason: reason.into(),
                ..Deaths::default()
            };
            state(&unit, &brief, Some(&deaths))
        };
        let again = "web@0: about to be started again, after";
        let one = format!("{again} one death: exited with status 1");
        assert_eq!(died(1, "exited with status 1"), one);
        let more = format!("{again} 3 deaths, the last: killed by SIGSEGV");
        assert_eq!(died(3, "killed by SIGSEGV"), more);
        let now = "about to be started again";
        let same = died(2, &format!("timed out: {now}"));
        assert_eq!(same, format!("web@0: {now}, after 2 deaths"));
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
            progress(&mut fake, None, "web").unwrap()
        };
        let three = "web@0: about to be started again; web@1: about to be started again; web@2: about to be started again";
        let words = format!("replacing; {three}");
        let sub = "auto-restart";
        assert_eq!(told(ActiveState::Reloading, sub, "replacing"), words);
        assert_eq!(told(ActiveState::Active, sub, "replacing"), three);
        assert_eq!(told(ActiveState::Reloading, sub, " "), three);
    }
}
