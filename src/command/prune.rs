//! Removes the apps that an ecosystem file no longer has, and keeps which file has brought an app.

use std::path::PathBuf;

use super::apply::Prepared;
use super::context::Context;
use super::gone::{Gone, Origin};
use super::jobs::Jobs;
use super::released;
use super::selection::Selected;
use super::uninstall;
use crate::ecosystem::{self, App};
use crate::generate::files;
use crate::layout::Layout;
use crate::output::{Failure, Notice, Sink};
use crate::plan::diff::{Change, Content};
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// The changes that remove apps, as they are foreseen.
pub(super) struct Removals(Vec<(String, Vec<Change>)>);

/// Returns the changes that remove the apps.
pub(super) fn removals(layout: &Layout, gone: &Gone) -> Result<Removals, Failure> {
    let apps = gone.apps.iter().filter(|_| gone.is_pruned);
    let removals = apps.map(|app| Ok((app.clone(), uninstall::removals(layout, app)?)));
    removals.collect::<Result<_, _>>().map(Removals)
}

impl Removals {
    pub(super) fn apps(&self) -> Vec<String> {
        self.0.iter().map(|(app, _)| app.clone()).collect()
    }

    /// Returns the changes of the apps that are wanted.
    pub(super) fn changes(&self, is_wanted: impl Fn(&String) -> bool) -> Vec<Change> {
        let wanted = self.0.iter().filter(|(app, _)| is_wanted(app));
        wanted.flat_map(|(_, changes)| changes.clone()).collect()
    }

    /// Tells of the files, as `rsgen uninstall --dry-run` does.
    pub(super) fn tell(&self, sink: &dyn Sink) {
        uninstall::tell(sink, &self.changes(|_| true));
    }
}

/// Notes which apps have to be removed before which app of the file is started, because it needs their addresses, and reports what that
/// costs. An app that serves elsewhere already is refused: it could not be moved without losing what it has.
pub(super) fn replace(
    context: &Context<'_>,
    gone: &Gone,
    selected: &[Selected],
    prepared: &mut [Prepared],
) -> Result<(), Failure> {
    for (selected, prepared) in selected.iter().zip(prepared) {
        let app = &selected.app;
        let others = gone.in_the_way_of(&context.layout, app);
        for other in &others {
            let (name, other) = (app.name(), other.name());
            if prepared.readdressed.is_some() || prepared.crossing.is_some() {
                let message = format!(
                    "`{name}` has other addresses by now, and moves to one of `{other}`, which the file no longer has"
                );
                return Err(
                    Failure::failed(message).help(format!("run `rsgen uninstall {other}` first"))
                );
            }
            let text = format!(
                "needs an address of `{other}`, which is uninstalled just before the start: until `{name}` serves, nothing serves there"
            );
            context.sink.notice(&Notice::Noted(name, &text));
        }
        prepared.replaces = others.into_iter().map(|other| other.name).collect();
    }
    Ok(())
}

/// Returns an app without the addresses at which the apps that it replaces listen.
pub(super) fn without_replaced(
    jobs: &mut Jobs<'_>,
    gone: &Gone,
    app: &App,
) -> Result<App, Failure> {
    let mut rest = app.clone();
    for other in gone.in_the_way_of(jobs.layout, app) {
        let mut listens = false;
        for socket in jobs.sockets(other.name())? {
            listens |= jobs.manager.unit(&socket)?.active == ActiveState::Active;
        }
        let own = jobs.manager.units(&Units::of(other.name()).listeners())?;
        listens |= own.iter().any(|s| s.active == ActiveState::Active);
        if listens {
            let mut one = app.clone();
            rest.listen.retain(|listen| {
                one.listen = vec![listen.clone()];
                ecosystem::collision(&one, &other).is_none()
            });
        }
    }
    Ok(rest)
}

/// Refuses to remove an app that is paused: connections wait there for its end.
pub(super) fn refuse_paused(jobs: &mut Jobs<'_>, gone: &Gone) -> Result<(), Failure> {
    let mut apps = gone.apps.iter().filter(|_| gone.is_pruned);
    apps.try_for_each(|app| uninstall::refuse_paused(jobs, app))
}

/// Removes the apps, and returns those that are not installed any more. One that another command has changed meanwhile, so that it is
/// not this file's now, stays.
pub(super) fn prune(context: &mut Context<'_>, gone: &Gone) -> Result<Vec<String>, Failure> {
    let mut failures = Vec::new();
    for app in gone.apps.iter().filter(|_| gone.is_pruned) {
        if gone.has_brought(&context.layout, app)? {
            failures.extend(uninstall::remove_unchanged(&mut context.jobs()?, app).err());
        }
    }
    if let Some(failure) = Failure::of_several(failures, gone.apps.len()) {
        return Err(failure);
    }
    let apps = gone.apps.iter().filter(|_| gone.is_pruned);
    let is_there = |app: &String| files::content(&context.layout.file(app)).is_some();
    Ok(apps.filter(|app| !is_there(app)).cloned().collect())
}

/// Adds to a failure that nothing, or nothing more, was removed.
pub(super) fn kept(layout: &Layout, gone: &Gone, failure: Failure) -> Failure {
    let is_there = |app: &&String| files::content(&layout.file(app)).is_some();
    let apps = gone.apps.iter().filter(|_| gone.is_pruned);
    let apps: Vec<String> = apps
        .filter(is_there)
        .map(|app| format!("`{app}`"))
        .collect();
    if apps.is_empty() {
        return failure;
    }
    let told = format!(
        "not removed, since that is the last step: {}; then run the command again",
        apps.join(", ")
    );
    failure.help_also(Some(told))
}

/// Keeps which file has brought an app, if it has the text of that file now.
pub(super) fn note(jobs: &mut Jobs<'_>, origin: &Origin, app: &str) {
    let origin = match origin {
        Origin::Installed => return,
        Origin::File(path) => Some(path.clone()),
        Origin::Nowhere => None,
    };
    let noted = released::note(jobs, app, |ledger| ledger.origin.clone_from(&origin));
    if let Err(failure) = noted {
        let text = format!(
            "cannot record which file the app comes from: {}",
            failure.message
        );
        jobs.sink.notice(&Notice::Noted(app, &text));
    }
}

/// Does the same for the apps of a file that have its text now. One whose old file was put back has not.
pub(super) fn note_all(jobs: &mut Jobs<'_>, origin: &Origin, selected: &[Selected]) {
    for Selected { app, pinned, .. } in selected {
        let path: PathBuf = jobs.layout.file(app.name());
        if files::content(&path) == Some(Content::File(pinned.clone())) {
            note(jobs, origin, app.name());
        }
    }
}
