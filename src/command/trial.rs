//! The start of an app that a command looks at while it waits: one whose file names a port and no address, which the command corrects if
//! the program binds another, and the first start of an app. What is refused while the address is found out is no event of the app's
//! history: the command tells what was found.

use std::time::{Duration, Instant};

use super::apply::Prepared;
use super::jobs::Jobs;
use super::ledger::{installed, never_served};
use super::locate;
use super::outcome::Deployed;
use crate::cluster::Trial as Note;
use crate::contract::Ready;
use crate::ecosystem::App;
use crate::generate::sources;
use crate::layout::Layout;
use crate::state::{Entry, Name};
use crate::systemd::Manager;
use crate::unit::name::Units;

/// How long a trial lasts beyond the app's `listen_timeout` if its command was killed.
const VALID: Duration = Duration::from_mins(5);

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

/// Begins a trial, if the file leaves the address of the app open or the app has never served. `now` is the time since boot, `valid` how
/// long the trial may last.
fn begin(
    layout: &Layout,
    app: &App,
    (now, valid): (Duration, Duration),
    is_up: bool,
) -> Option<Trial> {
    let note = Note {
        begun: now,
        valid,
        is_first: !is_up && never_served(layout, &app.name),
        is_given: !locate::has_port_alone(app),
        notifies: app.ready == Ready::Notify,
    };
    leave(layout, app, note)
}

fn leave(layout: &Layout, app: &App, note: Note) -> Option<Trial> {
    // Without an address, `exec` is READY at once.
    let is_awaited = !app.listen.is_empty() || app.ready != Ready::Exec;
    if app.is_job() || !is_awaited || note.is_given && !note.is_first {
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
        // One app is started after the other.
        let mut valid = Duration::ZERO;
        let trials = apps.iter().map(|app| {
            valid += VALID + app.lifecycle.listen_timeout;
            begin(layout, app, (now, valid), is_up(manager, &app.name))
        });
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

impl Jobs<'_> {
    /// Begins the trial of an app that is to be started and has never served, unless a deployment has begun one.
    pub(super) fn first_trial(&mut self, app: &str) -> Option<Trial> {
        let (layout, now) = (self.layout, self.manager.now());
        let note = Entry::new(&layout.state(app), Name::Trial).read().ok();
        let is_on = note.is_some_and(|note| Note::parse(&note, now).is_some());
        // Of what others have written nothing is kept.
        let is_known = installed(layout, app).is_some();
        if is_on || !is_known || is_up(self.manager, app) || !never_served(layout, app) {
            return None;
        }
        let source = sources::find(layout, app)?;
        let (_, app) = sources::load(layout, &source).ok()?;
        let note = Note {
            begun: now,
            valid: VALID + app.lifecycle.listen_timeout,
            is_first: true,
            // A start changes no file.
            is_given: true,
            notifies: app.ready == Ready::Notify,
        };
        leave(layout, &app, note)
    }
}

fn is_up(manager: &mut dyn Manager, app: &str) -> bool {
    let cluster = manager.unit(&Units::of(app).cluster());
    cluster.map_or(true, |cluster| cluster.is_ready())
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
    use crate::command::ledger::{Ledger, Served};
    use crate::contract::REFUSED;
    use crate::ecosystem::parse;

    /// When a trial begins, and how long it may last.
    const AT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

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
        let web = begin(&layout, &app("web", "3000"), AT, false);
        let api = begin(&layout, &app("api", "4000"), AT, false);
        assert!(is_on(&layout, "web", seconds(2)) && is_on(&layout, "api", seconds(2)));
        drop(api);
        assert!(is_on(&layout, "web", seconds(2)) && !is_on(&layout, "api", seconds(2)));
        // The same app once more.
        let again = begin(&layout, &app("web", "3000"), (seconds(3), AT.1), false);
        drop(web);
        assert!(is_on(&layout, "web", seconds(4)));
        drop(again);
        assert!(!is_on(&layout, "web", seconds(4)));
    }

    #[test]
    fn an_app_without_an_address_has_a_trial_where_its_program_says_that_it_is_ready() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        std::fs::create_dir_all(&layout.run).unwrap();
        let note = |lines: &str| {
            let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = []\n{lines}");
            let app = parse("eco.toml", &text).0.remove(0);
            let _trial = begin(&layout, &app, AT, false)?;
            let note = Entry::new(&layout.state("web"), Name::Trial).read();
            Note::parse(&note.unwrap(), AT.0)
        };
        assert_eq!(note("ready = \"exec\""), None);
        let notify = note("ready = \"notify\"").unwrap();
        assert!(notify.is_first && notify.is_given && notify.notifies);
        let message = note("ready = \"message\"").unwrap();
        assert!(message.is_first && !message.notifies);
        assert_eq!(note("schedule = \"daily\""), None);
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
        assert!(begin(&layout, &app("[]"), AT, false).is_none());
        let first = begin(&layout, &app("\"[::]:3000\""), AT, false);
        assert!(first.is_some() && is_first());
        assert!(!is_on(&layout, "web", seconds(2)), "nothing is corrected");
        drop(first);
        let first = begin(&layout, &app("3000"), AT, false);
        assert!(first.is_some() && is_first());
        drop(first);
        let up = begin(&layout, &app("3000"), AT, true);
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
        assert!(begin(&layout, &app("\"[::]:3000\""), AT, false).is_none());
        let trial = begin(&layout, &app("3000"), AT, false);
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
