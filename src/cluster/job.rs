//! `ExecStart=` of the cluster unit of a job: starts the instances, and waits until all of them have ended.
//!
//! While the instances run, the unit is `activating`, so systemd starts no second run and `systemctl start` waits for
//! the end. The unit has no `Wants=` for its instances, because an instance that ends at once could then not be told
//! from one that was not started.

use std::time::Duration;

use sd_notify::NotifyState;

use super::{Cluster, LOOK, stop};
use crate::systemd::{ATTEMPTS, Error, Job, JobResult, Manager, Unit, Verb};
use crate::visible::Visible;

/// A run that failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Instances have failed.
    #[error("{failed} of {wanted} instances failed")]
    Failed {
        /// The number of instances that failed.
        failed: usize,
        /// The number of instances.
        wanted: u32,
    },
    /// systemd could not be asked.
    #[error(transparent)]
    Systemd(#[from] Error),
}

/// The end of a run that has not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// So many instances have done their work, and a condition has kept the others down.
    Done(u32),
    /// The run was stopped before.
    Stopped,
}

/// The longest wait before the state of the job is checked.
const WHILE: Duration = Duration::from_secs(10);

/// Runs the instances once. `say` gets a line about each of them.
///
/// # Errors
/// [`JobError::Failed`] when an instance has failed; another one when systemd cannot be asked.
pub fn job(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    wanted: u32,
    say: &mut dyn FnMut(&str),
) -> Result<Ran, JobError> {
    tell(&format!("running, {wanted} of {wanted}"));
    let mut jobs = Vec::new();
    for number in 0..wanted {
        let unit = cluster.units().instance(number);
        // No unit wants it, so systemd would forget that a condition has kept it down.
        manager.hold(&unit);
        jobs.push(manager.queue(Verb::Start, &unit)?);
    }
    let (mut failed, mut skipped) = (0, 0);
    for job in jobs {
        let Some(result) = outwait(manager, cluster, job.clone())? else {
            return Ok(Ran::Stopped);
        };
        let unit = manager.unit(&job.unit)?;
        manager.release(&job.unit);
        let is_good = is_good(result, &unit);
        failed += usize::from(!is_good);
        // To systemd, a condition that does not hold is not a failure; an assertion is.
        skipped += u32::from(is_good && unit.is_unmet());
        say(&line(&unit, is_good));
    }
    if failed > 0 {
        tell(&format!("{failed} of {wanted} failed"));
        return Err(JobError::Failed { failed, wanted });
    }
    let done = wanted.saturating_sub(skipped);
    tell(&format!("{done} of {wanted} done"));
    Ok(Ran::Done(done))
}

/// Returns whether a run did not fail, by the result of its job. The result of a unit that a condition has kept down is that of an earlier run.
fn is_good(is_job_done: bool, unit: &Unit) -> bool {
    is_job_done && (unit.is_unmet() || matches!(unit.result.as_str(), "" | "success"))
}

fn line(unit: &Unit, is_good: bool) -> String {
    let name = &unit.name;
    if is_good && !unit.is_unmet() {
        return format!("{name}: done");
    }
    format!("{name}: {}", unit.why())
}

/// Waits until an instance ends, and returns whether its job succeeded; `None` if the run is being stopped.
fn outwait(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    mut job: Job,
) -> Result<Option<bool>, Error> {
    let mut left = ATTEMPTS;
    loop {
        match manager.wait(&job, WHILE) {
            Err(Error::TimedOut { .. }) => {}
            Ok(JobResult::Canceled) => {
                if stop::is_stopping(manager, cluster)? {
                    return Ok(None);
                }
                // When a start is cancelled, a program that was started keeps running.
                if manager.unit(&job.unit)?.is_gone() {
                    if left == 0 {
                        let what = format!("the start of `{}`", job.unit);
                        return Err(Error::Canceled { what });
                    }
                    left -= 1;
                } else {
                    manager.pause(LOOK);
                }
                job = manager.queue(Verb::Start, &job.unit)?;
            }
            Ok(result) => return Ok(Some(matches!(result, JobResult::Done | JobResult::Skipped))),
            Err(e) => return Err(e),
        }
    }
}

/// Tells systemd the status. This does not ask for more time, because the start of the unit has no time limit.
fn tell(status: &str) {
    // When the command is run by hand, nobody listens.
    let _ = sd_notify::notify(&[NotifyState::Status(Visible::line(status).as_str())]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::ActiveState;
    use crate::systemd::fake::{Fake, Start};

    fn run(fake: &mut Fake, wanted: u32) -> (Result<Ran, String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "backup".into(),
            state: folder.path().join("backup"),
            scope: crate::layout::Scope::System,
            journal: crate::record::Journal::default(),
        };
        let mut said = Vec::new();
        let mut say = |line: &str| said.push(line.to_owned());
        let done = job(fake, &cluster, wanted, &mut say).map_err(|e| e.to_string());
        (done, said)
    }

    #[test]
    fn a_run_is_as_good_as_its_instances() {
        let mut fake = Fake::default();
        let (done, said) = run(&mut fake, 2);
        assert_eq!(done, Ok(Ran::Done(2)));
        assert_eq!(said, ["backup@0.service: done", "backup@1.service: done"]);
        let mut fake = Fake::default();
        fake.script("backup@1.service", &[Start::GivesUp]);
        let (done, said) = run(&mut fake, 2);
        assert_eq!(done, Err("1 of 2 instances failed".to_owned()));
        assert_eq!(
            said,
            [
                "backup@0.service: done",
                "backup@1.service: exited with status 1"
            ]
        );
    }

    /// As with the first run of a unit whose program ended before systemd reported the job.
    #[test]
    fn an_instance_whose_start_succeeded_fails_with_its_unit() {
        let mut fake = Fake::running(&["backup@0.service"]);
        let unit = fake.unit("backup@0.service").unwrap();
        fake.set(Unit {
            result: "timeout".into(),
            ..unit
        });
        let (done, said) = run(&mut fake, 1);
        assert_eq!(done, Err("1 of 1 instances failed".to_owned()));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(!said[0].ends_with("done"), "{said:?}");
    }

    #[test]
    fn a_run_that_a_condition_prevents_is_not_as_bad_as_the_one_before() {
        let skipped = |result: &str, is_gone| Unit {
            unmet: "ConditionPathExists=/a".into(),
            result: result.into(),
            active: if is_gone {
                ActiveState::Failed
            } else {
                ActiveState::Active
            },
            ..Unit::default()
        };
        assert!(is_good(true, &skipped("exit-code", true)));
        assert!(!is_good(false, &skipped("exit-code", true)));
        assert!(!is_good(true, &skipped("exit-code", false)));
        assert!(is_good(true, &skipped("success", false)));
    }

    #[test]
    fn an_instance_that_a_condition_keeps_down_has_done_nothing_and_has_not_failed() {
        let mut fake = Fake::default();
        fake.set(Unit {
            name: "backup@1.service".into(),
            unmet: "ConditionPathExists=/a".into(),
            ..Unit::default()
        });
        let (done, said) = run(&mut fake, 3);
        assert_eq!(done, Ok(Ran::Done(2)));
        let why = "backup@1.service: not started, because `ConditionPathExists=/a` did not hold";
        assert_eq!(said[1], why);
    }

    #[test]
    fn a_start_that_somebody_cancels_is_asked_for_again_unless_the_run_is_stopped() {
        let mut fake = Fake::default();
        fake.cancel("backup@0.service", 1);
        assert_eq!(run(&mut fake, 1).0, Ok(Ran::Done(1)));
        let mut fake = Fake::default();
        fake.cancel("backup@0.service", 1);
        fake.busy("backup.service", "stop");
        assert_eq!(run(&mut fake, 1), (Ok(Ran::Stopped), Vec::new()));
        assert_eq!(fake.log, ["start backup@0.service"]);
    }

    #[test]
    fn a_start_that_is_cancelled_again_and_again_fails() {
        let attempts = u32::try_from(ATTEMPTS).unwrap();
        let mut fake = Fake::default();
        fake.cancel("backup@0.service", attempts + 1);
        let fault = run(&mut fake, 1).0.unwrap_err();
        assert!(fault.contains("the start of `backup@0.service`"), "{fault}");
        let mut fake = Fake::default();
        fake.cancel("backup@0.service", attempts);
        assert_eq!(run(&mut fake, 1).0, Ok(Ran::Done(1)));
    }
}
