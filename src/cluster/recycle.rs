//! `ExecStart=` of the recycling unit: looks at the instances of an app once, and replaces those that use too much memory or have run
//! for too long, one after the other, as a walk does.
//!
//! A look is never made during a walk: it takes the walk's lock, and does nothing if somebody holds it or a canary is kept. The lock
//! is held only while instances are replaced.
//!
//! Nobody requested these starts. So if the link to the deployed release now points elsewhere, the new run, and the canary that
//! stands in for it, have the release of the run before, as after a crash.

use std::time::Duration;

use super::{Cluster, progress};
use crate::brake::Deaths;
use crate::contract::{Bytes, time};
use crate::journal::Happening;
use crate::peer::memory;
use crate::record::Record;
use crate::state::{self, Lock, Name};
use crate::systemd::{ActiveState, Error, Manager, Unit};
use crate::walk::{self, Cause, Effects, Event, Plan};

/// The limits above which an instance is replaced.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The memory above which an instance is replaced.
    pub memory: Option<Bytes>,
    /// The time after which an instance is replaced, or a little later.
    pub uptime: Option<Duration>,
}

/// Instances that were to be replaced and were not.
#[derive(Debug, thiserror::Error)]
pub enum RecycleError {
    /// systemd could not be asked.
    #[error(transparent)]
    Systemd(#[from] Error),
    /// The state folder cannot be used.
    #[error("{0}: {1}")]
    State(String, std::io::Error),
    /// A replacement failed. The journal has been told.
    #[error("{0}")]
    Failed(String),
}

/// The pause after a failure, which doubles with each further one.
const PAUSE: Duration = Duration::from_mins(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(6);
/// An instance that needs less time than this to use too much may need more memory than the limit allows.
const SOON: Duration = Duration::from_mins(10);

/// An instance that is to be replaced, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Due {
    number: u32,
    /// The run that is to be replaced.
    invocation: String,
    why: String,
}

/// Looks at the instances, and replaces those that are due. `say` gets a line for each step.
///
/// # Errors
/// As [`RecycleError`] says. An instance that could not be replaced keeps serving if a canary went first.
pub fn recycle(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    plan: &Plan,
    limits: Limits,
    say: &mut dyn FnMut(&str),
) -> Result<(), RecycleError> {
    let used = |unit: &Unit| memory::used(&unit.control_group, unit.memory_current);
    look(manager, cluster, plan, limits, &used, say)
}

fn look(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    plan: &Plan,
    limits: Limits,
    used: &dyn Fn(&Unit) -> Option<u64>,
    say: &mut dyn FnMut(&str),
) -> Result<(), RecycleError> {
    if is_paused(cluster, manager.now()) || due(manager, cluster, plan, limits, used)?.is_empty() {
        return Ok(());
    }
    let lock = Lock::take(&cluster.state);
    let lock = lock.map_err(|e| RecycleError::State(cluster.state.display().to_string(), e))?;
    // A walk replaces all of them, or somebody looks at a canary and decides about the others.
    let Some(_lock) = lock else {
        return Ok(());
    };
    if is_canary_kept(manager, cluster)? {
        return Ok(());
    }
    // A walk may have replaced them since.
    let due = due(manager, cluster, plan, limits, used)?;
    if due.is_empty() {
        return Ok(());
    }
    let numbers: Vec<u32> = due.iter().map(|due| due.number).collect();
    let mut teller = Teller { cluster, due, say };
    match walk::walk_some(manager, plan, &numbers, &mut teller) {
        Ok(()) => {
            forget_failures(cluster);
            Ok(())
        }
        Err(failed) => {
            let pause = note_failure(cluster, manager.now());
            let left: Vec<String> = teller.due.iter().map(|due| due.why.clone()).collect();
            let of = teller.due.first().map(|due| due.number);
            let instance = failed.number.filter(|_| !failed.canary).or(of);
            let name =
                instance.map_or_else(|| cluster.app.clone(), |n| format!("{}@{n}", cluster.app));
            for line in cluster.words_of(&failed) {
                (teller.say)(&format!("  {line}"));
            }
            let text = format!(
                "{name} was not recycled ({}): {failed}; tried again in {}",
                left.join(", "),
                time::rough(pause)
            );
            cluster.journal.tell(&Record {
                instance,
                ..Record::new(Happening::RecycleFailed, &text)
            });
            Err(RecycleError::Failed(text))
        }
    }
}

/// Returns whether a canary that a reload has kept is still there. Stopping it was a decision against it.
fn is_canary_kept(manager: &mut dyn Manager, cluster: &Cluster) -> Result<bool, Error> {
    let kept = progress::kept(&cluster.state);
    for number in &kept {
        let unit = manager.unit(&cluster.units().instance(*number))?;
        let deaths = Deaths::load(&cluster.deaths(*number));
        let is_stopped = unit.active == ActiveState::Inactive && unit.job.is_none();
        if !is_stopped || deaths.is_some_and(|deaths| deaths.errored) {
            return Ok(true);
        }
    }
    if !kept.is_empty() {
        progress::remember_canaries(cluster, &[]);
    }
    Ok(false)
}

/// Returns the instances that are due, in order. Those that are down, come up or go are left to others.
fn due(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    plan: &Plan,
    limits: Limits,
    used: &dyn Fn(&Unit) -> Option<u64>,
) -> Result<Vec<Due>, Error> {
    let leader = manager.unit(&cluster.units().cluster())?;
    if leader.active != ActiveState::Active || leader.job.is_some() {
        return Ok(Vec::new());
    }
    let mut numbers: Vec<u32> = cluster
        .instances(manager)?
        .iter()
        .filter(|(number, brief)| {
            *number < plan.instances && brief.is_ready() && brief.job.is_none()
        })
        .map(|(number, _)| *number)
        .collect();
    numbers.sort_unstable();
    let names: Vec<String> = numbers
        .iter()
        .map(|n| cluster.units().instance(*n))
        .collect();
    let units = manager.each(&names)?;
    let all = numbers.into_iter().zip(units);
    let due = all.filter_map(|(number, unit)| {
        let is_up = unit.is_ready() && unit.main_pid != 0;
        let why = Some(&unit).filter(|_| is_up)?;
        let why = over_memory(why, limits, used).or_else(|| over_uptime(why, limits))?;
        let invocation = unit.invocation;
        Some(Due {
            number,
            invocation,
            why,
        })
    });
    Ok(due.collect())
}

fn over_memory(unit: &Unit, limits: Limits, used: &dyn Fn(&Unit) -> Option<u64>) -> Option<String> {
    let limit = limits.memory?;
    let used = used(unit).map(Bytes).filter(|used| *used > limit)?;
    let up = unit.active_for();
    let early = if up < SOON {
        format!(" after only {}", time::rough(up))
    } else {
        String::new()
    };
    Some(format!("{} of {limit}{early}", used.rough()))
}

fn over_uptime(unit: &Unit, limits: Limits) -> Option<String> {
    let limit = limits.uptime?;
    let up = unit.active_for();
    let is_over = up > limit + spread(limit, &unit.invocation);
    is_over.then(|| format!("up for {} of {}", time::rough(up), time::rough(limit)))
}

/// Returns up to a tenth of the limit: the same for one run at each look, and another for each run, since invocation IDs are random.
/// Instances that were started together are replaced at different times.
fn spread(limit: Duration, invocation: &str) -> Duration {
    let random = invocation
        .get(..4)
        .and_then(|digits| u16::from_str_radix(digits, 16).ok());
    (limit / 10).mul_f64(f64::from(random.unwrap_or(0)) / f64::from(u16::MAX))
}

/// Returns whether a failure is too recent for another try. The note has how often in a row it failed, and when there may be a next try.
fn is_paused(cluster: &Cluster, now: Duration) -> bool {
    let left = failures(cluster).map(|(_, until)| until.saturating_sub(now));
    left.is_some_and(|left| !left.is_zero() && left <= LONGEST_PAUSE)
}

fn failures(cluster: &Cluster) -> Option<(u32, Duration)> {
    let note = cluster.file(Name::Recycling).read().ok()?;
    let (count, until) = note.trim_end().split_once(' ')?;
    Some((
        count.parse().ok()?,
        Duration::from_secs(until.parse().ok()?),
    ))
}

/// Notes a failure. Returns the pause that follows.
fn note_failure(cluster: &Cluster, now: Duration) -> Duration {
    let before = failures(cluster).map_or(0, |(count, _)| count);
    let pause = PAUSE.saturating_mul(1 << before.min(6)).min(LONGEST_PAUSE);
    let until = (now + pause).as_secs();
    // Without the note, the next look tries again.
    let _ = cluster
        .file(Name::Recycling)
        .write(&format!("{} {until}\n", before.saturating_add(1)));
    pause
}

/// Forgets the failures, after instances have been replaced.
pub(super) fn forget_failures(cluster: &Cluster) {
    // Usually there are none.
    let _ = cluster.file(Name::Recycling).remove();
}

struct Teller<'a> {
    cluster: &'a Cluster,
    /// The instances that have not been replaced yet.
    due: Vec<Due>,
    say: &'a mut dyn FnMut(&str),
}

impl Teller<'_> {
    fn replaced(&mut self, number: u32, took_ms: u64) {
        let Some(at) = self.due.iter().position(|due| due.number == number) else {
            return;
        };
        let Due { why, .. } = self.due.remove(at);
        let text = format!("{}@{number} was recycled: {why}", self.cluster.app);
        self.cluster.journal.tell(&Record {
            instance: Some(number),
            took: Some(Duration::from_millis(took_ms)),
            ..Record::new(Happening::Recycled, &text)
        });
    }
}

impl Effects for Teller<'_> {
    fn step(&mut self, _: Duration) {}

    fn tell(&mut self, event: &Event) {
        (self.say)(&event.to_string());
        if let Event::Ready {
            number, took_ms, ..
        } = event
        {
            self.replaced(*number, *took_ms);
        }
    }

    fn forget(&mut self, number: u32) {
        state::forget_deaths(&self.cluster.state, Some(number));
        match self.due.iter().find(|due| due.number == number) {
            Some(due) => self.cluster.keep_release(number, &due.invocation),
            // A canary, which stands in for the first that is due.
            None => {
                if let Some(due) = self.due.first() {
                    self.cluster.share_release(due.number, number);
                }
            }
        }
    }

    fn remember_canaries(&mut self, numbers: &[u32]) {
        progress::remember_canaries(self.cluster, numbers);
    }

    fn keep_canaries(&mut self, _: &[u32]) -> bool {
        false
    }

    fn canaries_left(&mut self) -> Vec<u32> {
        progress::canaries(self.cluster)
    }

    fn cause(&self, number: u32) -> Option<Cause> {
        self.cluster.last_cause(number)
    }
}

#[cfg(test)]
mod tests;
