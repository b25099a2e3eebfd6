//! Starts or stops several instances of an app at once, each by a job of its own.

use super::jobs::Jobs;
use super::state;
use crate::output::{Failure, Notice};
use crate::systemd::{ActiveState, Job, JobResult, Verb};
use crate::unit::name::Units;
use crate::walk::Overdue;

impl Jobs<'_> {
    /// Starts instances, and waits until they serve. If one fails, it still waits for the others.
    pub(super) fn start_instances(&mut self, app: &str, numbers: &[u32]) -> Result<(), Failure> {
        for number in numbers {
            state::forget_deaths(self.layout, app, Some(*number));
        }
        for job in self.queue_each(Verb::Start, app, numbers)? {
            // The job of an instance that comes up at its second try has failed: the state of the instance counts.
            if self.end(&job, &mut None)? == JobResult::Canceled {
                // A stop of the app takes the instances along. One that was started now would run without the cluster.
                self.is_still_up(app)?;
                self.run(Verb::Start, &job.unit)?;
            }
        }
        self.serve(app, Some(numbers))?;
        self.tell_each(app, numbers, "start");
        Ok(())
    }

    /// Stops instances, each after its drain, and has systemd forget them.
    pub(super) fn stop_instances(&mut self, app: &str, numbers: &[u32]) -> Result<(), Failure> {
        let units = Units::of(app);
        let longest = self.manager.unit(&units.cluster())?.stop_timeout;
        let mut overdue = Some(Overdue::new(app, longest));
        for job in self.queue_each(Verb::Stop, app, numbers)? {
            match self.end(&job, &mut overdue)? {
                JobResult::Done | JobResult::Skipped => {}
                _ => self.run(Verb::Stop, &job.unit)?,
            }
        }
        for number in numbers {
            state::forget_deaths(self.layout, app, Some(*number));
            self.manager.reset_failed(&units.instance(*number))?;
        }
        self.tell_each(app, numbers, "stop");
        Ok(())
    }

    fn is_still_up(&mut self, app: &str) -> Result<(), Failure> {
        let cluster = self.manager.unit(&Units::of(app).cluster())?;
        if matches!(cluster.active, ActiveState::Active | ActiveState::Reloading) {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{app} was stopped before its new instances were up"
        )))
    }

    fn queue_each(&mut self, verb: Verb, app: &str, numbers: &[u32]) -> Result<Vec<Job>, Failure> {
        let units = Units::of(app);
        let jobs = numbers.iter().map(|number| {
            let unit = units.instance(*number);
            self.manager.queue(verb, &unit).map_err(Failure::from)
        });
        jobs.collect()
    }

    fn tell_each(&self, app: &str, numbers: &[u32], verb: &str) {
        for number in numbers {
            let instance = format!("{app}@{number}");
            self.sink.notice(&Notice::Done(&instance, verb));
        }
    }
}
