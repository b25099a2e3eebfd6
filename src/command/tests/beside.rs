//! What a deployment leaves alone: timers and watch units beside the instances, other apps, and the user of an app.

use super::stage::{HOST, Stage, unit};
use crate::cluster::asked::Wish;
use crate::command::deployment::{Goal, deploy, each};
use crate::command::host_probe::HostProbe;
use crate::command::reload;
use crate::ecosystem::resolve::Probe;
use crate::layout::Scope;
use crate::output::{Answer, Shown, Style};
use crate::systemd::ActiveState;
use crate::walk::{Event, Failed};

const UNITS: &[&str] = &["web.service", "web.socket", "web@0.service"];
const JOB: &str = "schedule = \"daily\"\n";
const LASTS: &str = "listen = 3000\n";

/// Returns a host with an app that was installed with these keys.
fn installed(units: &[&str], keys: &str) -> Stage {
    let mut stage = Stage::running(units);
    stage.write_app(keys);
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    stage.systemd.fake.log.clear();
    stage
}

#[test]
fn for_new_code_a_job_needs_no_reload() {
    let mut stage = installed(&["web.timer"], JOB);
    for goal in [Goal::CURRENT, Goal::Fresh(Wish::NONE)] {
        let prepared = [stage.prepare()];
        let outcome = deploy(&mut stage.jobs(), &prepared, goal).unwrap();
        assert_eq!(outcome.json()["changed"], false, "{goal:?}");
        assert_eq!(outcome.shown(Style::Plain), Some("nothing to do".into()));
    }
}

#[test]
fn a_timer_that_was_stopped_is_started_and_that_is_a_change() {
    let mut stage = installed(&["web.timer"], JOB);
    stage.jobs().stop("web").unwrap();
    stage.systemd.fake.log.clear();
    let prepared = [stage.prepare()];
    let outcome = deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    assert_eq!(outcome.json()["changed"], true);
    assert_eq!(stage.systemd.fake.log, ["start web.timer"]);
}

#[test]
fn a_change_of_what_is_watched_replaces_no_instance() {
    let mut stage = installed(UNITS, LASTS);
    for (keys, done) in [
        ("watch = [\"/srv\"]\n", "restart web:watch.service"),
        ("watch = [\"/srv/web\"]\n", "restart web:watch.service"),
        ("", "stop web:watch.service"),
    ] {
        stage.write_app(&format!("{LASTS}{keys}"));
        let prepared = [stage.prepare()];
        deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        assert_eq!(stage.systemd.fake.log, ["daemon-reload", done], "{keys}");
        stage.systemd.fake.log.clear();
    }
}

#[test]
fn a_change_of_how_long_instances_may_run_replaces_none() {
    let mut stage = installed(UNITS, LASTS);
    let (timer, reads) = ("web:recycle.timer", "daemon-reload");
    let (begun, ended) = (format!("restart {timer}"), format!("stop {timer}"));
    for (keys, done) in [
        ("max_uptime = \"1d\"\n", vec![reads, &begun]),
        ("max_uptime = \"2d\"\n", vec![reads]),
        // systemd keeps a unit that is active, and a timer whose file is gone has failed.
        ("", vec![&ended, reads]),
    ] {
        stage.write_app(&format!("{LASTS}{keys}"));
        let prepared = [stage.prepare()];
        deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        assert_eq!(stage.systemd.fake.log, done, "{keys}");
        stage.systemd.fake.log.clear();
    }
}

#[test]
fn an_app_that_is_deployed_once_more_has_the_result_of_the_second_time() {
    let mut stage = installed(UNITS, LASTS);
    let failed = Failed {
        untouched: true,
        why: "it ended".into(),
        ..Failed::default()
    };
    let walk = (
        vec![Event::Aborted { failed }],
        crate::systemd::JobResult::Failed,
    );
    stage.systemd.walks.push_back(walk);
    let prepared = [stage.prepare()];
    let mut deployed = each(&mut stage.jobs(), &prepared, Goal::Fresh(Wish::NONE)).unwrap();
    assert!(deployed.is_any_failed());
    let again = each(&mut stage.jobs(), &prepared, Goal::Fresh(Wish::NONE)).unwrap();
    deployed.replace(0, again);
    let outcome = deployed.outcome(&prepared, Scope::System).unwrap();
    assert_eq!(outcome.json()["reloaded"], serde_json::json!(["web"]));
}

#[test]
fn a_reload_makes_no_job_of_an_app_that_lasts() {
    for (before, after, kind) in [(LASTS, JOB, "a job"), (JOB, LASTS, "a long-running app")] {
        let stage = installed(UNITS, before);
        stage.write_app(after);
        let prepared = stage.prepare();
        let refused = reload::refuse_another_kind(&prepared, "ecosystem.toml").unwrap_err();
        let why = format!("`web` becomes {kind}, and a reload cannot do that");
        assert_eq!(refused.message, why);
        let help = refused.help.unwrap();
        assert_eq!(help, "run `rsgen install ecosystem.toml`");
    }
}

#[test]
fn a_user_that_is_taken_out_of_the_file_does_not_make_an_app_roots() {
    let stage = installed(UNITS, &format!("{LASTS}user = \"www-data\"\n"));
    stage.write_app(LASTS);
    let refused = reload::prepare(&stage.layout, HOST, &stage.sink, "web", false);
    let refused = refused.err().expect("a refusal").message;
    assert_eq!(
        refused,
        "`web` runs as `www-data`, and without `user` a reload would run it as root"
    );
    // An install does not run the app as root either.
    let probe = HostProbe::new(None, &stage.layout);
    assert_eq!(probe.installed_user("web").as_deref(), Some("www-data"));
    for meant in ["user = \"root\"\n", "service.DynamicUser = true\n"] {
        stage.write_app(&format!("{LASTS}{meant}"));
        let prepared = reload::prepare(&stage.layout, HOST, &stage.sink, "web", false);
        assert!(prepared.is_ok(), "{meant}");
    }
}

/// A unit that has failed to join the balance is what tells that its instance is outside.
#[test]
fn a_failed_join_is_forgotten_only_with_the_balance() {
    let even = "listen = 3000\nbalance = \"even\"\n";
    let watched = format!("{even}watch = [\"/srv\"]\n");
    for (keys, forgotten) in [(even, &[][..]), (LASTS, &["web:join@0.service"])] {
        let mut stage = installed(UNITS, &watched);
        let join = unit("web:join@0.service", ActiveState::Failed, "failed");
        stage.systemd.fake.set(join);
        stage.write_app(keys);
        let prepared = [stage.prepare()];
        stage.systemd.forgotten.clear();
        deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        assert_eq!(stage.systemd.forgotten, forgotten, "{keys}");
    }
}
