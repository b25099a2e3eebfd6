//! `rsgen list`: every app, and the state of each of its instances.

use std::time::Duration;

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::hint;
use super::last_words;
use super::manual::Manual;
use super::subcommand::Subcommand;
use super::targets;
use crate::brake::Deaths;
use crate::generate::sources;
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Shown, Style, table};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Manager, Unit};
use crate::unit::name::Units;
use crate::visible::Visible;

/// List apps and their instances
#[derive(Debug, Args)]
#[command(visible_aliases = ["ls", "status"], aliases = ["l", "ps"])]
pub(super) struct List {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Only what has failed; the exit status is 1 if there is any, for alerts
    #[arg(long)]
    failed: bool,
}

/// The apps as scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    apps: Vec<AppStatus>,
    #[serde(skip)]
    only_failed: bool,
    #[serde(skip)]
    scope: Scope,
    /// What errored instances have written, for people.
    #[serde(skip)]
    words: Vec<Visible>,
}

/// One app as scripts read it.
#[derive(Debug, Serialize)]
struct AppStatus {
    name: String,
    /// `ActiveState=` of the cluster unit.
    active_state: String,
    listen: Vec<String>,
    /// `ActiveState=` of the watch unit; null for an app that is not watched.
    watch: Option<String>,
    ready: usize,
    /// The number of instances that the app should have.
    wanted: Option<u32>,
    instances: Vec<InstanceStatus>,
}

/// One instance as scripts read it; a value that is not known is null.
#[derive(Debug, Serialize)]
struct InstanceStatus {
    number: u32,
    unit: String,
    /// `online`, `starting`, `stopping`, `restarting`, `errored`, `stopped`.
    status: &'static str,
    pid: Option<u32>,
    uptime_seconds: Option<u64>,
    restarts: u32,
    memory_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    /// The reason for which the instance is not online.
    reason: Option<String>,
    /// How the run before this one ended, if it did so by itself since the app was last started or reloaded.
    last_end: Option<LastEnd>,
}

/// The end of a run.
#[derive(Debug, Serialize)]
struct LastEnd {
    reason: String,
    seconds_ago: u64,
}

impl Subcommand for List {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable],
        examples: &[
            ("rsgen list", "Shows every app and its instances."),
            ("rsgen list --json", "Prints the same as JSON."),
            (
                "rsgen list --failed || logger 'an app needs help'",
                "Shows the apps and instances that were given up, if there are any, and does something about it.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let known = targets::known(&context.layout);
        let is_named = !self.apps.is_empty();
        let apps = if self.apps.is_empty() {
            known
        } else {
            let apps = self.apps.iter().map(|word| targets::app(word, &known));
            apps.collect::<Result<_, _>>()?
        };
        let cpus = context.host.cpus;
        let jobs = context.jobs()?;
        let mut listing = listing(jobs.manager, jobs.layout, cpus, &apps)?;
        if self.failed {
            listing.keep_failed();
        }
        if is_named && !context.sink.is_for_scripts() {
            let jobs = context.jobs()?;
            listing.words = words_of(jobs.manager, jobs.layout, &listing.apps)?;
        }
        context.sink.answer(&listing);
        if listing.only_failed && !listing.apps.is_empty() {
            return Err(Failure::failed("").silent());
        }
        Ok(())
    }
}

/// The state of these apps.
pub(super) fn listing(
    manager: &mut dyn Manager,
    layout: &Layout,
    cpus: u32,
    apps: &[String],
) -> Result<Listing, Failure> {
    let apps = apps.iter().map(|app| status(manager, layout, cpus, app));
    Ok(Listing {
        apps: apps.collect::<Result<_, _>>()?,
        only_failed: false,
        scope: layout.scope,
        words: Vec::new(),
    })
}

impl Listing {
    /// Leaves the instances that were given up, and the apps that have such or have failed as a whole.
    fn keep_failed(&mut self) {
        self.only_failed = true;
        for app in &mut self.apps {
            app.instances.retain(|i| i.status == "errored");
        }
        let failed = ActiveState::Failed.to_string();
        self.apps
            .retain(|app| app.active_state == failed || !app.instances.is_empty());
    }
}

/// What the first errored instance of each app has written: usually the others have written the same.
fn words_of(
    manager: &mut dyn Manager,
    layout: &Layout,
    apps: &[AppStatus],
) -> Result<Vec<Visible>, Failure> {
    let mut shown = Vec::new();
    for app in apps {
        let errored = app.instances.iter().find(|i| i.status == "errored");
        let Some(instance) = errored else {
            continue;
        };
        let lines = last_words::of_unit(layout, &manager.unit(&instance.unit)?);
        if !lines.is_empty() {
            let title = format!("{}@{} wrote:", app.name, instance.number);
            shown.push(Visible::from(title));
            let indented = |line: Visible| Visible::composed(format!("  {line}"));
            shown.extend(lines.into_iter().map(indented));
        }
        shown.extend(last_words::elsewhere(layout, &app.name).map(Visible::from));
    }
    Ok(shown)
}

impl Shown for Listing {
    fn shown(&self, style: Style) -> Option<Visible> {
        if self.apps.is_empty() {
            let hint = "no app is installed; begin with `rsgen install ecosystem.toml`";
            let hint = hint::for_manager(self.scope, hint);
            return (!self.only_failed).then(|| hint.into());
        }
        let header = [
            "APP", "#", "STATUS", "PID", "UPTIME", "RESTARTS", "MEMORY", "LISTEN", "",
        ];
        let rows = self.apps.iter().flat_map(|app| app.rows(style));
        let table = table::render(&header, rows.collect());
        let missing = self.apps.iter().filter_map(AppStatus::missing);
        let lines = std::iter::once(table.to_string())
            .chain(missing.map(|m| m.to_string()))
            .chain(self.words.iter().map(|line| line.as_str().to_owned()));
        Some(Visible::composed(lines.collect::<Vec<_>>().join("\n")))
    }
}

impl AppStatus {
    /// How many instances serve, if the app is up and some do not.
    fn missing(&self) -> Option<Visible> {
        let wanted = usize::try_from(self.wanted?).ok()?;
        let is_down = self.active_state == ActiveState::Inactive.to_string();
        let (name, ready) = (&self.name, self.ready);
        (ready < wanted && !is_down)
            .then(|| Visible::line(&format!("{name}: {ready} of {wanted} serving")))
    }

    /// The addresses that the app listens on.
    fn addresses(&self) -> Visible {
        match self.listen.join(" ").as_str() {
            "" => "-".into(),
            listen => listen.into(),
        }
    }

    /// A row for each instance, or one for the app if there is none.
    fn rows(&self, style: Style) -> Vec<Vec<Visible>> {
        if !self.instances.is_empty() {
            let rows = self.instances.iter().map(|i| row(style, self, i));
            return rows.collect();
        }
        let dash = || Visible::from("-");
        vec![vec![
            (&self.name).into(),
            dash(),
            (&self.active_state).into(),
            dash(),
            dash(),
            dash(),
            dash(),
            self.addresses(),
            "".into(),
        ]]
    }
}

fn row(style: Style, app: &AppStatus, instance: &InstanceStatus) -> Vec<Visible> {
    let colour = match instance.status {
        "online" => AnsiColor::Green,
        "errored" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".into(), Visible::from);
    vec![
        (&app.name).into(),
        instance.number.to_string().into(),
        style.paint(instance.status, colour),
        or_dash(instance.pid.map(|p| p.to_string())),
        or_dash(instance.uptime_seconds.map(table::span)),
        instance.restarts.to_string().into(),
        or_dash(instance.memory_bytes.map(table::bytes)),
        app.addresses(),
        remark(app, instance).into(),
    ]
}

/// The reason for which an instance is not online, or for which it was restarted; otherwise, of the first one, whether the app
/// is watched.
fn remark(app: &AppStatus, instance: &InstanceStatus) -> String {
    match (&instance.reason, &instance.last_end) {
        (Some(reason), _) => reason.clone(),
        (
            None,
            Some(LastEnd {
                reason,
                seconds_ago,
            }),
        ) if instance.status == "online" => {
            format!("restarted {} ago: {reason}", table::span(*seconds_ago))
        }
        _ if instance.number == 0 => match app.watch.as_deref() {
            Some("active") => "watched".to_owned(),
            Some(state) => format!("watch unit: {state}"),
            None => String::new(),
        },
        _ => String::new(),
    }
}

fn status(
    manager: &mut dyn Manager,
    layout: &Layout,
    cpus: u32,
    app: &str,
) -> Result<AppStatus, Failure> {
    let listen = sources::find(layout, app)
        .and_then(|s| sources::load(layout, &s).ok())
        .map(|(_, a)| a.listen.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let state = layout.state(app);
    let units = Units::of(app);
    let cluster = manager.unit(&units.cluster())?;
    let watch = manager.unit(&units.watch())?;
    let is_watched = watch.load == "loaded";
    let watch = is_watched.then(|| watch.active.to_string());
    let mut instances = Vec::new();
    for brief in manager.units(&units.instances())? {
        let Some(number) = units.number(&brief.name) else {
            continue;
        };
        let unit = manager.unit(&brief.name)?;
        let deaths = Deaths::load(&Entry::new(&state, Name::Deaths(number)));
        instances.push(instance(number, unit, deaths, manager.now()));
    }
    instances.sort_by_key(|i| i.number);
    let ready = instances.iter().filter(|i| i.status == "online").count();
    Ok(AppStatus {
        name: app.to_owned(),
        active_state: cluster.active.to_string(),
        listen,
        watch,
        ready,
        wanted: targets::size(layout, cpus, app),
        instances,
    })
}

/// The reason for which an instance died last, if that is known.
pub(super) fn reason(layout: &Layout, app: &str, unit: &Unit) -> Option<String> {
    let number = Units::of(app).number(&unit.name)?;
    let deaths = Deaths::load(&Entry::new(&layout.state(app), Name::Deaths(number)))?;
    Some(deaths.reason).filter(|reason| !reason.is_empty())
}

fn instance(number: u32, unit: Unit, deaths: Option<Deaths>, now: Duration) -> InstanceStatus {
    let online = unit.active == ActiveState::Active;
    let status = match unit.active {
        ActiveState::Active | ActiveState::Reloading => "online",
        ActiveState::Activating if unit.sub == "auto-restart" => "restarting",
        ActiveState::Activating => "starting",
        ActiveState::Deactivating => "stopping",
        ActiveState::Failed => "errored",
        ActiveState::Inactive => "stopped",
    };
    let deaths = deaths.filter(|d| !d.reason.is_empty());
    let last_end = deaths.as_ref().map(|deaths| LastEnd {
        reason: deaths.reason.clone(),
        seconds_ago: now.saturating_sub(deaths.last).as_secs(),
    });
    let last = deaths
        .filter(|_| !online && !unit.is_unusable())
        .map(|deaths| deaths.reason);
    let reason = match status {
        "errored" => Some(last.unwrap_or_else(|| unit.why())),
        "restarting" => last,
        _ => None,
    };
    InstanceStatus {
        number,
        status,
        pid: (unit.main_pid != 0).then_some(unit.main_pid),
        uptime_seconds: online.then(|| unit.active_for().as_secs()),
        restarts: unit.n_restarts,
        memory_bytes: unit.memory_current.or_else(|| resident(unit.main_pid)),
        cpu_seconds: unit
            .cpu_usage_nsec
            .map(|n| Duration::from_nanos(n).as_secs_f64()),
        reason,
        last_end,
        unit: unit.name,
    }
}

/// The resident memory of the main process by proc(5), for hosts whose control groups do not count memory.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .ok()
        .map(|kb| kb * 1024)
}
