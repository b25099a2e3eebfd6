//! Whether the instances of an app that was just started serve.

use std::time::Duration;

use super::stage::{Stage, unit};
use crate::brake::Deaths;
use crate::contract::REFUSED;
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, JobResult, Manager, Unit, Verb};

/// Waits for the instances of an app of which the second is in this state, and online after three seconds unless it is lost;
/// how long that took, and the failure.
fn waited(second: &Unit, is_lost: bool) -> (Duration, Option<String>) {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    let fake = &mut stage.systemd.fake;
    fake.set(second.clone());
    if let Some(job) = &second.job {
        fake.busy(&second.name, &job.kind.clone());
    }
    if !is_lost {
        let online = unit("web@1.service", ActiveState::Active, "");
        fake.set_at(Duration::from_secs(3), online);
    }
    let failure = stage.jobs().all_serve("web").err();
    (stage.systemd.now(), failure.map(|failure| failure.message))
}

#[test]
fn an_instance_that_is_started_again_is_waited_for() {
    let again = unit("web@1.service", ActiveState::Activating, "auto-restart");
    let three = Duration::from_secs(3);
    let (took, failure) = waited(&again, false);
    assert!(
        failure.is_none() && took >= three && took < three * 2,
        "{took:?}"
    );
    let (took, failure) = waited(&again, true);
    assert_eq!(took, Duration::from_secs(10));
    let failure = failure.unwrap();
    assert!(
        failure.starts_with("web: 1 of 2 serving; web@1.service: "),
        "{failure}"
    );
}

#[test]
fn an_instance_that_a_condition_keeps_down_does_not_serve_and_is_not_waited_for() {
    let unmet = Unit {
        unmet: "ConditionHost=a".into(),
        ..unit("web@1.service", ActiveState::Inactive, "dead")
    };
    let (took, failure) = waited(&unmet, true);
    assert_eq!(took, Duration::ZERO);
    let told =
        "web: 1 of 2 serving; web@1.service: not started, because `ConditionHost=a` did not hold";
    assert_eq!(failure.as_deref(), Some(told));
}

/// A start of an app with these keys, whose second instance is another process after a moment.
fn restless(keys: &str, again: bool) -> (Duration, Option<String>) {
    let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
    stage.write_app(keys);
    let moments = if again { 1..=20 } else { 1..=1 };
    for moment in moments {
        let other = Unit {
            main_pid: 1000 + moment,
            ..unit("web@1.service", ActiveState::Active, "")
        };
        let at = Duration::from_millis(700) * moment;
        stage.systemd.fake.set_at(at, other);
    }
    let failure = stage.jobs().all_serve("web").err();
    (stage.systemd.now(), failure.map(|failure| failure.message))
}

/// The words of a start about the second instance, without a job of that and with one.
fn told_of(second: &Unit, is_busy: bool) -> Vec<String> {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    stage.systemd.fake.set(second.clone());
    if is_busy {
        stage.systemd.fake.busy(&second.name, "stop");
    }
    stage.jobs().all_serve("web").unwrap();
    stage.sink.told()
}

#[test]
fn an_instance_that_has_ended_by_itself_since_the_start_is_told() {
    let ended = Unit {
        inactive_exit: Duration::from_secs(1),
        active_enter: Duration::from_secs(2),
        ..unit("web@1.service", ActiveState::Inactive, "dead")
    };
    let told = told_of(&ended, false);
    let text = "web@1 has ended by itself, as the app allows: exited with status 3";
    assert!(told.len() == 1 && told[0].contains(text), "{told:?}");
    let at_once = Unit {
        active_enter: ended.inactive_exit,
        ..ended.clone()
    };
    let never_ready = Unit {
        active_enter: Duration::ZERO,
        ..ended.clone()
    };
    let never_ran = Unit {
        exit_code: 0,
        ..ended.clone()
    };
    let serving = Unit {
        active: ActiveState::Active,
        ..ended.clone()
    };
    for other in [at_once, never_ready, never_ran, serving] {
        assert_eq!(told_of(&other, false), [""; 0], "{other:?}");
    }
    assert_eq!(told_of(&ended, true), [""; 0], "it is being stopped");
}

#[test]
fn an_instance_that_was_given_up_and_stopped_since_the_start_does_not_serve() {
    let mut stage = Stage::running(&["web@1.service"]);
    stage.write_app("listen = []\n");
    let down = unit("web@0.service", ActiveState::Inactive, "");
    stage.systemd.fake.set(down);
    assert!(stage.jobs().all_serve("web").is_ok(), "stopped on purpose");
    let deaths = Deaths {
        errored: true,
        reason: "exited with status 0".into(),
        ..Deaths::default()
    };
    let file = Entry::new(&stage.layout.state("web"), Name::Deaths(0));
    deaths.store(&file).unwrap();
    let told = stage.jobs().all_serve("web").unwrap_err().message;
    let expected = "web: 1 of 2 serving; web@0.service: exited with status 0";
    assert_eq!(told, expected);
    assert!(stage.jobs().is_whole("web").unwrap(), "nothing to start");
}

#[test]
fn an_instance_whose_ready_proves_nothing_has_to_stay_up() {
    let settle = Duration::from_secs(1);
    for keys in ["listen = []\n", "listen = 3000\nhandover = \"fds\"\n"] {
        let (took, failure) = restless(keys, false);
        assert_eq!((took, failure), (settle * 2, None), "{keys}");
        let (took, failure) = restless(keys, true);
        let told = failure.unwrap();
        let begin = "web: 1 of 2 serving; web@1.service: does not stay up: ";
        assert!(
            told.starts_with(begin) && took < settle * 12,
            "{took:?} {told}"
        );
    }
    for keys in ["listen = 3000\n", "listen = []\nsettle = 0\n"] {
        assert_eq!(restless(keys, true), (Duration::ZERO, None), "{keys}");
    }
}

#[test]
fn an_instance_that_was_given_up_is_waited_for_only_if_it_has_a_job() {
    let failed = unit("web@1.service", ActiveState::Failed, "");
    let (took, failure) = waited(&failed, false);
    assert_eq!(took, Duration::ZERO);
    assert_eq!(
        failure.unwrap(),
        "web: 1 of 2 serving; web@1.service: exited with status 3"
    );
    let online = unit("web@1.service", ActiveState::Active, "");
    assert_eq!(waited(&online, false), (Duration::ZERO, None));
}

#[test]
fn the_reason_of_an_instance_that_does_not_serve_is_that_of_its_last_death() {
    let failed = |reason: &str| {
        let mut stage = Stage::running(&["web.service", "web@0.service"]);
        let down = unit("web@1.service", ActiveState::Failed, "");
        stage.systemd.fake.set(down);
        let deaths = Deaths {
            reason: reason.into(),
            ..Deaths::default()
        };
        let file = Entry::new(&stage.layout.state("web"), Name::Deaths(1));
        deaths.store(&file).unwrap();
        stage.jobs().all_serve("web").unwrap_err().message
    };
    let begin = "web: 1 of 2 serving; web@1.service: ";
    assert_eq!(
        failed("killed by SIGBUS"),
        format!("{begin}killed by SIGBUS")
    );
    assert_eq!(failed(""), format!("{begin}exited with status 3"));
}

/// What was started by its number is not held back by another instance that is restless.
#[test]
fn of_instances_that_are_started_by_their_numbers_only_those_have_to_stay_up() {
    let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
    stage.write_app("listen = []\n");
    for moment in 1..=20 {
        let other = Unit {
            main_pid: 1000 + moment,
            ..unit("web@0.service", ActiveState::Active, "")
        };
        let at = Duration::from_millis(700) * moment;
        stage.systemd.fake.set_at(at, other);
    }
    assert!(stage.jobs().serve("web", Some(&[1])).is_ok());
    assert_eq!(stage.systemd.now(), Duration::from_secs(1));
}

/// The brake stops an instance that it gives up, which systemd then calls inactive; one that has ended without a death has done its work.
#[test]
fn an_instance_that_ends_while_it_has_to_stay_up_serves_if_it_has_not_died() {
    for has_died in [false, true] {
        let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
        stage.write_app("listen = []\n");
        let down = unit("web@1.service", ActiveState::Inactive, "dead");
        let soon = Duration::from_millis(500);
        stage.systemd.fake.set_at(soon, down);
        if has_died {
            let deaths = Deaths {
                errored: true,
                reason: "exited with status 1".into(),
                ..Deaths::default()
            };
            let file = Entry::new(&stage.layout.state("web"), Name::Deaths(1));
            deaths.store(&file).unwrap();
        }
        let failure = stage.jobs().all_serve("web").err();
        let said = failure.map(|failure| failure.message);
        let died = "web: 1 of 2 serving; web@1.service: exited with status 1";
        assert_eq!(said.as_deref(), has_died.then_some(died));
        let looks = if has_died { 2 } else { 1 };
        assert_eq!(stage.systemd.now(), Duration::from_secs(looks));
    }
}

/// A connection starts the cluster unit again at once, and what failed is told by what its instances have died of: the one that waits for the
/// port of another is not the cause.
#[test]
fn of_a_start_that_a_connection_repeats_each_reason_is_told_once() {
    let mut stage = Stage::running(&[]);
    stage.write_app("listen = 1\ninstances = 11\n");
    let again = unit("web.service", ActiveState::Activating, "start");
    stage.systemd.fake.set(again);
    let in_use = "exited with status 1";
    let cause = format!("{REFUSED}the program listens on [::]:3001");
    for (number, reason) in [(0, in_use), (2, in_use), (10, &cause)] {
        let name = format!("web@{number}.service");
        let down = unit(&name, ActiveState::Failed, "");
        stage.systemd.fake.set(down);
        let deaths = Deaths {
            reason: reason.into(),
            ..Deaths::default()
        };
        let file = Entry::new(&stage.layout.state("web"), Name::Deaths(number));
        deaths.store(&file).unwrap();
    }
    let told = stage
        .jobs()
        .failed(Verb::Start, "web.service", JobResult::Failed);
    assert_eq!(
        told.message,
        "start of web.service ended as `failed` (web@0.service: exited with status 1; web@10.service: the program listens on [::]:3001)"
    );
}
