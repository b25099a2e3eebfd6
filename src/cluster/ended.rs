//! `ExecStopPost=` of an instance: counts quick deaths, and has the cluster stopped if the instance was the last.
//!
//! While the cluster unit is active, its socket starts nothing for a connection, so with no instance behind the socket
//! all connections would hang. The last instance therefore has the cluster stopped, and leaves a note (`stop_reason`) with
//! which that stop keeps the port open: the next connection starts the cluster again.

use std::path::PathBuf;
use std::time::Duration;

use super::stop_reason::{self, StopReason};
use super::{Cluster, finished, listener, pause, serving, trial};
use crate::brake::{Deaths, Process};
use crate::contract::{self, ERRORED, Policy, Statuses};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Error, Manager, QueuedJob, Unit, Verb};

/// An instance whose run has ended. How, systemd is asked: it says so in variables as well
/// (`$EXIT_STATUS`, see systemd.exec(5)), but `Environment=` and `EnvironmentFile=` go over those.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Which instance.
    pub number: u32,
    /// Whether systemd starts it again by itself.
    pub autorestart: bool,
    /// The files of variables that systemd reads for it.
    pub env_files: &'a [PathBuf],
    /// Exit statuses after which systemd does not.
    pub stop_exit_codes: &'a Statuses,
    /// Whether the instance has a listener of its own.
    pub own_listener: bool,
}

/// The end of an instance that nobody requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The unit of the instance, how it ended, and when.
    pub text: String,
    /// Whether nothing starts the instance again.
    pub is_final: bool,
}

/// The result of looking at the end of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Whether a job of systemd ended the instance, as in a walk.
    pub is_asked_for: bool,
    /// How the instance died, if neither a job nor the app itself has asked for the end.
    pub death: Option<Death>,
}

impl Death {
    fn of(unit: &Unit, deaths: &Deaths, is_final: bool) -> Self {
        let Unit { name, .. } = unit;
        let why = deaths.reason.trim_start_matches(contract::REFUSED);
        let up = uptime(unit);
        let text = if is_final {
            format!("{name} was given up: {why}")
        } else if up.is_zero() {
            format!("{name} ended before it was ready: {why}")
        } else {
            let seconds = up.as_millis() / 100;
            format!(
                "{name} ended {}.{} s after it was ready: {why}",
                seconds / 10,
                seconds % 10
            )
        };
        Self { text, is_final }
    }
}

impl Ended<'_> {
    /// Whether systemd will not start it again: given up, or systemd could not even run it.
    pub(super) fn is_final(self, unit: &Unit) -> bool {
        !self.autorestart || exit_status(unit).is_some_and(contract::is_final)
    }

    /// Whether the app itself says that such an end is one for good: by its `stop_exit_codes`, or because a program that nothing starts
    /// again has done its work.
    pub(super) fn is_meant(self, unit: &Unit) -> bool {
        let is_work = !self.autorestart && has_done_its_work(unit);
        is_work || exit_status(unit).is_some_and(|status| self.stop_exit_codes.has(status))
    }
}

/// The status of a main process that exited by itself.
fn exit_status(unit: &Unit) -> Option<u8> {
    (unit.exit_code == libc::CLD_EXITED).then(|| u8::try_from(unit.exit_status).ok())?
}

/// Whether a program was READY and then ended by itself, without a failure.
pub(super) fn has_done_its_work(unit: &Unit) -> bool {
    let was_ready = unit.active_enter > unit.inactive_exit;
    let is_success = matches!(unit.result.as_str(), "" | "success");
    was_ready && is_success && exit_status(unit) == Some(0)
}

fn is_errored(unit: &Unit) -> bool {
    exit_status(unit) == Some(ERRORED)
}

/// Why the instance did not become healthy, if that is why its start failed. The drain may have changed the status since, so a
/// command of root's leaves a file as well.
fn unhealthy(cluster: &Cluster, number: u32, unit: &Unit) -> Option<String> {
    let is_one = |text: &String| text.starts_with(contract::UNHEALTHY);
    let file = cluster.file(Name::Unhealthy(number));
    let text = file.read().ok().filter(is_one);
    // Usually no such file exists.
    let _ = file.remove();
    let status = Some(unit.status_text.clone()).filter(is_one);
    text.or(status).filter(|_| uptime(unit).is_zero())
}

/// The advice after an exit with status 0 soon after READY, if systemd starts the instance again.
const DONE_SOON: &str = "soon after it was READY; if the program forks into the background, run it in the foreground; \
                         if its work was done, write `autorestart = false`";

/// How the instance ended. Where there was no program, a missing file of variables is the likeliest reason.
fn reason(unit: &Unit, end: Ended<'_>, min_uptime: Duration) -> String {
    let is_done = exit_status(unit) == Some(0);
    if is_done && unit.status_text == contract::BACKGROUND {
        // Every further start would end in the same way.
        return format!("{}{}", contract::REFUSED, contract::BACKGROUND);
    }
    // As reported by the worker, or by the program, which thereby gives up.
    if unit.status_text.starts_with(contract::REFUSED) && uptime(unit).is_zero() {
        return unit.status_text.clone();
    }
    let not_started = unit.status_text.strip_prefix(contract::NOT_STARTED);
    if let Some(why) =
        not_started.filter(|_| exit_status(unit) == Some(1) && uptime(unit).is_zero())
    {
        return why.to_owned();
    }
    let is_silent = contract::is_of_a_silent_start(&unit.status_text);
    if unit.result == "timeout" && uptime(unit).is_zero() && is_silent {
        return format!("{}: {}", unit.why(), unit.status_text);
    }
    let is_missing = |path: &&PathBuf| !path.is_file();
    let missing = end.env_files.iter().find(is_missing);
    match missing.filter(|_| unit.never_ran()) {
        Some(path) => format!(
            "`{}`, a file of `env_file`, is missing; create it, or take it out of `env_file`",
            path.display()
        ),
        None if is_done
            && end.autorestart
            && (Duration::from_nanos(1)..min_uptime).contains(&uptime(unit)) =>
        {
            format!("{} {DONE_SOON}", unit.why())
        }
        None => unit.why(),
    }
}

/// Notes the end of an instance.
///
/// # Errors
/// When systemd cannot be asked; the state file is written as well as it can be.
pub fn ended(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: Ended<'_>,
    policy: &Policy,
    now: Duration,
) -> Result<Noted, Error> {
    let instance = cluster.units().instance(end.number);
    let deaths = cluster.deaths(end.number);
    // In a walk, which waits for this command, nothing depends on how the run has ended.
    let pulse = manager.pulse(&instance)?;
    let is_given_up = || Deaths::load(&deaths).is_some_and(|deaths| deaths.errored);
    if is_restart(pulse.state.job.as_ref()) && !is_given_up() {
        return Ok(replaced(cluster, end.number, &pulse.invocation));
    }
    let unit = manager.unit(&instance)?;
    let job = unit.job.as_ref();
    if job.is_some() && uptime(&unit) >= policy.min_uptime {
        forgive(&deaths);
    }
    if is_restart(job) {
        return Ok(replaced(cluster, end.number, &unit.invocation));
    }
    let mut noted = Noted {
        is_asked_for: job.is_some_and(QueuedJob::is_stop),
        death: None,
    };
    if noted.is_asked_for {
        cluster.forget_release(end.number);
        // Connections wait until it is started again, so its listener and the cluster stay.
        if pause::holds(manager, cluster)? {
            return Ok(noted);
        }
    }
    let requested = noted.is_asked_for || end.is_meant(&unit);
    if !requested {
        let (deaths, is_final) = count_death(manager, cluster, end, &unit, policy, now)?;
        noted.death = Some(Death::of(&unit, &deaths, is_final));
        if !is_final {
            if end.own_listener && listener::has_heir(manager, cluster, end.number)? {
                listener::close(manager, cluster, end.number)?;
            }
            return Ok(noted);
        }
    }
    if end.own_listener {
        listener::close(manager, cluster, end.number)?;
    }
    if !noted.is_asked_for && (requested || !end.autorestart) {
        finished::note(manager, cluster, end.number, &unit)?;
    }
    let why = if noted.is_asked_for {
        StopReason::Idle
    } else if requested {
        StopReason::Done
    } else {
        let cause = cause(cluster, &unit, end, policy.min_uptime);
        StopReason::Failed(format!("no instance is left: {cause}"))
    };
    speak_for_the_cluster(manager, cluster, end.number, &why)?;
    let leader = manager.unit(&cluster.units().cluster())?;
    if leader.active == ActiveState::Active && leader.job.is_none() {
        // No start of this instance follows, which would start that unit, and the status of the cluster unit counts one instance too many.
        // An app with units of an older version may have no such unit.
        let _ = manager.queue(Verb::Start, &cluster.units().brake());
    }
    Ok(noted)
}

/// Forgets that an instance was given up, since it has been up for long enough after that: it was started by systemd alone, which
/// forgets nothing. How it died before is kept.
fn forgive(file: &Entry) {
    let Some(deaths) = Deaths::load(file).filter(|deaths| deaths.errored) else {
        return;
    };
    let forgiven = Deaths {
        count: 0,
        errored: false,
        ..deaths
    };
    // Otherwise it is shown as given up until it is started by rsgen.
    let _ = forgiven.store(file);
}

fn is_restart(job: Option<&QueuedJob>) -> bool {
    job.is_some_and(QueuedJob::is_restart)
}

/// Notes the end of a run that the next one follows at once.
fn replaced(cluster: &Cluster, number: u32, invocation: &str) -> Noted {
    if !cluster.keeps_release(number, invocation) {
        cluster.forget_release(number);
    }
    Noted {
        is_asked_for: true,
        death: None,
    }
}

/// Counts a death, and stops what should not continue. Returns the count, and whether the instance stays down.
fn count_death(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: Ended<'_>,
    unit: &Unit,
    policy: &Policy,
    now: Duration,
) -> Result<(Deaths, bool), Error> {
    let why = match listener::fault(manager, cluster, end, unit)? {
        // Every further start would end in the same way.
        Some(fault) => format!("{}{fault}", contract::REFUSED),
        None => reason(unit, end, policy.min_uptime),
    };
    let refused = trial::refusal(manager, cluster, (end.number, unit), now)?;
    let why = refused.unwrap_or(why);
    // A job called `start` is the one that has just failed.
    let (deaths, is_unseen) = count(cluster, end, unit, policy, now, why);
    if is_unseen {
        manager.queue(Verb::Stop, &unit.name)?;
    }
    Ok((deaths, end.is_final(unit) || is_unseen))
}

/// Makes systemd stop the cluster unit, for this reason, if the instance that has ended was the last.
pub(super) fn speak_for_the_cluster(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    ended: u32,
    why: &StopReason,
) -> Result<(), Error> {
    let leader = manager.unit(&cluster.units().cluster())?;
    if let Some(job) = leader.job {
        // Before this instance is gone, or a connection would start the cluster in place of the stop.
        if job.is_stop() && stop_reason::read(cluster).is_none() {
            cluster.stop_sockets(manager)?;
        }
        return Ok(());
    }
    if leader.active != ActiveState::Active || serving::anybody(manager, cluster, Some(ended))? {
        return Ok(());
    }
    // Connections wait for those that the pause has stopped. Its end looks whether anybody is there.
    if pause::holds(manager, cluster)? {
        return Ok(());
    }
    // Without the note the cluster would end as stopped by hand, and close its port.
    if stop_reason::write(cluster, why).is_ok() {
        manager.queue(Verb::Stop, &cluster.units().cluster())?;
    }
    Ok(())
}

/// Why an instance is not started again: of one that was given up, how it died, not how the worker ended.
pub(super) fn cause(
    cluster: &Cluster,
    ended: &Unit,
    end: Ended<'_>,
    min_uptime: Duration,
) -> String {
    let known = Deaths::load(&cluster.deaths(end.number)).map(|d| d.reason);
    let is_known = |reason: &String| {
        is_errored(ended) && !reason.is_empty() || reason.starts_with(contract::UNHEALTHY)
    };
    known
        .filter(is_known)
        .unwrap_or_else(|| reason(ended, end, min_uptime))
}

/// Counts a death. Returns the count, and whether the instance is given up here, because no worker would do so.
fn count(
    cluster: &Cluster,
    end: Ended<'_>,
    unit: &Unit,
    policy: &Policy,
    now: Duration,
    why: String,
) -> (Deaths, bool) {
    let file = cluster.deaths(end.number);
    let before = Deaths::load(&file);
    let (deaths, is_unseen) = if is_errored(unit) {
        (before.unwrap_or_default().given_up(policy), false)
    } else {
        let unhealthy = unhealthy(cluster, end.number, unit);
        let deaths = Deaths {
            invocation: unit.invocation.clone(),
            process: process(unit),
            ..Deaths::after(before, uptime(unit), now, unhealthy.unwrap_or(why), policy)
        };
        // A worker whose sandbox hides /run does not see the count and would continue for ever; if a command before the
        // worker fails, no worker does.
        let seen = u32::from(!unit.never_ran());
        if deaths.count >= policy.max_restarts.saturating_add(seen) {
            (deaths.given_up(policy), true)
        } else {
            (deaths, false)
        }
    };
    // A count that is lost costs a few more restarts, nothing else.
    let _ = deaths.store(&file);
    (deaths, is_unseen)
}

/// The main process of the unit's last run, by which the journal finds lines that it could not give to the run.
pub(super) fn process(unit: &Unit) -> Option<Process> {
    let has_ended = unit.last_main_pid != 0 && !unit.ended.is_zero();
    has_ended.then_some(Process {
        pid: unit.last_main_pid,
        began: unit.began,
        ended: unit.ended,
        uid: unit.uid,
    })
}

/// From READY to the end; zero for a run that never was READY.
fn uptime(unit: &Unit) -> Duration {
    if unit.active_enter > unit.inactive_exit {
        unit.main_exit.saturating_sub(unit.active_enter)
    } else {
        Duration::ZERO
    }
}
