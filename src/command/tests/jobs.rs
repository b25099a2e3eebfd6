//! The jobs that a command queues, and how it waits for their end.

use std::time::Duration;

use super::stage::Stage;
use crate::cluster::asked::Wish;
use crate::output::Exit;
use crate::state::{Entry, Name};
use crate::systemd::{ATTEMPTS, ActiveState, JobResult, QueuedJob, Unit, Verb};
use crate::walk::Event;

/// Returns a host with an app whose units are all running.
fn running() -> Stage {
    let units = [
        "web.service",
        "web.socket",
        "web@0.service",
        "web@1.service",
    ];
    let mut stage = Stage::running(&units);
    stage.write_app("listen = 3000\ninstances = 2\n");
    stage.systemd.fake.log.clear();
    stage
}

fn stopping(unit: &str, sub: &str, job: Option<&str>) -> Unit {
    let job = job.map(|kind| QueuedJob {
        path: "/job/other".into(),
        kind: kind.into(),
    });
    Unit {
        name: unit.into(),
        active: ActiveState::Deactivating,
        sub: sub.into(),
        job,
        ..Unit::default()
    }
}

fn in_state(unit: &str, active: ActiveState) -> Unit {
    Unit {
        active,
        ..stopping(unit, "", None)
    }
}

#[test]
fn each_verb_is_a_job_for_the_unit_that_it_is_about() {
    let mut stage = running();
    stage.jobs().restart("web").unwrap();
    stage.jobs().restart_instance("web", 1).unwrap();
    stage.jobs().stop_instance("web", 1).unwrap();
    stage.jobs().start_instance("web", 1).unwrap();
    stage.jobs().stop("web").unwrap();
    let log = [
        "restart web.service",
        "restart web@1.service",
        "stop web@1.service",
        "start web@1.service",
        "stop web.socket",
        "stop web.service",
    ];
    assert_eq!(stage.systemd.fake.log, log);
}

#[test]
fn a_start_on_purpose_forgets_the_deaths_before_it() {
    let mut stage = running();
    let deaths = |number| Entry::new(&stage.layout.state("web"), Name::Deaths(number));
    let deaths = [deaths(0), deaths(1)];
    let is_left = || deaths.each_ref().map(|deaths| deaths.read().is_ok());
    for entry in &deaths {
        entry.write("{}").unwrap();
    }
    assert_eq!(is_left(), [true, true]);
    stage.jobs().start_instance("web", 1).unwrap();
    assert_eq!(is_left(), [true, false]);
    stage.jobs().start("web").unwrap();
    assert_eq!(is_left(), [false, false]);
}

/// The walk forgets those of the instances that it starts, and after a canary that failed there are others.
#[test]
fn a_reload_leaves_the_deaths_to_its_walk_and_forgets_how_often_the_app_has_failed() {
    let mut stage = running();
    let file = |name| Entry::new(&stage.layout.state("web"), name);
    let (deaths, failures) = (file(Name::Deaths(1)), file(Name::Failures));
    deaths.write("{}").unwrap();
    failures.write("{}").unwrap();
    stage.jobs().reload("web", Wish::NONE).unwrap();
    assert_eq!(stage.systemd.fake.log, ["reload web.service"]);
    assert_eq!(
        (deaths.read().is_ok(), failures.read().is_ok()),
        (true, false)
    );
}

/// A walk restarts instances, so their drains go on.
#[test]
fn a_second_stop_ends_the_drains_of_a_stop_that_goes_on() {
    let mut stage = running();
    for (number, sub, job) in [
        (0, "stop", Some("stop")),
        (1, "stop-sigterm", Some("stop")),
        (2, "stop", Some("restart")),
        (3, "stop", None),
    ] {
        let unit = format!("web@{number}.service");
        stage.systemd.fake.set(stopping(&unit, sub, job));
    }
    stage.jobs().stop("web").unwrap();
    let log = &stage.systemd.fake.log;
    let cut: Vec<&String> = log.iter().filter(|l| l.starts_with("cut")).collect();
    assert_eq!(cut, ["cut short web@0.service"]);
    assert_eq!(log[0], *cut[0], "before it waits for anything");
}

#[test]
fn a_unit_that_systemd_does_not_know_has_nothing_to_stop() {
    let mut stage = running();
    stage.systemd.unknown = Some("web@7.service");
    stage.jobs().run(Verb::Stop, "web@7.service").unwrap();
    let start = stage.jobs().run(Verb::Start, "web@7.service").unwrap_err();
    assert_eq!(start.message, "there is no unit `web@7.service`");
}

#[test]
fn a_job_that_is_cancelled_again_and_again_is_given_up() {
    let mut stage = running();
    stage.systemd.fake.cancel("web@1.service", 100);
    let failure = stage.jobs().restart_instance("web", 1).unwrap_err();
    let message = "restart of web@1.service was cancelled by another job of systemd";
    assert!(failure.message.starts_with(message), "{}", failure.message);
    assert_eq!(stage.systemd.fake.log.len(), ATTEMPTS + 1);
    let told = stage.sink.told();
    let again = told.iter().filter(|l| l.ends_with("; queued again"));
    assert_eq!(again.count(), ATTEMPTS);
}

#[test]
fn a_stop_that_was_cancelled_but_goes_on_is_waited_for() {
    let mut stage = running();
    let unit = "web@1.service";
    let fake = &mut stage.systemd.fake;
    fake.set(stopping(unit, "stop-sigterm", None));
    fake.set_at(
        Duration::from_secs(3),
        in_state(unit, ActiveState::Inactive),
    );
    fake.cancel(unit, 1);
    stage.jobs().stop_instance("web", 1).unwrap();
    assert_eq!(stage.systemd.fake.log, ["stop web@1.service"]);
}

/// Every process of an instance can ask systemd for more time, over and over.
#[test]
fn an_instance_that_does_not_end_is_killed() {
    let mut stage = running();
    stage.systemd.fake.cling("web@1.service");
    stage.jobs().stop_instance("web", 1).unwrap();
    let log = ["stop web@1.service", "kill web@1.service"];
    assert_eq!(stage.systemd.fake.log, log);
    let told = stage.sink.told();
    let is_told = |line: &String| line.contains("web@1 did not end within ");
    assert!(told.iter().any(is_told), "{told:?}");
}

#[test]
fn the_result_of_a_job_decides_the_exit_status() {
    let mut stage = running();
    for (result, exit, how) in [
        (JobResult::Failed, Exit::Failed, "ended as `failed`"),
        (JobResult::Timeout, Exit::TimedOut, "ended as `timeout`"),
        (
            JobResult::Dependency,
            Exit::Failed,
            "failed, because a unit that it needs",
        ),
    ] {
        let failure = stage.jobs().failed(Verb::Start, "web.service", result);
        let message = format!("start of web.service {how}");
        assert_eq!(failure.exit, exit);
        assert!(failure.message.starts_with(&message), "{}", failure.message);
    }
}

/// systemd may have told the end of the job while nobody listened, and an active cluster unit looks as if all went well.
#[test]
fn a_walk_that_has_no_end_has_failed_whatever_its_job_came_to() {
    let mut stage = running();
    let begun = Event::Begun {
        instances: 2,
        canary: true,
        canaries: None,
        kept: false,
    };
    stage
        .systemd
        .walks
        .push_back((vec![begun], JobResult::Done));
    let failure = stage.jobs().reload("web", Wish::NONE).unwrap_err();
    let start = "reload of web.service ended as `failed`";
    assert!(failure.message.starts_with(start), "{}", failure.message);
}

#[test]
fn a_walk_is_followed_as_long_as_it_takes() {
    let mut stage = running();
    let done = Event::Done {
        instances: 2,
        took_ms: 1,
    };
    stage.systemd.walks.push_back((vec![done], JobResult::Done));
    stage.systemd.ticks = 50;
    stage.jobs().reload("web", Wish::NONE).unwrap();
    assert_eq!(stage.systemd.fake.log, ["reload web.service"]);
    assert_eq!(stage.systemd.ticks, 0);
    let mut told = stage.sink.told();
    told.retain(|line| !line.contains("waiting for"));
    assert_eq!(told.last().unwrap(), "  done: 2 of 2 replaced in 1 ms");
}

#[test]
fn a_walk_whose_job_is_cancelled_is_waited_for_before_it_is_asked_for_again() {
    let mut stage = running();
    stage
        .systemd
        .walks
        .push_back((Vec::new(), JobResult::Canceled));
    let fake = &mut stage.systemd.fake;
    fake.set(in_state("web.service", ActiveState::Reloading));
    let active = in_state("web.service", ActiveState::Active);
    fake.set_at(Duration::from_secs(5), active);
    stage.jobs().reload("web", Wish::NONE).unwrap();
    let log = &stage.systemd.fake.log;
    assert_eq!(*log, ["reload web.service", "reload web.service"]);
}

/// It is about a job that is still to come.
#[test]
fn the_note_of_who_asked_is_taken_back_unless_it_is_that_of_another_command() {
    let mut stage = Stage::running(&["web.service"]);
    let entry = Entry::new(&stage.layout.state("web"), Name::AskedBy);
    drop(stage.jobs().ask("web"));
    assert!(entry.read().is_err());
    let note = stage.jobs().ask("web");
    assert!(entry.read().is_ok());
    entry.write("reload alice\n7\n").unwrap();
    drop(note);
    assert_eq!(entry.read().unwrap(), "reload alice\n7\n");
}
