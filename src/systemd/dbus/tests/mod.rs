//! The client against the other end of a real connection.

mod far;
mod systemd;
mod units;

use std::time::{Duration, Instant};

use super::{Bus, HELLO};
use crate::systemd::{Error, Job, JobResult, Manager, Verb};
use systemd::{Instead, Removed, STRANGER, SYSTEMD, Shared, THE_JOB};

const UNIT: &str = "web@0.service";
/// A deadline that is long enough on a busy machine.
const LONG: Duration = Duration::from_secs(90);

fn start(bus: &mut Bus) -> Job {
    bus.queue(Verb::Start, UNIT).unwrap()
}

fn ended(sender: &'static str, result: &'static str) -> Removed {
    Removed {
        sender,
        job: THE_JOB,
        result,
    }
}

#[test]
fn queues_each_job_as_systemctl_does() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    for verb in [Verb::Start, Verb::Stop, Verb::Restart, Verb::Reload] {
        bus.queue(verb, UNIT).unwrap();
    }
    let job = bus.queue(Verb::StopAlone, UNIT).unwrap();
    assert_eq!((job.unit.as_str(), job.path.as_str()), (UNIT, THE_JOB));
    bus.queue(Verb::ReloadIfFree, UNIT).unwrap();
    let log = [
        "Subscribe",
        "StartUnit web@0.service replace",
        "StopUnit web@0.service replace",
        "RestartUnit web@0.service replace",
        "ReloadUnit web@0.service replace",
        "StopUnit web@0.service ignore-dependencies",
        "ReloadUnit web@0.service fail",
    ];
    assert_eq!(systemd.lock().log, log);
}

#[test]
fn ends_a_command_with_sigterm_and_all_processes_with_sigkill() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    bus.cut_short(UNIT).unwrap();
    bus.kill(UNIT).unwrap();
    let log = [
        "Subscribe",
        "KillUnit web@0.service control 15",
        "KillUnit web@0.service all 9",
    ];
    assert_eq!(systemd.lock().log, log);
}

#[test]
fn has_systemd_keep_a_unit_in_mind_where_it_does() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    bus.hold(UNIT);
    bus.release(UNIT);
    let log = [format!("RefUnit {UNIT}"), format!("UnrefUnit {UNIT}")];
    assert!(systemd.lock().log.ends_with(&log));
    let denied = Instead::Error("org.freedesktop.DBus.Error.AccessDenied");
    instead(&systemd, "RefUnit", &[denied]);
    bus.hold(UNIT);
    assert_eq!(bus.unit(UNIT).unwrap().name, UNIT);
}

#[test]
fn killing_a_unit_without_processes_is_no_error() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    for name in [
        "org.freedesktop.systemd1.NoSuchUnit",
        "org.freedesktop.systemd1.UnitInactive",
    ] {
        instead(&systemd, "KillUnit", &[Instead::Error(name)]);
        assert_eq!(bus.kill(UNIT), Ok(()), "{name}");
    }
    let denied = Instead::Error("org.freedesktop.DBus.Error.AccessDenied");
    instead(&systemd, "KillUnit", &[denied]);
    assert!(matches!(bus.kill(UNIT), Err(Error::AccessDenied { .. })));
}

/// The signal of a job may come before the answer that names the job.
#[test]
fn knows_how_a_job_ended_before_anybody_waited_for_it() {
    for (word, result) in [
        ("done", JobResult::Done),
        ("failed", JobResult::Failed),
        ("canceled", JobResult::Canceled),
        ("timeout", JobResult::Timeout),
        ("dependency", JobResult::Dependency),
        ("skipped", JobResult::Skipped),
        ("frozen", JobResult::Other),
    ] {
        let systemd = Shared::default();
        let mut bus = systemd.connect().unwrap();
        systemd.lock().jobs = vec![THE_JOB];
        signals(&systemd, vec![ended(SYSTEMD, word)]);
        let job = start(&mut bus);
        assert_eq!(bus.wait(&job, LONG), Ok(result), "{word}");
    }
}

/// zbus stops reading when a stream is full, answers included.
#[test]
fn hears_an_answer_behind_more_signals_than_a_stream_holds() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let other = Removed {
        job: "/org/freedesktop/systemd1/job/1",
        ..ended(SYSTEMD, "failed")
    };
    let mut many = vec![other; 500];
    many.push(ended(SYSTEMD, "done"));
    signals(&systemd, many);
    systemd.lock().jobs = vec![THE_JOB];
    let job = start(&mut bus);
    assert_eq!(bus.wait(&job, LONG), Ok(JobResult::Done));
}

/// While many instances come up, systemd sends as many signals to whoever has a stream, before it answers.
#[test]
fn connects_behind_more_signals_than_a_stream_holds() {
    let systemd = Shared::default();
    let signals = [
        &vec![ended(STRANGER, "failed"); 500][..],
        &[ended(SYSTEMD, "done")],
    ]
    .concat();
    systemd.lock().signals.insert("Subscribe", signals);
    let mut bus = systemd.connect().unwrap();
    systemd.lock().jobs = vec![THE_JOB];
    let job = start(&mut bus);
    assert_eq!(bus.wait(&job, LONG), Ok(JobResult::Done));
}

#[test]
fn ignores_the_signals_of_others_than_systemd() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    systemd.lock().jobs = vec![THE_JOB];
    signals(&systemd, vec![ended(STRANGER, "failed")]);
    let job = start(&mut bus);
    let short = Duration::from_millis(300);
    assert!(matches!(bus.wait(&job, short), Err(Error::TimedOut { .. })));
}

/// The signal of a job may have been sent to a connection, or by a systemd, that no longer exists.
#[test]
fn takes_the_state_of_the_unit_when_a_job_is_gone_without_a_signal() {
    for (state, result) in [
        ("active", JobResult::Done),
        ("reloading", JobResult::Done),
        ("inactive", JobResult::Done),
        ("failed", JobResult::Failed),
        ("activating", JobResult::Failed),
        ("deactivating", JobResult::Failed),
    ] {
        let systemd = Shared::default();
        let mut bus = systemd.connect().unwrap();
        systemd.lock().unit.insert("ActiveState", state.into());
        let job = start(&mut bus);
        assert_eq!(bus.wait(&job, LONG), Ok(result), "{state}");
    }
}

/// A transaction that cancels many jobs sends as many signals before the one that is waited for.
#[test]
fn hears_the_end_of_a_job_that_is_gone_behind_the_ends_of_others() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    // The state of the unit would give another result.
    systemd
        .lock()
        .unit
        .insert("ActiveState", "activating".into());
    let other = Removed {
        job: "/org/freedesktop/systemd1/job/1",
        ..ended(SYSTEMD, "canceled")
    };
    let mut many = vec![other; 50];
    many.push(ended(SYSTEMD, "done"));
    systemd.lock().signals.insert("GetAll", many);
    let job = start(&mut bus);
    assert_eq!(bus.wait(&job, LONG), Ok(JobResult::Done));
}

/// A caller that shows progress waits for a short time, again and again.
#[test]
fn notices_that_a_job_is_gone_across_short_waits() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let job = start(&mut bus);
    let began = Instant::now();
    let mut waits = std::iter::repeat_with(|| bus.wait(&job, Duration::from_millis(20)));
    let result = waits.find(|result| result.is_ok() || began.elapsed() > LONG);
    assert_eq!(result, Some(Ok(JobResult::Done)));
}

/// The bus may restart, and systemd may re-execute itself.
#[test]
fn repeats_a_call_while_systemd_is_away_for_a_moment() {
    for name in [
        "org.freedesktop.DBus.Error.NoReply",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.Disconnected",
        "org.freedesktop.DBus.Error.Spawn.ChildExited",
    ] {
        let systemd = Shared::default();
        let mut bus = systemd.connect().unwrap();
        instead(&systemd, "StartUnit", &[Instead::Error(name)]);
        let queued = bus.queue(Verb::Start, UNIT);
        assert!(queued.is_ok(), "{name}: {queued:?}");
    }
}

#[test]
fn a_connection_that_ends_is_made_anew_and_hears_signals_again() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    instead(&systemd, "StartUnit", &[Instead::End, Instead::End]);
    signals(&systemd, vec![ended(SYSTEMD, "failed")]);
    systemd.lock().jobs = vec![THE_JOB];
    let job = start(&mut bus);
    assert_eq!(bus.wait(&job, LONG), Ok(JobResult::Failed));
    let systemd = systemd.lock();
    assert_eq!(systemd.connections, 3);
    let subscribed = systemd.log.iter().filter(|l| *l == "Subscribe").count();
    assert_eq!(subscribed, 3);
}

#[test]
fn a_call_that_systemd_refuses_is_not_repeated() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let mut refused = |name| {
        instead(&systemd, "StartUnit", &[Instead::Error(name)]);
        bus.queue(Verb::Start, UNIT).unwrap_err()
    };
    let no_such = Error::NoSuchUnit { unit: UNIT.into() };
    assert_eq!(refused("org.freedesktop.systemd1.NoSuchUnit"), no_such);
    assert_eq!(refused("org.freedesktop.systemd1.LoadFailed"), no_such);
    let reason = "as the test says".to_owned();
    let denied = Error::AccessDenied {
        reason: reason.clone(),
    };
    assert_eq!(refused("org.freedesktop.DBus.Error.AccessDenied"), denied);
    let interactive = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
    assert_eq!(refused(interactive), denied);
    let masked = Error::Refused { reason };
    assert_eq!(refused("org.freedesktop.systemd1.UnitMasked"), masked);
    assert_eq!(systemd.lock().connections, 1);
}

#[test]
fn a_unit_that_is_not_loaded_has_no_failure_to_forget() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let unknown = Instead::Error("org.freedesktop.systemd1.NoSuchUnit");
    instead(&systemd, "ResetFailedUnit", &[unknown]);
    assert_eq!(bus.reset_failed(UNIT), Ok(()));
    let denied = Instead::Error("org.freedesktop.DBus.Error.AccessDenied");
    instead(&systemd, "ResetFailedUnit", &[denied]);
    assert!(bus.reset_failed(UNIT).is_err());
}

#[test]
fn reads_the_version_whatever_a_distribution_adds_to_it() {
    for (word, version) in [
        ("252.39-1~deb12u2", 252),
        ("257", 257),
        ("v262-1.fc45", 262),
        ("systemd 249 (249.11-0ubuntu3)", 249),
    ] {
        let systemd = Shared::default();
        systemd.lock().version = word;
        let mut bus = systemd.connect().unwrap();
        assert_eq!(bus.version(), Ok(version), "{word}");
    }
    let systemd = Shared::default();
    systemd.lock().version = "rawhide";
    let mut bus = systemd.connect().unwrap();
    assert!(matches!(bus.version(), Err(Error::Refused { reason }) if reason.contains("rawhide")));
}

#[test]
fn a_bus_that_is_not_there_says_so() {
    let refused = Bus::dial(
        Box::new(|| zbus::connection::Builder::address("unix:path=/nowhere/bus")),
        HELLO,
    );
    assert!(matches!(refused.err(), Some(Error::NoBus { .. })));
}

/// Makes the next calls of a method have these results instead of an answer.
fn instead(systemd: &Shared, method: &'static str, what: &[Instead]) {
    let what = what.iter().cloned().collect();
    systemd.lock().instead.insert(method, what);
}

/// Sends these signals before the answer to the next `StartUnit`.
fn signals(systemd: &Shared, all: Vec<Removed>) {
    systemd.lock().signals.insert("StartUnit", all);
}
