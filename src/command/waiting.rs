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

/// How often a unit without a job is checked, and the progress of a walk is read.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How long a command stays silent.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
/// How long to wait before the same line is shown again, once the wait is a long one.
const AGAIN: Duration = Duration::from_secs(10);
/// The wait that is a long one. Until then nothing is silent for longer than [`SILENCE`], whoever reads along.
const LONG: Duration = Duration::from_secs(30);
/// The largest number of instances that a line names.
const NAMED: usize = 3;

/// Returns the present moment; in tests that of the fake systemd, whose waits take no time.
fn now() -> Instant {
    #[cfg(test)]
    return crate::systemd::fake::instant();
    #[cfg(not(test))]
    Instant::now()
}

/// A wait, and what has been said about it.
pub(super) struct Waiting {
    begun: Instant,
    told: Instant,
    last: String,
    /// Whether a program that died has been quoted.
    is_quoted: bool,
}

impl Waiting {
    /// Begins a wait. What the command did before may have been silent already.
    pub(super) fn begin(sink: &dyn Sink) -> Self {
        let now = now();
        Self {
            begun: now,
            told: sink.shown_at().unwrap_or(now),
            last: String::new(),
            is_quoted: false,
        }
    }

    /// Returns how long to look away, `most` at most, so that the next line is in time.
    pub(super) fn nap(&self, sink: &dyn Sink, most: Duration) -> Duration {
        let left = SILENCE.saturating_sub(now().duration_since(self.heard(sink)));
        match left {
            // Where this wait is short, it is not told of although the command has been silent before.
            Duration::ZERO if self.last.is_empty() => TICK.min(most),
            Duration::ZERO => most,
            left => left.min(most),
        }
    }

    /// When something was told last, by whomever.
    fn heard(&self, sink: &dyn Sink) -> Instant {
        sink.shown_at()
            .map_or(self.told, |shown| shown.max(self.told))
    }

    /// Restarts the silence, because something else was shown.
    pub(super) fn is_interrupted(&mut self) {
        self.told = now();
    }

    /// Whether nothing has been told for a while.
    pub(super) fn is_due(&self, sink: &dyn Sink) -> bool {
        now().duration_since(self.heard(sink)) >= SILENCE
    }

    /// The line that is due, if it says something new or has not been said for a while.
    fn line(&mut self, sink: &dyn Sink, what: String) -> Option<String> {
        let waited = now().duration_since(self.begun);
        let again = if waited < LONG { SILENCE } else { AGAIN };
        if what == self.last && now().duration_since(self.heard(sink)) < again {
            return None;
        }
        let shown = if what == self.last {
            "as before"
        } else {
            &what
        };
        let line = match waited.as_secs() {
            // The silence began before.
            0 => format!("waiting: {shown}"),
            seconds => format!("waiting for {seconds} s: {shown}"),
        };
        (self.told, self.last) = (now(), what);
        Some(line)
    }

    /// Says in these words what a command is waiting for, if nothing has been shown for a while.
    pub(super) fn tell_of(&mut self, sink: &dyn Sink, app: &str, what: &str) {
        if self.is_due(sink)
            && let Some(line) = self.line(sink, what.to_owned())
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
        if !self.is_due(sink) {
            return;
        }
        let Some((app, _)) = owner(unit) else {
            return;
        };
        let line = progress(manager, layout, app).and_then(|what| self.line(sink, what));
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
mod tests;
