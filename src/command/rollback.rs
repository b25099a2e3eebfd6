//! `rsgen rollback`: goes back to a release that an app has served.
//!
//! An app whose `cwd` is below a link has its releases in folders, and the link says which one is deployed: to the next start, to the
//! next boot, to the tool that deploys, and to everybody who looks. So a rollback moves the link, as the tools do. A note of ours that
//! holds the app on another release than the link says would have to be known to all of them.

use clap::Args;
use serde::Serialize;

use super::apply::{self, JsonChange, Prepared};
use super::context::Context;
use super::course::Pace;
use super::deployment::{self, Goal};
use super::jobs::Jobs;
use super::kept;
use super::ledger::{self, Ledger, Release, Served};
use super::link::{self, Link};
use super::manual::{self, Manual};
use super::outcome::Outcome;
use super::released;
use super::reload;
use super::selection::Selected;
use super::subcommand::Subcommand;
use super::targets;
use crate::generate::files;
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Shown, Style};
use crate::state::Lock;
use crate::systemd::ActiveState;
use crate::unit::name::Units;
use crate::visible::Visible;

/// Go back to the previous release of an app, replacing the instances one by one
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
    /// The name of a release, as `rsgen releases` shows it; by default the previous one
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    /// Show what would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pace: Pace,
}

/// The change that was done, or with `--dry-run` would be, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct RolledBack {
    pub(super) app: String,
    pub(super) dry_run: bool,
    /// The release that the app has left; null where it was not known.
    pub(super) from: Option<String>,
    pub(super) to: String,
    /// The link that was moved.
    pub(super) link: Option<String>,
    /// The folder that it leads to.
    pub(super) folder: Option<String>,
    pub(super) changes: Vec<JsonChange>,
    #[serde(skip)]
    pub(super) outcome: Option<Outcome>,
}

impl Shown for RolledBack {
    fn shown(&self, style: Style) -> Option<Visible> {
        let Self { app, to, .. } = self;
        let is_served = self.from.as_ref() == Some(to);
        let from = self.from.as_ref().map(|from| format!(" from {from}"));
        let from = from.unwrap_or_default();
        if is_served && !self.dry_run {
            return Some(Visible::line(&format!("{app}: stays on release {to}")));
        }
        if !self.dry_run {
            return Some(Visible::line(&format!("{app}: back{from} to release {to}")));
        }
        let steps = self
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.shown(style));
        let link = self.link.as_ref().zip(self.folder.as_ref());
        let link = link.map(|(link, folder)| format!("{link} would point to {folder}"));
        let steps = steps.map(|steps| steps.to_string());
        let head = if is_served {
            format!("{app}: would stay on release {to}")
        } else {
            format!("{app}: would go back{from} to release {to}")
        };
        let lines: Vec<String> = [Some(head), link, steps].into_iter().flatten().collect();
        Some(Visible::lines(&lines.join("\n")))
    }
}

impl Subcommand for Rollback {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen rollback web",
                "Goes back to the previous release: its file and, if the app has a link to its releases, its folder. If the link \
                 points to a release that the app does not serve, as after a failed reload, only the link is changed.",
            ),
            (
                "rsgen rollback web --dry-run",
                "Shows which release that is, and what would change.",
            ),
            (
                "rsgen rollback web --surge 100%",
                "Does so in the time of two starts, with a new instance for each old one.",
            ),
            (
                "rsgen rollback web 20261127",
                "Goes to this release of those that `rsgen releases web` lists.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        if !self.dry_run {
            context.require_permission("rollback")?;
        }
        let alone = if self.dry_run {
            None
        } else {
            Some(alone(&mut context.jobs()?, &app)?)
        };
        let back = Back::prepare(context, &app, &self)?;
        let outcome = if self.dry_run {
            apply::show(context.sink, std::slice::from_ref(&back.prepared), true);
            let scope = context.layout.scope;
            let prepared = std::slice::from_ref(&back.prepared);
            let jobs = context.jobs().ok();
            Some(deployment::foresee(
                jobs,
                prepared,
                Vec::new(),
                back.goal,
                scope,
            )?)
        } else {
            back.go(&mut Jobs {
                part: alone,
                ..context.jobs()?
            })?;
            None
        };
        context
            .sink
            .answer(&back.answer(app, self.dry_run, outcome));
        Ok(())
    }
}

/// Takes the lock of commands that replace instances in a way of their own, and waits for a reload that is under way: in the middle of
/// one, the link leads to another release than some instances run, as after one that failed. Of two rollbacks one would go back twice.
fn alone(jobs: &mut Jobs<'_>, app: &str) -> Result<Lock, Failure> {
    let lock = jobs.part(app)?;
    let cluster = Units::of(app).cluster();
    jobs.outlast_reload(app, |jobs| {
        let unit = jobs.manager.unit(&cluster)?;
        let is_idle = unit.job.is_none() && unit.active != ActiveState::Reloading;
        Ok(is_idle.then_some(()))
    })?;
    Ok(lock)
}

/// A release to go back to, and what that changes.
struct Back {
    from: Option<String>,
    to: Release,
    link: Option<Link>,
    prepared: Prepared,
    goal: Goal,
}

impl Back {
    fn prepare(context: &mut Context<'_>, app: &str, asked: &Rollback) -> Result<Self, Failure> {
        let layout = context.layout.clone();
        let installed = ledger::installed(&layout, app).ok_or_else(|| foreign(&layout, app))?;
        let mut ledger = Ledger::read(&layout, app)?;
        let mut jobs = context.jobs()?;
        kept::refuse(&mut jobs, app)?;
        // An app that is down has nothing that serves, and goes back from what it served last.
        if let Some(served) = released::serving(&mut jobs, app, &installed)? {
            ledger.see(served.clone());
            if !asked.dry_run {
                let noted = released::note(&mut jobs, app, |ledger| {
                    ledger.see(served.clone());
                    ledger.clone()
                });
                // Where the disk is full, somebody needs the release before all the more.
                let noted = noted.map(|noted| ledger = noted);
                released::tell(&jobs, app, noted);
            }
        }
        let to = choose(&ledger, app, asked.release.as_deref())?.clone();
        let link = link_to(&to)?;
        let file = text(&layout, app, &to, &installed)?;
        let (parsed, text) = file;
        let selected = Selected {
            app: parsed,
            pinned: text,
            installed: files::content(&layout.file(app)),
        };
        // Addresses do not move.
        let prepared = apply::prepare(&layout, context.host, selected, false)?;
        refuse_moves(&layout, &prepared, &to)?;
        let from = ledger.find(&ledger.current).map(|r| r.name.clone());
        let is_served = from.as_ref() == Some(&to.name);
        let strays = if is_served {
            released::strays(&mut context.jobs()?, app, &to.served)?
        } else {
            Vec::new()
        };
        if !strays.is_empty() {
            let note = format!(
                "{} serves another release than {}",
                strays.join(", "),
                to.name
            );
            context.sink.notice(&Notice::Noted(app, &note));
        }
        // The one that serves already is not served anew.
        let goal = if is_served && strays.is_empty() {
            Goal::Current(asked.pace.on(None))
        } else {
            Goal::Fresh(asked.pace.on(None))
        };
        Ok(Self {
            from,
            to,
            link,
            prepared,
            goal,
        })
    }

    /// Moves the link, writes the file and the units, and replaces the instances. What fails before an instance was replaced leaves all
    /// as it was.
    fn go(&self, jobs: &mut Jobs<'_>) -> Result<(), Failure> {
        let app = &self.prepared.app;
        let prepared = std::slice::from_ref(&self.prepared);
        apply::show(jobs.sink, prepared, false);
        if let Some(link) = &self.link {
            link.move_on()?;
            jobs.sink.notice(&Notice::Noted(app, &link.told()));
            tell_others(jobs, app, &self.to.served);
        }
        let done = deployment::deploy(jobs, prepared, self.goal);
        if let Err(failure) = done {
            let changes = &self.prepared.changes;
            let is_back = changes.iter().all(|c| files::content(&c.path) == c.old)
                && (failure.untouched || !changes.is_empty());
            return Err(match &self.link {
                Some(link) if is_back => match link.put_back() {
                    Ok(()) => failure,
                    Err(e) => failure.help(e.message),
                },
                _ => failure,
            });
        }
        let name = self.to.name.clone();
        let noted = released::note(jobs, app, |ledger| ledger.go_back(&name));
        // The app is back, whatever is kept of that.
        released::tell(jobs, app, noted);
        Ok(())
    }

    fn answer(self, app: String, dry_run: bool, outcome: Option<Outcome>) -> RolledBack {
        let Served { link, folder, .. } = self.to.served;
        let shown = |path: Option<std::path::PathBuf>| path.map(|path| path.display().to_string());
        let is_moved = self.link.is_some();
        RolledBack {
            app,
            dry_run,
            from: self.from,
            to: self.to.name,
            link: shown(link).filter(|_| is_moved),
            folder: shown(folder).filter(|_| is_moved),
            changes: JsonChange::each(&self.prepared.changes, dry_run),
            outcome,
        }
    }
}

/// The release to go back to. Where the link leads elsewhere than the app serves, as after a deployment that failed, that is the one
/// which the app serves.
fn choose<'a>(ledger: &'a Ledger, app: &str, wanted: Option<&str>) -> Result<&'a Release, Failure> {
    let list = format!("`rsgen releases {app}` lists those that are kept");
    let Some(name) = wanted else {
        let current = ledger.find(&ledger.current);
        if let Some(served) = current.filter(|release| release.served.is_left_by_its_link()) {
            return Ok(served);
        }
        return ledger.before().ok_or_else(|| {
            Failure::failed(format!(
                "no release of `{app}` before the present one is kept"
            ))
            .help(list)
        });
    };
    let found = ledger.find(name).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("no release `{name}` of `{app}` is kept"),
        )
        .help(list)
    })?;
    Ok(found)
}

/// The link, if it has to move.
fn link_to(to: &Release) -> Result<Option<Link>, Failure> {
    let (Some(link), Some(folder)) = (&to.served.link, &to.served.folder) else {
        return Ok(None);
    };
    if !folder.is_dir() {
        return Err(Failure::failed(format!(
            "the folder of release {} is gone: {}",
            to.name,
            folder.display()
        ))
        .help("name an older release, or deploy that one again"));
    }
    if !to.served.is_left_by_its_link() {
        return Ok(None);
    }
    Link::to(link, folder).map(Some)
}

/// The app and the text of a release, with the number of instances that was chosen since.
fn text(
    layout: &Layout,
    app: &str,
    to: &Release,
    installed: &str,
) -> Result<(crate::ecosystem::App, String), Failure> {
    let cannot = || {
        Failure::failed(format!(
            "the file of release {} is no longer valid with the present drop-ins",
            to.name
        ))
        .help(format!(
            "check them with `rsgen check {}`",
            layout.file(app).display()
        ))
    };
    let release = released::parsed(layout, app, &to.served.file).ok_or_else(cannot)?;
    let text = released::with_choice(&to.served.file, release.instances, installed);
    let parsed = released::parsed(layout, app, &text).ok_or_else(cannot)?;
    Ok((parsed, text))
}

/// Refuses what a walk cannot do.
fn refuse_moves(layout: &Layout, prepared: &Prepared, to: &Release) -> Result<(), Failure> {
    if let Some(moved) = &prepared.readdressed {
        let app = &prepared.app;
        let file = layout.file(app);
        return Err(Failure::failed(moved.refusal(app)).help(format!(
            "release {0} listened there; write its `listen` into {1} and run `rsgen reload {app}`, which moves the app while it serves, \
             and then `rsgen rollback {app} {0}`",
            to.name,
            file.display()
        )));
    }
    reload::refuse_another_kind(prepared, "with the file of that release")
}

/// Tells which other apps follow the link.
fn tell_others(jobs: &Jobs<'_>, app: &str, to: &Served) {
    for source in sources::all(jobs.layout).0 {
        let Ok((_, other)) = sources::load(jobs.layout, &source) else {
            continue;
        };
        let cwd = other.program().cwd().map(std::path::Path::new);
        let link = cwd.and_then(link::of).map(|(link, _)| link);
        if source.app != app && link.is_some() && link == to.link {
            let text = "follows the same link, and stays on its release until it is rolled back or reloaded as well";
            jobs.sink.notice(&Notice::Noted(&source.app, text));
        }
    }
}

/// The refusal to go back for an app that rsgen has not installed.
fn foreign(layout: &Layout, app: &str) -> Failure {
    let message =
        format!("`{app}` was not installed by `rsgen install`, and no releases of it are kept");
    Failure::failed(message).help(format!(
        "restore an earlier file yourself, and run `rsgen reload {app}`; see {}",
        sources::find(layout, app)
            .map_or_else(|| layout.file(app), |source| source.path)
            .display()
    ))
}
