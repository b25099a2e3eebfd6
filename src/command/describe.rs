//! `rsgen describe`: everything about one app: what runs, what its units are, what differs from its file.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::apply;
use super::context::Context;
use super::controllers::Unlimited;
use super::last_words;
use super::ledger::Ledger;
use super::manual::{self, Manual};
use super::rows;
use super::status::AppStatus;
use super::subcommand::Subcommand;
use super::survey;
use super::targets;
use super::walked::{self, Walk};
use crate::ecosystem::App;
use crate::ecosystem::values::Handover;
use crate::generate::{files, sources};
use crate::layout::Layout;
use crate::output::{Failure, Shown, Style};
use crate::plan::Host;
use crate::plan::diff::Content;
use crate::systemd::Unit;
use crate::unit::name::Units;
use crate::visible::Visible;

/// Describe one app: its state, the paths of its file, units and logs, and the differences from its file
#[derive(Debug, Args)]
#[command(visible_alias = "show", aliases = ["desc", "info"])]
pub(super) struct Describe {
    /// The name of the app
    #[arg(value_name = "APP")]
    app: String,
}

/// An app as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    /// The same as in the list.
    pub(super) app: AppStatus,
    /// The file and its drop-ins; null where there is none.
    pub(super) file: Option<PathBuf>,
    pub(super) drop_ins: Vec<PathBuf>,
    /// Why the file cannot be used.
    pub(super) fault: Option<String>,
    /// The command line of the program, as the file has it.
    pub(super) command: Option<Vec<String>>,
    pub(super) cwd: Option<String>,
    pub(super) user: Option<String>,
    pub(super) handover: Option<&'static str>,
    /// The pinned files; none for an app whose units the generator makes.
    pub(super) units: Vec<PathBuf>,
    /// The pinned files that would be others, were the file installed now.
    pub(super) differing: Vec<PathBuf>,
    /// The instances that were started before the file of their units was last changed.
    pub(super) outdated: Vec<u32>,
    /// Whether systemd has to read the files of the units again.
    pub(super) needs_daemon_reload: bool,
    pub(super) slice: Option<String>,
    /// Where the output goes, if that is not the journal.
    pub(super) output: Option<String>,
    pub(super) walk: Option<Walk>,
    /// The release that is kept as the present one; null where none is, and for others than the owner of what is kept.
    pub(super) release: Option<String>,
    /// The release that a rollback has left, until something else is deployed.
    pub(super) back_from: Option<String>,
    /// The output of errored instances, for people.
    #[serde(skip)]
    pub(super) words: Vec<Visible>,
}

impl Subcommand for Describe {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen describe web",
                "Shows the state of the app, the paths of its parts, and the differences from its file.",
            ),
            ("rsgen describe web --json", "Prints the same as JSON."),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        let host = context.host;
        let layout = context.layout.clone();
        let is_for_scripts = context.sink.is_for_scripts();
        let manager = context.manager()?;
        let apps = std::slice::from_ref(&app);
        let mut found = survey::states(manager, &layout, host.cpus, apps)?;
        let Some(status) = found.pop() else {
            return Ok(());
        };
        let mut names = vec![Units::of(&app).cluster()];
        names.extend(status.instances.iter().map(|i| i.unit.clone()));
        let units = manager.each(&names)?;
        let walk = walked::last(&layout.state(&app), &status.active_state);
        let words = if is_for_scripts {
            Vec::new()
        } else {
            last_words::of_errored(manager, &layout, std::slice::from_ref(&status))?
        };
        let mut described = describe(&layout, host, status, &units, walk);
        described.words = words;
        context.sink.answer(&described);
        Ok(())
    }
}

/// Describes an app from the states of its cluster unit and of its instances.
fn describe(
    layout: &Layout,
    host: Host,
    app: AppStatus,
    units: &[Unit],
    walk: Option<Walk>,
) -> Described {
    let source = sources::find(layout, &app.name);
    let loaded = source.as_ref().map(|source| sources::load(layout, source));
    let (file, fault) = match loaded {
        Some(Ok((_, file))) => (Some(file), None),
        Some(Err(fault)) => (None, Some(fault)),
        None => (None, None),
    };
    let parts = source.iter().flat_map(|s| sources::parts(layout, s));
    let path = source.as_ref().map(|source| source.path.clone());
    let pinned = files::installed(layout, &app.name).into_iter();
    let pinned: Vec<PathBuf> = pinned
        .filter(|(path, content)| matches!(content, Content::File(_)) && files::is_ours(path))
        .map(|(path, _)| path)
        .collect();
    let differing = match (&file, &path) {
        (Some(file), Some(path)) if !pinned.is_empty() => differing(layout, host, file, path),
        _ => Vec::new(),
    };
    let template = layout.units.join(Units::of(&app.name).template());
    let kept = Ledger::read(layout, &app.name).unwrap_or_default();
    Described {
        release: Some(kept.current).filter(|release| !release.is_empty()),
        back_from: kept.back_from,
        drop_ins: parts
            .filter(|part| part.is_file() && Some(part) != path.as_ref())
            .collect(),
        file: path,
        fault: fault.as_ref().map(sources::one_line),
        command: file.as_ref().map(|app| app.program().command_line()),
        cwd: file
            .as_ref()
            .and_then(|app| app.program().cwd().map(str::to_owned)),
        user: file
            .as_ref()
            .and_then(|app| app.account().0.map(str::to_owned)),
        handover: file.as_ref().and_then(handover),
        differing,
        outdated: outdated(&app, units, &template),
        units: pinned,
        needs_daemon_reload: units.iter().any(|unit| unit.need_daemon_reload),
        slice: slice_of_instances(&app, units),
        output: last_words::output(layout, &app.name),
        walk,
        words: Vec::new(),
        app,
    }
}

/// How the program gets its socket; `None` for one that listens nowhere.
fn handover(app: &App) -> Option<&'static str> {
    match app.handover {
        Handover::Bind => Some("bind"),
        Handover::Fds => Some("fds"),
        Handover::Nothing => None,
    }
}

/// The pinned files that an install of the file would change.
fn differing(layout: &Layout, host: Host, file: &App, path: &Path) -> Vec<PathBuf> {
    match apply::prepare_units(layout, host, file.clone(), path, true) {
        Ok(prepared) => prepared.all_changes().map(|c| c.path.clone()).collect(),
        Err(_) => Vec::new(),
    }
}

/// The instances whose program was started before their unit's file was written.
fn outdated(app: &AppStatus, units: &[Unit], template: &Path) -> Vec<u32> {
    let written = template.metadata().and_then(|found| found.modified()).ok();
    let written = written.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let Some(written) = written else {
        return Vec::new();
    };
    let is_older = |unit: &Unit| unit.main_pid != 0 && unit.began < written;
    let older = units.iter().filter(|unit| is_older(unit));
    let older = older.filter_map(|unit| Units::of(&app.name).number(&unit.name));
    older.collect()
}

/// The slice of the instances. The cluster unit is in another one, and may have a control group as well.
fn slice_of_instances(app: &AppStatus, units: &[Unit]) -> Option<String> {
    let names = Units::of(&app.name);
    let mut instances = units.iter().filter(|u| names.number(&u.name).is_some());
    instances.find_map(|unit| slice(&unit.control_group))
}

/// The slice that a control group is in.
fn slice(group: &str) -> Option<String> {
    let mut folders = group.rsplit('/').skip(1);
    folders
        .find(|folder| folder.strip_suffix(".slice").is_some())
        .map(str::to_owned)
}

impl Described {
    /// The lines about everything but the instances: a label and what there is to say.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let mut say = |label, text: Option<String>| lines.extend(text.map(|text| (label, text)));
        let app = &self.app;
        let wanted = app
            .wanted
            .map(|wanted| format!(", {} of {wanted} serving", app.ready));
        let wanted = wanted.filter(|_| app.status.is_none());
        let state = app.status.unwrap_or(&app.active_state);
        say(
            "state",
            Some(format!("{state}{}", wanted.unwrap_or_default())),
        );
        let schedule = app.schedule.as_ref();
        say(
            "schedule",
            schedule.map(|s| format!("{}: {}", s.does, s.told())),
        );
        let command = self.command.as_ref().map(|words| words.join(" "));
        let cwd = self.cwd.as_ref().map(|cwd| format!(", in {cwd}"));
        let user = self.user.as_ref().map(|user| format!(", as {user}"));
        let (cwd, user) = (cwd.unwrap_or_default(), user.unwrap_or_default());
        say(
            "runs",
            command.map(|command| format!("{command}{cwd}{user}")),
        );
        let balance = app.balance.zip(self.handover);
        let listen = app.listen.join(" ");
        say(
            "listens",
            balance
                .map(|(balance, handover)| format!("{listen}, {balance}, handover by {handover}")),
        );
        let paths = |paths: &[PathBuf]| {
            let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
            (!paths.is_empty()).then(|| paths.join(" "))
        };
        let file = self.file.iter().chain(&self.drop_ins).cloned();
        say("file", paths(&file.collect::<Vec<_>>()));
        say("fault", self.fault.clone());
        let generated = || Some("made by the generator from the file".to_owned());
        say("units", paths(&self.units).or_else(generated));
        say("differs", self.difference());
        let unlimited: Vec<String> = app.without_effect.iter().map(Unlimited::told).collect();
        say(
            "limits",
            (!unlimited.is_empty()).then(|| unlimited.join("; ")),
        );
        say("slice", self.slice.clone());
        let logs = || format!("in the journal; `rsgen logs {}`", app.name);
        let output = self.output.as_ref();
        let output = output.map(|file| last_words::told(file, None));
        say("logs", Some(output.unwrap_or_else(logs)));
        say("walk", self.walk.as_ref().map(Walk::told));
        say("release", self.release());
        lines
    }

    /// The release, and that it is not the last one that was deployed.
    fn release(&self) -> Option<String> {
        let release = self.release.clone()?;
        let back = self.back_from.as_ref().map(|from| {
            format!(", rolled back from {from}; the next install or deploy replaces it")
        });
        Some(release + &back.unwrap_or_default())
    }

    /// What is not as the file says, and what brings it in line.
    fn difference(&self) -> Option<String> {
        let mut told = Vec::new();
        if !self.differing.is_empty() {
            let names = self.differing.iter().filter_map(|path| path.file_name());
            let names: Vec<_> = names
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            let app = &self.app.name;
            let names = names.join(" ");
            told.push(format!(
                "{names} would change: `rsgen reload {app}` applies the file"
            ));
        }
        if self.needs_daemon_reload {
            told.push(
                "systemd has not read the changed units: `systemctl daemon-reload`".to_owned(),
            );
        }
        if !self.outdated.is_empty() {
            let numbers: Vec<String> = self.outdated.iter().map(u32::to_string).collect();
            let numbers = numbers.join(", ");
            let app = &self.app.name;
            told.push(format!(
                "started before their unit was changed: {numbers}; `rsgen reload {app}` replaces them"
            ));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

impl Shown for Described {
    fn shown(&self, style: Style) -> Option<Visible> {
        let lines = self.lines().into_iter();
        let lines = lines.map(|(label, text)| format!("{label:9} {}", Visible::line(&text)));
        let table = rows::table(std::slice::from_ref(&self.app), style);
        let name = Visible::line(&self.app.name).to_string();
        let all = std::iter::once(name)
            .chain(lines)
            .chain([String::new(), table.to_string()])
            .chain(self.words.iter().map(|line| line.as_str().to_owned()));
        Some(Visible::composed(all.collect::<Vec<_>>().join("\n")))
    }
}
