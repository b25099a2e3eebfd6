//! The start of an app whose file names a port and no address, by a command that corrects the address if the program binds another.
//! What is refused meanwhile is no event of the app's history: the command tells what was found.

use std::time::{Duration, Instant};

use super::apply::Prepared;
use super::jobs::Jobs;
use super::locate;
use super::outcome::Deployed;
use crate::ecosystem::App;
use crate::layout::Layout;
use crate::state::{Entry, Name};
use crate::systemd::Manager;

/// How long a trial lasts if its command was killed.
const VALID: Duration = Duration::from_mins(5);

/// A trial, which ends with this value.
#[must_use]
pub(super) struct Trial(Entry);

impl Drop for Trial {
    fn drop(&mut self) {
        // One that stays is over soon.
        let _ = self.0.remove();
    }
}

/// Begins a trial, if the file leaves the address of the app open. `now` is the time since boot.
pub(super) fn begin(layout: &Layout, app: &App, now: Duration) -> Option<Trial> {
    if !locate::has_port_alone(app) {
        return None;
    }
    let entry = Entry::new(&layout.state(&app.name), Name::Trial);
    // Without the note, what is refused is told more than once.
    entry.write(&now.as_micros().to_string()).ok()?;
    Some(Trial(entry))
}

/// The trials of the apps that one command deploys.
pub(super) struct Trials {
    since: Instant,
    trials: Vec<Option<Trial>>,
}

impl Trials {
    pub(super) fn begin(manager: &mut dyn Manager, layout: &Layout, apps: &[App]) -> Self {
        let now = manager.now();
        let trials = apps.iter().map(|app| begin(layout, app, now));
        Self {
            since: Instant::now(),
            trials: trials.collect(),
        }
    }

    /// Ends all trials, and records those that have come to nothing.
    pub(super) fn end(self, jobs: &mut Jobs<'_>, prepared: &[Prepared], deployed: &Deployed) {
        for ((trial, prepared), end) in self.trials.into_iter().zip(prepared).zip(&deployed.0) {
            let was_trial = trial.is_some();
            drop(trial);
            if let (true, Err(failure)) = (was_trial, end) {
                jobs.record_deployment(prepared, self.since.elapsed(), Err(failure));
            }
        }
    }
}

/// Returns whether this start of an app is a trial.
pub(super) fn is_on(layout: &Layout, app: &str, now: Duration) -> bool {
    let note = Entry::new(&layout.state(app), Name::Trial).read();
    let begun = note.ok().and_then(|micros| micros.parse().ok());
    let age = begun.and_then(|micros| now.checked_sub(Duration::from_micros(micros)));
    age.is_some_and(|age| age <= VALID)
}

/// Returns whether the address of one of these instances was refused in a trial.
pub(super) fn is_refused(
    layout: &Layout,
    app: &str,
    mut numbers: impl Iterator<Item = u32>,
    now: Duration,
) -> bool {
    is_on(layout, app, now) && numbers.any(|n| locate::refusal(layout, app, n).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brake::Deaths;
    use crate::contract::REFUSED;
    use crate::ecosystem::parse;

    #[test]
    fn a_trial_is_for_a_port_alone_and_ends_with_its_command_or_in_time() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        std::fs::create_dir_all(&layout.run).unwrap();
        let app = |listen: &str| {
            let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = {listen}\n");
            parse("eco.toml", &text).0.remove(0)
        };
        let seconds = Duration::from_secs;
        assert!(begin(&layout, &app("\"[::]:3000\""), seconds(1)).is_none());
        let trial = begin(&layout, &app("3000"), seconds(1));
        assert!(trial.is_some() && is_on(&layout, "web", seconds(2)));
        assert!(!is_on(&layout, "web", seconds(302)) && !is_on(&layout, "web", seconds(0)));
        let refused = |reason: &str| {
            let deaths = Deaths {
                reason: reason.into(),
                ..Deaths::default()
            };
            let file = Entry::new(&layout.state("web"), Name::Deaths(1));
            deaths.store(&file).unwrap();
            is_refused(&layout, "web", 0..2, seconds(2))
        };
        assert!(refused(&format!("{REFUSED}the program binds 0.0.0.0:3000")));
        assert!(!refused("exited with status 1"));
        drop(trial);
        assert!(!is_on(&layout, "web", seconds(2)));
    }
}
