//! `rsgen uninstall`: stops apps and removes exactly the files that install wrote.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::apply::JsonChange;
use super::context::Context;
use super::hint;
use super::jobs::Jobs;
use super::kept;
use super::ledger::Ledger;
use super::manual::{self, Manual};
use super::options::Targets;
use super::paused;
use super::resize;
use super::socket_files;
use super::state;
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use super::writing::Writing;
use crate::balance;
use crate::generate::files;
use crate::journal::Happening;
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Shown, Sink};
use crate::plan::diff::Change;
use crate::record::Record;
use crate::state::Draft;
use crate::unit::name::{self, Units};

/// Stop apps and remove what install wrote
#[derive(Debug, Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    targets: Targets,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// The files that were removed, or with `--dry-run` would be, as scripts read them.
#[derive(Serialize)]
pub(super) struct Uninstalled {
    pub(super) dry_run: bool,
    pub(super) changes: Vec<JsonChange>,
}

impl Shown for Uninstalled {}

impl Subcommand for Uninstall {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen uninstall web",
                "Stops the app and removes its units and its installed file.",
            ),
            (
                "rsgen uninstall web api",
                "Removes both; if one is not installed, the other is removed, and the exit status is 1.",
            ),
            (
                "rsgen uninstall --dry-run all",
                "Lists the files that would be removed.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let targets = targets::each(context, &self.targets, "uninstall")?;
        if let Some(Ok(instance)) = targets
            .iter()
            .find(|t| matches!(t, Ok(Target::Instance(..))))
        {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{instance}` is one instance; an app is uninstalled as a whole"),
            )
            .help(one_less(&instance.to_string(), instance.app())));
        }
        if !self.dry_run {
            context.require_permission("uninstall")?;
        }
        let count = targets.len();
        let mut changes = Vec::new();
        let mut done = Vec::new();
        let mut failures = Vec::new();
        for target in targets {
            let app = target.map(|target| target.to_string());
            match app.and_then(|app| Ok((self.remove(context, &app)?, app))) {
                Ok((removed, app)) => {
                    changes.extend(removed);
                    done.push(app);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(failure) = Failure::of_several(failures, count) {
            // With `--dry-run` nothing is.
            done.retain(|_| !self.dry_run);
            return Err(failure.beside(done));
        }
        context.sink.answer(&Uninstalled {
            dry_run: self.dry_run,
            changes: JsonChange::each(&changes, false),
        });
        Ok(())
    }
}

/// The help for somebody who wants one instance less, as PM2 deletes one process by its number.
fn one_less(instance: &str, app: &str) -> String {
    format!(
        "for one instance less, run `rsgen scale {app} -1`; to stop `{instance}` until the next start, run `rsgen stop {instance}`"
    )
}

/// Returns the same help in the place of `answer` where that is to uninstall an app, and a word on the command line is an instance.
pub(super) fn one_less_of(word: &str, answer: &str) -> Option<String> {
    let (app, number) = word.split_once('@')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let is_one = is_number && name::check(app).is_ok() && answer.contains("rsgen uninstall");
    is_one.then(|| one_less(word, app))
}

/// Returns an answer about an app for somebody who names a process by its number, as PM2 does.
pub(super) fn by_number(word: &str, answer: &str) -> Option<String> {
    let has_app = ["APP", "EACH"].iter().any(|name| answer.contains(name));
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit()) || !has_app {
        return None;
    }
    let less = if answer.contains("rsgen uninstall") {
        ", or for one instance less `rsgen scale APP -1`"
    } else {
        ""
    };
    Some(format!(
        "`rsgen list` shows the names that take the place of PM2's numbers: {answer}{less}"
    ))
}

impl Uninstall {
    fn remove(&self, context: &mut Context<'_>, app: &str) -> Result<Vec<Change>, Failure> {
        if !self.dry_run {
            return remove(&mut context.jobs()?, app);
        }
        if let Ok(mut jobs) = context.jobs() {
            refuse_paused(&mut jobs, app)?;
        }
        let removed = removals(&context.layout, app)?;
        tell(context.sink, &removed);
        tell_of_drafts(context.sink, &Draft::left(&context.layout.run, app));
        Ok(removed)
    }
}

/// Refuses to uninstall an app that is paused: connections wait for the end of that, and would be cut.
pub(super) fn refuse_paused(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    kept::refuse_paused(jobs, app).map_err(|failure| {
        let stop = format!("or `rsgen stop {app}`, which cuts the waiting connections");
        failure.help_also(Some(hint::for_manager(jobs.layout.scope, &stop)))
    })
}

/// Uninstalls an app, and returns the changes.
fn remove(jobs: &mut Jobs<'_>, app: &str) -> Result<Vec<Change>, Failure> {
    let foreseen = removals(jobs.layout, app)?;
    let removed = uninstall(jobs, app, &foreseen, |_| Ok(()))?;
    tell(jobs.sink, &removed);
    Ok(removed)
}

/// Uninstalls an app that nobody has named, and leaves its files where another command has written them while the app was being
/// stopped, which lasts as long as its requests.
pub(super) fn remove_unchanged(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    let foreseen = removals(jobs.layout, app)?;
    let help = hint::for_manager(jobs.layout.scope, &format!("run `rsgen start {app}`"));
    let removed = uninstall(jobs, app, &foreseen, |now| {
        if now == foreseen {
            return Ok(());
        }
        let message = format!(
            "`{app}` was stopped, and its files stay: another command has written them meanwhile"
        );
        Err(Failure::failed(message).help(help))
    })?;
    tell(jobs.sink, &removed);
    Ok(())
}

/// Tells of copies of the file that were edited and not applied.
fn tell_of_drafts(sink: &dyn Sink, drafts: &[PathBuf]) {
    for draft in drafts {
        sink.notice(&Notice::Removed(draft));
    }
}

/// Tells of the files that are removed.
pub(super) fn tell(sink: &dyn Sink, removed: &[Change]) {
    for change in removed {
        sink.notice(&Notice::Removed(&change.path));
    }
}

/// Stops an app, and then removes its files and its state. Returns the changes: another command may have written files while the
/// app was being stopped. `agree` sees them before anything is removed.
fn uninstall(
    jobs: &mut Jobs<'_>,
    app: &str,
    changes: &[Change],
    agree: impl FnOnce(&[Change]) -> Result<(), Failure>,
) -> Result<Vec<Change>, Failure> {
    refuse_paused(jobs, app)?;
    let timer = Units::of(app).timer();
    if changes.iter().any(|change| change.path.ends_with(&timer)) {
        jobs.stop_timer(app)?;
    }
    jobs.stop(app)?;
    jobs.stop_brake(app)?;
    let writing = Writing::begin(jobs, app)?;
    let changes = removals(jobs.layout, app)?;
    agree(&changes)?;
    files::apply(&changes).map_err(|e| Failure::failed(e.to_string()))?;
    socket_files::remove(jobs.layout, &changes);
    state::remove(jobs.layout, app);
    paused::forget(jobs.layout, app);
    tell_of_drafts(jobs.sink, &Draft::forget(&jobs.layout.run, app));
    Ledger::remove(jobs.layout, app);
    balance::forget(&jobs.layout.run, app).map_err(|e| {
        Failure::failed(format!("the selector of `{app}` is still in memory: {e}"))
            .help("it is gone after the next boot")
    })?;
    jobs.manager.daemon_reload()?;
    drop(writing);
    // systemd remembers a unit that has failed though its files are gone.
    jobs.forget_failures(app)?;
    jobs.record(app, &Record::new(Happening::Uninstalled, "uninstalled"));
    Ok(changes)
}

/// The changes that remove every file of an app that was installed.
pub(super) fn removals(layout: &Layout, app: &str) -> Result<Vec<Change>, Failure> {
    let mut paths = files::installed(layout, app);
    let file = layout.file(app);
    if let Some(content) = files::content(&file) {
        paths.insert(file, content);
    }
    if paths.is_empty() {
        return Err(
            Failure::failed(format!("`{app}` was not installed by `rsgen install`")).help(format!(
                "remove its file yourself, or mask it: ln -s /dev/null /etc/rsgen/{app}.toml"
            )),
        );
    }
    if let Some(path) = resize::own_drop_in(layout, app) {
        let content = files::content(&path);
        paths.extend(content.map(|content| (path, content)));
    }
    Ok(paths
        .into_iter()
        .map(|(path, old)| Change {
            path,
            old: Some(old),
            new: None,
        })
        .collect())
}
