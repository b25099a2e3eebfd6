//! The commands that the cluster unit, its instances and the units beside them run through `rsgen unit …`: start, reload, stop,
//! stopped, job, ended, brake, recycle, pause and resume, see the templates.
//!
//! What an instance is, the units say, not these commands. Each of them looks at systemd, does one thing and ends. A
//! job that waits for another job would wait forever if systemd ordered the two, so there must be no ordering between
//! the cluster unit and its instances.

pub mod asked;
mod ended;
mod finished;
pub mod hold_off;
mod job;
mod journal;
mod left;
pub mod lines;
mod listener;
mod loss;
pub mod pause;
mod paused;
pub mod progress;
mod recycle;
mod reload;
mod run;
mod serving;
mod shown;
mod start;
mod stop;
pub mod stop_reason;
#[cfg(test)]
mod tests;
mod trial;
mod uncounted;
mod unrun;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;

pub use ended::{Death, Ended, Noted, ended};
pub use job::{JobError, Ran, job};
pub use loss::loss;
pub use recycle::{Limits, RecycleError, recycle};
pub use reload::{ReloadError, reload};
pub use start::{Start, StartError, start};
pub use stop::{Stopped, stop, stopped};
pub use trial::Trial;
pub use unrun::{brake, braked};

use lines::Extent;
use run::Run;

use crate::brake::Deaths;
use crate::contract::ERRORED;
use crate::layout::Scope;
use crate::record::{Asked, Journal, Record};
use crate::state::{Entry, Name};
use crate::systemd::{Brief, Error, Manager, QueuedJob, Unit, Verb};
use crate::unit::name::Units;
use crate::visible::Visible;
use crate::walk::{Cause, Failed};

/// The app whose units these are.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The name of the app.
    pub app: String,
    /// The folder of the app below `/run/rsgen`.
    pub state: PathBuf,
    /// The manager to which the units belong.
    pub scope: Scope,
    /// The place where events of the app are reported.
    pub journal: Journal,
}

/// How often states are checked during a wait.
const LOOK: Duration = Duration::from_millis(50);
/// The extra time that each notification asks for. A command that hangs is ended by systemd after it.
const EXTENSION: Duration = Duration::from_secs(30);

impl Cluster {
    /// The names of the app's units.
    fn units(&self) -> Units<'_> {
        Units::of(&self.app)
    }

    fn file(&self, name: Name) -> Entry {
        Entry::new(&self.state, name)
    }

    fn deaths(&self, number: u32) -> Entry {
        self.file(Name::Deaths(number))
    }

    /// Returns how an instance died last, if that is known.
    fn last_cause(&self, number: u32) -> Option<Cause> {
        let deaths = Deaths::load(&self.deaths(number))?;
        (!deaths.reason.is_empty()).then_some(Cause {
            why: deaths.reason,
            invocation: deaths.invocation,
        })
    }

    /// Forgets the release that an instance was started with, because its next start is on purpose.
    fn forget_release(&self, number: u32) {
        // Usually no such file exists.
        let _ = self.file(Name::Release(number)).remove();
    }

    /// Makes the next run of an instance keep the release of this one, although its restart is requested: only rsgen requested it.
    fn keep_release(&self, number: u32, invocation: &str) {
        // Without the note, the link decides.
        let _ = self.file(Name::Recycled(number)).write(invocation);
    }

    /// Returns whether the run that follows this one is to keep its release, and forgets that.
    fn keeps_release(&self, number: u32, invocation: &str) -> bool {
        let file = self.file(Name::Recycled(number));
        let of_run = file.read();
        // Usually no such file exists.
        let _ = file.remove();
        of_run.is_ok_and(|of_run| of_run == invocation && !invocation.is_empty())
    }

    /// Has an instance that is about to be started begin with the release of another one.
    fn share_release(&self, from: u32, to: u32) {
        let note = self.file(Name::Release(from)).read();
        // Without the note, the link decides.
        let _ = match note {
            Ok(note) => self.file(Name::Release(to)).write(&note),
            Err(_) => self.file(Name::Release(to)).remove(),
        };
    }

    /// Returns who asked for what the cluster unit does now, and forgets it.
    #[must_use]
    pub fn take_asked(&self) -> Option<Asked> {
        let file = self.file(Name::AskedBy);
        let asked = Asked::parse(&file.read().ok()?);
        // Otherwise the next job would be said to be that user's as well.
        let _ = file.remove();
        asked
    }

    /// Tells what has happened, and who asked for it.
    fn tell_asked(&self, record: &Record<'_>) {
        let journal = self.journal.clone().asked_by(self.take_asked());
        journal.tell(record);
    }

    /// Returns the output of an instance or of the cluster unit, from the run that died. If an instance was given up,
    /// its last run only contained the worker.
    pub(crate) fn words(&self, unit: &Unit) -> Vec<String> {
        // Whatever there is was written by an earlier run.
        if unit.is_unmet() {
            return Vec::new();
        }
        self.words_of_a_run(&unit.name, unit.exit_status, &Run::of(unit), None)
    }

    /// Returns what the cluster unit has written since this time. Its reloads have the invocation ID of its start.
    pub(crate) fn words_since(&self, unit: &Unit, since: SystemTime) -> Vec<String> {
        let run = Run::known_by(&unit.invocation);
        self.words_of_a_run(&unit.name, unit.exit_status, &run, Some(since))
    }

    /// Returns what the cluster unit has written since this time in all its runs: of a start that has failed, where the next one has begun.
    pub(crate) fn words_of_any_run_since(&self, since: SystemTime) -> Vec<String> {
        let unit = self.units().cluster();
        journal::words_of_any_run(self.scope, &unit, since, Extent::OF_A_CLUSTER)
    }

    /// Returns the output of the run because of which a walk failed.
    pub(crate) fn words_of(&self, failed: &Failed) -> Vec<String> {
        let Some(number) = failed.number else {
            return Vec::new();
        };
        let unit = self.units().instance(number);
        let run = Run::known_by(&failed.invocation);
        self.words_of_a_run(&unit, failed.exit_status, &run, None)
    }

    fn words_of_a_run(
        &self,
        unit: &str,
        exit_status: i32,
        run: &Run,
        since: Option<SystemTime>,
    ) -> Vec<String> {
        let number = self.units().number(unit);
        let extent = match number {
            Some(_) => Extent::OF_A_PROGRAM,
            None => Extent::OF_A_CLUSTER,
        };
        let died = number
            .and_then(|number| Deaths::load(&self.deaths(number)))
            .map(Run::that_died)
            .filter(|died| exit_status == i32::from(ERRORED) || died.invocation == run.invocation);
        journal::words(
            self.scope,
            unit,
            died.as_ref().unwrap_or(run),
            since,
            extent,
        )
    }

    /// Returns all loaded instances with their numbers.
    fn instances(&self, manager: &mut dyn Manager) -> Result<Vec<(u32, Brief)>, Error> {
        let names = self.units();
        let units = manager.units(&names.instances())?;
        Ok(units
            .into_iter()
            .filter_map(|u| Some((names.number(&u.name)?, u)))
            .collect())
    }

    /// Queues a stop of every socket. From then on no connection makes systemd start the cluster.
    fn stop_sockets(&self, manager: &mut dyn Manager) -> Result<(), Error> {
        for socket in self.sockets(manager)? {
            manager.queue(Verb::Stop, &socket)?;
        }
        Ok(())
    }

    /// Returns the sockets that systemd has loaded; empty for an app that does not listen.
    fn sockets(&self, manager: &mut dyn Manager) -> Result<Vec<String>, Error> {
        let mut loaded = Vec::new();
        for socket in self.units().sockets() {
            let found = manager.units(&socket)?;
            loaded.extend(found.into_iter().map(|unit| unit.name));
        }
        Ok(loaded)
    }

    /// Returns the job of the cluster unit.
    fn job(&self, manager: &mut dyn Manager) -> Result<Option<QueuedJob>, Error> {
        let units = manager.units(&self.units().cluster())?;
        Ok(units.into_iter().find_map(|u| u.job))
    }
}

/// Tells systemd the status, and asks for more time. A command that hangs is ended by the unit's own time-out.
fn notify(status: &str, at_most: Duration) {
    // When the command is run by hand, nobody listens.
    let _ = sd_notify::notify(&[
        // A newline would begin another assignment.
        NotifyState::Status(Visible::line(status).as_str()),
        extension(at_most),
    ]);
}

/// Sets the status that stays when a command of the unit ends. Where nothing changes the text when instances come and go later (see
/// `shown`), it has to stay true. Hence the text is about what has happened, and names the command that shows the present.
fn notify_at_the_end(cluster: &Cluster, what: &str) {
    let list = match cluster.scope {
        Scope::System => "rsgen list",
        Scope::User => "rsgen --user list",
    };
    let app = &cluster.app;
    let status = format!("{what}; `{list} {app}` shows which serve now");
    notify(&status, EXTENSION);
}

/// Asks for more time, see `EXTEND_TIMEOUT_USEC=` in `sd_notify(3)`, and leaves the last status as it is.
fn extend(at_most: Duration) {
    let _ = sd_notify::notify(&[extension(at_most)]);
}

fn extension(at_most: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX))
}
