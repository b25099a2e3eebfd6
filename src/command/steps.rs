//! The steps of `rsgen scale`: which instances are started and which are stopped.

use super::jobs::Jobs;
use crate::brake::Deaths;
use crate::layout::Layout;
use crate::output::{Failure, counted};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Brief, QueuedJob};
use crate::unit::name::Units;

/// The numbers of the instances to start and to stop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) start: Vec<u32>,
    pub(super) stop: Vec<u32>,
    /// Whether the app is active.
    pub(super) is_up: bool,
}

impl Steps {
    pub(super) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty()
    }
}

/// An app and its number of instances, before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaling<'a> {
    pub(super) app: &'a str,
    pub(super) from: u32,
    pub(super) to: u32,
    /// The number before a command that was killed, if it was smaller: that command may have started the instances from this one on,
    /// and a walk that knew only that number may have stopped them.
    pub(super) known: u32,
}

/// Returns what is left to do for an app that is active.
pub(super) fn steps(jobs: &mut Jobs<'_>, scaling: Scaling<'_>) -> Result<Steps, Failure> {
    let Scaling {
        app,
        from,
        to,
        known,
    } = scaling;
    let units = Units::of(app);
    let cluster = jobs.manager.unit(&units.cluster())?;
    if !matches!(cluster.active, ActiveState::Active | ActiveState::Reloading) {
        return Ok(Steps::default());
    }
    let loaded = jobs.manager.units(&units.instances())?;
    let find = |number| {
        let unit = units.instance(number);
        loaded.iter().find(|brief| brief.name == unit)
    };
    let mut start = Vec::new();
    for number in 0..to {
        let is_missing = match find(number) {
            None => true,
            Some(brief) if brief.is_ready() || is_stopping(brief) => false,
            // The same number again is for what the previous command did not finish.
            Some(brief) if from == to && is_trying(jobs.layout, app, number, brief) => true,
            Some(brief) if !brief.is_gone() || brief.job.is_some() => false,
            Some(_) if number >= known => true,
            // An instance that ran was stopped on purpose; one that never did was left out by a command that was killed.
            Some(brief) => jobs.manager.unit(&brief.name)?.invocation.is_empty(),
        };
        if is_missing {
            start.push(number);
        }
    }
    let is_left = |brief: &&Brief| !brief.is_gone() || brief.job.is_some();
    let left = loaded.iter().filter(is_left);
    let numbers = left.filter_map(|brief| units.number(&brief.name));
    let mut stop: Vec<u32> = numbers.filter(|number| *number >= to).collect();
    stop.sort_unstable_by(|a, b| b.cmp(a));
    Ok(Steps {
        start,
        stop,
        is_up: true,
    })
}

fn is_stopping(brief: &Brief) -> bool {
    brief.job.as_ref().is_some_and(QueuedJob::is_stop)
}

/// Returns whether an instance that is not READY has failed, or has not come up yet. One that the brake has stopped is inactive, as
/// if it had been stopped on purpose.
fn is_trying(layout: &Layout, app: &str, number: u32, brief: &Brief) -> bool {
    let deaths = Deaths::load(&Entry::new(&layout.state(app), Name::Deaths(number)));
    let is_given_up = deaths.is_some_and(|deaths| deaths.errored);
    brief.active != ActiveState::Inactive || brief.job.is_some() || is_given_up
}

/// Refuses to stop the only instances that serve.
pub(super) fn refuse_to_stop_all(
    jobs: &mut Jobs<'_>,
    scaling: Scaling<'_>,
    steps: &Steps,
) -> Result<(), Failure> {
    let units = Units::of(scaling.app);
    let loaded = jobs.manager.units(&units.instances())?;
    let ready = loaded.iter().filter(|brief| brief.is_ready());
    let ready: Vec<u32> = ready
        .filter_map(|brief| units.number(&brief.name))
        .collect();
    if steps.stop.is_empty() || ready.is_empty() || ready.iter().any(|n| *n < scaling.to) {
        return Ok(());
    }
    let Scaling { app, to, .. } = scaling;
    let message = format!("none of the {} that would stay serves", counted(to));
    Err(Failure::failed(format!("{app}: {message}")).help(format!(
        "run `rsgen list {app}` to see why, and `rsgen reload {app}`"
    )))
}
