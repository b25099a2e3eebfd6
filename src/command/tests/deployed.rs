//! What a deployment does to the units beside the instances: timers, watch units and sockets.

use super::stage::Stage;
use crate::command::deployment::{Goal, deploy, each};
use crate::systemd::fake::Start;
use crate::systemd::{ActiveState, Unit};

/// The jobs of a deployment of the app with these lines, where these units run.
fn jobs(stage: &mut Stage, lines: &str) -> Vec<String> {
    stage.write_app(lines);
    stage.systemd.fake.log.clear();
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    stage.systemd.fake.log.clone()
}

#[test]
fn the_start_of_an_app_starts_its_watch_unit_and_a_change_restarts_it() {
    let mut stage = Stage::running(&[]);
    let log = jobs(&mut stage, "listen = 1\nwatch = true\n");
    assert_eq!(log, ["daemon-reload", "start web.service"]);
    let log = jobs(&mut stage, "listen = 1\nwatch = [\"src\"]\n");
    let watch = "web:watch.service";
    assert!(log.contains(&format!("restart {watch}")), "{log:?}");
    let log = jobs(&mut stage, "listen = 1\n");
    assert!(log.contains(&format!("stop {watch}")), "{log:?}");
}

#[test]
fn a_unit_that_failed_to_join_a_balance_is_forgotten_with_the_balance() {
    let mut stage = Stage::running(&[]);
    let even = "listen = 3000\nbalance = \"even\"\n";
    jobs(&mut stage, even);
    stage.systemd.fake.set(Unit {
        name: "web:join@0.service".into(),
        active: ActiveState::Failed,
        ..Unit::default()
    });
    stage.systemd.forgotten.clear();
    jobs(&mut stage, &format!("{even}kill_timeout = 7\n"));
    let is_join = |unit: &String| unit == "web:join@0.service";
    assert!(!stage.systemd.forgotten.iter().any(is_join));
    stage.write_app("listen = 3000\n");
    let prepared = [stage.prepare()];
    each(&mut stage.jobs(), &prepared, Goal::CURRENT)
        .ok()
        .unwrap();
    assert!(stage.systemd.forgotten.iter().any(is_join));
}

#[test]
fn the_timer_of_a_job_is_started_unless_it_runs() {
    let mut stage = Stage::running(&[]);
    let job = "schedule = \"daily\"\n";
    jobs(&mut stage, job);
    assert_eq!(jobs(&mut stage, job), Vec::<String>::new());
    stage.systemd.fake.set(Unit {
        name: "web.timer".into(),
        active: ActiveState::Inactive,
        ..Unit::default()
    });
    assert_eq!(jobs(&mut stage, job), ["start web.timer"]);
}

#[test]
fn a_socket_whose_file_is_gone_is_made_anew_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let lines = format!("listen = {path:?}\n");
    let mut stage = Stage::running(&["web.socket"]);
    let log = jobs(&mut stage, &lines);
    assert_eq!(
        log,
        ["daemon-reload", "stop web.socket", "start web.service"]
    );
    let mut stage = Stage::running(&[]);
    let log = jobs(&mut stage, &lines);
    assert_eq!(log, ["daemon-reload", "start web.service"]);
    std::fs::write(&path, "").unwrap();
    let mut stage = Stage::running(&["web.socket"]);
    let log = jobs(&mut stage, &lines);
    assert_eq!(log, ["daemon-reload", "start web.service"]);
}

#[test]
fn what_became_of_each_app_tells_whether_any_has_failed() {
    let is_failed = |how: Start| {
        let mut stage = Stage::running(&[]);
        stage.write_app("listen = 1\n");
        let prepared = [stage.prepare()];
        stage.systemd.fake.script("web.service", &[how]);
        let done = each(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        done.is_any_failed()
    };
    assert!(is_failed(Start::GivesUp) && !is_failed(Start::Works));
}
