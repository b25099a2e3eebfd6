//! What an app serves, and what of it is kept for `rsgen rollback`: noted before a deployment changes it and after one has ended well.
//!
//! A deployment never fails because of this: what cannot be kept is told.

use std::fs;
use std::path::{Path, PathBuf};

use super::apply::Prepared;
use super::asks;
use super::jobs::Jobs;
use super::ledger::{Ledger, Served, installed, never_served};
use super::link;
use super::writing::Writing;
use crate::contract::StartedWith;
use crate::ecosystem::{App, Chosen};
use crate::generate::files;
use crate::generate::sources::{self, Source};
use crate::layout::Layout;
use crate::output::{Failure, Notice};
use crate::plan::diff::Content;
use crate::state::{Entry, Name};
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// Notes what an app serves before a deployment changes that: it may have been brought there by systemctl, or by an older version.
pub(super) fn before(jobs: &mut Jobs<'_>, prepared: &Prepared, writing: Option<&Writing>) {
    let app = prepared.app.as_str();
    let path = jobs.layout.file(app);
    let changed = prepared.changes.iter().find(|c| c.path == path);
    let text = match changed {
        Some(change) => change.old.clone(),
        None => files::content(&path),
    };
    let Some(Content::File(text)) = text else {
        return;
    };
    let noted = serving(jobs, app, &text).and_then(|served| {
        let Some(served) = served else { return Ok(()) };
        let see = |ledger: &mut Ledger| ledger.see(served.clone());
        match writing {
            Some(writing) => note_within(writing, jobs.layout, app, see),
            None => note(jobs, app, see),
        }
    });
    tell(jobs, app, noted);
}

/// Notes what an app serves after a start, if it has never served before as far as is known: otherwise the next start would be looked at as
/// a first one.
pub(super) fn first(jobs: &mut Jobs<'_>, app: &str) {
    if !never_served(jobs.layout, app) {
        return;
    }
    let Some(text) = installed(jobs.layout, app) else {
        return;
    };
    // A user who may not write there has no trials either.
    if let Ok(Some(served)) = serving(jobs, app, &text) {
        let _ = note(jobs, app, |ledger| ledger.see(served.clone()));
    }
}

/// Notes what an app serves after a deployment.
pub(super) fn after(jobs: &mut Jobs<'_>, app: &str) {
    // That one notes what it has done by itself.
    if jobs.command == "rollback" {
        return;
    }
    let Some(served) = deployed(jobs.layout, app) else {
        return;
    };
    let noted = note(jobs, app, |ledger| {
        let left = ledger.deploy(served.clone(), asks::who());
        left.map(|left| (left, ledger.current.clone()))
    });
    let noted = noted.map(|replaced| {
        if let Some((left, now)) = replaced {
            let text = format!("release {now} replaces {left}, the result of a rollback");
            jobs.sink.notice(&Notice::Noted(app, &text));
        }
    });
    tell(jobs, app, noted);
}

/// Changes what is kept for an app, if anything changes. Two commands at the same time do so one after the other.
pub(super) fn note<T>(
    jobs: &mut Jobs<'_>,
    app: &str,
    change: impl Fn(&mut Ledger) -> T,
) -> Result<T, Failure> {
    let before = Ledger::read(jobs.layout, app)?;
    let mut ledger = before.clone();
    let done = change(&mut ledger);
    if ledger == before {
        return Ok(done);
    }
    let writing = Writing::begin(jobs, app)?;
    note_within(&writing, jobs.layout, app, change)
}

/// Does the same under a lock that is held already.
fn note_within<T>(
    _: &Writing,
    layout: &Layout,
    app: &str,
    change: impl Fn(&mut Ledger) -> T,
) -> Result<T, Failure> {
    let before = Ledger::read(layout, app)?;
    let mut ledger = before.clone();
    let done = change(&mut ledger);
    if ledger != before {
        ledger.write(layout, app)?;
    }
    Ok(done)
}

/// Tells what could not be kept.
pub(super) fn tell(jobs: &Jobs<'_>, app: &str, noted: Result<(), Failure>) {
    if let Err(failure) = noted {
        let text = format!("not kept for a rollback: {}", failure.message);
        jobs.sink.notice(&Notice::Noted(app, &text));
    }
}

/// Returns what an app serves after a deployment: its file, and what the link leads to.
fn deployed(layout: &Layout, app: &str) -> Option<Served> {
    let text = installed(layout, app)?;
    let file = parsed(layout, app, &text)?;
    let found = file
        .program()
        .cwd()
        .and_then(|cwd| link::of(Path::new(cwd)));
    let (link, folder) = found.unzip();
    Some(Served {
        file: plain(&text),
        link,
        folder,
    })
}

/// Returns what an app serves now, if its file has this text; `None` for one that does not serve.
pub(super) fn serving(
    jobs: &mut Jobs<'_>,
    app: &str,
    text: &str,
) -> Result<Option<Served>, Failure> {
    let layout = jobs.layout;
    if installed(layout, app).is_none() {
        return Ok(None);
    }
    let Some(file) = parsed(layout, app, text) else {
        return Ok(None);
    };
    let units = Units::of(app);
    let cluster = jobs.manager.unit(&units.cluster())?;
    if !matches!(cluster.active, ActiveState::Active | ActiveState::Reloading) && !file.is_job() {
        return Ok(None);
    }
    let link = file
        .program()
        .cwd()
        .and_then(|cwd| link::of(Path::new(cwd)));
    let served = |link: Option<PathBuf>, folder| Served {
        file: plain(text),
        link,
        folder,
    };
    let Some((link, leads_to)) = link else {
        return Ok(Some(served(None, None)));
    };
    let mut folder = started_with(layout, app, 0, &link);
    if folder.is_none() && file.program().cwd().map(Path::new) == Some(&link) {
        // Units of an older version note nothing. A folder elsewhere is one that the program has changed to.
        let pid = jobs.manager.unit(&units.instance(0))?.main_pid;
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok();
        folder = cwd.filter(|cwd| cwd.parent() == leads_to.parent());
    }
    Ok(folder.map(|folder| served(Some(link), Some(folder))))
}

/// Returns the folder of the release that an instance was started with through this link.
pub(super) fn started_with(
    layout: &Layout,
    app: &str,
    number: u32,
    link: &Path,
) -> Option<PathBuf> {
    let note = Entry::new(&layout.state(app), Name::Release(number)).read();
    let note = StartedWith::parse(&note.ok()?)?;
    (note.link == link).then_some(note.folder)
}

/// Returns the instances that serve another release than this one: somebody has started them on purpose since the link moved.
pub(super) fn strays(
    jobs: &mut Jobs<'_>,
    app: &str,
    release: &Served,
) -> Result<Vec<String>, Failure> {
    let Some((link, folder)) = release.link.as_ref().zip(release.folder.as_ref()) else {
        return Ok(Vec::new());
    };
    let units = Units::of(app);
    let mut numbers: Vec<u32> = jobs
        .manager
        .units(&units.instances())?
        .iter()
        .filter(|brief| !brief.is_gone())
        .filter_map(|brief| units.number(&brief.name))
        .collect();
    // systemd lists units in no order.
    numbers.sort_unstable();
    let started_with = |number: &u32| started_with(jobs.layout, app, *number, link);
    numbers.retain(|number| started_with(number).is_some_and(|other| other != *folder));
    Ok(numbers
        .iter()
        .map(|number| format!("{app}@{number}"))
        .collect())
}

/// Returns the app of an installed text, with its drop-ins.
pub(super) fn parsed(layout: &Layout, app: &str, text: &str) -> Option<App> {
    let source = Source {
        app: app.to_owned(),
        path: layout.file(app),
    };
    let read = sources::with_drop_ins(layout, &source, text.to_owned());
    read.ok().map(|(_, app, _)| app)
}

/// Returns an installed text with the number of instances that its own file has: a release is the same however it is scaled.
fn plain(text: &str) -> String {
    let own = Chosen::of_installed(text).and_then(|chosen| {
        let own = Chosen {
            instances: chosen.in_place_of,
            ..chosen
        };
        own.within(text)
    });
    own.unwrap_or_else(|| text.to_owned())
}

/// Returns the text of a release with the number of instances that a command has chosen for the app since.
pub(super) fn with_choice(
    release: &str,
    own: crate::contract::Instances,
    installed: &str,
) -> String {
    let chosen = Chosen::of_installed(installed).and_then(|chosen| {
        let chosen = Chosen {
            in_place_of: own,
            ..chosen
        };
        chosen.within(release)
    });
    chosen.unwrap_or_else(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Instances;

    #[test]
    fn a_release_is_the_same_however_it_is_scaled_and_going_back_keeps_the_number() {
        let text = "[[apps]]\nname = \"web\" # mine\ninstances = 2\n";
        let scaled = text.replace("= 2", "= 8 # scale, in place of 2");
        assert_eq!(plain(&scaled), text);
        assert_eq!(plain(text), text);
        let older = text.replace("= 2", "= 4");
        let back = with_choice(&older, Instances::Exactly(4), &scaled);
        assert_eq!(back, text.replace("= 2", "= 8 # scale, in place of 4"));
        assert_eq!(with_choice(&older, Instances::Exactly(4), text), older);
    }
}
