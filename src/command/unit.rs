//! `rsgen unit …`: the commands of the units. `--help` does not show them, because people do not type them. Their
//! command lines stay valid for the units of older versions.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::manual::Manual;
use super::rehearse::remove_drop_ins;
use super::{hint, subcommand, unapplied};
use crate::cluster::{self, Cluster, Stopped};
use crate::contract::report::Report;
use crate::contract::{Brake, Ended, Job, Rehearsed, Reload, Start, Step, Stop, Watch};
use crate::log;
use crate::output::{Exit, Failure, Notice};
use crate::state::{self, Entry, Name};
use crate::unit::name::Units;
use crate::walk::Plan;
use crate::watch;

/// Run a command of a unit
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Unit {
    /// A [`Step`], as words.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl subcommand::Subcommand for Unit {
    const MANUAL: Manual = Manual::NONE;

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        run(context, self)
    }
}

fn run(context: &mut Context<'_>, arguments: Unit) -> Result<(), Failure> {
    let parsed = Step::parse(arguments.words);
    match parsed.map_err(|fault| Failure::new(Exit::Usage, fault.to_string()))? {
        Step::Start(start) => self::start(context, &start),
        Step::Reload(reload) => self::reload(context, reload),
        Step::Stop(stop) => self::stop(context, &stop),
        Step::Stopped(stop) => stopped(context, &stop),
        Step::Ended(ended) => self::ended(context, &ended),
        Step::Brake(brake) => self::brake(context, &brake),
        Step::Watch(watch) => self::watch(context, &watch),
        Step::Job(job) => self::job(context, &job),
        Step::Rehearsed(rehearsed) => self::rehearsed(context, &rehearsed),
    }
}

/// Returns the longest time that the app's own limits allow for stopping an instance. Units of an older version do not
/// contain that time; the stop time-out of their cluster unit is a little longer.
fn longest_stop(
    context: &mut Context<'_>,
    app: &str,
    given: Option<Duration>,
) -> Result<Duration, Failure> {
    let cluster = Units::of(app).cluster();
    Ok(match given {
        Some(longest) => longest,
        None => context.manager()?.unit(&cluster)?.stop_timeout,
    })
}

fn cluster(context: &Context<'_>, app: &str) -> Cluster {
    Cluster {
        app: app.to_owned(),
        state: context.layout.state(app),
        scope: context.layout.scope,
    }
}

fn start(context: &mut Context<'_>, start: &Start) -> Result<(), Failure> {
    let how = cluster::Start {
        wanted: start.instances.resolve(context.host.cpus),
        longest_stop: longest_stop(context, &start.app, start.longest_stop)?,
        patience: start.step_timeout,
    };
    let cluster = cluster(context, &start.app);
    // A stop during a start is not a failure of the cluster.
    crate::sys::exit_on_sigterm();
    let sink = context.sink;
    let ready = cluster::start(context.manager()?, &cluster, how, &mut |line| {
        sink.notice(&Notice::Said(line));
    })
    .map_err(|e| Failure::failed(e.to_string()))?;
    let wanted = how.wanted;
    sink.notice(&Notice::Said(&format!("{ready} of {wanted} serving")));
    Ok(())
}

fn job(context: &mut Context<'_>, job: &Job) -> Result<(), Failure> {
    let cluster = cluster(context, &job.app);
    let wanted = job.instances.resolve(context.host.cpus);
    // A stop during a run is not a failure of the job.
    crate::sys::exit_on_sigterm();
    let sink = context.sink;
    cluster::job(context.manager()?, &cluster, wanted, &mut |line| {
        sink.notice(&Notice::Said(line));
    })
    .map_err(|e| Failure::failed(e.to_string()))
}

fn reload(context: &mut Context<'_>, reload: Reload) -> Result<(), Failure> {
    let instances = reload.instances.resolve(context.host.cpus);
    let plan = Plan {
        instances,
        // More would have nothing to stand in for.
        canaries: reload.surge.of(instances).min(instances),
        parallel: reload.parallel.of(instances),
        settle: reload.settle,
        on_failure: reload.on_failure,
        max_failures: reload.max_failures.unwrap_or(0),
        step: reload.step_timeout,
        longest_stop: longest_stop(context, &reload.app, reload.longest_stop)?,
        app: reload.app,
    };
    // A stop during a walk leaves what is done and touches nothing more.
    crate::sys::exit_on_sigterm();
    let cluster = cluster(context, &plan.app);
    let sink = context.sink;
    let done = cluster::reload(context.manager()?, &cluster, &plan, &mut |line| {
        sink.notice(&Notice::Said(line));
    });
    // Comes last, so that `systemctl status` shows it.
    if let Some(file) = unapplied::file(&context.layout, context.host, &plan.app) {
        let hint = format!("run `rsgen reload {}`", plan.app);
        let hint = hint::for_manager(context.layout.scope, &hint);
        let file = file.display();
        log::say(
            4,
            &format!(
                "{file} has changed, and this reload kept the units as they are; to apply the file, {hint}"
            ),
        );
    }
    done.map_err(|e| Failure::failed(e.to_string()))
}

fn stop(context: &mut Context<'_>, stop: &Stop) -> Result<(), Failure> {
    let cluster = cluster(context, &stop.app);
    let longest = longest_stop(context, &stop.app, stop.longest_stop)?;
    let sink = context.sink;
    let mut say = |line: &str| sink.notice(&Notice::Said(line));
    match cluster::stop(context.manager()?, &cluster, longest, &mut say)? {
        Stopped::Clean => Ok(()),
        Stopped::Failed(why) => Err(Failure::failed(why)),
    }
}

fn stopped(context: &mut Context<'_>, stop: &Stop) -> Result<(), Failure> {
    let cluster = cluster(context, &stop.app);
    let longest = longest_stop(context, &stop.app, stop.longest_stop)?;
    let sink = context.sink;
    let mut say = |line: &str| sink.notice(&Notice::Said(line));
    Ok(cluster::stopped(
        context.manager()?,
        &cluster,
        longest,
        &mut say,
    )?)
}

fn watch(context: &mut Context<'_>, watch: &Watch) -> Result<(), Failure> {
    let sink = context.sink;
    let ended = watch::run(context.manager()?, watch, &mut |line| {
        sink.notice(&Notice::Said(line));
    });
    ended
        .map(|never| match never {})
        .map_err(|e| Failure::failed(e.to_string()))
}

fn brake(context: &mut Context<'_>, brake: &Brake) -> Result<(), Failure> {
    let cluster = cluster(context, &brake.app);
    let manager = context.manager()?;
    Ok(cluster::brake(
        manager,
        &cluster,
        brake.max_restarts,
        &mut |line| log::say(3, line),
    )?)
}

fn ended(context: &mut Context<'_>, ended: &Ended) -> Result<(), Failure> {
    let cluster = cluster(context, &ended.app);
    let end = cluster::Ended {
        number: ended.number,
        autorestart: ended.autorestart,
        env_files: &ended.env_files,
        stop_exit_codes: &ended.stop_exit_codes,
        own_listener: ended.own_listener == Some(true),
    };
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default();
    let policy = ended.policy();
    // Most ends are those of a walk, which waits for this command.
    if !cluster::ended(context.manager()?, &cluster, end, &policy, now)? {
        return Ok(());
    }
    if let Some(text) = cluster::loss(context.manager()?, &cluster, end)? {
        log::say_about(&ended.app, &Units::of(&ended.app).cluster(), &text);
    }
    Ok(())
}

/// Tells the command that began a rehearsal how the program ended, and removes the files. This happens even if that
/// command was killed.
fn rehearsed(context: &mut Context<'_>, rehearsed: &Rehearsed) -> Result<(), Failure> {
    let Rehearsed { app, number } = rehearsed;
    let unit = Units::of(app).rehearsal(*number);
    let how = context.manager()?.unit(&unit)?.why();
    let (drop_ins, _) = Units::of(app).drop_ins(*number);
    let _ = std::fs::remove_file(context.layout.runtime_units.join(&unit));
    remove_drop_ins(&context.layout.runtime_units.join(&drop_ins));
    let folder = state::rehearsals(&context.layout.run);
    let name = Name::Rehearsal(*number);
    // Nobody listens there if the command was killed.
    if let Ok(mut reader) = UnixStream::connect(folder.join(name.to_string())) {
        let _ = writeln!(reader, "{}", Report::Ended(how));
    }
    let _ = Entry::new(&folder, name).remove();
    Ok(())
}
