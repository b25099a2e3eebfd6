//! `rsgen unit …`: the commands of the units. `--help` does not show them, because people do not type them. Their
//! command lines stay valid for the units of older versions.

mod cluster_unit;
mod pause;
mod scale;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use clap::Args;

use self::cluster_unit::{beside, cluster, of_the_run, say};
use super::context::Context;
use super::manual::Manual;
use super::passage;
use super::rehearse::remove_drop_ins;
use super::trial;
use super::{hint, subcommand, unapplied};
use crate::cluster::{self, Ran, RecycleError, ReloadError, Stopped};
use crate::contract::report::Report;
use crate::contract::{
    Brake, Braked, Ended, Job, OnFailure, Recycle, Rehearsed, Reload, Start, Step, Stop, Watch,
};
use crate::journal::Happening;
use crate::log;
use crate::output::{Exit, Failure, Notice};
use crate::record::Record;
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
        Step::Braked(braked) => self::braked(context, &braked),
        Step::Watch(watch) => self::watch(context, &watch),
        Step::Job(job) => self::job(context, &job),
        Step::Recycle(recycle) => self::recycle(context, recycle),
        Step::Rehearsed(rehearsed) => self::rehearsed(context, &rehearsed),
        Step::Pause(pause) => pause::pause(context, &pause),
        Step::Resume(resume) => pause::resume(context, &resume),
        Step::Scale(scale) => scale::scale(context, &scale),
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

fn start(context: &mut Context<'_>, start: &Start) -> Result<(), Failure> {
    let how = cluster::Start {
        wanted: start.instances.resolve(context.host.cpus),
        longest_stop: longest_stop(context, &start.app, start.longest_stop)?,
        patience: start.step_timeout,
    };
    // A stop during a start is not a failure of the cluster.
    crate::sys::exit_on_sigterm();
    let mut cluster = of_the_run(context, &start.app)?;
    cluster.journal = cluster.journal.clone().asked_by(cluster.take_asked());
    let sink = context.sink;
    let begun = Instant::now();
    let done = cluster::start(context.manager()?, &cluster, how, &mut |line| {
        say(&cluster, sink, line);
    });
    let (layout, now) = (context.layout.clone(), context.manager()?.now());
    let is_trial = || trial::is_refused(&layout, &start.app, 0..how.wanted, now);
    let tell = |happening, text: &str| {
        cluster.journal.tell_instead(&Record {
            took: Some(begun.elapsed()),
            ..Record::new(happening, text)
        })
    };
    match done {
        Ok(ready) => {
            let text = match ready {
                0 => "every instance has done its work".to_owned(),
                _ => format!("{ready} of {} serving", how.wanted),
            };
            if !tell(Happening::Started, &text) {
                sink.notice(&Notice::Said(&text));
            }
            Ok(())
        }
        Err(error) => {
            let told = format!("error: {error}");
            let is_told = !is_trial() && tell(Happening::StartFailed, &told);
            Err(failure(error.to_string(), is_told))
        }
    }
}

/// The failure of a command, without its message if an entry has told that already.
fn failure(message: String, is_told: bool) -> Failure {
    let failure = Failure::failed(message);
    if is_told { failure.silent() } else { failure }
}

fn job(context: &mut Context<'_>, job: &Job) -> Result<(), Failure> {
    // A stop during a run is not a failure of the job.
    crate::sys::exit_on_sigterm();
    let mut cluster = of_the_run(context, &job.app)?;
    cluster.journal = cluster.journal.clone().asked_by(cluster.take_asked());
    let wanted = job.instances.resolve(context.host.cpus);
    let sink = context.sink;
    let begun = Instant::now();
    let done = cluster::job(context.manager()?, &cluster, wanted, &mut |line| {
        sink.notice(&Notice::Said(line));
    });
    let tell = |happening, text: &str| {
        cluster.journal.tell_instead(&Record {
            took: Some(begun.elapsed()),
            ..Record::new(happening, text)
        })
    };
    match done {
        Ok(Ran::Stopped) => Ok(()),
        Ok(Ran::Done(done)) => {
            // Each instance has a line of its own, so on a terminal nothing is missing without this one.
            let _ = tell(Happening::Ran, &format!("{done} of {wanted} done"));
            Ok(())
        }
        Err(error) => {
            let told = format!("error: {error}");
            let is_told = tell(Happening::RunFailed, &told);
            Err(failure(error.to_string(), is_told))
        }
    }
}

fn reload(context: &mut Context<'_>, reload: Reload) -> Result<(), Failure> {
    let instances = reload.instances.resolve(context.host.cpus);
    let plan = Plan {
        instances,
        canaries: cluster::asked::canaries(reload.surge, instances),
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
    let mut cluster = of_the_run(context, &plan.app)?;
    let asked = cluster.take_asked();
    cluster.journal = cluster.journal.of_walk().asked_by(asked);
    let sink = context.sink;
    let done = cluster::reload(context.manager()?, &cluster, &plan, &mut |line| {
        say(&cluster, sink, line);
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
    done.map_err(|error| {
        let message = error.to_string();
        let text = format!("error: {message}");
        // A walk that has begun has told of its end.
        let is_told = !matches!(error, ReloadError::Walk(_))
            && (cluster.journal).tell_instead(&Record::new(Happening::ReloadFailed, &text));
        failure(message, is_told)
    })
}

fn stop(context: &mut Context<'_>, stop: &Stop) -> Result<(), Failure> {
    let cluster = of_the_run(context, &stop.app)?;
    let longest = longest_stop(context, &stop.app, stop.longest_stop)?;
    let sink = context.sink;
    let mut say = |line: &str| say(&cluster, sink, line);
    match cluster::stop(context.manager()?, &cluster, longest, &mut say)? {
        Stopped::Clean => Ok(()),
        Stopped::Failed(why) => {
            let text = format!("error: {why}");
            let is_told = cluster
                .journal
                .tell_instead(&Record::new(Happening::Failed, &text));
            Err(failure(why, is_told))
        }
    }
}

fn stopped(context: &mut Context<'_>, stop: &Stop) -> Result<(), Failure> {
    let cluster = of_the_run(context, &stop.app)?;
    let longest = longest_stop(context, &stop.app, stop.longest_stop)?;
    let sink = context.sink;
    let mut say = |line: &str| say(&cluster, sink, line);
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

fn recycle(context: &mut Context<'_>, recycle: Recycle) -> Result<(), Failure> {
    let instances = recycle.instances.resolve(context.host.cpus);
    let plan = Plan {
        instances,
        // Whatever a reload has, one instance at a time is replaced.
        canaries: recycle.surge.of(instances).min(1),
        parallel: 1,
        settle: recycle.settle,
        // The others serve, and nobody has asked for anything.
        on_failure: OnFailure::Abort,
        max_failures: 0,
        step: recycle.step_timeout,
        longest_stop: recycle.longest_stop,
        app: recycle.app,
    };
    // One after the other would leave an address that is still open. Whoever began the move ends it.
    if passage::is_under_way(&context.layout, &plan.app) {
        return Ok(());
    }
    let limits = cluster::Limits {
        memory: recycle.max_memory,
        uptime: recycle.max_uptime,
    };
    // A stop of the app ends the look.
    crate::sys::exit_on_sigterm();
    let mut cluster = beside(context, &plan.app);
    cluster.journal = cluster.journal.of_walk();
    let manager = context.manager()?;
    let done = cluster::recycle(manager, &cluster, &plan, limits, &mut |line| {
        log::say(5, line);
    });
    done.map_err(|error| {
        // An entry has told of a replacement that failed.
        let is_told = matches!(error, RecycleError::Failed(_));
        failure(error.to_string(), is_told)
    })
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

fn braked(context: &mut Context<'_>, braked: &Braked) -> Result<(), Failure> {
    let cluster = cluster(context, &braked.app);
    Ok(cluster::braked(context.manager()?, &cluster)?)
}

/// How long the bus may take before the end of an instance goes unnoted. systemd waits for this command before it starts the instance
/// again, and the brake unit counts such ends.
const BUS: Duration = Duration::from_secs(3);

fn ended(context: &mut Context<'_>, ended: &Ended) -> Result<(), Failure> {
    context.connect_within(BUS)?;
    // The program of the app writes to this unit as well.
    let cluster = beside(context, &ended.app);
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
    let noted = cluster::ended(context.manager()?, &cluster, end, &policy, now)?;
    // Most ends are those of a walk, which waits for this command.
    if noted.is_asked_for {
        return Ok(());
    }
    let loss = cluster::loss(context.manager()?, &cluster, end)?;
    let death = noted.death;
    let is_final = loss.is_some() || death.as_ref().is_some_and(|death| death.is_final);
    let happening = if is_final {
        Happening::Errored
    } else {
        Happening::Crashed
    };
    let text = loss.or(death.map(|death| death.text));
    let number = std::iter::once(ended.number);
    if trial::is_refused(&context.layout, &ended.app, number, now) {
        if let Some(text) = text {
            log::say(4, &text);
        }
    } else if let Some(text) = text {
        cluster.journal.tell(&Record {
            instance: Some(ended.number),
            ..Record::new(happening, &text)
        });
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
