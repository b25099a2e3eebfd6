//! `rsgen list`: every app and how each of its instances is.

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::targets;
use crate::brake::Deaths;
use crate::generate::sources;
use crate::output::{Failure, table};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Unit};
use crate::unit::name::Units;
use crate::visible::Visible;

/// Arguments of `rsgen list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
}

#[derive(Serialize)]
struct Json {
    apps: Vec<AppStatus>,
}

/// One app as scripts read it.
#[derive(Debug, Serialize)]
struct AppStatus {
    name: String,
    /// Of the cluster unit, as systemd calls it.
    active_state: String,
    listen: Vec<String>,
    ready: usize,
    instances: Vec<InstanceStatus>,
}

/// One instance as scripts read it; what is not known is null.
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
    /// Why it is not online.
    reason: Option<String>,
}

pub(super) fn run(context: &mut Context, arguments: &List) -> Result<(), Failure> {
    let known = targets::known(&context.layout);
    let apps: Vec<String> = if arguments.apps.is_empty() {
        known
    } else {
        arguments.apps.clone()
    };
    if context.printer.json {
        let apps = apps
            .iter()
            .map(|a| status(context, a))
            .collect::<Result<_, _>>()?;
        context.printer.json(&Json { apps });
        return Ok(());
    }
    if apps.is_empty() {
        context
            .printer
            .line("no app is installed; begin with `rsgen install ecosystem.toml`");
        return Ok(());
    }
    print(context, &apps)
}

/// The table of these apps.
pub(super) fn print(context: &mut Context, apps: &[String]) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for app in apps {
        let status = status(context, app)?;
        rows.extend(status.instances.iter().map(|i| row(context, &status, i)));
        if status.instances.is_empty() {
            rows.push(vec![
                status.name.into(),
                "-".into(),
                status.active_state.into(),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                status.listen.join(" ").into(),
                "".into(),
            ]);
        }
    }
    let header = [
        "APP", "#", "STATUS", "PID", "UPTIME", "RESTARTS", "MEMORY", "LISTEN", "",
    ];
    context.printer.line(table::render(&header, rows));
    Ok(())
}

fn row(context: &Context, app: &AppStatus, instance: &InstanceStatus) -> Vec<Visible> {
    let colour = match instance.status {
        "online" => AnsiColor::Green,
        "errored" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".into(), Visible::from);
    vec![
        (&app.name).into(),
        instance.number.to_string().into(),
        context.printer.paint(instance.status, colour),
        or_dash(instance.pid.map(|p| p.to_string())),
        or_dash(instance.uptime_seconds.map(table::span)),
        instance.restarts.to_string().into(),
        or_dash(instance.memory_bytes.map(table::bytes)),
        app.listen.join(" ").into(),
        instance.reason.as_deref().unwrap_or_default().into(),
    ]
}

fn status(context: &mut Context, app: &str) -> Result<AppStatus, Failure> {
    let listen = sources::find(&context.layout, app)
        .and_then(|s| sources::load(&context.layout, &s).ok())
        .map(|(_, a)| a.listen.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let state = context.layout.state(app);
    let manager = context.manager()?;
    let units = Units::of(app);
    let cluster = manager.unit(&units.cluster())?;
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

/// Where control groups do not count memory, what proc(5) says of the main process.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .ok()
        .map(|kb| kb * 1024)
}
