//! The instances beyond the number of an app, and an install.

use super::stage::{Stage, unit};
use crate::command::deployment::{Goal, deploy, foresee};
use crate::layout::Scope;
use crate::output::{Answer, Shown, Style};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Unit};
use crate::unit::name::Units;
use crate::visible::Visible;

/// A host with an app of two instances, on which these are up.
fn installed(instances: &[&str]) -> Stage {
    let mut stage = Stage::running(&["web.service", "web.socket"]);
    stage.write_app("listen = 3000\ninstances = 2\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    for name in instances {
        stage.systemd.fake.set(unit(name, ActiveState::Active, ""));
    }
    stage.systemd.fake.log.clear();
    stage
}

/// Installs the unchanged file; the jobs of systemd.
fn install(stage: &mut Stage) -> Vec<String> {
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    std::mem::take(&mut stage.systemd.fake.log)
}

const ALL: &[&str] = &[
    "web@0.service",
    "web@1.service",
    "web@2.service",
    "web@12.service",
];

#[test]
fn those_beyond_the_number_are_stopped_by_an_install_of_the_same_file() {
    let mut stage = installed(ALL);
    let prepared = [stage.prepare()];
    let foreseen = |stage: &mut Stage| {
        let jobs = Some(stage.jobs());
        let outcome = foresee(jobs, &prepared, Vec::new(), Goal::CURRENT, Scope::System);
        outcome.unwrap()
    };
    let outcome = foreseen(&mut stage);
    let told = "web: would stop the instances beyond its number";
    assert_eq!(outcome.shown(Style::Plain), Some(told.into()));
    assert_eq!(outcome.json()["changed"], true);
    assert_eq!(outcome.json()["trimmed"], serde_json::json!(["web"]));
    assert_eq!(
        install(&mut stage),
        ["stop web@12.service", "stop web@2.service"]
    );
    let told = stage.sink.told();
    assert!(
        told.contains(&"web: has 2 instances: stopping web@12, web@2".to_owned()),
        "{told:?}"
    );
    assert_eq!(install(&mut stage), Vec::<String>::new());
    assert_eq!(foreseen(&mut stage).json()["changed"], false);
}

#[test]
fn those_that_are_missing_are_started_before_the_others_are_stopped() {
    let mut stage = installed(&["web@0.service", "web@2.service"]);
    let fake = &mut stage.systemd.fake;
    fake.set(unit("web@1.service", ActiveState::Failed, "failed"));
    fake.busy("web@1.service", "start");
    let prepared = [stage.prepare()];
    let jobs = Some(stage.jobs());
    let outcome = foresee(jobs, &prepared, Vec::new(), Goal::CURRENT, Scope::System).unwrap();
    let told = "web: would start the instances that are down\nweb: would stop the instances beyond its number";
    assert_eq!(outcome.shown(Style::Plain), Some(Visible::lines(told)));
    for list in ["started", "trimmed"] {
        assert_eq!(outcome.json()[list], serde_json::json!(["web"]), "{list}");
    }
    let jobs = install(&mut stage);
    assert_eq!(jobs, ["start web.service", "stop web@2.service"]);
}

/// The end of the pause starts those that the pause has stopped, and no earlier.
#[test]
fn an_install_of_the_same_file_ends_no_pause() {
    let mut stage = installed(&[]);
    let unmet = Unit {
        unmet: "ConditionHost=a".into(),
        ..unit("web@1.service", ActiveState::Inactive, "dead")
    };
    let pause = Units::of("web").pause();
    let failed = unit("web@0.service", ActiveState::Failed, "failed");
    for unit in [unmet, failed, unit(&pause, ActiveState::Active, "running")] {
        stage.systemd.fake.set(unit);
    }
    assert_eq!(install(&mut stage), Vec::<String>::new());
}

#[test]
fn one_that_may_stand_in_for_another_stays() {
    for note in ["2", "kept 2"] {
        let mut stage = installed(&ALL[..3]);
        let file = Entry::new(&stage.layout.state("web"), Name::Canary);
        file.write(note).unwrap();
        assert_eq!(install(&mut stage), Vec::<String>::new(), "{note}");
    }
    // Without it, nobody would serve.
    let mut stage = installed(&["web@2.service"]);
    assert_eq!(install(&mut stage), Vec::<String>::new());
}

#[test]
fn those_that_another_command_has_added_meanwhile_stay() {
    let mut stage = installed(&ALL[..2]);
    let prepared = [stage.prepare()];
    // The command waits for other apps, and `rsgen scale web 3` does its work.
    stage.write_app("listen = 3000\ninstances = 3\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    let third = unit("web@2.service", ActiveState::Active, "");
    stage.systemd.fake.set(third);
    stage.systemd.fake.log.clear();
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
}
