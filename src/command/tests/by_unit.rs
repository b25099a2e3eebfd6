//! `rsgen scale` for a user who may do no more than restart the unit that scales.

use std::time::Duration;

use super::lines::{Ran, run, within_the_system};
use super::stage::Stage;
use crate::command::by_unit;
use crate::command::number::Number;
use crate::command::scaled::Refused;
use crate::command::scaled::Scaled;
use crate::contract::{Instances, Scale};
use crate::output::{Exit, Failure};
use crate::systemd::fake::Start;
use crate::systemd::{ATTEMPTS, ActiveState, Manager, QueuedJob, Unit};
use crate::unit::name::Units;

const UNIT: &str = "rsgen-scale@web:3.service";
const RESTART: &str = "restart rsgen-scale@web:3.service";
const THREE: Instances = Instances::Exactly(3);

fn scaler(active: ActiveState) -> Unit {
    Unit {
        name: UNIT.into(),
        load: "loaded".into(),
        active,
        ..Unit::default()
    }
}

/// A host with an app of two instances, and with the unit of the packages.
fn host() -> Stage {
    let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
    stage.write_app("listen = 1\ninstances = 2\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage.systemd.fake.set(scaler(ActiveState::Inactive));
    stage
}

/// Leaves the note of the unit.
fn note(stage: &mut Stage, done: Result<Scaled, Failure>) {
    let done = &done.map_err(Refused::from);
    let asked = Scale {
        app: "web".into(),
        instances: THREE,
        compared: None,
    };
    within_the_system(stage, |context| by_unit::note(context, &asked, done));
}

fn done() -> Scaled {
    Scaled {
        changed: true,
        dry_run: false,
        app: "web".into(),
        instances: 3,
        before: 2,
        changes: Vec::new(),
        started: vec!["web@2".into()],
        stopped: Vec::new(),
        is_up: true,
    }
}

fn scale_to(stage: &mut Stage, number: Instances) -> (Result<Scaled, Failure>, Ran) {
    within_the_system(stage, |context| {
        let refused = Failure::failed("refused");
        by_unit::scale(context, "web", Number::These(number), refused)
    })
}

fn scale(stage: &mut Stage) -> (Result<Scaled, Failure>, Ran) {
    scale_to(stage, THREE)
}

#[test]
fn what_the_unit_has_done_is_told_as_if_the_command_had_done_it() {
    let mut stage = host();
    note(&mut stage, Ok(done()));
    let (scaled, ran) = scale(&mut stage);
    let scaled = scaled.ok().unwrap();
    assert!(scaled.is_up && scaled.changed && scaled.instances == 3);
    assert_eq!(ran.log, [RESTART]);
    assert!(ran.told.contains("scaling"), "{}", ran.told);
    assert!(ran.told.contains("web@2: start done"), "{}", ran.told);

    let failed = Failure::new(Exit::Invalid, "a fault").help("mend it");
    note(&mut stage, Err(failed));
    stage.systemd.fake.set(scaler(ActiveState::Inactive));
    let failure = scale(&mut stage).0.err().unwrap();
    assert_eq!(failure.exit, Exit::Invalid);
    assert_eq!(failure.message, "a fault");
    assert_eq!(failure.help.as_deref(), Some("mend it"));
}

#[test]
fn nothing_is_said_to_be_scaled_to_the_number_that_the_app_has() {
    let mut stage = host();
    let two = Unit {
        name: "rsgen-scale@web:2.service".into(),
        ..scaler(ActiveState::Inactive)
    };
    stage.systemd.fake.set(two);
    let (_, ran) = scale_to(&mut stage, Instances::Exactly(2));
    assert!(!ran.told.contains("scaling"), "{}", ran.told);
}

#[test]
fn the_note_of_an_earlier_run_says_nothing_about_this_one() {
    for (starts, told) in [
        (&[][..], "ended without reporting a result"),
        (&[Start::GivesUp], "ended as `failed`"),
    ] {
        let mut stage = host();
        note(&mut stage, Ok(done()));
        stage.systemd.fake.pause(Duration::from_secs(1));
        stage.systemd.fake.script(UNIT, starts);
        let failure = scale(&mut stage).0.err().unwrap();
        assert!(failure.message.contains(told), "{}", failure.message);
        assert!(failure.help.is_some());
    }
}

/// A restart would end the scale of somebody else in the middle.
#[test]
fn a_unit_that_is_at_work_is_waited_for_and_not_restarted() {
    let queued = Unit {
        job: Some(QueuedJob {
            path: "/job/1".into(),
            kind: "restart".into(),
        }),
        ..scaler(ActiveState::Inactive)
    };
    for at_work in [scaler(ActiveState::Activating), queued] {
        let mut stage = host();
        note(&mut stage, Ok(done()));
        let fake = &mut stage.systemd.fake;
        fake.set(at_work);
        let end = fake.now() + Duration::from_secs(2);
        fake.set_at(end, scaler(ActiveState::Inactive));
        let (scaled, ran) = scale(&mut stage);
        assert!(scaled.is_ok());
        assert_eq!(ran.log, [""; 0]);
        assert!(stage.systemd.now() >= end);
    }
}

#[test]
fn a_restart_that_is_cancelled_is_asked_for_again_a_few_times() {
    for (cancels, restarts) in [(2, 3), (99, ATTEMPTS)] {
        let mut stage = host();
        note(&mut stage, Ok(done()));
        stage.systemd.fake.cancel(UNIT, cancels);
        let (_, ran) = scale(&mut stage);
        assert_eq!(ran.log, vec![RESTART; restarts]);
        assert_eq!(ran.told.matches("scaling").count(), 1, "{}", ran.told);
    }
}

#[test]
fn without_the_unit_of_the_packages_the_refusal_stays() {
    let mut stage = host();
    stage.systemd.fake.set(Unit {
        load: "not-found".into(),
        ..scaler(ActiveState::Inactive)
    });
    let (scaled, ran) = scale(&mut stage);
    assert_eq!(scaled.err().unwrap().message, "refused");
    assert_eq!(ran.log, [""; 0]);
}

#[test]
fn a_unit_that_takes_its_time_is_waited_for() {
    let mut stage = host();
    note(&mut stage, Ok(done()));
    stage.systemd.takes_its_time = true;
    stage.systemd.ticks = 3;
    let (scaled, _) = scale(&mut stage);
    assert!(scaled.is_ok());
    assert_eq!(stage.systemd.ticks, 0);
}

/// Nobody else's unit has the name of this one, so whoever is second is told so by a unit of its own, and looks again.
#[test]
fn one_who_adds_an_instance_while_another_does_adds_one_as_well() {
    let more = |stage: &mut Stage| {
        within_the_system(stage, |context| {
            let number = "+1".parse().unwrap();
            by_unit::scale(context, "web", number, Failure::failed("refused"))
        })
    };
    let moved = r#"{"at":9000000000000000,"done":null,"is_up":false,"failed":null,"moved":3}"#;
    let done = r#"{"at":9000000000000000,"done":{"changed":true,"dry_run":false,"app":"web","instances":3,"before":2,"changes":[],"started":["web@2"],"stopped":[]},"is_up":true,"failed":null}"#;
    let mut stage = host();
    stage.systemd.said.extend([moved, done].map(String::from));
    let (scaled, ran) = more(&mut stage);
    assert_eq!(scaled.ok().map(|scaled| scaled.instances), Some(3));
    let asked = ran
        .log
        .iter()
        .filter_map(|line| line.strip_prefix("restart "));
    let asked: Vec<&str> = asked.collect();
    let [first, second] = asked.as_slice() else {
        panic!("{:?}", ran.log)
    };
    assert!(first.starts_with("rsgen-scale@web:3:from-2-"), "{first}");
    assert!(second.starts_with("rsgen-scale@web:3:from-2-"), "{second}");
    assert_ne!(first, second);

    let mut stage = host();
    stage.systemd.said.extend(vec![moved.to_owned(); ATTEMPTS]);
    let (scaled, ran) = more(&mut stage);
    let failure = scaled.err().unwrap();
    assert_eq!(failure.message, "others scale `web` again and again");
    assert_eq!(
        ran.log
            .iter()
            .filter(|line| line.starts_with("restart "))
            .count(),
        ATTEMPTS
    );
}

/// systemd takes names of up to 255 bytes.
#[test]
fn the_unit_of_an_app_with_the_longest_name_has_a_name_that_systemd_takes() {
    let app = "a".repeat(200);
    let most = Instances::Exactly(1024);
    for _ in 0..32 {
        let asked = by_unit::asked(&app, Number::More(1), Some(1023), most);
        let name = Units::of(&app).scaler(asked.number());
        assert!(name.len() <= 255, "{name}");
    }
}

/// A part of the name is chosen by the user who asks, so that anybody who may ask could have thousands of them wait.
#[test]
fn of_too_many_that_compare_a_number_the_last_end_at_once_and_one_that_compares_none_does_not() {
    let with = |others: u32, line: &str| {
        let mut stage = host();
        for other in 0..others {
            stage.systemd.fake.set(Unit {
                name: format!("rsgen-scale@web:4:from-2-{other}.service"),
                ..scaler(ActiveState::Activating)
            });
        }
        stage.systemd.fake.set(Unit {
            name: "rsgen-scale@web2:4:from-2-1.service".into(),
            ..scaler(ActiveState::Activating)
        });
        run(&mut stage, line)
    };
    let line = "rsgen unit scale web:3:from-2-7";
    let refused = with(33, line);
    assert_eq!(refused.log, [""; 0]);
    let fault = refused.fault();
    assert_eq!(
        fault,
        "33 commands scale `web` at once; run it again once they have ended"
    );
    for (others, line) in [(32, line), (33, "rsgen unit scale web:3")] {
        let started = with(others, line).jobs();
        assert!(started.contains(&"start web@2.service".into()), "{line}");
    }
}
