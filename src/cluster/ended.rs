//! `ExecStopPost=` of an instance: counts quick deaths, and speaks for the cluster when it was the last.
//!
//! An active cluster unit with nobody behind its socket would swallow connections in silence: the
//! socket waits for a unit that is active already. So the last instance has the cluster stopped.

use std::time::Duration;

use super::Cluster;
use super::verdict::{self, Verdict};
use crate::brake::{Deaths, ERRORED, Policy};
use crate::systemd::{ActiveState, Error, Manager, Unit, Verb};

/// The end of one run, as systemd puts it into the environment, see systemd.exec(5).
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// Which instance.
    pub number: u32,
    /// `$SERVICE_RESULT`
    pub result: String,
    /// `$EXIT_CODE`: `exited`, `killed`, `dumped`.
    pub code: String,
    /// `$EXIT_STATUS`: a number or the name of a signal.
    pub status: String,
    /// Whether systemd starts it again by itself.
    pub autorestart: bool,
}

impl Ended {
    fn is_errored(&self) -> bool {
        self.code == "exited" && self.status == ERRORED.to_string()
    }

    /// Whether systemd will not start it again: given up, or systemd could not even run it.
    fn is_final(&self) -> bool {
        !self.autorestart || self.code == "exited" && self.status.parse().is_ok_and(is_final_status)
    }

    fn reason(&self) -> String {
        match (self.result.as_str(), self.code.as_str()) {
            ("timeout", _) => "it was not ready, or not gone, in time".into(),
            (_, "exited") => format!("exited with status {}", self.status),
            (_, "killed" | "dumped") => format!("killed by SIG{}", self.status),
            (result, _) => result.to_owned(),
        }
    }
}

fn is_final_status(status: u8) -> bool {
    status == ERRORED || (200..=243).contains(&status)
}

/// Notes the end of an instance.
///
/// # Errors
/// When systemd cannot be asked; the state file is written as well as it can be.
pub fn ended(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: &Ended,
    policy: &Policy,
    now: Duration,
) -> Result<(), Error> {
    let unit = manager.unit(&cluster.instance(end.number))?;
    let requested = unit
        .job
        .as_ref()
        .is_some_and(|j| matches!(j.kind.as_str(), "stop" | "restart" | "try-restart"));
    if !requested {
        count(cluster, end, &unit, policy, now);
        if !end.is_final() {
            return Ok(());
        }
    }
    // A run that is given up may end in the middle of its start: that job is lost with it.
    if requested && unit.job.as_ref().is_some_and(|j| j.kind != "stop")
        || somebody_serves(manager, cluster, end.number)?
    {
        return Ok(());
    }
    let leader = manager.unit(&cluster.unit())?;
    if leader.active != ActiveState::Active || leader.job.is_some() {
        return Ok(());
    }
    let why = if requested {
        Verdict::Idle
    } else {
        Verdict::Failed(format!("no instance is left: {}", last_words(cluster, end)))
    };
    // Without the note the cluster would end as stopped by hand, and close its port.
    if verdict::write(cluster, &why).is_ok() {
        manager.queue(Verb::Stop, &cluster.unit())?;
    }
    Ok(())
}

fn last_words(cluster: &Cluster, end: &Ended) -> String {
    let known = Deaths::load(&cluster.deaths(end.number)).map(|d| d.reason);
    known
        .filter(|_| end.is_errored())
        .unwrap_or_else(|| end.reason())
}

fn count(cluster: &Cluster, end: &Ended, unit: &Unit, policy: &Policy, now: Duration) {
    let path = cluster.deaths(end.number);
    let before = Deaths::load(&path);
    let deaths = if end.is_errored() {
        before.unwrap_or_default().given_up(policy)
    } else {
        Deaths::after(before, uptime(unit), now, end.reason(), policy)
    };
    // A count that is lost costs a few more restarts, nothing else.
    let _ = deaths.store(&path);
}

/// From READY to the end; zero for a run that never was READY.
fn uptime(unit: &Unit) -> Duration {
    if unit.active_enter > unit.inactive_exit {
        unit.main_exit.saturating_sub(unit.active_enter)
    } else {
        Duration::ZERO
    }
}

/// Whether any other instance serves or is on its way to.
fn somebody_serves(manager: &mut dyn Manager, cluster: &Cluster, but: u32) -> Result<bool, Error> {
    for number in cluster.numbers(manager)?.into_iter().filter(|n| *n != but) {
        let unit = manager.unit(&cluster.instance(number))?;
        let going = unit.job.as_ref().is_some_and(|j| j.kind == "stop")
            || unit.active == ActiveState::Deactivating
                && u8::try_from(unit.exit_status).is_ok_and(is_final_status);
        if !unit.is_gone() && !going || unit.is_gone() && unit.job.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::fake::Fake;

    const POLICY: Policy = Policy {
        min_uptime: Duration::from_secs(1),
        max_restarts: 3,
        backoff: None,
    };

    fn end(status: &str) -> Ended {
        Ended {
            number: 0,
            result: "exit-code".into(),
            code: "exited".into(),
            status: status.into(),
            autorestart: true,
        }
    }

    #[test]
    fn a_crash_is_counted_and_the_cluster_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "web".into(),
            state: folder.path().into(),
        };
        let mut fake = Fake::running(&["web.service"]);
        ended(&mut fake, &cluster, &end("1"), &POLICY, Duration::ZERO).unwrap();
        assert_eq!(Deaths::load(&cluster.deaths(0)).unwrap().count, 1);
        assert_eq!(fake.log, Vec::<String>::new());
    }

    #[test]
    fn the_last_one_given_up_has_the_cluster_stopped_with_a_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "web".into(),
            state: folder.path().into(),
        };
        let mut fake = Fake::running(&["web.service", "web@1.service"]);
        ended(&mut fake, &cluster, &end("190"), &POLICY, Duration::ZERO).unwrap();
        assert_eq!(fake.log, Vec::<String>::new(), "another instance serves");
        fake.queue(Verb::Stop, "web@1.service").unwrap();
        ended(&mut fake, &cluster, &end("190"), &POLICY, Duration::ZERO).unwrap();
        assert_eq!(fake.log.last().unwrap(), "stop web.service");
        assert!(matches!(verdict::read(&cluster), Some(Verdict::Failed(_))));
    }
}
