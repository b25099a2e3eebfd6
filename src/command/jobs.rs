//! systemd's jobs, from the moment they are queued until they end.
//!
//! Everything that happens to a job is reported as a [`Notice`]; nothing is printed here.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use super::waiting::{TICK, Waiting};
use super::{hint, state, times};
use crate::generate;
use crate::layout::Layout;
use crate::output::{Failure, Notice, Sink};
use crate::state::Lock;
use crate::systemd::{self, ATTEMPTS, Job, JobResult, Manager, QueuedJob, Unit, Verb};
use crate::unit::name::{Member, Units, parse};
use crate::walk::Overdue;

/// How often an instance is checked for exceeding the time in which it has to end.
pub(super) const GLANCE: Duration = Duration::from_secs(1);
/// The longest wait for a job. systemd's own time-outs are far shorter, so a job that takes longer will never end.
pub(super) const LONGEST: Duration = Duration::from_hours(1);

/// The jobs of the apps of one layout.
pub(super) struct Jobs<'a> {
    pub(super) manager: &'a mut dyn Manager,
    pub(super) layout: &'a Layout,
    pub(super) sink: &'a dyn Sink,
    /// The subcommand that does this work.
    pub(super) command: &'static str,
    /// When this work on jobs began.
    pub(super) begun: SystemTime,
    /// The lock of commands that replace instances in a way of their own, if the command has taken it before, see [`Jobs::part`].
    pub(super) part: Option<Lock>,
    /// Whether systemd has read all files anew for this command, which takes the longer the more units there are.
    pub(super) is_reread: &'a Cell<bool>,
}

impl Jobs<'_> {
    /// Starts the timer if the app is a job, as `all` and a file do instead of a run. Returns whether the app is a job.
    pub(super) fn arm(&mut self, app: &str) -> Result<bool, Failure> {
        let is_job = generate::is_known_job(self.layout, app);
        if is_job {
            self.run(Verb::Start, &Units::of(app).timer())?;
        }
        Ok(is_job)
    }

    /// Starts an app and waits until it serves; runs a job and waits until the run ends.
    pub(super) fn start(&mut self, app: &str) -> Result<(), Failure> {
        let _asked = self.ask(app);
        self.sink.notice(&Notice::Starting(app));
        state::forget_deaths(self.layout, app, None);
        if generate::is_known_job(self.layout, app) {
            return self.run_now(Verb::Start, app);
        }
        self.end_pause(app)?;
        let _trial = self.first_trial(app);
        self.run(Verb::Start, &Units::of(app).cluster())?;
        self.all_serve(app)
    }

    /// Restarts all instances of an app at once. The port stays open.
    pub(super) fn restart(&mut self, app: &str) -> Result<(), Failure> {
        let _asked = self.ask(app);
        self.sink.notice(&Notice::Restarting(app));
        state::forget_deaths(self.layout, app, None);
        if generate::is_known_job(self.layout, app) {
            return self.run_now(Verb::Restart, app);
        }
        self.outlast_starts(app, &Units::of(app).instances())?;
        let _trial = self.first_trial(app);
        self.run(Verb::Restart, &Units::of(app).cluster())?;
        self.all_serve(app)
    }

    /// Stops an app, and its socket last. The job of the socket pulls in the stop of the cluster; while it waits,
    /// systemd starts nothing for a connection that arrives after the first instances have ended.
    pub(super) fn stop(&mut self, app: &str) -> Result<(), Failure> {
        let units = Units::of(app);
        if generate::is_known_job(self.layout, app) {
            return self.end_run(app);
        }
        let _asked = self.ask(app);
        self.cut_short(&units.instances())?;
        self.outlast_starts(app, &units.instances())?;
        for socket in self.sockets(app)? {
            self.run(Verb::Stop, &socket)?;
        }
        self.run(Verb::Stop, &units.cluster())?;
        self.close_listeners(app)
    }

    /// The socket units of an app: the second one only where there is one.
    pub(super) fn sockets(&mut self, app: &str) -> Result<Vec<String>, Failure> {
        let units = Units::of(app);
        let second = self.manager.units(&units.second_socket())?;
        let second = second.into_iter().map(|unit| unit.name);
        Ok([units.socket()].into_iter().chain(second).collect())
    }

    /// Stops the listeners of instances that have one each. Those of instances that run are closed when these end.
    pub(super) fn close_listeners(&mut self, app: &str) -> Result<(), Failure> {
        for listener in self.manager.units(&Units::of(app).listeners())? {
            if !listener.is_gone() {
                self.run(Verb::Stop, &listener.name)?;
            }
        }
        Ok(())
    }

    /// Starts the timer of a job and runs it at once. Waits until the run ends, however long that takes.
    fn run_now(&mut self, verb: Verb, app: &str) -> Result<(), Failure> {
        let units = Units::of(app);
        self.run(Verb::Start, &units.timer())?;
        let unit = units.cluster();
        let job = self.manager.queue(verb, &unit)?;
        let mut waiting = Waiting::begin(self.sink);
        loop {
            match self.manager.wait(&job, waiting.nap(self.sink, GLANCE)) {
                Err(systemd::Error::TimedOut { .. }) => {
                    waiting.tell_of(self.sink, app, "the end of the run");
                }
                Ok(JobResult::Done | JobResult::Skipped) => break,
                Ok(result) => return Err(self.failed(verb, &unit, result)),
                Err(e) => return Err(e.into()),
            }
        }
        let run = self.manager.unit(&unit)?;
        if let Some(skipped) = times::skipped(&run) {
            let logs = format!("{skipped}; `rsgen logs {app}` shows why the others are down");
            let logs = hint::for_manager(self.layout.scope, &logs);
            self.sink.notice(&Notice::Noted(app, &logs));
        }
        Ok(())
    }

    /// Stops the timer of a job, and a run that is under way.
    fn end_run(&mut self, app: &str) -> Result<(), Failure> {
        let units = Units::of(app);
        self.run(Verb::Stop, &units.timer())?;
        self.run(Verb::Stop, &units.cluster())?;
        for instance in self.manager.units(&units.instances())? {
            if !instance.is_gone() {
                self.run(Verb::Stop, &instance.name)?;
            }
        }
        Ok(())
    }

    /// Has systemd forget that units of an app have failed.
    pub(super) fn forget_failures(&mut self, app: &str) -> Result<(), Failure> {
        let units = Units::of(app);
        let mut instances = self.manager.units(&units.instances())?;
        instances.extend(self.manager.units(&units.joins())?);
        let instances = instances.into_iter().map(|unit| unit.name);
        let beside = units.beside().into_iter();
        let beside = beside.chain([units.cluster(), units.timer(), units.pause()]);
        let sockets = self.sockets(app)?;
        for unit in instances.chain(sockets).chain(beside) {
            self.manager.reset_failed(&unit)?;
        }
        Ok(())
    }

    /// Stops the brake unit of an app that is down. The unit ends by itself, a moment after the instances.
    pub(super) fn stop_brake(&mut self, app: &str) -> Result<(), Failure> {
        for brake in self.manager.units(&Units::of(app).brake())? {
            if !brake.is_gone() {
                self.run(Verb::Stop, &brake.name)?;
            }
        }
        Ok(())
    }

    /// Stops the timer of an app, so that it does not start anything again.
    pub(super) fn stop_timer(&mut self, app: &str) -> Result<(), Failure> {
        let timer = Units::of(app).timer();
        self.run(Verb::Stop, &timer)?;
        Ok(self.manager.forget_times(&timer)?)
    }

    /// Ends the drains of units that are being stopped already: a user who asks for a stop again does not want to wait
    /// for them. The drains of a walk go on, since a walk restarts instances.
    pub(super) fn cut_short(&mut self, pattern: &str) -> Result<(), Failure> {
        for unit in self.manager.units(pattern)? {
            let is_stopping = unit.job.as_ref().is_some_and(QueuedJob::is_stop);
            if is_stopping && unit.sub == "stop" {
                self.manager.cut_short(&unit.name)?;
            }
        }
        Ok(())
    }

    /// Queues a job and waits until it ends. A unit that is not loaded needs no stop.
    pub(super) fn run(&mut self, verb: Verb, unit: &str) -> Result<(), Failure> {
        let before = self.manager.unit(unit)?.invocation;
        let mut overdue = self.watch_over(unit)?;
        for left in (0..=ATTEMPTS).rev() {
            let job = match self.manager.queue(verb, unit) {
                Err(systemd::Error::NoSuchUnit { .. }) if verb == Verb::Stop => return Ok(()),
                job => job?,
            };
            match self.end(&job, &mut overdue)? {
                JobResult::Done | JobResult::Skipped => return Ok(()),
                JobResult::Canceled => {}
                result => return Err(self.failed(verb, unit, result)),
            }
            let now = self.settled(unit, &mut overdue)?;
            match after_cancel(verb, &now, &before) {
                Next::Done => return Ok(()),
                Next::Again if left > 0 => self.sink.notice(&Notice::QueuedAgain(verb, unit)),
                Next::Again | Next::GiveUp => break,
            }
        }
        Err(self.failed(verb, unit, JobResult::Canceled))
    }

    /// Returns the limit on the end of a single instance, which may delay its own end. For other units, the commands of
    /// the cluster unit enforce the limit.
    fn watch_over(&mut self, unit: &str) -> Result<Option<Overdue>, Failure> {
        let Some((app, Member::Instance(_))) = parse(unit) else {
            return Ok(None);
        };
        let cluster = self.manager.unit(&Units::of(app).cluster())?;
        Ok(Some(Overdue::new(app, cluster.stop_timeout)))
    }

    fn end_overdue(&mut self, overdue: &mut Option<Overdue>) -> Result<(), Failure> {
        if let Some(overdue) = overdue {
            for killed in overdue.look(self.manager)? {
                self.sink.notice(&Notice::Killed(&killed));
            }
        }
        Ok(())
    }

    /// Waits until a job ends.
    pub(super) fn end(
        &mut self,
        job: &Job,
        overdue: &mut Option<Overdue>,
    ) -> Result<JobResult, Failure> {
        let end = Instant::now() + LONGEST;
        let mut waiting = Waiting::begin(self.sink);
        loop {
            match self.manager.wait(job, waiting.nap(self.sink, GLANCE)) {
                Err(systemd::Error::TimedOut { .. }) if Instant::now() < end => {}
                result => return Ok(result?),
            }
            self.end_overdue(overdue)?;
            waiting.tell(self.manager, self.sink, Some(self.layout), &job.unit);
        }
    }

    /// Returns the state of a unit once it has settled after its job was cancelled, or once another job has taken the
    /// job's place.
    fn settled(&mut self, unit: &str, overdue: &mut Option<Overdue>) -> Result<Unit, Failure> {
        let end = Instant::now() + LONGEST;
        let mut waiting = Waiting::begin(self.sink);
        loop {
            let now = self.manager.unit(unit)?;
            if now.job.is_some() || !now.is_moving() || Instant::now() > end {
                return Ok(now);
            }
            self.end_overdue(overdue)?;
            waiting.tell(self.manager, self.sink, Some(self.layout), unit);
            self.manager.pause(TICK);
        }
    }
}

/// What follows after a job was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The unit is in the state that the job would have brought it to.
    Done,
    /// The job is queued again.
    Again,
    /// Another job is queued for the unit, so somebody wants something else.
    GiveUp,
}

/// Decides by the current state of the unit, and by the invocation ID that the unit had before the job was queued.
pub(super) fn after_cancel(verb: Verb, now: &Unit, before: &str) -> Next {
    let is_done = match verb {
        Verb::Stop | Verb::StopAlone => now.is_gone(),
        Verb::Restart => now.is_ready() && now.invocation != before,
        Verb::Start | Verb::Reload | Verb::ReloadIfFree => now.is_ready(),
    };
    match now.job {
        Some(_) => Next::GiveUp,
        None if is_done => Next::Done,
        None => Next::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::ActiveState;

    #[test]
    fn a_cancelled_job_is_queued_again_unless_the_unit_is_where_it_was_to_be() {
        use ActiveState::{Active, Failed, Inactive};
        let unit = |active, invocation: &str| Unit {
            active,
            invocation: invocation.into(),
            ..Unit::default()
        };
        for (verb, now, next) in [
            (Verb::Stop, unit(Inactive, ""), Next::Done),
            (Verb::Stop, unit(Failed, ""), Next::Done),
            (Verb::Stop, unit(Active, "a"), Next::Again),
            (Verb::Start, unit(Active, "a"), Next::Done),
            (Verb::Start, unit(Inactive, ""), Next::Again),
            // Only a new invocation shows that the unit was restarted.
            (Verb::Restart, unit(Active, "b"), Next::Done),
            (Verb::Restart, unit(Active, "a"), Next::Again),
            (Verb::Restart, unit(Inactive, "b"), Next::Again),
        ] {
            assert_eq!(after_cancel(verb, &now, "a"), next, "{verb} {now:?}");
            let job = Some(QueuedJob {
                path: "/job/other".into(),
                kind: "stop".into(),
            });
            assert_eq!(after_cancel(verb, &Unit { job, ..now }, "a"), Next::GiveUp);
        }
    }
}
