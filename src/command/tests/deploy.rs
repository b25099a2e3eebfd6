//! What a deployment does to files and processes, above all when it fails.

use super::stage::{HOST, Stage};
use crate::cluster::asked::Wish;
use crate::command::apply::Prepared;
use crate::command::deployment::{Goal, deploy, foresee};
use crate::command::install;
use crate::command::outcome::Outcome;
use crate::command::reload;
use crate::layout::Scope;
use crate::output::{Answer, Exit, Failure, Shown, Style};
use crate::systemd::{ATTEMPTS, ActiveState, JobResult, Unit, Verb};
use crate::walk::{Event, Failed, Others};

const UNITS: &[&str] = &[
    "web.service",
    "web.socket",
    "web@0.service",
    "web@1.service",
];

const ON_3000: &str = "listen = 3000\ninstances = 2\n";

/// Returns a host with an app that was installed and is running.
fn installed() -> Stage {
    let mut stage = Stage::running(UNITS);
    stage.write_app(ON_3000);
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    stage.systemd.fake.log.clear();
    stage
}

/// Returns the same host after a change of the environment in the app's file.
fn changed() -> Stage {
    let stage = installed();
    stage.write_app(&format!("{ON_3000}env = {{ COLOUR = \"green\" }}\n"));
    stage
}

fn bring_up(stage: &mut Stage, goal: Goal) -> Result<Outcome, Failure> {
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, goal)
}

fn is_green(stage: &Stage) -> bool {
    stage.unit("web@.service").contains("green")
}

fn aborted(failed: Failed) -> Vec<Event> {
    vec![Event::Aborted { failed }]
}

fn json(outcome: &Outcome) -> serde_json::Value {
    outcome.json()
}

#[test]
fn an_app_that_is_current_is_not_touched() {
    let mut stage = installed();
    let outcome = bring_up(&mut stage, Goal::CURRENT).unwrap();
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
    assert_eq!(json(&outcome)["changed"], false);
    let told = "nothing to do; for new code, run `rsgen reload web`";
    assert_eq!(outcome.shown(Style::Plain), Some(told.into()));
}

#[test]
fn a_fresh_app_is_walked_though_nothing_changed() {
    let mut stage = installed();
    let outcome = bring_up(&mut stage, Goal::Fresh(Wish::NONE)).unwrap();
    assert_eq!(
        stage.systemd.fake.log,
        ["daemon-reload", "reload web.service"]
    );
    assert_eq!(json(&outcome)["reloaded"], serde_json::json!(["web"]));
}

#[test]
fn files_are_read_once_for_a_command_and_a_generated_app_anew() {
    let mut stage = installed();
    let goal = Goal::Fresh(Wish::NONE);
    let prepared = [stage.prepare()];
    let read = |stage: &mut Stage| {
        deploy(&mut stage.jobs(), &prepared, goal).unwrap();
        stage.systemd.fake.log.drain(..).next().unwrap()
    };
    assert_eq!(read(&mut stage), "daemon-reload");
    assert_eq!(read(&mut stage), "reload web.service");
    std::fs::remove_file(stage.layout.units.join("web.service")).unwrap();
    assert_eq!(read(&mut stage), "daemon-reload");
}

#[test]
fn an_app_that_is_down_is_started() {
    for goal in [Goal::CURRENT, Goal::Fresh(Wish::NONE)] {
        let mut stage = Stage::running(&[]);
        stage.write_app(ON_3000);
        let outcome = bring_up(&mut stage, goal).unwrap();
        assert_eq!(json(&outcome)["started"], serde_json::json!(["web"]));
        let log = &stage.systemd.fake.log;
        assert_eq!(*log, ["daemon-reload", "start web.service"], "{goal:?}");
    }
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let mut stage = changed();
    let prepared = [stage.prepare()];
    let outcome = foresee(
        Some(stage.jobs()),
        &prepared,
        Vec::new(),
        Goal::CURRENT,
        Scope::System,
    )
    .unwrap();
    assert_eq!(
        outcome.shown(Style::Plain),
        Some("web: would reload".into())
    );
    assert!(!is_green(&stage) && stage.systemd.fake.log.is_empty());
    let blind = foresee(None, &prepared, Vec::new(), Goal::CURRENT, Scope::System).unwrap();
    assert_eq!(json(&blind)["changed"], true);
    assert_eq!(json(&blind)["reloaded"], serde_json::json!([]));
}

#[test]
fn a_walk_that_touched_no_instance_is_taken_back() {
    let mut stage = changed();
    let failed = Failed {
        number: Some(2),
        canary: true,
        why: "it ended with status 1".into(),
        untouched: true,
        others: Others::Untouched,
        ..Failed::default()
    };
    let walk = (aborted(failed), JobResult::Failed);
    stage.systemd.walks.push_back(walk);
    let failure = bring_up(&mut stage, Goal::CURRENT).unwrap_err();
    assert!(!is_green(&stage));
    assert_eq!((failure.exit, failure.untouched), (Exit::Failed, true));
    assert!(failure.message.starts_with("web: the canary failed: "));
    let told = stage.sink.told();
    assert!(
        told.iter()
            .any(|line| line.starts_with("  the canary failed")),
        "{told:?}"
    );
    assert_eq!(
        told.last().unwrap(),
        "web: put back the units of the version that runs"
    );
    assert_eq!(stage.systemd.fake.log.last().unwrap(), "daemon-reload");
    stage.write_app(ON_3000);
    let outcome = bring_up(&mut stage, Goal::CURRENT).unwrap();
    assert_eq!(json(&outcome)["changed"], false, "nothing is half-way");
}

#[test]
fn a_walk_that_touched_an_instance_leaves_the_new_units() {
    let mut stage = changed();
    let failed = Failed {
        number: Some(1),
        timed_out: true,
        ..Failed::default()
    };
    let walk = (aborted(failed), JobResult::Failed);
    stage.systemd.walks.push_back(walk);
    let failure = bring_up(&mut stage, Goal::Fresh(Wish::NONE)).unwrap_err();
    assert!(is_green(&stage));
    assert_eq!((failure.exit, failure.untouched), (Exit::TimedOut, false));
    assert!(
        !stage
            .sink
            .told()
            .iter()
            .any(|line| line.contains("put back"))
    );
    stage.systemd.fake.log.clear();
    bring_up(&mut stage, Goal::CURRENT).unwrap();
    let log = &stage.systemd.fake.log;
    assert_eq!(*log, ["reload web.service"], "the others are replaced");
}

#[test]
fn files_that_systemd_does_not_read_are_taken_back() {
    let mut stage = changed();
    stage.systemd.refuses_files = true;
    let failure = bring_up(&mut stage, Goal::CURRENT).unwrap_err();
    assert_eq!(failure.message, "systemd refused: a test");
    assert!(!is_green(&stage));
}

#[test]
fn a_walk_that_was_killed_has_not_told_its_failure() {
    let mut stage = changed();
    let begun = Event::Begun {
        instances: 2,
        canary: true,
        canaries: None,
        kept: false,
    };
    let walk = (vec![begun], JobResult::Failed);
    stage.systemd.walks.push_back(walk);
    let failure = bring_up(&mut stage, Goal::CURRENT).unwrap_err();
    let start = "reload of web.service ended as `failed`";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    assert!(is_green(&stage), "instances of the new version may run");
    stage.systemd.fake.log.clear();
    bring_up(&mut stage, Goal::CURRENT).unwrap();
    let log = &stage.systemd.fake.log;
    assert_eq!(*log, ["reload web.service"], "the walk is finished");
}

#[test]
fn a_walk_whose_job_is_cancelled_is_followed_to_its_end() {
    let mut stage = installed();
    let done = Event::Done {
        instances: 2,
        took_ms: 1,
    };
    let walk = (vec![done], JobResult::Canceled);
    stage.systemd.walks.push_back(walk);
    bring_up(&mut stage, Goal::Fresh(Wish::NONE)).unwrap();
    let told = stage.sink.told();
    let line = "web: the job of the reload was cancelled by another job of systemd";
    let done = "  done: 2 of 2 replaced in 1 ms";
    assert!(
        told.ends_with(&[done.to_owned(), line.to_owned()]),
        "{told:?}"
    );
}

#[test]
fn a_walk_that_did_not_begin_is_queued_again_a_few_times() {
    let mut stage = installed();
    for _ in 0..=ATTEMPTS {
        let walk = (Vec::new(), JobResult::Canceled);
        stage.systemd.walks.push_back(walk);
    }
    let failure = bring_up(&mut stage, Goal::Fresh(Wish::NONE)).unwrap_err();
    let reloads = stage.systemd.fake.log.iter();
    let reloads = reloads.filter(|job| *job == "reload web.service");
    assert_eq!(reloads.count(), ATTEMPTS + 1);
    let why = "reload of web.service was cancelled by another job of systemd";
    assert!(failure.message.starts_with(why), "{}", failure.message);
}

#[test]
fn a_walk_whose_place_another_job_has_taken_is_not_queued_again() {
    let mut stage = installed();
    let walk = (Vec::new(), JobResult::Canceled);
    stage.systemd.walks.push_back(walk);
    stage.systemd.fake.busy("web.service", "stop");
    bring_up(&mut stage, Goal::Fresh(Wish::NONE)).unwrap_err();
    let log = &stage.systemd.fake.log;
    assert_eq!(*log, ["daemon-reload", "reload web.service"]);
}

#[test]
fn a_job_that_is_cancelled_is_queued_again_unless_another_took_its_place() {
    let mut stage = installed();
    stage.systemd.fake.cancel("web.service", 1);
    stage.jobs().run(Verb::Restart, "web.service").unwrap();
    let told = stage.sink.told();
    let line = "restart of web.service was cancelled by another job of systemd; queued again";
    assert_eq!(told.last().unwrap(), line);
    stage.systemd.fake.log.clear();
    stage.systemd.fake.stop_instead("web.service");
    stage.jobs().run(Verb::Restart, "web.service").unwrap_err();
    assert_eq!(stage.systemd.fake.log, ["restart web.service"]);
}

#[test]
fn an_address_is_moved_by_install_alone_and_only_when_told() {
    let mut stage = installed();
    stage.write_app("listen = 3001\ninstances = 2\n");
    let refused = reload::prepare(&stage.layout, HOST, &stage.sink, "web", false);
    let refused = refused.err().expect("a refusal");
    let why = "`web` listens on 3000; a reload cannot move it to 3001";
    assert_eq!(refused.message, why);
    assert!(refused.help.unwrap().ends_with(" --replace-listener`"));

    let prepared = [stage.prepare()];
    let refused = install::refuse_readdressing(&prepared, false).unwrap_err();
    let why = "`web` listens on 3000; moving it to 3001 closes 3000 first";
    assert_eq!(refused.message, why);
    install::refuse_readdressing(&prepared, true).unwrap();
    let outcome = foresee(
        Some(stage.jobs()),
        &prepared,
        Vec::new(),
        Goal::CURRENT,
        Scope::System,
    )
    .unwrap();
    assert_eq!(outcome.shown(Style::Plain), Some("web: would start".into()));
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    let log = [
        "stop web.service",
        "stop web.socket",
        "daemon-reload",
        "start web.service",
    ];
    assert_eq!(stage.systemd.fake.log, log);
    assert!(stage.unit("web.socket").contains("ListenStream=3001"));
}

/// Returns an instance that systemd has given up starting.
fn given_up(unit: &str) -> Unit {
    Unit {
        name: unit.into(),
        active: ActiveState::Failed,
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 7,
        ..Unit::default()
    }
}

#[test]
fn an_app_of_which_one_instance_fails_has_failed() {
    let mut stage = installed();
    stage.systemd.fake.set(given_up("web@1.service"));
    let failure = bring_up(&mut stage, Goal::CURRENT).unwrap_err();
    assert_eq!(stage.systemd.fake.log, ["start web.service"]);
    let why = "web: 1 of 2 serving; web@1.service: exited with status 7";
    assert_eq!((failure.exit, &*failure.message), (Exit::Failed, why));
}

#[test]
fn an_instance_that_was_stopped_on_purpose_is_none_that_fails() {
    let mut stage = installed();
    stage.jobs().stop_instance("web", 1).unwrap();
    stage.systemd.fake.log.clear();
    bring_up(&mut stage, Goal::CURRENT).unwrap();
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
}

#[test]
fn an_app_that_fails_does_not_keep_the_others_from_their_files() {
    let mut stage = changed();
    let failed = Failed {
        untouched: true,
        why: "it ended".into(),
        ..Failed::default()
    };
    let walk = (aborted(failed), JobResult::Failed);
    stage.systemd.walks.push_back(walk);
    let prepared = [stage.prepare(), Prepared::unchanged("api", false)];
    let failure = deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap_err();
    assert!(failure.message.starts_with("web: "), "{}", failure.message);
    let log = &stage.systemd.fake.log;
    assert_eq!(log.last().unwrap(), "start api.service");
    let both = vec![Failure::failed("web: a"), Failure::failed("api: b")];
    let both = Failure::of_several(both, 3).unwrap();
    assert_eq!(both.message, "2 of 3 apps failed: web: a; api: b");
}

#[test]
fn a_port_is_given_up_and_taken_by_install_alone_and_only_when_told() {
    for (before, after, cost, refusal) in [
        (
            "listen = 3000",
            "listen = []",
            "`web` listens on 3000; `listen = []` closes 3000 first",
            "`web` listens on 3000; a reload cannot close 3000",
        ),
        (
            "listen = []",
            "listen = 3000",
            "`web` does not listen; moving it to 3000 stops all its instances first",
            "`web` does not listen; a reload cannot move it to 3000",
        ),
    ] {
        let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
        stage.write_app(&format!("{before}\ninstances = 2\n"));
        let first = [stage.prepare()];
        assert!(install::refuse_readdressing(&first, false).is_ok());
        deploy(&mut stage.jobs(), &first, Goal::CURRENT).unwrap();

        stage.write_app(&format!("{after}\ninstances = 2\n"));
        let refused = reload::prepare(&stage.layout, HOST, &stage.sink, "web", false);
        assert_eq!(refused.err().map(|f| f.message).as_deref(), Some(refusal));
        let prepared = [stage.prepare()];
        let refused = install::refuse_readdressing(&prepared, false).unwrap_err();
        assert_eq!(refused.message, cost);
        install::refuse_readdressing(&prepared, true).unwrap();
        deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        let has_socket = after != "listen = []";
        assert_eq!(stage.layout.units.join("web.socket").exists(), has_socket);
        assert_eq!(stage.unit("web.service").contains("web.socket"), has_socket);
    }
}
