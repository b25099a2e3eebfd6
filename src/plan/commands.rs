//! Fills the command lines of the units: decides which keys of an app go into which line of [`crate::contract`].

use std::path::Path;
use std::time::Duration;

use askama::filters::Safe;

use super::Host;
use crate::contract::{
    self, Act, Ask, Balance, Brake, Braked, Cpus, Drain, Ended, Health, Job, Pause, Policy,
    Recycle, Rehearsal, Rehearsed, Release, Reload, Resume, Run, Start, Step, Stop, Text, Watch,
    Way, count,
};
use crate::ecosystem::App;
use crate::ecosystem::env_files::EnvFiles;
use crate::layout::{Layout, Scope};

/// The command lines of the cluster unit.
pub(super) struct OfCluster {
    pub(super) start: Safe<String>,
    /// `None` for a job, which ends by itself.
    pub(super) lasting: Option<OfLasting>,
}

/// The command lines of the cluster unit of a long-running app.
pub(super) struct OfLasting {
    pub(super) reload: Safe<String>,
    pub(super) stop: Safe<String>,
    pub(super) stopped: Safe<String>,
}

/// The command lines of the template of the instances.
pub(super) struct OfInstance {
    /// Checks the environment files that systemd reads; `None` if there are none.
    pub(super) env_files: Option<Safe<String>>,
    /// Notes the release that the instance is started with; `None` if `cwd` is not below a link.
    pub(super) release: Option<Safe<String>>,
    pub(super) run: Safe<String>,
    pub(super) drain: Option<Safe<String>>,
    /// `None` for a job, which is not started again.
    pub(super) ended: Option<Safe<String>>,
    /// The commands for instances that each have a listener of their own.
    pub(super) balance: Option<OfBalance>,
    pub(super) health: OfHealth,
}

/// The commands that check whether an instance serves.
#[derive(Default)]
pub(super) struct OfHealth {
    /// The checks that run as root.
    pub(super) as_root: Vec<Safe<String>>,
    /// The app's own check, which runs as the program does.
    pub(super) own: Option<Safe<String>>,
}

/// The commands by which an instance gets connections, and stops getting them.
pub(super) struct OfBalance {
    pub(super) on: Safe<String>,
    pub(super) off: Safe<String>,
    pub(super) leave: Safe<String>,
}

/// Renders the command lines of the cluster unit. `step_timeout` limits one step of a reload; `longest_stop` is the
/// longest time that stopping an instance takes.
pub(super) fn of_cluster(
    app: &App,
    layout: &Layout,
    step_timeout: Duration,
    longest_stop: Duration,
) -> OfCluster {
    if app.is_job() {
        let job = Job {
            app: app.name.clone(),
            instances: app.instances,
        };
        return OfCluster {
            start: step(&Step::Job(job), layout),
            lasting: None,
        };
    }
    let longest_stop = Some(longest_stop);
    let start = Start {
        app: app.name.clone(),
        instances: app.instances,
        step_timeout,
        longest_stop,
    };
    let reload = Reload {
        app: app.name.clone(),
        instances: app.instances,
        surge: app.rollout.surge,
        parallel: app.rollout.parallel,
        settle: app.rollout.settle,
        on_failure: app.rollout.on_failure,
        max_failures: Some(app.rollout.max_failures).filter(|most| *most > 0),
        step_timeout,
        longest_stop,
    };
    let stop = Stop {
        app: app.name.clone(),
        longest_stop,
    };
    OfCluster {
        start: step(&Step::Start(start), layout),
        lasting: Some(OfLasting {
            reload: step(&Step::Reload(reload), layout),
            stop: step(&Step::Stop(stop.clone()), layout),
            stopped: step(&Step::Stopped(stop), layout),
        }),
    }
}

pub(super) fn of_instance(
    app: &App,
    layout: &Layout,
    host: Host,
    files: &EnvFiles<'_>,
) -> OfInstance {
    let worker = &[&layout.worker];
    let looked_at = files.looked_at();
    OfInstance {
        env_files: env_files(app, layout, &looked_at).map(|look| look.line().in_unit(worker)),
        release: release(app, layout, host).map(|release| release.line().in_unit(worker)),
        run: run(app, layout, &files.by_worker).line().in_unit(worker),
        drain: drain(app, layout).map(|drain| drain.line().in_unit(worker)),
        ended: (!app.is_job()).then(|| step(&Step::Ended(ended(app, &looked_at)), layout)),
        balance: app.is_even().then(|| OfBalance {
            on: balance(app, layout, Act::On),
            off: balance(app, layout, Act::Off),
            leave: balance(app, layout, Act::Leave),
        }),
        health: health(app, layout, &files.by_worker),
    }
}

/// Renders the commands that check whether an instance serves: none if an instance cannot be reached on its own.
fn health(app: &App, layout: &Layout, env_files: &[&str]) -> OfHealth {
    let addresses = app.steered();
    if !app.is_even() || addresses.is_empty() {
        return OfHealth::default();
    }
    let keys = &app.probe;
    let accepts = Health {
        ask: Ask::Accepts,
        app: app.name.clone(),
        instance: number(),
        state: state(app, layout),
        addresses,
        timeout: app.lifecycle.listen_timeout,
        interval: None,
        after: None,
        path: None,
        env_files: Vec::new(),
        counted: Vec::new(),
        command: Vec::new(),
    };
    let more = Health {
        timeout: keys.health_timeout,
        interval: Some(keys.health_interval),
        after: Some(keys.healthy_after),
        ..accepts.clone()
    };
    let path = keys.health.as_ref().map(|path| Health {
        ask: Ask::Path,
        path: Some(path.clone()),
        ..more.clone()
    });
    let own = (!keys.health_command.is_empty()).then(|| Health {
        ask: Ask::Command,
        env_files: env_files.iter().map(Text::plain).collect(),
        counted: counted(app),
        command: keys.health_command.iter().map(Into::into).collect(),
        ..more
    });
    let render = |health: &Health<Text, Text>| health.line().in_unit(&[&layout.worker]);
    OfHealth {
        as_root: [Some(accepts), path].iter().flatten().map(render).collect(),
        own: own.as_ref().map(render),
    }
}

/// Renders the command lines of the unit of a rehearsal.
pub(super) fn of_rehearsal(
    app: &App,
    layout: &Layout,
    files: &EnvFiles<'_>,
    rehearsal: super::Rehearsal<'_>,
) -> OfInstance {
    let worker = &[&layout.worker];
    let run = Run {
        rehearsal: Some(Rehearsal {
            report: Text::plain(rehearsal.report),
            signal: app.lifecycle.kill_signal.clone(),
            kill_timeout: app.lifecycle.kill_timeout,
        }),
        ..run(app, layout, &files.by_worker)
    };
    let rehearsed = Rehearsed {
        app: app.name.clone(),
        number: rehearsal.number,
    };
    OfInstance {
        env_files: env_files(app, layout, &files.looked_at())
            .map(|look| look.line().in_unit(worker)),
        release: None,
        run: run.line().in_unit(worker),
        drain: None,
        ended: Some(step(&Step::Rehearsed(rehearsed), layout)),
        balance: None,
        health: OfHealth::default(),
    }
}

/// A command that changes which instances get connections.
pub(super) fn balance(app: &App, layout: &Layout, act: Act) -> Safe<String> {
    let balance = Balance {
        act,
        app: app.name.clone(),
        instance: number(),
        state: state(app, layout),
        by_source: app.is_by_source().then_some(true),
        // A command of the app has no privilege by which its connection could be recognised.
        guarded: (act == Act::Join && app.probe.health_command.is_empty()).then_some(true),
    };
    balance.line().in_unit(&[&layout.worker])
}

/// A command of `rsgen` itself.
fn step(step: &Step<Text, Text>, layout: &Layout) -> Safe<String> {
    let command = layout.command.as_os_str();
    match layout.scope {
        Scope::System => step.line().in_unit(&[command, "unit".as_ref()]),
        Scope::User => step
            .line()
            .in_unit(&[command, "--user".as_ref(), "unit".as_ref()]),
    }
}

/// Returns the number of the instance that systemd uses the template for.
fn number() -> Text {
    Text::specifier('i')
}

fn state(app: &App, layout: &Layout) -> Text {
    match layout.scope {
        Scope::System => Text::plain(layout.state(&app.name)),
        Scope::User => Text::specifier('t').then(Text::plain(format!("/rsgen/{}", app.name))),
    }
}

fn env_files(app: &App, layout: &Layout, files: &[Text]) -> Option<contract::EnvFiles<Text>> {
    (!files.is_empty()).then(|| contract::EnvFiles {
        state: state(app, layout),
        files: files.to_vec(),
    })
}

/// Returns the command that notes the release, for an app that systemd starts again and whose `cwd` is below a link.
fn release(app: &App, layout: &Layout, host: Host) -> Option<Release<Text, Text>> {
    let is_link = |path: &&Path| (host.status)(path).is_some_and(|found| found.link.is_some());
    let cwd = Path::new(app.program.cwd()?);
    // Of several links, the last leads to a release: the others belong to the host, such as /home.
    let link = cwd.ancestors().find(is_link)?;
    app.is_restarted().then(|| Release {
        instance: number(),
        state: state(app, layout),
        link: Text::plain(link),
    })
}

fn run(app: &App, layout: &Layout, env_files: &[&str]) -> Run<Text, Text> {
    let life = &app.lifecycle;
    let program = app.program.command_line().into_iter();
    Run {
        app: app.name.clone(),
        instance: number(),
        state: state(app, layout),
        handover: app.handover,
        ready: app.ready,
        listen_timeout: life.listen_timeout,
        brake: Policy {
            min_uptime: life.min_uptime,
            max_restarts: life.max_restarts,
            backoff: life.exp_backoff_restart_delay,
        },
        preload: is_drained(app) && life.preload,
        rehearsal: None,
        env_files: env_files.iter().map(Text::plain).collect(),
        counted: counted(app),
        cpus: (app.cpus != Cpus::All).then_some(app.cpus),
        program: program.map(Into::into).collect(),
    }
}

/// Returns the variables that have a different number in each instance.
fn counted(app: &App) -> Vec<String> {
    let counted = app
        .env
        .iter()
        .filter(|(_, value)| count::first(value).is_some());
    counted.map(|(name, _)| name.clone()).collect()
}

fn is_drained(app: &App) -> bool {
    app.lifecycle.drain != Way::Off || app.lifecycle.shutdown_with_message
}

/// Returns the drain, which runs before the stop signal. Its time is not part of `TimeoutStopSec=`: it asks systemd for
/// more.
fn drain(app: &App, layout: &Layout) -> Option<Drain<Text, Text>> {
    let life = &app.lifecycle;
    is_drained(app).then(|| Drain {
        app: app.name.clone(),
        instance: number(),
        state: state(app, layout),
        handover: app.handover,
        timeout: life.drain_timeout,
        way: life.drain,
        signal: life.drain_signal.clone(),
        message: life.shutdown_with_message.then_some(life.kill_timeout),
    })
}

/// Renders the command of the watch unit. Paths are relative to `cwd` only in a file that was copied there
/// without `rsgen install`, which makes them absolute.
pub(super) fn watch(app: &App, layout: &Layout) -> Safe<String> {
    let cwd = Path::new(app.program.cwd().unwrap_or("/"));
    let watched = &app.watched;
    let watch = Watch {
        app: app.name.clone(),
        paths: watched.watch.iter().map(|path| cwd.join(path)).collect(),
        ignore: watched.ignore_watch.clone(),
        delay: watched.watch_delay,
    };
    step(&Step::Watch(watch), layout)
}

/// Renders the command that replaces instances which use too much memory or have run for too long.
pub(super) fn recycle(
    app: &App,
    layout: &Layout,
    step_timeout: Duration,
    longest_stop: Duration,
) -> Safe<String> {
    let recycle = Recycle {
        app: app.name.clone(),
        instances: app.instances,
        max_memory: app.recycling.max_memory_restart,
        max_uptime: app.recycling.max_uptime,
        surge: app.rollout.surge,
        settle: app.rollout.settle,
        step_timeout,
        longest_stop,
    };
    step(&Step::Recycle(recycle), layout)
}

/// Renders the command of the brake unit.
pub(super) fn brake(app: &App, layout: &Layout) -> Safe<String> {
    let brake = Brake {
        app: app.name.clone(),
        max_restarts: app.lifecycle.max_restarts,
    };
    step(&Step::Brake(brake), layout)
}

/// Renders the last command of the brake unit.
pub(super) fn braked(app: &App, layout: &Layout) -> Safe<String> {
    let app = app.name.clone();
    step(&Step::Braked(Braked { app }), layout)
}

/// Renders the command that pauses an app.
pub(super) fn pause(app: &str, layout: &Layout, time: Duration) -> Safe<String> {
    let app = app.to_owned();
    step(&Step::Pause(Pause { app, time }), layout)
}

/// Renders the command that ends a pause.
pub(super) fn resume(app: &str, layout: &Layout) -> Safe<String> {
    let app = app.to_owned();
    step(&Step::Resume(Resume { app }), layout)
}

fn ended(app: &App, env_files: &[Text]) -> Ended<Text, Text> {
    let life = &app.lifecycle;
    Ended {
        app: app.name.clone(),
        number: number(),
        min_uptime: life.min_uptime,
        max_restarts: life.max_restarts,
        autorestart: life.autorestart,
        env_files: env_files.to_vec(),
        stop_exit_codes: life.stop_exit_codes.clone(),
        own_listener: app.is_even().then_some(true),
    }
}
