//! `rsgen list`: every app, and the state of each of its instances.

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::manual::Manual;
use super::subcommand::Subcommand;
use super::targets;
use super::times::{self, Schedule};
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
    ready: usize,
    instances: Vec<InstanceStatus>,
    /// For a job: `running`, `failed`, `waiting`, `stopped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
}

/// One instance as scripts read it; a value that is not known is null.
#[derive(Debug, Serialize)]
struct InstanceStatus {
    number: u32,
    unit: String,
    /// `online`, `starting`, `stopping`, `restarting`, `errored`, `stopped`; of a job `running` or `failed`.
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
    /// The addresses that the app listens on.
    fn addresses(&self) -> Visible {
        match self.listen.join(" ").as_str() {
            "" => "-".into(),
            listen => listen.into(),
        }
    }

    /// A row for each instance, or one for the app if there is none. A job has a row of its own unless it runs.
    fn rows(&self, style: Style) -> Vec<Vec<Visible>> {
        let is_idle = self.status.is_some_and(|status| status != "running");
        if !self.instances.is_empty() && !is_idle {
            let rows = self.instances.iter().map(|i| row(style, self, i));
            return rows.collect();
        }
        let dash = || Visible::from("-");
        vec![vec![
            (&self.name).into(),
            dash(),
            match self.status {
                Some(status) => style.paint(status, colour(status)),
                None => (&self.active_state).into(),
            },
            dash(),
            dash(),
            dash(),
            dash(),
            self.addresses(),
            match &self.schedule {
                Some(schedule) if schedule.is_job() => schedule.told().into(),
                _ => "".into(),
            },
        ]]
    }
}

fn colour(status: &str) -> AnsiColor {
    match status {
        "online" | "running" | "waiting" => AnsiColor::Green,
        "errored" | "failed" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    }
}

fn row(style: Style, app: &AppStatus, instance: &InstanceStatus) -> Vec<Visible> {
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".into(), Visible::from);
    vec![
        (&app.name).into(),
        instance.number.to_string().into(),
        style.paint(instance.status, colour(instance.status)),
        or_dash(instance.pid.map(|p| p.to_string())),
        or_dash(instance.uptime_seconds.map(table::span)),
        instance.restarts.to_string().into(),
        or_dash(instance.memory_bytes.map(table::bytes)),
        app.addresses(),
        instance.reason.as_deref().unwrap_or_default().into(),
    ]
}

fn status(manager: &mut dyn Manager, layout: &Layout, app: &str) -> Result<AppStatus, Failure> {
    let listen = sources::find(layout, app)
        .and_then(|s| sources::load(layout, &s).ok())
        .map(|(_, a)| a.listen.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let state = layout.state(app);
    let units = Units::of(app);
    let cluster = manager.unit(&units.cluster())?;
    let mut loaded = Vec::new();
    for brief in manager.units(&units.instances())? {
        let Some(number) = units.number(&brief.name) else {
            continue;
        };
        loaded.push((number, manager.unit(&brief.name)?));
    }
    loaded.sort_by_key(|(number, _)| *number);
    let (numbers, loaded): (Vec<u32>, Vec<Unit>) = loaded.into_iter().unzip();
    let schedule = times::schedule(manager, units, &cluster, &loaded)?;
    let job = schedule.as_ref().filter(|schedule| schedule.is_job());
    let is_job = job.is_some();
    let job = job.map(|schedule| schedule.status(&cluster));
    let loaded = numbers.into_iter().zip(loaded);
    let instances: Vec<InstanceStatus> = if is_job {
        let of_run = loaded.filter(|(_, unit)| unit.active != ActiveState::Inactive);
        of_run.map(|(number, unit)| of_job(number, unit)).collect()
    } else {
        let deaths = |number| Deaths::load(&Entry::new(&state, Name::Deaths(number)));
        loaded
            .map(|(number, unit)| instance(number, unit, deaths(number)))
            .collect()
    };
    let ready = instances.iter().filter(|i| i.status == "online").count();
    Ok(AppStatus {
        name: app.to_owned(),
        active_state: cluster.active.to_string(),
        listen,
        ready,
        instances,
        status: job,
        schedule,
    })
}

/// An instance of a job, which systemd calls `activating` while it runs.
fn of_job(number: u32, unit: Unit) -> InstanceStatus {
    let is_running = unit.active == ActiveState::Activating;
    let uptime = unit.started_for().as_secs();
    let failed = (unit.active == ActiveState::Failed).then(|| unit.why());
    let status = match unit.active {
        ActiveState::Failed => Some("failed"),
        ActiveState::Activating => Some("running"),
        _ => None,
    };
    let known = instance(number, unit, None);
    InstanceStatus {
        status: status.unwrap_or(known.status),
        uptime_seconds: is_running.then_some(uptime),
        reason: failed,
        ..known
    }
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
