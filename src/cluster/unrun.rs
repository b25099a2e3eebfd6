//! The brake for instances whose deaths nobody counts; and the command of the brake unit, which has more tasks, see `left`, `shown`,
//! `uncounted` and `finished`.
//!
//! The command that counts a death is one of the unit's (`ended`). systemd cannot run that command where it can run none of the
//! unit, whatever ended the runs before, and a limit of the unit may end it. So restarts without a count are counted here: by the
//! start of the cluster unit while it waits, and later by the brake unit, which each start of an instance starts as well, and
//! which ends once all instances have come up or are down.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::left::Left;
use super::shown::Shown;
use super::stop_reason::StopReason;
use super::uncounted::Uncounted;
use super::{Cluster, EXTENSION, ended, finished, listener};
use crate::brake::Deaths;
use crate::journal::Happening;
use crate::record::Record;
use crate::systemd::{Brief, Error, Job, Manager, QueuedJob, Unit, Verb};

/// An instance may be restarted this often without a count if the app's `max_restarts` is not known: the default of that key.
const MOST: u32 = 16;

/// How often the brake unit looks. Each look is a few calls to systemd.
const GLANCE: Duration = Duration::from_secs(1);

/// The restarts of each instance since a death of it was last counted.
#[derive(Debug)]
pub(super) struct Unrun {
    /// The app's `max_restarts`; `None` if it is not known.
    max_restarts: Option<u32>,
    /// For each instance, its restarts when a death was last counted, or when it was first seen; and the deaths by then.
    first: BTreeMap<String, (u32, Deaths)>,
}

/// An instance that is not started again.
#[derive(Debug)]
pub(super) struct GivenUp {
    number: u32,
    unit: Unit,
    starts: u32,
    stop: Job,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, starts, .. } = self;
        write!(
            f,
            "{} is given up after {starts} restarts in a row that could not be counted, the last: {}",
            unit.name,
            unit.why()
        )
    }
}

impl GivenUp {
    /// Reports the instance, in a line if the journal does not accept the entry.
    pub(super) fn tell(&self, cluster: &Cluster, say: &mut dyn FnMut(&str)) {
        let text = self.to_string();
        let is_told = cluster.journal.tell_instead(&Record {
            instance: Some(self.number),
            ..Record::new(Happening::Errored, &text)
        });
        if !is_told {
            say(&text);
        }
    }
}

impl Unrun {
    pub(super) fn new(max_restarts: Option<u32>) -> Self {
        Self {
            max_restarts,
            first: BTreeMap::new(),
        }
    }

    /// Stops the instances that have been restarted too often without a count, notes why, and returns them.
    pub(super) fn brake(
        &mut self,
        manager: &mut dyn Manager,
        cluster: &Cluster,
        instances: &[Brief],
    ) -> Result<Vec<GivenUp>, Error> {
        let mut given_up = Vec::new();
        for brief in instances.iter().filter(|i| !i.is_gone() && !i.is_ready()) {
            let Some(number) = cluster.units().number(&brief.name) else {
                continue;
            };
            let unit = manager.unit(&brief.name)?;
            let deaths = Deaths::load(&cluster.deaths(number)).unwrap_or_default();
            let now = (unit.n_restarts, deaths.clone());
            let first = self.first.entry(brief.name.clone()).or_insert(now);
            if first.1 != deaths {
                *first = (unit.n_restarts, deaths.clone());
            }
            let starts = unit.n_restarts.saturating_sub(first.0);
            let is_stopping = brief.job.as_ref().is_some_and(QueuedJob::is_stop);
            // The restart after a death that was just counted is not seen yet, so there may be one more.
            if !is_stopping && starts > self.max_restarts.unwrap_or(MOST) {
                self.note(manager, cluster, number, deaths.count, &unit);
                let stop = manager.queue(Verb::Stop, &brief.name)?;
                given_up.push(GivenUp {
                    number,
                    unit,
                    starts,
                    stop,
                });
            }
        }
        Ok(given_up)
    }

    /// Notes in the file of the instance's deaths that it was given up. Where the limit is known, a further start is one trial.
    fn note(
        &self,
        manager: &mut dyn Manager,
        cluster: &Cluster,
        number: u32,
        counted: u32,
        unit: &Unit,
    ) {
        let trials = self.max_restarts.map(|most| most.saturating_sub(1));
        let deaths = Deaths {
            count: trials.unwrap_or(counted),
            last: manager.now(),
            errored: true,
            reason: unit.why(),
            invocation: unit.invocation.clone(),
            process: None,
        };
        // Without the file, `rsgen list` does not show that and why the instance was given up.
        let _ = deaths.store(&cluster.deaths(number));
    }
}

/// The command of the brake unit: looks at the instances until each has come up or is down, no canary is left, and systemd shows how
/// many serve. `say` gets a line for each that is given up, and for each canary that is stopped.
///
/// # Errors
/// When systemd cannot be asked.
pub fn brake(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    max_restarts: u32,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let mut unrun = Unrun::new(Some(max_restarts));
    let mut left = Left::default();
    let mut shown = Shown::default();
    let mut uncounted = Uncounted::load(cluster);
    loop {
        uncounted.look(manager, cluster, say)?;
        let instances = cluster.instances(manager)?;
        let instances: Vec<Brief> = instances.into_iter().map(|(_, brief)| brief).collect();
        for given_up in unrun.brake(manager, cluster, &instances)? {
            given_up.tell(cluster, say);
            let GivenUp {
                number, unit, stop, ..
            } = given_up;
            match manager.wait(&stop, EXTENSION) {
                Err(Error::TimedOut { .. }) => {}
                done => drop(done?),
            }
            // Where all instances share one listener, there is none of this name.
            listener::close(manager, cluster, number)?;
            let why = StopReason::Failed(format!("no instance is left: {}", unit.why()));
            ended::speak_for_the_cluster(manager, cluster, number, &why)?;
        }
        let has_no_canaries = left.look(manager, cluster, say)?;
        let is_told = shown.keep(manager, cluster)?;
        if has_no_canaries && is_told && are_all_over(manager, cluster)? {
            return finished::speak(manager, cluster);
        }
        manager.pause(GLANCE);
    }
}

/// Whether each instance has come up or is down.
fn are_all_over(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    let instances = cluster.instances(manager)?;
    let is_over = |i: &Brief| i.job.is_none() && (i.is_ready() || i.is_gone());
    Ok(instances.iter().all(|(_, brief)| is_over(brief)))
}

/// The last command of the brake unit: has the unit started again if it ended at the moment in which an instance was started.
///
/// That start found the brake unit active, so systemd did not start it, and its command had looked for the last time. While this
/// command runs the unit is deactivating, and a start waits until the unit is down: nothing that comes now is missed.
///
/// # Errors
/// When systemd cannot be asked.
pub fn braked(manager: &mut dyn Manager, cluster: &Cluster) -> Result<(), Error> {
    let name = cluster.units().brake();
    let unit = manager.unit(&name)?;
    // A stop would be cancelled by a start, and what fails every time would be started for ever.
    let has_done_its_work = unit.exit_code == libc::CLD_EXITED && unit.exit_status == 0;
    if unit.job.is_some() || !has_done_its_work {
        return Ok(());
    }
    let is_told = Shown::default().keep(manager, cluster)?;
    if !is_told || !are_all_over(manager, cluster)? {
        manager.queue(Verb::Start, &name)?;
    }
    Ok(())
}
