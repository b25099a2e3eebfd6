//! Reports an instance that was given up while others serve. systemd still calls the cluster active, so the report goes
//! to the journal of the cluster unit, which `systemctl status` shows.

use std::time::Duration;

use super::{Cluster, Ended};
use crate::layout::Scope;
use crate::systemd::{ActiveState, Error, Manager};

/// Returns the line about an instance whose run has ended, if nothing starts the instance again and the cluster goes on
/// without it. A user's manager has no such journal: entries about a unit of the system are root's.
///
/// # Errors
/// When systemd cannot be asked.
pub fn loss(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    end: Ended<'_>,
) -> Result<Option<String>, Error> {
    if cluster.scope != Scope::System {
        return Ok(None);
    }
    let unit = manager.unit(&cluster.units().instance(end.number))?;
    let is_asked_for = unit
        .job
        .as_ref()
        .is_some_and(|job| job.is_stop() || job.is_restart());
    if is_asked_for || end.is_meant(&unit) || !end.is_final(&unit) {
        return Ok(None);
    }
    let leader = manager.unit(&cluster.units().cluster())?;
    // During a start or a walk, that command reports what becomes of the instances.
    if leader.active != ActiveState::Active || leader.job.is_some() {
        return Ok(None);
    }
    let mut others = cluster.instances(manager)?;
    others.retain(|(number, other)| *number != end.number && other.active != ActiveState::Inactive);
    let serving = others.iter().filter(|(_, other)| other.is_ready()).count();
    let why = super::ended::cause(cluster, &unit, end, Duration::ZERO);
    Ok((serving > 0).then(|| {
        format!(
            "{} was given up: {why}; {serving} of {} serving",
            unit.name,
            others.len() + 1
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ERRORED, Statuses};
    use crate::record::Journal;
    use crate::systemd::Unit;
    use crate::systemd::fake::Fake;

    const ALL: &[&str] = &[
        "web.service",
        "web@0.service",
        "web@1.service",
        "web@2.service",
    ];

    /// Returns the line that is reported when instance 1 exits while these units run, and while the cluster has this
    /// job, if any.
    fn told(running: &[&str], status: u8, job: Option<&str>) -> Option<String> {
        told_of(running, status, job.map(|kind| ("web.service", kind)))
    }

    /// The same with a job of any unit.
    fn told_of(running: &[&str], status: u8, job: Option<(&str, &str)>) -> Option<String> {
        told_to(Scope::System, running, status, job)
    }

    /// The same under the manager of the system, or of a user.
    fn told_to(
        scope: Scope,
        running: &[&str],
        status: u8,
        job: Option<(&str, &str)>,
    ) -> Option<String> {
        let mut fake = Fake::running(running);
        fake.set(Unit {
            name: "web@1.service".into(),
            active: ActiveState::Deactivating,
            result: "exit-code".into(),
            exit_code: libc::CLD_EXITED,
            exit_status: status.into(),
            ..Unit::default()
        });
        if let Some((unit, kind)) = job {
            fake.busy(unit, kind);
        }
        let cluster = Cluster {
            app: "web".into(),
            state: "/nonexistent/web".into(),
            scope,
            journal: Journal::default(),
        };
        let end = Ended {
            number: 1,
            autorestart: true,
            env_files: &[],
            stop_exit_codes: &Statuses::default(),
            own_listener: false,
        };
        loss(&mut fake, &cluster, end).unwrap()
    }

    #[test]
    fn an_instance_that_was_given_up_is_told_with_how_many_serve() {
        let told = told(ALL, ERRORED, None).unwrap();
        assert!(told.starts_with("web@1.service was given up: "), "{told}");
        assert!(told.ends_with("; 2 of 3 serving"), "{told}");
        assert_eq!(told_to(Scope::User, ALL, ERRORED, None), None);
    }

    #[test]
    fn nothing_is_told_of_one_that_comes_back_or_that_another_tells_of() {
        assert_eq!(told(ALL, 1, None), None, "systemd starts it again");
        assert_eq!(told(ALL, ERRORED, Some("reload")), None, "the walk tells");
        assert_eq!(told(&["web.service"], ERRORED, None), None, "the last one");
    }

    #[test]
    fn nothing_is_told_of_one_that_is_stopped_or_restarted_by_somebody() {
        for kind in ["stop", "restart"] {
            let job = Some(("web@1.service", kind));
            assert_eq!(told_of(ALL, ERRORED, job), None, "{kind}");
        }
    }
}
