//! `rsgen install`: from an ecosystem file to a running cluster, and again after each change.

mod given;

use std::path::PathBuf;

use clap::Args;

use super::apply::{self, Prepared};
use super::balance;
use super::context::Context;
use super::deployment::{self, Goal};
use super::gone::Gone;
use super::held::Held;
use super::host_probe::HostProbe;
use super::input::Input;
use super::jobs::Jobs;
use super::list;
use super::locate;
use super::manual::{self, Manual};
use super::namesake;
use super::options::Environment;
use super::outcome::{Deployed, Outcome};
use super::passage;
use super::port_owner;
use super::prune;
use super::remarks;
use super::selection::{self, Purpose, Selected, Wanted};
use super::subcommand::Subcommand;
use super::trial::Trials;
use crate::ecosystem::App;
use crate::ecosystem::values::{Instances, Listen};
use crate::generate::files;
use crate::output::{Failure, Notice};

/// Install the apps of an ecosystem file, or one script, and start them
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Install {
    /// An ecosystem file (`-` is standard input), or a script
    #[arg(value_name = "FILE|SCRIPT", default_value = "ecosystem.toml")]
    file: PathBuf,
    /// The number of instances; `max` for one per CPU, -1 for one fewer
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
    /// After everything else has succeeded, remove the apps that an earlier install of the file installed and that the file no longer has
    #[arg(long)]
    prune: bool,
    /// For a PM2 file: convert it to an ecosystem.toml, and install that
    #[arg(long)]
    import: bool,
    /// Close the present addresses first, if they cannot be open at the same time as the new ones
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
                "Installs one app of the file, or updates it to match the file.",
            ),
            (
                "rsgen install ecosystem.toml --prune",
                "Installs the file, and removes the apps that the file no longer has.",
            ),
            (
                "rsgen install ecosystem.toml --env production",
                "Installs the file; the variables of `env_production` override those of `env`.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        bring_up(context, &self, "install", Goal::CURRENT)
    }
}

impl Install {
    /// Returns the selection that the arguments ask for.
    fn wanted<'a>(&'a self, input: &'a Input, gone: &'a Gone) -> Wanted<'a> {
        Wanted {
            input,
            only: &self.only,
            instances: self.instances,
            // A dry run may come before the files that the programs read are written, as it does from Ansible.
            purpose: if self.dry_run {
                Purpose::Comparison
            } else {
                Purpose::Install
            },
            env: self.environment.env.as_deref(),
            gone: Some(gone),
        }
    }
}

/// Installs what the arguments name, and brings its instances to the goal; `verb` is the subcommand.
pub(super) fn bring_up(
    context: &mut Context<'_>,
    arguments: &Install,
    verb: &str,
    goal: Goal,
) -> Result<(), Failure> {
    let (dry_run, moves) = (arguments.dry_run, arguments.replace_listener);
    let input = given::input(arguments, context.sink)?;
    if arguments.prune && !dry_run {
        // Others cannot read which file has brought an app.
        context.require_permission(verb)?;
    }
    let gone = Gone::find(&context.layout, &input, &arguments.only, arguments.prune)?;
    let mut selected = select(context, &arguments.wanted(&input, &gone))?;
    if !dry_run {
        // Checked before a program is started, and before changes are shown as if they had been made.
        context.require_permission(verb)?;
        context.jobs()?;
    }
    let missed = locate::locate(context, &mut selected, dry_run, moves)?;
    if selected.is_empty() && missed.later.is_empty() {
        let count = missed.failures.len();
        let failure = Failure::of_several(missed.failures, count);
        let failure = failure.map(|failure| prune::kept(&context.layout, &gone, failure));
        return failure.map_or(Ok(()), Err);
    }
    let is_named = arguments.name.is_some();
    namesake::refuse(&context.layout, &input, is_named, &selected, context.sink)?;
    let mut prepared = apply_all(context, &selected, moves)?;
    let removals = prune::removals(&context.layout, &gone)?;
    if let Ok(mut jobs) = context.jobs() {
        prune::refuse_paused(&mut jobs, &gone)?;
    }
    let may_move = moves || !is_any_served(context, &prepared);
    if dry_run {
        apply::show(context.sink, &prepared, true);
    }
    refuse_readdressing(&prepared, may_move)?;
    prune::replace(context, &gone, &selected, &mut prepared)?;
    if !dry_run || context.jobs().is_ok() {
        refuse_taken(context, &selected, &prepared, &gone)?;
    }
    gone.tell(context.sink, &context.layout, verb);
    if dry_run {
        let scope = context.layout.scope;
        let jobs = context.jobs().ok();
        let mut outcome = deployment::foresee(jobs, &prepared, missed.later, goal, scope)?;
        removals.tell(context.sink);
        outcome.add_gone(&gone.apps, removals.apps(), &removals.changes(|_| true));
        context.sink.answer(&outcome);
        return Ok(());
    }
    apply::show(context.sink, &prepared, false);
    let deployed = deploy(context, &mut selected, &mut prepared, goal);
    prune::note_all(&mut context.jobs()?, &gone.origin, &selected);
    let deployed = deployed.and_then(|mut deployed| {
        deployed.add(missed.failures);
        deployed.outcome(&prepared, context.layout.scope)
    });
    let mut outcome = deployed.map_err(|failure| prune::kept(&context.layout, &gone, failure))?;
    let pruned = prune::prune(context, &gone)?;
    let changes = removals.changes(|app| pruned.contains(app));
    outcome.add_gone(&gone.apps, pruned, &changes);
    tell(context, arguments, &outcome)
}

/// Tells what was installed.
fn tell(context: &mut Context<'_>, arguments: &Install, outcome: &Outcome) -> Result<(), Failure> {
    remarks::tell_further_ports(&mut context.jobs()?, outcome)?;
    if arguments.instances.is_some() {
        remarks::tell_of_scale(context.sink, &context.layout, outcome);
    }
    context.sink.answer(outcome);
    if !context.sink.is_for_scripts() {
        let cpus = context.host.cpus;
        let jobs = context.jobs()?;
        let listing = list::listing(jobs.manager, jobs.layout, cpus, &outcome.apps)?;
        context.sink.answer(&listing);
    }
    Ok(())
}

/// Deploys the apps. One whose program binds the port of the file, but in another family than a port alone begins with, is
/// deployed again with the address that a rehearsal finds; its first start is not reported as a failure.
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
    gone: &Gone,
) -> Result<(), Failure> {
    let probe = HostProbe::new(None, &context.layout);
    for (selected, prepared) in selected.iter().zip(prepared) {
        let moves = prepared.readdressed.is_some() || prepared.crossing.is_some();
        let app = prune::without_replaced(&mut context.jobs()?, gone, &selected.app)?;
        port_owner::refuse_taken(&app, moves, context.manager()?, &probe)?;
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
            .help("add --replace-listener, which interrupts the service for a moment")
            .help_also(moved.why.clone())),
        _ => Ok(()),
    }
}
