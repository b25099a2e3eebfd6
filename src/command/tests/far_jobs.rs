//! The jobs of another host's systemd: how long they are waited for, and what is told of them meanwhile and afterwards.

use std::time::Duration;

use super::elsewhere::{Course, Ran, Wait, run, run_during, serving};
use crate::output::Exit;
use crate::systemd::fake::{Fake, Start};
use crate::systemd::{ATTEMPTS, ActiveState, JobResult, Manager, Unit};

const HOUR: Duration = Duration::from_hours(1);

fn in_state(name: &str, active: ActiveState) -> Unit {
    Unit {
        name: name.into(),
        load: "loaded".into(),
        active,
        ..Unit::default()
    }
}

fn during(fake: Fake, line: &str, waits: impl IntoIterator<Item = Wait>) -> Ran {
    let course = Course {
        waits: waits.into_iter().collect(),
        ..Course::default()
    };
    run_during(fake, line, course)
}

/// The message of a failure.
fn fault(ran: Ran) -> String {
    ran.failure.expect("it fails").message
}

#[test]
fn a_unit_that_is_not_loaded_there_needs_no_stop_and_cannot_be_started() {
    let without = |line| {
        let course = Course {
            unknown: Some("web.service"),
            ..Course::default()
        };
        run_during(serving(), line, course)
    };
    let stopped = without("rsgen stop web");
    assert_eq!(stopped.failure.map(|failure| failure.message), None);
    let fault = fault(without("rsgen start web"));
    assert_eq!(fault, "anna@web1: there is no unit `web.service`");
}

#[test]
fn a_cancelled_job_is_queued_again_so_often_and_each_time_that_is_told() {
    for times in [1, ATTEMPTS, ATTEMPTS + 1] {
        let mut fake = serving();
        fake.cancel("web.service", u32::try_from(times).unwrap());
        let ran = run(fake, "rsgen start web");
        let again = ran.told.matches("again").count();
        let is_given_up = times > ATTEMPTS;
        assert_eq!(again, times.min(ATTEMPTS), "{}", ran.told);
        assert_eq!(ran.log.len(), again + 1);
        let fault = ran.failure.map(|failure| failure.message);
        let cancelled = "anna@web1: start of web.service was cancelled by another job of systemd";
        let has_failed = fault.is_some_and(|fault| fault.starts_with(cancelled));
        assert_eq!(has_failed, is_given_up);
    }
}

#[test]
fn what_the_cluster_unit_says_while_its_job_waits_is_told_once_and_not_what_it_said_before() {
    let says = ["of before", "new", "new", "", "newer"].map(Wait::Says);
    let ran = during(serving(), "rsgen reload web", says);
    assert_eq!(ran.failure.map(|failure| failure.message), None);
    let is_of_unit = |line: &&str| !line.contains("reload") && !line.contains("waiting for");
    let told: Vec<&str> = ran.told.lines().filter(is_of_unit).collect();
    assert_eq!(told, ["web: new", "web: newer"]);
    // A word of an instance is none about the app.
    let of_one = during(serving(), "rsgen restart web@1", ["a", "b"].map(Wait::Says));
    let mut told = of_one.told.lines().filter(is_of_unit);
    assert_eq!(told.next(), Some("web@1: restart done"));
}

#[test]
fn a_job_without_an_end_is_waited_for_an_hour() {
    let mut fake = serving();
    fake.script("web.service", &[Start::Stuck]);
    let ran = run(fake, "rsgen restart web");
    assert_eq!(ran.took, HOUR);
    assert_eq!(ran.failure.unwrap().exit, Exit::TimedOut);
}

#[test]
fn after_a_cancel_the_unit_is_looked_at_once_it_has_settled() {
    let leaving = in_state("web@1.service", ActiveState::Deactivating);
    let line = "rsgen stop web@1";
    // A unit that goes on by itself is waited for.
    let mut fake = serving();
    fake.cancel("web@1.service", 1);
    fake.set(leaving.clone());
    let gone = in_state("web@1.service", ActiveState::Inactive);
    let then = fake.now() + Duration::from_secs(2);
    fake.set_at(then, gone);
    let ran = run(fake, line);
    assert_eq!(ran.log, ["stop web@1.service"]);
    assert!(ran.took >= Duration::from_secs(2), "{:?}", ran.took);
    // An instance that serves on has not been stopped.
    let mut fake = serving();
    fake.cancel("web@1.service", 1);
    let ran = run(fake, line);
    assert_eq!(ran.log, ["stop web@1.service"; 2]);
    assert_eq!(ran.took, Duration::ZERO);
    // A job that never ends is not waited for without end.
    let mut fake = serving();
    fake.cancel("web@1.service", 1);
    fake.set(leaving);
    let ran = run(fake, line);
    assert_eq!(ran.log, ["stop web@1.service"; 2]);
    assert_eq!(ran.took, HOUR + Duration::from_millis(100));
}

#[test]
fn instances_that_serve_are_not_waited_for_and_those_on_their_way_ten_seconds() {
    let ran = run(serving(), "rsgen start web");
    assert_eq!(ran.took, Duration::ZERO);
    let mut fake = serving();
    fake.set(in_state("web@1.service", ActiveState::Activating));
    let ran = run(fake, "rsgen start web");
    assert_eq!(ran.took, Duration::from_secs(10));
    assert!(fault(ran).starts_with("anna@web1: web: 1 of 2 serving; "));
}

#[test]
fn instances_that_were_stopped_on_purpose_or_are_too_many_do_not_count() {
    let mut fake = serving();
    for (name, active) in [
        ("web@1.service", ActiveState::Inactive),
        ("web@2.service", ActiveState::Failed),
    ] {
        fake.set(in_state(name, active));
    }
    let ran = run(fake, "rsgen start web");
    assert_eq!(ran.failure.map(|failure| failure.message), None);
}

#[test]
fn the_result_of_a_job_and_the_words_of_its_unit_are_the_failure() {
    use JobResult::{Failed, Timeout};
    let reload = |text: &'static str, result| {
        let waits = [Wait::Says(text), Wait::Ends(result)];
        during(serving(), "rsgen reload web", waits)
            .failure
            .unwrap()
    };
    let failed = reload("web@1 is not READY", Failed);
    assert_eq!(failed.exit, Exit::Failed);
    let message = "anna@web1: reload of web.service ended as `failed` (web@1 is not READY)";
    assert_eq!(failed.message, message);
    assert_eq!(reload("", Timeout).exit, Exit::TimedOut);
    let silent = reload("", Failed).message;
    let why = silent.strip_prefix("anna@web1: reload of web.service ended as `failed` (");
    assert!(why.is_some_and(|why| why.len() > 1), "{silent}");
}
