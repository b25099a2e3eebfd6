//! `rsgen list`: every app, and the state of each of its instances.

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::manual::Manual;
use super::subcommand::Subcommand;
use super::targets;
use crate::brake::Deaths;
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::{Exit, Failure, Shown, Style, table};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Manager, Unit};
use crate::unit::name::Units;
use crate::visible::Visible;

/// List apps and their instances
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(super) struct List {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
}

/// The apps as scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    apps: Vec<AppStatus>,
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
}

impl Subcommand for List {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable],
        examples: &[
            ("rsgen list", "Shows every app and its instances."),
            ("rsgen list --json", "Prints the same as JSON."),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let apps = if self.apps.is_empty() {
            targets::known(&context.layout)
        } else {
            self.apps
        };
        // Where there is no app, systemd need not be asked.
        let listing = if apps.is_empty() {
            Listing { apps: Vec::new() }
        } else {
            let jobs = context.jobs()?;
            listing(jobs.manager, jobs.layout, &apps)?
        };
        context.sink.answer(&listing);
        Ok(())
    }
}

/// The state of these apps.
pub(super) fn listing(
    manager: &mut dyn Manager,
    layout: &Layout,
    apps: &[String],
) -> Result<Listing, Failure> {
    let apps = apps.iter().map(|app| status(manager, layout, app));
    Ok(Listing {
        apps: apps.collect::<Result<_, _>>()?,
    })
}

impl Shown for Listing {
    fn shown(&self, style: Style) -> Option<Visible> {
        if self.apps.is_empty() {
            return Some("no app is installed; begin with `rsgen install ecosystem.toml`".into());
        }
        let header = [
            "APP", "#", "STATUS", "PID", "UPTIME", "RESTARTS", "MEMORY", "LISTEN", "",
        ];
        let rows = self.apps.iter().flat_map(|app| app.rows(style));
        Some(table::render(&header, rows.collect()))
    }
}

impl AppStatus {
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
            self.listen.join(" ").into(),
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
        app.listen.join(" ").into(),
        note(app, instance).into(),
    ]
}

/// Why the instance does not run; otherwise, of the first one, whether the app is watched.
fn note(app: &AppStatus, instance: &InstanceStatus) -> String {
    match (&instance.reason, &app.watch) {
        (Some(reason), _) => reason.clone(),
        (None, Some(state)) if instance.number == 0 && state == "active" => "watched".to_owned(),
        (None, Some(state)) if instance.number == 0 => format!("watch unit: {state}"),
        _ => String::new(),
    }
}

fn status(manager: &mut dyn Manager, layout: &Layout, app: &str) -> Result<AppStatus, Failure> {
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
        instances.push(instance(number, unit, deaths));
    }
    instances.sort_by_key(|i| i.number);
    let ready = instances.iter().filter(|i| i.status == "online").count();
    Ok(AppStatus {
        name: app.to_owned(),
        active_state: cluster.active.to_string(),
        listen,
        watch,
        ready,
        instances,
    })
}

fn instance(number: u32, unit: Unit, deaths: Option<Deaths>) -> InstanceStatus {
    let online = unit.active == ActiveState::Active;
    let status = match unit.active {
        ActiveState::Active | ActiveState::Reloading => "online",
        ActiveState::Activating if unit.sub == "auto-restart" => "restarting",
        ActiveState::Activating => "starting",
        ActiveState::Deactivating => "stopping",
        ActiveState::Failed => "errored",
        ActiveState::Inactive => "stopped",
    };
    let last = deaths
        .filter(|_| !online)
        .map(|d| d.reason)
        .filter(|r| !r.is_empty());
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
            .map(|n| std::time::Duration::from_nanos(n).as_secs_f64()),
        reason,
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
