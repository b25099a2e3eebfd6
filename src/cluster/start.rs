//! `ExecStart=` of the cluster unit: waits until the instances serve, and brings their number to N.

use std::time::Duration;

use super::unrun::Unrun;
use super::{
    Cluster, EXTENSION, LOOK, finished, hold_off, notify, notify_at_the_end, progress, stop_reason,
};
use crate::brake::Deaths;
use crate::contract::{ERRORED, REFUSED, UNHEALTHY};
use crate::systemd::{ATTEMPTS, ActiveState, Brief, Error, Job, JobResult, Manager, Unit, Verb};
use crate::walk::Overdue;

/// The instances came to nothing, or systemd could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// None serves.
    #[error("none of {wanted} instances serves: {reasons}")]
    NoneServes {
        /// How many there should be.
        wanted: u32,
        /// Why, each reason once.
        reasons: String,
    },
    /// systemd could not be asked.
    #[error(transparent)]
    Systemd(#[from] Error),
}

/// A sign of life is sent this often; well below what it asks for.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The instances to be started, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// How many instances there shall be.
    pub wanted: u32,
    /// The longest that the stop of an old instance takes by the app's own bounds.
    pub longest_stop: Duration,
    /// How long the first that serves waits for the others.
    pub patience: Duration,
}

/// Waits for the first outcome on every instance, the result of its job; returns how many serve.
/// `say` gets a line for each that does not. An instance that has done its work has not failed.
///
/// As long as none serves it waits for those that still try: a database may come up later than the
/// app. The worker's brake ends that. Once one serves the others are waited for no longer than
/// `patience`: a program may ask systemd for more time without end.
///
/// # Errors
/// [`StartError::NoneServes`] when all have failed for good.
pub fn start(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    start: Start,
    say: &mut dyn FnMut(&str),
) -> Result<u32, StartError> {
    let wanted = start.wanted;
    stop_reason::take(cluster);
    stop_surplus(manager, cluster, wanted)?;
    let jobs = first_jobs(manager, cluster, wanted)?;
    let mut watch = Watch {
        manager,
        cluster,
        start,
        say,
        overdue: Overdue::new(&cluster.app, start.longest_stop),
        served: None,
        unrun: Unrun::new(None),
    };
    for job in jobs {
        watch.outwait(job)?;
    }
    loop {
        let (instances, ready) = watch.look()?;
        if ready > 0 || wanted == 0 {
            hold_off::forget(cluster);
            notify_at_the_end(
                cluster,
                &format!("{ready} of {wanted} came up at the start"),
            );
            for unit in watch.failed(&instances)? {
                (watch.say)(&format!(
                    "{} does not serve: {}",
                    unit.name,
                    why(cluster, &unit)
                ));
            }
            return Ok(ready);
        }
        for given_up in watch.unrun.brake(watch.manager, cluster, &instances)? {
            given_up.tell(cluster, watch.say);
        }
        if instances.iter().all(|i| i.is_gone() && i.job.is_none()) {
            let units = watch.failed(&instances)?;
            if units.is_empty() {
                notify_at_the_end(cluster, "every instance has done its work");
                return Ok(0);
            }
            return Err(none_serves(cluster, wanted, &units, watch.say));
        }
        watch.manager.pause(LOOK);
    }
}

/// The instances while they come up.
struct Watch<'a> {
    manager: &'a mut dyn Manager,
    cluster: &'a Cluster,
    start: Start,
    say: &'a mut dyn FnMut(&str),
    overdue: Overdue,
    /// Since when any of them serves.
    served: Option<Duration>,
    unrun: Unrun,
}

impl Watch<'_> {
    /// Returns the wanted instances and how many of them serve. Old instances that do not end in time are killed.
    fn look(&mut self) -> Result<(Vec<Brief>, u32), Error> {
        let instances = wanted_of(self.manager, self.cluster, self.start.wanted)?;
        let ready = tell(&instances, self.start.wanted);
        if ready > 0 && self.served.is_none() {
            self.served = Some(self.manager.now());
        }
        for killed in self.overdue.look(self.manager)? {
            (self.say)(&killed.to_string());
        }
        Ok((instances, ready))
    }

    /// Returns those of the instances that do not serve and have not done their work either.
    fn failed(&mut self, instances: &[Brief]) -> Result<Vec<Unit>, Error> {
        let mut failed = Vec::new();
        for brief in instances.iter().filter(|i| !i.is_ready()) {
            let has_ended = finished::is_noted(self.manager, self.cluster, &brief.name)?;
            let unit = self.manager.unit(&brief.name)?;
            if !has_ended || unit.active == ActiveState::Failed {
                failed.push(unit);
            }
        }
        Ok(failed)
    }

    fn is_patient(&mut self) -> bool {
        let now = self.manager.now();
        self.served.is_none_or(|at| now < at + self.start.patience)
    }

    /// Waits for a job, and for the one that took its place.
    fn outwait(&mut self, mut job: Job) -> Result<(), Error> {
        let mut left = ATTEMPTS;
        while self.is_patient() {
            let result = match self.manager.wait(&job, HEARTBEAT) {
                Err(Error::TimedOut { .. }) => None,
                result => Some(result?),
            };
            let (instances, _) = self.look()?;
            match result {
                None => continue,
                Some(JobResult::Canceled) => {}
                Some(_) => return Ok(()),
            }
            let now = instances.into_iter().find(|i| i.name == job.unit);
            if let Some(other) = now.and_then(|i| i.job).filter(|j| j.path != job.path) {
                job.path = other.path;
                continue;
            }
            // All jobs of systemd were discarded: this one is queued again.
            if !self.is_left_behind(&job.unit)? || left == 0 {
                return Ok(());
            }
            left -= 1;
            job = self.manager.queue(Verb::Start, &job.unit)?;
        }
        Ok(())
    }

    /// Returns whether an instance is down after it lost its job, although nobody wants it to be down.
    fn is_left_behind(&mut self, unit: &str) -> Result<bool, Error> {
        while self.is_patient() {
            let (instances, _) = self.look()?;
            let brief = instances.into_iter().find(|i| i.name == unit);
            if brief
                .as_ref()
                .is_some_and(|i| i.job.is_some() || i.is_moving())
            {
                self.manager.pause(LOOK);
                continue;
            }
            return Ok(brief.is_none_or(|i| i.is_gone())
                && !super::stop::is_stopping(self.manager, self.cluster)?);
        }
        Ok(false)
    }
}

/// The wanted instances that are loaded.
fn wanted_of(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    wanted: u32,
) -> Result<Vec<Brief>, Error> {
    let mut all = cluster.instances(manager)?;
    all.retain(|(number, _)| *number < wanted);
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, brief)| brief).collect())
}

/// The jobs whose results are the first outcomes. The links have queued most of them; what has none
/// and does not run is started here: this machine's number may have been another when the links
/// were made.
fn first_jobs(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    wanted: u32,
) -> Result<Vec<Job>, Error> {
    let known = wanted_of(manager, cluster, wanted)?;
    let mut jobs = Vec::new();
    for number in 0..wanted {
        let unit = cluster.units().instance(number);
        let brief = known.iter().find(|b| b.name == unit);
        let job = brief.and_then(|b| b.job.as_ref());
        // An instance that is up, or tries again by itself, has had its first outcome. One that moves without a job has lost it.
        let is_alive = brief
            .is_some_and(|b| b.is_ready() || b.active == ActiveState::Activating && !b.is_moving());
        match job {
            Some(job) if !job.is_stop() => jobs.push(Job {
                path: job.path.clone(),
                unit,
            }),
            None if is_alive => {}
            // The links have started the instance, and it was quick.
            None if brief.is_some() && finished::is_noted(manager, cluster, &unit)? => {}
            None if is_retried(&manager.unit(&unit)?) => {}
            _ => jobs.push(manager.queue(Verb::Start, &unit)?),
        }
    }
    Ok(jobs)
}

/// Whether the program has ended and systemd is about to start it again.
fn is_retried(unit: &Unit) -> bool {
    unit.active == ActiveState::Activating && !unit.is_moving() && unit.job.is_none()
}

fn tell(instances: &[Brief], wanted: u32) -> u32 {
    let ready = instances.iter().filter(|i| i.is_ready()).count();
    notify(&format!("{ready} of {wanted} serving"), EXTENSION);
    u32::try_from(ready).unwrap_or(u32::MAX)
}

/// Why an instance does not serve. Of one that was given up, how it died, not how the worker ended.
fn why(cluster: &Cluster, unit: &Unit) -> String {
    // The deaths that are noted are of earlier runs.
    if unit.is_unmet() {
        return unit.why();
    }
    let number = cluster.units().number(&unit.name);
    let deaths = number.and_then(|n| Deaths::load(&cluster.deaths(n)));
    match deaths {
        // Nothing was counted: the first start was the last.
        Some(deaths) if deaths.reason.starts_with(REFUSED) => {
            deaths.reason.trim_start_matches(REFUSED).to_owned()
        }
        Some(deaths) if unit.exit_status == i32::from(ERRORED) => {
            format!("{}, the last: {}", unit.why(), deaths.reason)
        }
        Some(deaths) if unit.never_ran() && !deaths.reason.is_empty() => deaths.reason,
        Some(deaths) if deaths.reason.starts_with(UNHEALTHY) => deaths.reason,
        _ => unit.why(),
    }
}

fn none_serves(
    cluster: &Cluster,
    wanted: u32,
    units: &[Unit],
    say: &mut dyn FnMut(&str),
) -> StartError {
    let words = units.first().map(|unit| cluster.words(unit));
    for line in words.unwrap_or_default() {
        say(&format!("  {line}"));
    }
    let mut reasons: Vec<String> = units.iter().map(|u| why(cluster, u)).collect();
    reasons.sort();
    reasons.dedup();
    StartError::NoneServes {
        wanted,
        reasons: reasons.join("; "),
    }
}

/// Stops instances beyond the wanted number: a smaller machine, a canary of a killed walk.
fn stop_surplus(manager: &mut dyn Manager, cluster: &Cluster, wanted: u32) -> Result<(), Error> {
    progress::remember_canaries(cluster, &[]);
    super::asked::forget(&cluster.state);
    for (number, brief) in cluster.instances(manager)? {
        // A restart in the middle of a walk restarts the canary too: for a moment it is gone, with a job.
        if number >= wanted && (!brief.is_gone() || brief.job.is_some()) {
            manager.queue(Verb::Stop, &brief.name)?;
        }
    }
    Ok(())
}
