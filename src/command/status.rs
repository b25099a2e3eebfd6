//! The state of an app and of its instances, as systemd and the state files tell it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::accepting::Looks;
use super::controllers::Unlimited;
use super::overview::Overview;
use super::times::{self, Schedule};
use crate::brake::Deaths;
use crate::cluster::pause::Paused;
use crate::cluster::progress;
use crate::contract::{REFUSED, StartedWith, time};
use crate::ecosystem::App;
use crate::layout::Layout;
use crate::output::Failure;
use crate::state::{Entry, Name, Present};
use crate::systemd::{ActiveState, Manager, Unit};
use crate::unit::name::Units;

/// One app as scripts read it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AppStatus {
    pub(super) name: String,
    /// `ActiveState=` of the cluster unit.
    pub(super) active_state: String,
    pub(super) listen: Vec<String>,
    /// `even`, `source` or `shared`; null for a program that listens nowhere.
    pub(super) balance: Option<&'static str>,
    /// `ActiveState=` of the watch unit; null for an app that is not watched.
    pub(super) watch: Option<String>,
    /// The number of instances that serve; of a job, of those that run.
    pub(super) ready: usize,
    /// The number of instances that the app should have; of a job while no run is under way, 0.
    pub(super) wanted: Option<u32>,
    /// The connections that instances have accepted and not closed; null where the kernel does not tell, and without a port.
    pub(super) connections: Option<usize>,
    /// The connections that wait to be accepted.
    pub(super) waiting: Option<u32>,
    /// The connections that the kernel has dropped since the listeners were opened, because too many waited.
    pub(super) dropped: Option<u32>,
    /// The limits that have no effect on this host.
    pub(super) without_effect: Vec<Unlimited>,
    pub(super) instances: Vec<InstanceStatus>,
    /// For a job: `running`, `failed`, `waiting`, `stopped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<Schedule>,
}

/// One instance as scripts read it; a value that is not known is null.
#[derive(Debug, Clone, Serialize)]
pub(super) struct InstanceStatus {
    pub(super) number: u32,
    pub(super) unit: String,
    /// `online`, `paused`, `not accepting`, `starting`, `stopping`, `restarting`, `errored`, `stopped`; of a job `running` or `failed`.
    pub(super) status: &'static str,
    pub(super) pid: Option<u32>,
    pub(super) uptime_seconds: Option<u64>,
    pub(super) restarts: u32,
    pub(super) memory_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
    /// Whether a process of an earlier run is left, whose time systemd leaves out of that.
    #[serde(skip)]
    pub(super) has_leftovers: bool,
    /// Processor time as per cent of one CPU, where it was measured.
    pub(super) cpu_percent: Option<f64>,
    /// The connections that the instance has accepted and not closed.
    pub(super) connections: Option<usize>,
    /// The connections that wait at its listener; null where all instances share one.
    pub(super) waiting: Option<u32>,
    /// The connections that the kernel has dropped at its listener.
    pub(super) dropped: Option<u32>,
    /// The folder of the release that the instance was started with, without those above it; null for an app without a link to one.
    pub(super) release: Option<String>,
    /// The reason for which the instance is not online.
    pub(super) reason: Option<String>,
    /// Whether the instance is a canary that a reload has kept.
    pub(super) canary: bool,
    /// Why the kernel does not count the instance among those that connections are spread over.
    pub(super) balance_fault: Option<String>,
    /// How the run before this one ended, if it did so by itself since the app was last started or reloaded.
    pub(super) last_end: Option<LastEnd>,
}

/// The end of a run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LastEnd {
    pub(super) reason: String,
    pub(super) seconds_ago: u64,
}

/// Whether each instance has a listener of its own.
pub(super) fn is_balanced(app: &App) -> bool {
    app.balance_word()
        .is_some_and(|balance| balance != "shared")
}

impl AppStatus {
    /// The state of an app with this number of instances and this folder of state; `None` for an app of another host.
    pub(super) fn of(
        manager: &mut dyn Manager,
        (overview, looks): (&Overview, &Looks),
        app: &str,
        file: Option<&App>,
        (wanted, state): (Option<u32>, Option<&Path>),
    ) -> Result<Self, Failure> {
        let present = state.map(Present::look);
        let files = state.zip(present.as_ref());
        let listen = file.iter().flat_map(|app| &app.listen);
        let listen = listen.map(ToString::to_string).collect();
        let units = Units::of(app);
        let cluster = overview.unit(&units.cluster());
        let watch = Some(overview.unit(&units.watch())).filter(|watch| watch.load == "loaded");
        let numbers = overview.instances(app).iter().copied();
        let loaded: Vec<Unit> = numbers
            .clone()
            .map(|number| overview.unit(&units.instance(number)))
            .collect();
        let schedule = times::schedule(manager, overview, units, &loaded)?;
        let job = schedule.as_ref().filter(|schedule| schedule.is_job());
        let is_job = job.is_some();
        let job = job.map(|schedule| schedule.status(&cluster));
        let loaded = numbers.zip(loaded);
        let now = manager.now();
        let mut instances: Vec<InstanceStatus> = if is_job {
            let of_run = loaded.filter(|(_, unit)| unit.active != ActiveState::Inactive);
            of_run
                .map(|(number, unit)| of_job(number, unit, now))
                .collect()
        } else {
            loaded
                .map(|(number, unit)| instance(number, unit, deaths(files, number), now))
                .collect()
        };
        if let Some((state, present)) = files {
            mark_paused((state, present), &cluster, &mut instances, now);
            complete((state, present), file, &mut instances);
            if file.is_some_and(is_balanced) {
                mark_deaf(looks, overview, units, &mut instances);
                find_balance_faults(overview, units, (state, present), &mut instances);
            }
        }
        // A job has instances while a run is under way; between its runs nothing is missing.
        let (up, is_wanted) = match job {
            Some(status) => ("running", status == "running"),
            None => ("online", true),
        };
        Ok(Self {
            name: app.to_owned(),
            active_state: cluster.active.to_string(),
            listen,
            balance: file.and_then(App::balance_word),
            watch: watch.map(|watch| watch.active.to_string()),
            // A canary stands in for nobody: counted, it would hide that another instance is missing.
            ready: instances
                .iter()
                .filter(|i| i.status == up && !i.canary)
                .count(),
            wanted: wanted.map(|wanted| if is_wanted { wanted } else { 0 }),
            connections: None,
            waiting: None,
            dropped: None,
            without_effect: Vec::new(),
            instances,
            status: job,
            schedule,
        })
    }
}

/// The folder of an app's state, and what is there.
type Files<'a> = (&'a Path, &'a Present);

fn deaths(files: Option<Files<'_>>, number: u32) -> Option<Deaths> {
    let (state, present) = files?;
    let name = Name::Deaths(number);
    present
        .has(name)
        .then(|| Deaths::load(&Entry::new(state, name)))?
}

/// The name of the release that an instance runs. A note may be older than the `cwd` of the app.
fn release(app: &App, (state, present): Files<'_>, instance: &InstanceStatus) -> Option<String> {
    let cwd = Path::new(app.program().cwd()?);
    instance.pid?;
    let name = Name::Release(instance.number);
    let note = present.has(name).then(|| Entry::new(state, name).read())?;
    let note = StartedWith::parse(&note.ok()?)?;
    note.within(cwd)?;
    Some(note.folder.file_name()?.to_string_lossy().into_owned())
}

/// Corrects the status of instances that are down for a pause.
fn mark_paused(
    (state, present): Files<'_>,
    cluster: &Unit,
    instances: &mut [InstanceStatus],
    now: Duration,
) {
    let paused = present.has(Name::Pause).then(|| Paused::read(state));
    let paused = paused.flatten().filter(|paused| paused.until > now);
    let Some(paused) = paused.filter(|_| cluster.is_ready()) else {
        return;
    };
    let left = time::rough(paused.until.saturating_sub(now));
    let stopped = instances.iter_mut().filter(|i| i.status == "stopped");
    for instance in stopped.filter(|i| paused.numbers.contains(&i.number)) {
        instance.status = "paused";
        instance.reason = Some(format!("connections wait, for {left} at most"));
    }
}

/// Adds what only this host knows of its instances.
fn complete(files: Files<'_>, file: Option<&App>, instances: &mut [InstanceStatus]) {
    let (state, present) = files;
    let kept = present.has(Name::Canary).then(|| progress::kept(state));
    let kept = kept.unwrap_or_default();
    for instance in instances {
        instance.canary = kept.contains(&instance.number);
        instance.release = file.and_then(|file| release(file, files, instance));
        instance.memory_bytes = instance.memory_bytes.or_else(|| resident(instance.pid?));
    }
}

/// Notes which instances that serve were not added to those that connections are spread over, and which could not be turned on or off.
fn find_balance_faults(
    overview: &Overview,
    units: Units<'_>,
    (state, present): Files<'_>,
    instances: &mut [InstanceStatus],
) {
    for instance in instances.iter_mut().filter(|i| i.pid.is_some()) {
        let join = units.join(instance.number);
        let is_online = instance.status == "online";
        let name = Name::Unbalanced(instance.number);
        let unbalanced = || {
            present
                .has(name)
                .then(|| Entry::new(state, name).read().ok())?
        };
        instance.balance_fault = if is_online && overview.unit(&join).active == ActiveState::Failed
        {
            Some(format!(
                "not in the balance, as {join} failed; see `systemctl status {join}`"
            ))
        } else {
            unbalanced().map(|why| format!("balance: {why}"))
        };
    }
}

/// Corrects the status of instances that are up and accept nothing.
fn mark_deaf(
    looks: &Looks,
    overview: &Overview,
    units: Units<'_>,
    instances: &mut [InstanceStatus],
) {
    for instance in instances.iter_mut().filter(|i| i.status == "online") {
        let listener = overview.unit(&units.listener(instance.number));
        if let Some(reason) = looks.refusal(&listener) {
            instance.status = "not accepting";
            instance.reason = Some(reason);
        }
    }
}

/// An instance of a job, which systemd calls `activating` while it runs.
fn of_job(number: u32, unit: Unit, now: Duration) -> InstanceStatus {
    let is_running = unit.active == ActiveState::Activating;
    let uptime = unit.started_for().as_secs();
    let status = match unit.active {
        // To systemd, a unit that was skipped is as it was before.
        ActiveState::Failed if unit.is_unmet() => Some("stopped"),
        ActiveState::Failed => Some("failed"),
        ActiveState::Activating => Some("running"),
        _ => None,
    };
    let known = instance(number, unit, None, now);
    InstanceStatus {
        status: status.unwrap_or(known.status),
        uptime_seconds: is_running.then_some(uptime),
        ..known
    }
}

/// The reason for which an instance died last, if that is known.
pub(super) fn reason(layout: &Layout, app: &str, unit: &Unit) -> Option<String> {
    // The deaths that are noted are of earlier runs.
    if unit.is_unmet() {
        return None;
    }
    let number = Units::of(app).number(&unit.name)?;
    let deaths = Deaths::load(&Entry::new(&layout.state(app), Name::Deaths(number)))?;
    Some(told(deaths.reason)).filter(|reason| !reason.is_empty())
}

/// The reason of a death without the mark by which our own programs know that a further start would end in the same way.
fn told(reason: String) -> String {
    match reason.strip_prefix(REFUSED) {
        Some(told) => told.to_owned(),
        None => reason,
    }
}

fn instance(number: u32, unit: Unit, deaths: Option<Deaths>, now: Duration) -> InstanceStatus {
    let online = unit.active == ActiveState::Active;
    // systemd forgets that an instance has failed when its restarts are ended by a stop.
    let is_given_up = deaths.as_ref().is_some_and(|deaths| deaths.errored)
        && !matches!(unit.result.as_str(), "" | "success");
    let status = match unit.active {
        ActiveState::Active | ActiveState::Reloading => "online",
        ActiveState::Activating if unit.sub == "auto-restart" => "restarting",
        ActiveState::Activating => "starting",
        ActiveState::Deactivating => "stopping",
        ActiveState::Failed => "errored",
        ActiveState::Inactive if is_given_up => "errored",
        // Between two runs, while systemd has something else to do first.
        ActiveState::Inactive if unit.job.as_ref().is_some_and(|job| !job.is_stop()) => "starting",
        ActiveState::Inactive => "stopped",
    };
    let deaths = deaths.filter(|d| !d.reason.is_empty());
    let last_end = deaths.as_ref().map(|deaths| LastEnd {
        reason: told(deaths.reason.clone()),
        seconds_ago: now.saturating_sub(deaths.last).as_secs(),
    });
    let last = deaths
        .filter(|_| !online && !unit.is_unusable())
        .map(|deaths| told(deaths.reason));
    let reason = match status {
        _ if unit.is_unmet() => Some(unit.why()),
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
        memory_bytes: unit.memory_current,
        cpu_seconds: unit
            .cpu_usage_nsec
            .map(|n| Duration::from_nanos(n).as_secs_f64()),
        has_leftovers: unit.has_leftovers,
        cpu_percent: None,
        connections: None,
        waiting: None,
        dropped: None,
        release: None,
        reason,
        canary: false,
        balance_fault: None,
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
