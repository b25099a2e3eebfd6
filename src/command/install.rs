//! `rsgen install`: from an ecosystem file to a running cluster, and again after each change.

use std::path::{Path, PathBuf};

use clap::Args;

use super::apply::{self, Prepared};
use super::balance;
use super::context::Context;
use super::deployment::{self, Goal};
use super::held::Held;
use super::host_probe::HostProbe;
use super::import;
use super::input::{self, Input};
use super::jobs::Jobs;
use super::list;
use super::locate;
use super::manual::{self, Manual};
use super::options::Environment;
use super::outcome::Deployed;
use super::passage;
use super::port_owner;
use super::remarks;
use super::selection::{self, Purpose, Selected, Wanted};
use super::subcommand::Subcommand;
use super::trial::Trials;
use crate::ecosystem::App;
use crate::ecosystem::values::{Instances, Listen};
use crate::generate::files;
use crate::import::Kind;
use crate::output::{Exit, Failure, Notice, Sink};

/// Install the apps of an ecosystem file, or one script, and start them
#[derive(Debug, Args)]
pub(super) struct Install {
    /// An ecosystem file (`-` is standard input), or a script
    #[arg(value_name = "FILE|SCRIPT", default_value = "ecosystem.toml")]
    file: PathBuf,
    /// How many instances: a number, `max` for one on each CPU, -1 for one less
    #[arg(short, long, allow_hyphen_values = true, value_name = "N")]
    instances: Option<Instances>,
    /// Only these apps of the file
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    environment: Environment,
    /// Show what would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// For a PM2 file: make an ecosystem.toml from it, and install that
    #[arg(long)]
    import: bool,
    /// Close the present addresses before others are opened, for those that cannot be open at the same time
    #[arg(long)]
    replace_listener: bool,
    /// For a script: the address that its instances share; without it, a rehearsal finds the address
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<Listen>,
    /// For a script: the app's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For a script: its arguments
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

impl Subcommand for Install {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen install server.js --listen 3000 -i max",
                "Runs one instance of the script for each CPU, all of them behind port 3000.",
            ),
            (
                "rsgen install server.js -i max",
                "Starts the script once to find out where it listens, and then does the same.",
            ),
            (
                "rsgen install --dry-run ecosystem.toml",
                "Shows what installing the file would change.",
            ),
            (
                "rsgen install ecosystem.toml --only web",
                "Installs one app of the file, or brings it up to the file.",
            ),
            (
                "rsgen install ecosystem.toml --env production",
                "Installs the file with the variables of `env_production` over those of `env`.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        bring_up(context, &self, "install", Goal::Current)
    }
}

/// Installs what the arguments name, and brings its instances to the goal; `verb` is the subcommand.
pub(super) fn bring_up(
    context: &mut Context<'_>,
    arguments: &Install,
    verb: &str,
    goal: Goal,
) -> Result<(), Failure> {
    let input = input(arguments, context.sink)?;
    let wanted = Wanted {
        input: &input,
        only: &arguments.only,
        instances: arguments.instances,
        // A dry run may come before the files that the programs read are written, as it does from Ansible.
        purpose: if arguments.dry_run {
            Purpose::Comparison
        } else {
            Purpose::Install
        },
        env: arguments.environment.env.as_deref(),
    };
    let mut selected = select(context, &wanted)?;
    if !arguments.dry_run {
        // Checked before a program is started, and before changes are shown as if they had been made.
        context.require_permission(verb)?;
        context.jobs()?;
    }
    let (dry_run, moves) = (arguments.dry_run, arguments.replace_listener);
    let missed = locate::locate(context, &mut selected, dry_run, moves)?;
    if selected.is_empty() && missed.later.is_empty() {
        let count = missed.failures.len();
        return Failure::of_several(missed.failures, count).map_or(Ok(()), Err);
    }
    let mut prepared = apply_all(context, &selected, moves)?;
    let may_move = moves || !is_any_served(context, &prepared);
    if dry_run {
        apply::show(context.sink, &prepared, true);
        refuse_readdressing(&prepared, may_move)?;
        if context.jobs().is_ok() {
            refuse_taken(context, &selected, &prepared)?;
        }
        let scope = context.layout.scope;
        let jobs = context.jobs().ok();
        let outcome = deployment::foresee(jobs, &prepared, missed.later, goal, scope)?;
        context.sink.answer(&outcome);
        return Ok(());
    }
    refuse_readdressing(&prepared, may_move)?;
    refuse_taken(context, &selected, &prepared)?;
    apply::show(context.sink, &prepared, false);
    let mut deployed = deploy(context, &mut selected, &mut prepared, goal)?;
    deployed.add(missed.failures);
    let outcome = deployed.outcome(&prepared, context.layout.scope)?;
    remarks::tell_further_ports(&mut context.jobs()?, &outcome)?;
    if arguments.instances.is_some() {
        remarks::tell_of_scale(context.sink, &context.layout, &outcome);
    }
    context.sink.answer(&outcome);
    if !context.sink.is_for_scripts() {
        let cpus = context.host.cpus;
        let jobs = context.jobs()?;
        let listing = list::listing(jobs.manager, jobs.layout, cpus, &outcome.apps)?;
        context.sink.answer(&listing);
    }
    Ok(())
}

/// Deploys the apps. One whose program binds the port of the file, but in another family than a port alone begins with, is
/// deployed once more with the address that a rehearsal finds; its first start is not told as a failure.
fn deploy(
    context: &mut Context<'_>,
    selected: &mut [Selected],
    prepared: &mut [Prepared],
    goal: Goal,
) -> Result<Deployed, Failure> {
    let apps: Vec<App> = selected.iter().map(|s| s.app.clone()).collect();
    let (layout, cpus) = (&context.layout.clone(), context.host.cpus);
    let is_refused = |name: &str| {
        let mut apps = apps.iter().filter(|app| app.name == name);
        apps.any(|app| locate::refused(layout, cpus, app).is_some())
    };
    let trials = Trials::begin(context.manager()?, layout, &apps);
    let held = Held::over(context.sink, &is_refused);
    let mut jobs = Jobs {
        sink: &held,
        ..context.jobs()?
    };
    let mut deployed = deployment::each(&mut jobs, prepared, goal)?;
    let words = held.into_words();
    let is_failed = deployed.is_any_failed();
    let again = || locate::locate_again(context, selected);
    let ends = is_failed.then(again).unwrap_or_default();
    let is_corrected = |app: &str| {
        let mut ends = ends.iter().filter(|(_, end)| end.is_ok());
        ends.any(|(index, _)| apps.get(*index).is_some_and(|a| a.name == app))
    };
    for (_, line) in words.iter().filter(|(app, _)| !is_corrected(app)) {
        context.sink.notice(&Notice::LastWord(line));
    }
    for (index, end) in ends {
        // One that cannot be corrected does not keep the others from it.
        if let Err(failure) = end {
            deployed.fail(index, failure);
            continue;
        }
        let (Some(selected), Some(prepared)) = (selected.get_mut(index), prepared.get_mut(index))
        else {
            continue;
        };
        selected.installed = files::content(&context.layout.file(&selected.app.name));
        let serves = passage::serves(context, &selected.app.name);
        *prepared = apply::prepare(&context.layout, context.host, selected.clone(), serves)?;
        prepared.found = selected
            .app
            .listen
            .iter()
            .map(ToString::to_string)
            .collect();
        let prepared = std::slice::from_ref(&*prepared);
        apply::show(context.sink, prepared, false);
        let again = deployment::each(&mut context.jobs()?, prepared, goal)?;
        deployed.replace(index, again);
    }
    trials.end(&mut context.jobs()?, prepared, &deployed);
    Ok(deployed)
}

pub(super) fn select(
    context: &mut Context<'_>,
    wanted: &Wanted<'_>,
) -> Result<Vec<Selected>, Failure> {
    let version = context.systemd_version();
    selection::select(wanted, &context.layout, version, context.sink)
}

/// Returns the changes that installing apps makes. Where an app `moves`, its old addresses are closed first in any case.
pub(super) fn apply_all(
    context: &mut Context<'_>,
    selected: &[Selected],
    moves: bool,
) -> Result<Vec<Prepared>, Failure> {
    for selected in selected {
        balance::tell(context.sink, &context.layout, &selected.app);
    }
    let selected = selected.iter().cloned();
    selected
        .map(|selected| {
            let serves = !moves && passage::serves(context, &selected.app.name);
            apply::prepare(&context.layout, context.host, selected, serves)
        })
        .collect()
}

/// Refuses addresses that another program has, before anything is stopped.
fn refuse_taken(
    context: &mut Context<'_>,
    selected: &[Selected],
    prepared: &[Prepared],
) -> Result<(), Failure> {
    let probe = HostProbe::new(None, &context.layout);
    for (selected, prepared) in selected.iter().zip(prepared) {
        let moves = prepared.readdressed.is_some() || prepared.crossing.is_some();
        port_owner::refuse_taken(&selected.app, moves, context.manager()?, &probe)?;
    }
    Ok(())
}

/// Whether an app serves at an address that it is to leave. One that cannot be asked about may.
fn is_any_served(context: &mut Context<'_>, prepared: &[Prepared]) -> bool {
    let mut moved = prepared.iter().filter(|p| p.readdressed.is_some());
    moved.any(|moved| {
        let jobs = context.jobs();
        jobs.and_then(|mut jobs| locate::serves(&mut jobs, &moved.app))
            .unwrap_or(true)
    })
}

/// The ecosystem file that is made from a PM2 file, if that is asked for.
fn of_pm2(arguments: &Install, sink: &dyn Sink) -> Result<Input, Failure> {
    let file = &arguments.file;
    if !arguments.import {
        let help = format!(
            "`rsgen import {}` makes an ecosystem file from a PM2 file; with --import this command does that first",
            file.display()
        );
        return Err(input::of_pm2(file).help(help));
    }
    let target = import::beside(file);
    let shown = target.display().to_string();
    if target.symlink_metadata().is_ok() {
        return Err(Failure::new(Exit::Usage, format!("`{shown}` already exists"))
            .help(format!("install it with `rsgen install {shown}`, or make it anew with `rsgen import --force {}`", file.display())));
    }
    let draft = import::import(file, Some(&target))?;
    if !arguments.dry_run {
        draft.write(false)?;
        sink.notice(&Notice::Written(&shown));
    }
    let absolute =
        input::absolute(&target).map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    Ok(Input {
        shown,
        text: draft.imported.text,
        folder: input::utf8_folder(&absolute)?,
        root: None,
    })
}

fn input(arguments: &Install, sink: &dyn Sink) -> Result<Input, Failure> {
    input::refuse_module(&arguments.file)?;
    if Kind::is_of_pm2(&arguments.file) && arguments.listen.is_empty() {
        return of_pm2(arguments, sink);
    }
    let is_script = arguments.file.extension().is_none_or(|e| e != "toml")
        && arguments.file != Path::new(input::STANDARD_INPUT);
    if !is_script {
        if !arguments.listen.is_empty() || arguments.name.is_some() || !arguments.args.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "--listen, --name and arguments are for a script",
            )
            .help("write them into the ecosystem file"));
        }
        return Input::read(&arguments.file);
    }
    script_as_file(arguments)
}

/// An ecosystem file for one script, made of the command line.
fn script_as_file(arguments: &Install) -> Result<Input, Failure> {
    let absolute =
        input::absolute(&arguments.file).map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    let folder = input::utf8_folder(&absolute)?;
    let file = absolute
        .file_name()
        .and_then(|f| f.to_str())
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!(
                    "the file name of `{}` is not UTF-8",
                    arguments.file.display()
                ),
            )
        })?;
    let mut table = toml_edit::Table::new();
    if let Some(name) = &arguments.name {
        table.insert("name", toml_edit::value(name));
    }
    table.insert(
        "script",
        toml_edit::value(if folder.join(file).exists() {
            file
        } else {
            arguments.file.to_str().unwrap_or(file)
        }),
    );
    if !arguments.args.is_empty() {
        table.insert(
            "args",
            toml_edit::value(arguments.args.iter().collect::<toml_edit::Array>()),
        );
    }
    if !arguments.listen.is_empty() {
        let listen: toml_edit::Array = arguments.listen.iter().map(ToString::to_string).collect();
        table.insert("listen", toml_edit::value(listen));
    }
    let mut tables = toml_edit::ArrayOfTables::new();
    tables.push(table);
    let mut document = toml_edit::DocumentMut::new();
    document.insert(
        crate::ecosystem::APPS,
        toml_edit::Item::ArrayOfTables(tables),
    );
    let folder = if folder.join(file).exists() {
        folder
    } else {
        input::current_folder().unwrap_or_else(|_| Path::new("/").into())
    };
    Ok(Input {
        shown: "the command line".into(),
        text: document.to_string(),
        folder,
        root: None,
    })
}

/// Refuses to move an app to another address unless told to: systemd drops a listening socket whose address changes, and
/// says nothing.
pub(super) fn refuse_readdressing(
    prepared: &[Prepared],
    replace_listener: bool,
) -> Result<(), Failure> {
    let moved = prepared
        .iter()
        .find_map(|p| Some((p, p.readdressed.as_ref()?)));
    match moved {
        Some((p, moved)) if !replace_listener => Err(Failure::failed(moved.cost(&p.app))
            .help("add --replace-listener to do that, with a moment without service")
            .help_also(moved.why.clone())),
        _ => Ok(()),
    }
}
