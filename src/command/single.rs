//! Starts, restarts and stops of single instances, each of which the journal tells: the cluster unit has no part in them.

use std::time::Instant;

use super::jobs::Jobs;
use super::state;
use crate::journal::Happening;
use crate::output::Failure;
use crate::record::Record;
use crate::systemd::{JobResult, Verb};
use crate::unit::name::Units;

impl Jobs<'_> {
    /// Starts one instance.
    pub(super) fn start_instance(&mut self, app: &str, number: u32) -> Result<(), Failure> {
        self.begin_anew(Verb::Start, app, number)
    }

    /// Restarts one instance.
    pub(super) fn restart_instance(&mut self, app: &str, number: u32) -> Result<(), Failure> {
        self.begin_anew(Verb::Restart, app, number)
    }

    /// Stops one instance.
    pub(super) fn stop_instance(&mut self, app: &str, number: u32) -> Result<(), Failure> {
        self.cut_short(&Units::of(app).instance(number))?;
        self.run_and_tell(Verb::Stop, app, number)
    }

    fn begin_anew(&mut self, verb: Verb, app: &str, number: u32) -> Result<(), Failure> {
        state::forget_deaths(self.layout, app, Some(number));
        state::forget_release(self.layout, app, number);
        let _trial = self.first_trial(app);
        self.run_and_tell(verb, app, number)
    }

    /// Fails where a condition has kept a unit down: systemd calls such a job done.
    fn refuse_unmet(&mut self, verb: Verb, unit: &str) -> Result<(), Failure> {
        if self.manager.unit(unit)?.is_unmet() {
            return Err(self.failed(verb, unit, JobResult::Done));
        }
        Ok(())
    }

    /// Runs a job of an instance, and tells what it has changed, or that it has failed.
    fn run_and_tell(&mut self, verb: Verb, app: &str, number: u32) -> Result<(), Failure> {
        let unit = Units::of(app).instance(number);
        if verb != Verb::Start {
            self.outlast_starts(app, &unit)?;
        }
        let before = self.manager.unit(&unit)?;
        let begun = Instant::now();
        let done = self.run(verb, &unit);
        let done = done.and_then(|()| match verb {
            Verb::Stop => Ok(()),
            verb => self.refuse_unmet(verb, &unit),
        });
        let is_there_already = match verb {
            Verb::Start => before.is_ready(),
            Verb::Stop => before.is_gone(),
            _ => false,
        };
        if done.is_ok() && is_there_already {
            return Ok(());
        }
        let happening = match verb {
            Verb::Stop => Happening::InstanceStopped,
            _ => Happening::InstanceStarted,
        };
        let what = match (&done, verb) {
            (Err(failure), _) => format!("failed: {}", failure.message),
            (Ok(()), Verb::Restart) => "was restarted".to_owned(),
            (Ok(()), Verb::Stop) => "was stopped".to_owned(),
            (Ok(()), _) => "was started".to_owned(),
        };
        let text = format!("{}: {app}@{number} {what}", happening.word());
        let record = Record {
            is_failed: done.is_err(),
            instance: Some(number),
            took: Some(begun.elapsed()),
            ..Record::new(happening, &text)
        };
        self.record(app, &record);
        done
    }
}
