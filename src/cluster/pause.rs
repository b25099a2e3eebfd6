//! The commands of the pause unit: one stops all instances and then waits, the other starts them again.
//!
//! The sockets stay open meanwhile, so connections wait in the kernel's queue. Neither an instance nor the cluster unit may be started
//! for them: the cluster unit stays active, and if each instance has a listener of its own, systemd takes the pause unit for a
//! service of that listener. `ended` asks [`holds`] for the same reason.
//!
//! Whatever ends the pause unit runs the second command: the time, `rsgen resume`, a signal. If that is killed as well, as by
//! `systemctl kill -s KILL`, systemd starts the unit again, and the file of the pause says how it continues. So nothing has to survive for
//! the instances to come back.

use std::time::Duration;

use sd_notify::NotifyState;

pub use super::paused::Paused;
use super::reload::{self, ReloadError};
use super::{Cluster, EXTENSION, LOOK, finished, notify};
use crate::contract::time;
use crate::journal::Happening;
use crate::record::Record;
use crate::systemd::{ATTEMPTS, Brief, Error, Job, JobResult, Manager, Verb};
use crate::unit::name::Units;
use crate::visible::Visible;
use crate::walk::Overdue;

/// The longest pause. The kernel of a client that finds the queue full tries for about two minutes.
pub const LONGEST: Duration = Duration::from_mins(10);
/// How often a pause looks whether it is over.
const GLANCE: Duration = Duration::from_millis(200);
/// How long the instances may take to end, beyond what the app's own bounds allow.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest wait for the first outcome on each instance at the end of a pause.
const LONGEST_START: Duration = Duration::from_mins(10);
/// A sign of life is sent this often; well below what it asks for.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The app was not paused.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// systemd could not be asked.
    #[error(transparent)]
    Systemd(#[from] Error),
    /// Another command replaces instances.
    #[error(transparent)]
    Busy(#[from] ReloadError),
    /// The state folder cannot be used.
    #[error("{0}: {1}")]
    State(String, std::io::Error),
    /// An instance did not end.
    #[error("{0}; the app is not paused")]
    Up(String),
    /// An instance did not come back.
    #[error("{ready} of {all} instances came back after the pause: {why}")]
    Lost {
        /// How many serve.
        ready: usize,
        /// How many the pause had stopped.
        all: usize,
        /// Why the first of the others does not.
        why: String,
    },
}

/// The state of the pause unit; `None` if the app is not paused.
///
/// # Errors
/// When systemd cannot be asked.
pub fn unit(manager: &mut dyn Manager, app: &str) -> Result<Option<Brief>, Error> {
    let name = Units::of(app).pause();
    let found = manager.units(&name)?;
    let is_there = |unit: &Brief| !unit.is_gone() || unit.job.is_some();
    Ok(found.into_iter().find(is_there))
}

/// Whether no instance runs because the app is paused. That lasts until the end of the unit has started the instances again.
pub(super) fn holds(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    // Most apps never have such a file.
    let is_on = Paused::read(&cluster.state).is_some_and(|paused| paused.is_on());
    Ok(is_on && unit(manager, &cluster.app)?.is_some_and(|unit| !unit.is_gone()))
}

/// Stops all instances and waits until the time is over. `clock` tells the time of day that is so far away.
///
/// # Errors
/// As [`PauseError`] says. The end of the unit starts again what was stopped.
pub fn pause(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    (time, longest_stop): (Duration, Duration),
    clock: &dyn Fn(Duration) -> String,
    say: &mut dyn FnMut(&str),
) -> Result<(), PauseError> {
    let Some(noted) = Paused::read(&cluster.state) else {
        // systemd has started the unit again after the end of the pause.
        ready("not paused");
        return Ok(());
    };
    if !noted.is_asked() {
        let text = format!(
            "paused until {}",
            clock(noted.end().saturating_sub(manager.now()))
        );
        ready(&text);
        show(manager, cluster, &text);
        return hold(manager, cluster, say);
    }
    let journal = cluster.journal.clone().asked_by(cluster.take_asked());
    let lock = reload::lock(manager, cluster)?;
    let begun = manager.now();
    let up = |(number, brief): &(u32, Brief)| {
        let is_starting = brief.job.as_ref().is_some_and(|job| !job.is_stop());
        (!brief.is_gone() || is_starting).then_some(*number)
    };
    let numbers: Vec<u32> = cluster.instances(manager)?.iter().filter_map(up).collect();
    let mut paused = Paused {
        since: begun,
        // Where everything is killed before the instances have ended, the pause is not much longer than it was to be.
        until: begun + time + longest_stop,
        numbers,
    };
    let write = |paused: &Paused| {
        let done = paused.write(&cluster.state);
        done.map_err(|e| PauseError::State(cluster.state.display().to_string(), e))
    };
    write(&paused)?;
    stop_all(manager, cluster, &paused.numbers, longest_stop, say)?;
    paused.since = manager.now();
    paused.until = paused.since + time;
    write(&paused)?;
    drop(lock);
    let (count, at) = (paused.numbers.len(), clock(time));
    let text = format!(
        "paused: {count} stopped, connections wait; resumes automatically in {}, at {at}",
        time::rough(time)
    );
    journal.tell(&Record {
        took: Some(paused.since.saturating_sub(begun)),
        ..Record::new(Happening::Paused, &text)
    });
    let text = format!("paused until {at}");
    ready(&text);
    show(manager, cluster, &text);
    hold(manager, cluster, say)
}

/// Tells systemd that the app is paused.
fn ready(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(text)]);
}

/// Has the cluster unit say that its app is paused. systemd takes that from a process in the control group of that unit, see `shown`.
fn show(manager: &mut dyn Manager, cluster: &Cluster, text: &str) {
    // A unit of an older version does not allow it to anybody.
    if manager.attach(&cluster.units().cluster()).is_ok() {
        let _ = sd_notify::notify(&[NotifyState::Status(Visible::line(text).as_str())]);
    }
}

/// Waits until the time is over or an instance was started.
fn hold(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    say: &mut dyn FnMut(&str),
) -> Result<(), PauseError> {
    loop {
        // `rsgen pause` has changed the time, if anybody has.
        let Some(paused) = Paused::read(&cluster.state) else {
            return Ok(());
        };
        if manager.now() >= paused.end() {
            say("the time of the pause is over");
            return Ok(());
        }
        let instances = cluster.instances(manager)?;
        if let Some((_, up)) = instances.iter().find(|(_, brief)| !brief.is_gone()) {
            say(&format!("{} was started, so the pause is over", up.name));
            return Ok(());
        }
        manager.pause(GLANCE);
    }
}

/// Stops these instances at once, each after its drain, and waits until they are gone.
fn stop_all(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    numbers: &[u32],
    longest: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<(), PauseError> {
    let mut queued = numbers
        .iter()
        .map(|number| (*number, 0))
        .collect::<Vec<_>>();
    for number in numbers {
        manager.queue(Verb::Stop, &cluster.units().instance(*number))?;
    }
    let mut overdue = Overdue::new(&cluster.app, longest);
    let end = manager.now() + longest.saturating_mul(2) + PATIENCE;
    loop {
        for killed in overdue.look(manager)? {
            say(&killed.to_string());
        }
        let instances = cluster.instances(manager)?;
        let up: Vec<_> = instances.iter().filter(|(_, i)| !i.is_gone()).collect();
        let Some((_, first)) = up.first() else {
            return Ok(());
        };
        if manager.now() > end {
            return Err(PauseError::Up(format!("{} does not end", first.name)));
        }
        for (number, brief) in &up {
            if brief.job.is_some() || brief.is_moving() {
                continue;
            }
            // All jobs of systemd were thrown away, or somebody has started it.
            let tries = queued.iter_mut().find(|(of, _)| of == number);
            match tries {
                Some((_, tries)) if *tries < ATTEMPTS => *tries += 1,
                _ => return Err(PauseError::Up(format!("{} was started", brief.name))),
            }
            manager.queue(Verb::Stop, &brief.name)?;
        }
        notify(&format!("waiting for {} to finish", up.len()), EXTENSION);
        manager.pause(LOOK);
    }
}

/// Starts the instances that the pause has stopped, unless the app is being stopped or restarted. Waits for the first outcome on each.
///
/// # Errors
/// As [`PauseError`] says, when not all serve.
pub fn resume(manager: &mut dyn Manager, cluster: &Cluster) -> Result<(), PauseError> {
    let Some(paused) = Paused::read(&cluster.state) else {
        return Ok(());
    };
    let done = start_again(manager, cluster, &paused);
    // Where systemd could not be asked, there is another try.
    if !matches!(done, Err(PauseError::Systemd(_))) {
        Paused::forget(&cluster.state);
    }
    // An instance that ended for good meanwhile has left that to this command.
    if !is_going(manager, cluster)? {
        finished::speak(manager, cluster)?;
    }
    done
}

fn start_again(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    paused: &Paused,
) -> Result<(), PauseError> {
    let begun = manager.now();
    if paused.numbers.is_empty() || is_going(manager, cluster)? {
        return Ok(());
    }
    let journal = cluster.journal.clone().asked_by(cluster.take_asked());
    let mut jobs = Vec::new();
    for number in &paused.numbers {
        jobs.push(manager.queue(Verb::Start, &cluster.units().instance(*number))?);
    }
    // From now on, an instance that ends for good speaks for itself. Where everything is killed, the next try queues them again.
    let over = Paused {
        until: paused.since,
        ..paused.clone()
    };
    let _ = over.write(&cluster.state);
    for job in jobs {
        if !outwait(manager, cluster, job, begun + LONGEST_START)? {
            return Ok(());
        }
    }
    let after = time::rough(begun.saturating_sub(paused.since));
    let (all, mut ready, mut failed) = (paused.numbers.len(), 0, None);
    for number in &paused.numbers {
        let unit = manager.unit(&cluster.units().instance(*number))?;
        if unit.is_ready() {
            ready += 1;
        } else {
            failed = failed.or(Some(format!("{} {}", unit.name, unit.why())));
        }
    }
    let text = format!("resumed after {after}: {ready} of {all} serve");
    journal.tell(&Record {
        is_failed: ready < all,
        took: Some(manager.now().saturating_sub(begun)),
        ..Record::new(Happening::Resumed, &text)
    });
    match failed {
        Some(why) => Err(PauseError::Lost { ready, all, why }),
        None => Ok(()),
    }
}

/// Whether the app is down, or about to be.
fn is_going(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    let leader = manager.unit(&cluster.units().cluster())?;
    let job = leader.job.as_ref();
    let is_asked_for = job.is_some_and(|job| job.is_stop() || job.is_restart());
    Ok(is_asked_for || !leader.is_ready())
}

/// Waits for the end of a start. Returns whether the app continues.
fn outwait(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    mut job: Job,
    end: Duration,
) -> Result<bool, Error> {
    let mut left = ATTEMPTS;
    while manager.now() < end {
        notify("starting the instances again", EXTENSION);
        let result = match manager.wait(&job, HEARTBEAT) {
            Err(Error::TimedOut { .. }) => None,
            result => Some(result?),
        };
        if is_going(manager, cluster)? {
            return Ok(false);
        }
        match result {
            None => {}
            Some(JobResult::Canceled) if left > 0 => {
                left -= 1;
                job = manager.queue(Verb::Start, &job.unit)?;
            }
            Some(_) => break,
        }
    }
    Ok(true)
}
