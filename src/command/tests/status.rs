//! What is told of the state of an app, and of instances that were just started.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::stage::{Stage, unit};
use crate::brake::Deaths;
use crate::command::last_words;
use crate::command::status::{AppStatus, InstanceStatus};
use crate::command::survey;
use crate::command::waiting::Waiting;
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Manager, Timer, Unit};
use crate::unit::name::Units;

fn told(stage: &mut Stage) -> AppStatus {
    let apps = ["web".to_owned()];
    let all = survey::states(&mut stage.systemd.fake, &stage.layout, 4, &apps);
    all.unwrap().remove(0)
}

/// What is told of one instance that died for this reason before, if it did.
fn of_one(unit: Unit, reason: Option<&str>) -> InstanceStatus {
    let mut stage = Stage::running(&["web.service"]);
    stage.systemd.fake.set(unit);
    if let Some(reason) = reason {
        let deaths = Deaths {
            reason: reason.into(),
            last: Duration::from_secs(5),
            ..Deaths::default()
        };
        let file = Entry::new(&stage.layout.state("web"), Name::Deaths(0));
        deaths.store(&file).unwrap();
    }
    stage.systemd.fake.pause(Duration::from_secs(12));
    told(&mut stage).instances.remove(0)
}

#[test]
fn a_condition_is_the_reason_and_not_how_an_earlier_run_ended() {
    for (active, status) in [
        (ActiveState::Inactive, "stopped"),
        (ActiveState::Failed, "errored"),
    ] {
        let unmet = Unit {
            unmet: "ConditionHost=a".into(),
            ..unit("web@0.service", active, "dead")
        };
        let told = of_one(unmet, Some("killed by SIGKILL"));
        let reason = "not started, because `ConditionHost=a` did not hold";
        assert_eq!(
            (told.status, told.reason.as_deref()),
            (status, Some(reason))
        );
    }
}

#[test]
fn an_instance_has_a_word_for_each_state() {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    for (number, active, sub, status) in [
        (1, ActiveState::Reloading, "", "online"),
        (2, ActiveState::Activating, "auto-restart", "restarting"),
        (3, ActiveState::Activating, "start", "starting"),
        (4, ActiveState::Deactivating, "", "stopping"),
        (5, ActiveState::Failed, "", "errored"),
        (6, ActiveState::Inactive, "", "stopped"),
    ] {
        let name = format!("web@{number}.service");
        stage.systemd.fake.set(unit(&name, active, sub));
        let app = told(&mut stage);
        assert_eq!(app.instances.last().unwrap().status, status, "{active:?}");
        assert_eq!(app.ready, if number == 0 { 1 } else { 2 });
    }
    let app = told(&mut stage);
    assert_eq!((app.watch, app.status), (None, None));
    let [first, second] = &app.instances[..2] else {
        panic!()
    };
    assert!(first.pid.is_some() && first.uptime_seconds.is_some());
    assert_eq!((second.pid, second.uptime_seconds), (None, None));
    stage
        .systemd
        .fake
        .set(unit("web:watch.service", ActiveState::Active, ""));
    assert_eq!(told(&mut stage).watch.as_deref(), Some("active"));
}

#[test]
fn the_reason_is_that_of_the_death_unless_systemd_cannot_use_the_unit() {
    let name = "web@0.service";
    let failed = unit(name, ActiveState::Failed, "");
    let of = |unit: &Unit, reason| of_one(unit.clone(), reason).reason;
    assert_eq!(of(&failed, None).unwrap(), "exited with status 3");
    assert_eq!(of(&failed, Some("")).unwrap(), "exited with status 3");
    assert_eq!(
        of(&failed, Some("killed by SIGBUS")).unwrap(),
        "killed by SIGBUS"
    );
    let masked = Unit {
        load: "masked".into(),
        ..failed.clone()
    };
    assert!(of(&masked, Some("killed")).unwrap().contains("masked"));
    let again = unit(name, ActiveState::Activating, "auto-restart");
    assert_eq!(of(&again, Some("killed")).unwrap(), "killed");
    assert_eq!(of(&again, None), None);
    let online = of_one(unit(name, ActiveState::Active, ""), Some("killed"));
    assert_eq!(online.reason, None);
    let end = online.last_end.unwrap();
    assert_eq!((end.reason.as_str(), end.seconds_ago), ("killed", 7));
    assert!(of_one(failed, Some("")).last_end.is_none());
}

#[test]
fn one_whose_restarts_were_ended_by_a_stop_is_errored_until_it_is_started() {
    let status = |errored, result: &str| {
        let mut stage = Stage::running(&["web.service"]);
        stage.systemd.fake.set(Unit {
            result: result.into(),
            ..unit("web@0.service", ActiveState::Inactive, "dead")
        });
        let deaths = Deaths {
            reason: "a file is missing".into(),
            errored,
            ..Deaths::default()
        };
        let file = Entry::new(&stage.layout.state("web"), Name::Deaths(0));
        deaths.store(&file).unwrap();
        let instance = told(&mut stage).instances.remove(0);
        (instance.status, instance.reason)
    };
    let errored = ("errored", Some("a file is missing".to_owned()));
    assert_eq!(status(true, "resources"), errored);
    assert_eq!(status(false, "resources"), ("stopped", None));
    assert_eq!(status(true, "success"), ("stopped", None));
}

#[test]
fn without_a_count_of_memory_that_of_the_main_process_is_told() {
    let own = Unit {
        main_pid: std::process::id(),
        ..unit("web@0.service", ActiveState::Active, "")
    };
    let counted = Unit {
        memory_current: Some(5),
        ..own.clone()
    };
    assert_eq!(of_one(counted, None).memory_bytes, Some(5));
    assert!(of_one(own, None).memory_bytes.unwrap() > 1 << 20);
}

/// A job whose timer elapses in an hour.
fn job(cluster: ActiveState, instances: &[(ActiveState, &str)]) -> Stage {
    let mut stage = Stage::running(&[]);
    let fake = &mut stage.systemd.fake;
    fake.set(unit("web.service", cluster, ""));
    for (number, (active, sub)) in instances.iter().enumerate() {
        fake.set(unit(&format!("web@{number}.service"), *active, sub));
    }
    let timer = Timer {
        starts: "web.service".into(),
        is_active: true,
        next: Some(now() + Duration::from_hours(1)),
    };
    fake.timers.insert("web.timer".into(), timer);
    stage
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[test]
fn a_job_runs_waits_or_has_failed() {
    for (cluster, status) in [
        (ActiveState::Activating, "running"),
        (ActiveState::Deactivating, "running"),
        (ActiveState::Failed, "failed"),
        (ActiveState::Inactive, "waiting"),
    ] {
        let app = told(&mut job(cluster, &[]));
        assert_eq!(app.status, Some(status), "{cluster:?}");
    }
    let mut stopped = job(ActiveState::Inactive, &[]);
    let timer = stopped.systemd.fake.timers.get_mut("web.timer").unwrap();
    timer.is_active = false;
    assert_eq!(told(&mut stopped).status, Some("stopped"));
}

#[test]
fn of_a_run_the_instances_that_run_or_have_failed_are_told() {
    let mut stage = job(
        ActiveState::Activating,
        &[
            (ActiveState::Activating, "start"),
            (ActiveState::Failed, ""),
            (ActiveState::Inactive, ""),
            (ActiveState::Deactivating, ""),
        ],
    );
    let app = told(&mut stage);
    let all = app.instances.iter();
    let all: Vec<_> = all
        .map(|i| (i.number, i.status, i.reason.as_deref()))
        .collect();
    let why = Some("exited with status 3");
    let expected = [
        (0, "running", None),
        (1, "failed", why),
        (3, "stopping", None),
    ];
    assert_eq!(all, expected);
    let times = app.instances.iter().map(|i| i.uptime_seconds.is_some());
    assert_eq!(times.collect::<Vec<_>>(), [true, false, false]);
}

/// To systemd, a unit that a condition has kept down is as it was before.
#[test]
fn a_run_that_was_skipped_after_one_that_failed_has_not_failed() {
    let mut stage = job(ActiveState::Inactive, &[]);
    stage.systemd.fake.set(Unit {
        unmet: "ConditionPathExists=/a".into(),
        ..unit("web@0.service", ActiveState::Failed, "failed")
    });
    let app = told(&mut stage);
    let shown: Vec<_> = app.instances.iter().map(|i| i.status).collect();
    assert_eq!((app.status, shown), (Some("waiting"), vec!["stopped"]));
    let why = "not started, because `ConditionPathExists=/a` did not hold";
    assert_eq!(app.instances[0].reason.as_deref(), Some(why));
}

#[test]
fn the_times_of_a_schedule_are_those_of_its_timer_and_of_what_that_starts() {
    let schedule = |timer: Timer| {
        let mut stage = Stage::running(&["web.service"]);
        let ended = Unit {
            began: Duration::from_secs(5),
            ended: Duration::from_secs(5),
            result: "success".into(),
            ..unit(&Units::of("web").reloader(), ActiveState::Inactive, "")
        };
        stage.systemd.fake.set(ended);
        stage.systemd.fake.timers.insert("web.timer".into(), timer);
        let app = told(&mut stage);
        assert_eq!(app.status, None, "no job");
        serde_json::to_value(app.schedule).unwrap()
    };
    let next = now() + Duration::from_hours(1);
    let timer = Timer {
        starts: Units::of("web").reloader(),
        is_active: true,
        next: Some(next),
    };
    let last = json!({ "began": 5, "ended": 5, "seconds": 0.0, "good": true, "reason": null });
    let mut expected =
        json!({ "does": "reload", "active": true, "next": next.as_secs(), "last": last });
    assert_eq!(schedule(timer.clone()), expected);
    let past = Timer {
        next: Some(Duration::from_secs(5)),
        ..timer.clone()
    };
    expected["next"] = json!(null);
    assert_eq!(schedule(past), expected);
    let stopped = Timer {
        is_active: false,
        ..timer.clone()
    };
    expected["active"] = json!(false);
    assert_eq!(schedule(stopped), expected);
    let theirs = Timer {
        starts: "backup.service".into(),
        ..timer
    };
    assert_eq!(schedule(theirs), json!(null));
}

#[test]
fn a_run_that_has_not_ended_since_it_began_has_no_last_time() {
    let mut stage = job(ActiveState::Activating, &[]);
    let running = Unit {
        began: Duration::from_secs(9),
        ended: Duration::from_secs(5),
        ..unit("web.service", ActiveState::Activating, "")
    };
    stage.systemd.fake.set(running);
    let schedule = serde_json::to_value(told(&mut stage).schedule).unwrap();
    assert_eq!(schedule["last"], json!(null));
}

#[test]
fn a_command_that_has_been_silent_tells_what_it_waits_for() {
    let mut stage = Stage::running(&["web.service"]);
    let fake = &mut stage.systemd.fake;
    fake.set(unit("web@0.service", ActiveState::Deactivating, "final"));
    // A unit beside the app waits for the same.
    for unit in ["web.service", "web:pause.service"] {
        let mut waiting = Waiting::begin(&stage.sink);
        waiting.tell(fake, &stage.sink, None, unit);
        fake.pause(Duration::from_secs(3));
        waiting.tell(fake, &stage.sink, None, unit);
    }
    let told = stage.sink.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], told[1]);
    assert!(
        told[0].contains("waiting for 3 s: web@0: being stopped (final)"),
        "{told:?}"
    );
    // A program that has died at its start is not being stopped.
    let fake = &mut stage.systemd.fake;
    fake.set(unit(
        "web@0.service",
        ActiveState::Deactivating,
        "stop-post",
    ));
    let mut waiting = Waiting::begin(&stage.sink);
    fake.pause(Duration::from_secs(3));
    waiting.tell(fake, &stage.sink, None, "web.service");
    let last = stage.sink.told().pop().unwrap();
    assert!(
        last.ends_with("waiting for 3 s: web@0: has ended"),
        "{last}"
    );
}

#[test]
fn the_file_that_has_the_output_of_an_app_is_named() {
    let stage = Stage::running(&[]);
    assert_eq!(last_words::elsewhere(&stage.layout, "web", None), None);
    stage.write_app("listen = 1\nservice.StandardOutput = \"append:/l/web\"\n");
    let told = last_words::elsewhere(&stage.layout, "web", None);
    assert_eq!(
        told.as_deref(),
        Some("the program writes to `/l/web`: run `tail /l/web`")
    );
}

/// Between two runs systemd has something else to do first, and the unit of an instance is as inactive as one that was stopped.
#[test]
fn an_instance_that_is_down_and_has_a_job_is_going_to_start() {
    for (kind, status) in [
        ("start", "starting"),
        ("restart", "starting"),
        ("stop", "stopped"),
    ] {
        let mut stage = Stage::running(&["web.service"]);
        let fake = &mut stage.systemd.fake;
        fake.set(unit("web@0.service", ActiveState::Inactive, "dead"));
        fake.busy("web@0.service", kind);
        assert_eq!(told(&mut stage).instances[0].status, status, "{kind}");
    }
}

/// The instances of a job are missing only during a run.
#[test]
fn of_a_job_that_does_not_run_no_instance_is_wanted() {
    for (cluster, wanted) in [(ActiveState::Activating, 3), (ActiveState::Inactive, 0)] {
        let mut stage = job(cluster, &[]);
        stage.write_app("schedule = \"daily\"\ninstances = 3\n");
        assert_eq!(told(&mut stage).wanted, Some(wanted), "{cluster:?}");
    }
}

/// Only where each instance has a listener of its own there is a balance to be in. A note may be older than the file.
#[test]
fn an_instance_that_serves_and_is_not_in_the_balance_is_told() {
    let fault = |balance: &str, instance, join| {
        let mut stage = Stage::running(&["web.service"]);
        stage.write_app(&format!("listen = 3000\nbalance = \"{balance}\"\n"));
        let instance = Unit {
            main_pid: 7,
            ..unit("web@0.service", instance, "")
        };
        stage.systemd.fake.set(instance);
        stage.systemd.fake.set(unit("web:join@0.service", join, ""));
        let note = Entry::new(&stage.layout.state("web"), Name::Unbalanced(0));
        note.write("it is stuck").unwrap();
        told(&mut stage).instances.remove(0).balance_fault
    };
    let failed = "not in the balance, as web:join@0.service failed; see `systemctl status web:join@0.service`";
    let noted = "balance: it is stuck";
    for (instance, join, said) in [
        (ActiveState::Active, ActiveState::Failed, failed),
        (ActiveState::Active, ActiveState::Active, noted),
        (ActiveState::Deactivating, ActiveState::Failed, noted),
    ] {
        let told = fault("even", instance, join);
        assert_eq!(told.as_deref(), Some(said), "{instance:?} {join:?}");
        assert_eq!(fault("shared", instance, join), None);
    }
}
