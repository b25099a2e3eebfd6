//! The start of an app that a command looks at while it waits: one whose file names a port and no address, which the command corrects if
//! the program binds another, and the first start of an app. What is refused while the address is found out is no event of the app's
//! history: the command tells what was found.

use std::time::{Duration, Instant};

use super::apply::Prepared;
use super::jobs::Jobs;
use super::ledger::Ledger;
use super::locate;
use super::outcome::Deployed;
use crate::cluster::Trial as Note;
use crate::ecosystem::App;
use crate::layout::Layout;
use crate::state::{Entry, Name};
use crate::systemd::Manager;
use crate::unit::name::Units;

/// A trial, which ends with this value.
#[must_use]
pub(super) struct Trial {
    entry: Entry,
    note: Note,
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Another command may have begun a trial of the app since, and that note is its own. One that stays is over soon.
        if self.entry.read().is_ok_and(|text| text == self.note.text()) {
            let _ = self.entry.remove();
        }
    }
}

/// Begins a trial, if the file leaves the address of the app open or the app has never served. `now` is the time since boot.
fn begin(layout: &Layout, app: &App, now: Duration, is_up: bool) -> Option<Trial> {
    let note = Note {
        begun: now,
        // Of an app whose releases cannot be read nothing is known.
        is_first: !is_up
            && Ledger::read(layout, &app.name).is_ok_and(|kept| kept.releases.is_empty()),
        is_given: !locate::has_port_alone(app),
    };
    if app.listen.is_empty() || note.is_given && !note.is_first {
        return None;
    }
    let entry = Entry::new(&layout.state(&app.name), Name::Trial);
    // Without the note, what is refused is told more than once, and tried more often.
    entry.write(&note.text()).ok()?;
    Some(Trial { entry, note })
}

/// The trials of the apps that one command deploys.
pub(super) struct Trials {
    since: Instant,
    trials: Vec<Option<Trial>>,
}

impl Trials {
    pub(super) fn begin(manager: &mut dyn Manager, layout: &Layout, apps: &[App]) -> Self {
        let now = manager.now();
        let mut is_up = |app: &App| {
            let cluster = manager.unit(&Units::of(&app.name).cluster());
            cluster.map_or(true, |cluster| cluster.is_ready())
        };
        let trials = apps.iter().map(|app| begin(layout, app, now, is_up(app)));
        Self {
            since: Instant::now(),
            trials: trials.collect(),
        }
    }

    /// Ends all trials, and records those that have come to nothing.
    pub(super) fn end(self, jobs: &mut Jobs<'_>, prepared: &[Prepared], deployed: &Deployed) {
        for ((trial, prepared), end) in self.trials.into_iter().zip(prepared).zip(&deployed.0) {
            let was_trial = trial.as_ref().is_some_and(|trial| !trial.note.is_given);
            drop(trial);
            if let (true, Err(failure)) = (was_trial, end) {
                jobs.record_deployment(prepared, self.since.elapsed(), Err(failure));
            }
        }
    }
}

/// Returns whether a command corrects the address of an app if it is refused in this start.
pub(super) fn is_on(layout: &Layout, app: &str, now: Duration) -> bool {
    let note = Entry::new(&layout.state(app), Name::Trial).read().ok();
    let note = note.and_then(|text| Note::parse(&text, now));
    note.is_some_and(|note| !note.is_given)
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
    use crate::command::ledger::Served;
    use crate::contract::REFUSED;
    use crate::ecosystem::parse;

    #[test]
    fn trials_of_two_commands_are_apart() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        std::fs::create_dir_all(&layout.run).unwrap();
        let app = |name: &str, listen: &str| {
            let text = format!("[[apps]]\nname = \"{name}\"\nscript = \"x\"\nlisten = {listen}\n");
            parse("eco.toml", &text).0.remove(0)
        };
        let seconds = Duration::from_secs;
        let web = begin(&layout, &app("web", "3000"), seconds(1), false);
        let api = begin(&layout, &app("api", "4000"), seconds(1), false);
        assert!(is_on(&layout, "web", seconds(2)) && is_on(&layout, "api", seconds(2)));
        drop(api);
        assert!(is_on(&layout, "web", seconds(2)) && !is_on(&layout, "api", seconds(2)));
        // The same app once more.
        let again = begin(&layout, &app("web", "3000"), seconds(3), false);
        drop(web);
        assert!(is_on(&layout, "web", seconds(4)));
        drop(again);
        assert!(!is_on(&layout, "web", seconds(4)));
    }

    #[test]
    fn a_trial_is_for_a_port_alone_or_a_first_start_and_ends_with_its_command_or_in_time() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        std::fs::create_dir_all(&layout.run).unwrap();
        let app = |listen: &str| {
            let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = {listen}\n");
            parse("eco.toml", &text).0.remove(0)
        };
        let seconds = Duration::from_secs;
        let is_first = || {
            let note = Entry::new(&layout.state("web"), Name::Trial).read();
            Note::parse(&note.unwrap(), seconds(2)).unwrap().is_first
        };
        assert!(begin(&layout, &app("[]"), seconds(1), false).is_none());
        let first = begin(&layout, &app("\"[::]:3000\""), seconds(1), false);
        assert!(first.is_some() && is_first());
        assert!(!is_on(&layout, "web", seconds(2)), "nothing is corrected");
        drop(first);
        let first = begin(&layout, &app("3000"), seconds(1), false);
        assert!(first.is_some() && is_first());
        drop(first);
        let up = begin(&layout, &app("3000"), seconds(1), true);
        assert!(
            up.is_some() && !is_first(),
            "an older version has started it"
        );
        drop(up);
        let mut kept = Ledger::default();
        kept.see(Served {
            file: String::new(),
            link: None,
            folder: None,
        });
        kept.write(&layout, "web").unwrap();
        assert!(begin(&layout, &app("\"[::]:3000\""), seconds(1), false).is_none());
        let trial = begin(&layout, &app("3000"), seconds(1), false);
        assert!(trial.is_some() && is_on(&layout, "web", seconds(2)) && !is_first());
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
        let elsewhere = format!("{REFUSED}the program listens on 0.0.0.0:4000, declared is x");
        assert!(!refused(&elsewhere), "no address can be found for it");
        drop(trial);
        assert!(!is_on(&layout, "web", seconds(2)));
    }
}
