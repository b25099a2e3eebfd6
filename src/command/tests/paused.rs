//! `rsgen pause` and `resume`, and what other commands do meanwhile.

use std::time::Duration;

use super::json::is_documented;
use super::lines::run;
use super::stage::Stage;
use crate::cluster::pause::Paused;
use crate::command::deployment::{Goal, deploy};
use crate::command::pause::AppPaused;
use crate::command::paused::clock;
use crate::command::resume::Resumed;
use crate::layout::{Layout, Scope};
use crate::output::Exit;
use crate::plan;
use crate::systemd::{ActiveState, Manager, Unit};

const APP: &str = "listen = 1\ninstances = 2\n";
const UNITS: &[&str] = &["web.service", "web@0.service", "web@1.service"];

/// A host where the app is paused.
fn paused() -> Stage {
    let mut stage = Stage::running(&UNITS[..1]);
    stage.write_app(APP);
    let since = Duration::ZERO;
    let paused = Paused {
        since,
        until: Duration::from_secs(30),
        numbers: vec![0, 1],
    };
    paused.write(&stage.layout.state("web")).unwrap();
    for (name, active) in [
        ("web:pause.service", ActiveState::Active),
        ("web@0.service", ActiveState::Inactive),
        ("web@1.service", ActiveState::Inactive),
    ] {
        stage.systemd.fake.set(Unit {
            name: name.into(),
            load: "loaded".into(),
            active,
            ..Unit::default()
        });
    }
    stage
}

#[test]
fn what_has_nothing_to_pause_is_refused() {
    for (lines, units, message) in [
        (
            "schedule = \"daily\"\n",
            UNITS,
            "`web` is a job, and jobs cannot be paused",
        ),
        (
            APP,
            &[][..],
            "`web` is not active, so there is nothing to pause",
        ),
    ] {
        let mut stage = Stage::running(units);
        stage.write_app(lines);
        let failure = run(&mut stage, "rsgen pause web").failure.unwrap();
        assert_eq!(failure.message, message);
        assert!(failure.help.is_some());
    }
}

#[test]
fn a_pause_is_a_unit_in_run_that_systemd_starts() {
    let mut stage = Stage::running(UNITS);
    stage.write_app(APP);
    // The fake runs no command of the unit, so nothing says how long the pause is.
    let ran = run(&mut stage, "rsgen pause web --for 30s");
    let log = ran.log.clone();
    assert!(
        log.contains(&"start web:pause.service".to_owned()),
        "{log:?}"
    );
    assert_eq!(
        ran.fault(),
        "the pause of `web` is over already; run `rsgen history web`"
    );
    let unit = stage.layout.runtime_units.join("web:pause.service");
    let text = std::fs::read_to_string(unit).unwrap();
    for line in [
        "\nStopPropagatedFrom=web.service\n",
        " unit pause web --for=30s\n",
        " unit resume web\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        !text.contains("Sockets="),
        "the cluster unit holds the shared one: {text}"
    );
}

#[test]
fn the_unit_of_a_pause_lasts_longer_than_any_pause_and_is_shut_in_by_root_alone() {
    let mut stage = Stage::running(UNITS);
    stage.write_app(APP);
    run(&mut stage, "rsgen pause web --for 30s");
    let unit = stage.layout.runtime_units.join("web:pause.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let limit = text.lines().find_map(|l| l.strip_prefix("RuntimeMaxSec="));
    assert_eq!(limit, Some("630s"), "{text}");
    for (scope, is_shut_in) in [(Scope::System, true), (Scope::User, false)] {
        let layout = Layout {
            scope,
            ..stage.layout.clone()
        };
        let times = (Duration::from_secs(30), Duration::from_hours(1));
        let text = plan::pause("web", &layout, (&[], true), times).unwrap();
        assert_eq!(text.contains("ProtectSystem="), is_shut_in, "{text}");
    }
}

#[test]
fn the_same_again_gives_a_pause_another_end_within_the_longest_one() {
    let mut stage = paused();
    for (time, until) in [("90s", 90), ("10min", 600)] {
        let ran = run(&mut stage, &format!("rsgen pause web --for {time}"));
        assert!(
            ran.shown.starts_with("web: is paused already; "),
            "{}",
            ran.shown
        );
        assert_eq!(ran.jobs(), [""; 0]);
        let paused = Paused::read(&stage.layout.state("web")).unwrap();
        assert_eq!(paused.until, Duration::from_secs(until));
    }
}

#[test]
fn a_pause_that_is_beginning_or_ending_gets_no_other_end() {
    for (active, job) in [
        (ActiveState::Activating, None),
        (ActiveState::Active, Some("stop")),
    ] {
        let mut stage = paused();
        stage.systemd.fake.set(Unit {
            name: "web:pause.service".into(),
            active,
            ..Unit::default()
        });
        if let Some(job) = job {
            stage.systemd.fake.busy("web:pause.service", job);
        }
        let fault = run(&mut stage, "rsgen pause web --for 90s").fault();
        let wanted = "a pause of `web` is just beginning or ending; ";
        assert!(fault.starts_with(wanted), "{fault}");
    }
}

#[test]
fn what_replaces_instances_is_refused_and_what_starts_them_ends_the_pause() {
    for line in [
        "rsgen reload web",
        "rsgen scale web 3",
        "rsgen stop web@1",
        "rsgen edit web",
        "rsgen edit web --dry-run",
    ] {
        let fault = run(&mut paused(), line).fault();
        assert_eq!(
            fault, "`web` is paused; run `rsgen --user resume web` first",
            "{line}"
        );
    }
    let started = run(&mut paused(), "rsgen start web").jobs();
    assert_eq!(started, ["stop web:pause.service", "start web.service"]);
}

#[test]
fn an_app_is_not_uninstalled_while_connections_wait_for_its_instances() {
    for line in ["rsgen uninstall web", "rsgen uninstall web --dry-run"] {
        let fault = run(&mut paused(), line).fault();
        let wanted = "`web` is paused; run `rsgen --user resume web` first";
        assert!(fault.starts_with(wanted), "{line}: {fault}");
        assert!(fault.contains("which cuts the waiting connections"));
    }
}

#[test]
fn an_uninstall_leaves_no_unit_of_a_pause_that_is_over() {
    let mut stage = Stage::running(UNITS);
    stage.write_app(APP);
    run(&mut stage, "rsgen pause web --for 30s");
    stage.systemd.fake.set(Unit {
        name: "web:pause.service".into(),
        ..Unit::default()
    });
    let unit = stage.layout.runtime_units.join("web:pause.service");
    assert!(unit.exists());
    run(&mut stage, "rsgen uninstall web").jobs();
    assert!(!unit.exists());
}

#[test]
fn an_app_is_not_moved_while_connections_wait_for_its_instances() {
    let mut stage = Stage::running(&["web.service", "web.socket"]);
    stage.write_app(APP);
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    stage.write_app("listen = 2\ninstances = 2\n");
    let prepared = [stage.prepare()];
    assert!(prepared[0].readdressed.is_some());
    stage.systemd.fake.set(Unit {
        name: "web:pause.service".into(),
        active: ActiveState::Active,
        ..Unit::default()
    });
    stage.systemd.fake.log.clear();
    let failure = deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap_err();
    assert_eq!(failure.message, "`web` is paused");
    assert_eq!(stage.systemd.fake.log, [""; 0]);
}

#[test]
fn an_app_that_is_not_paused_is_left_alone() {
    let mut stage = Stage::running(UNITS);
    stage.write_app(APP);
    let ran = run(&mut stage, "rsgen resume web");
    assert_eq!(ran.shown.trim_end(), "nothing to do: web is not paused");
    assert_eq!(ran.jobs(), [""; 0]);
    let unknown = run(&mut stage, "rsgen resume blog").failure.unwrap();
    assert_ne!(unknown.exit, Exit::Done);
}

#[test]
fn the_list_says_how_long_connections_wait() {
    let ran = run(&mut paused(), "rsgen list web");
    assert_eq!(ran.shown.matches("paused").count(), 2, "{}", ran.shown);
    assert!(
        ran.shown.contains("connections wait, for 30s at most"),
        "{}",
        ran.shown
    );
}

#[test]
fn every_field_of_a_pause_is_documented() {
    let paused = || AppPaused {
        app: "web".into(),
        changed: true,
        seconds: 30,
        instances: Vec::new(),
        at: String::new(),
    };
    is_documented("paused", paused(), paused());
    let resumed = || Resumed {
        app: "web".into(),
        changed: true,
        instances: Vec::new(),
    };
    is_documented("resumed", resumed(), resumed());
}

#[test]
fn the_end_of_a_pause_is_told_as_a_time_of_day() {
    let seconds = |away: u64| {
        let text = clock(Duration::from_secs(away));
        let parts: Vec<u64> = text.split(':').map(|part| part.parse().unwrap()).collect();
        assert_eq!((text.len(), parts.len()), (8, 3), "{text}");
        parts.iter().fold(0, |sum, part| sum * 60 + part)
    };
    // The clock goes on meanwhile, and may have passed an hour or a day.
    let apart = (3600 + seconds(600) % 3600 - seconds(0) % 3600) % 3600;
    assert!((595..=605).contains(&apart), "{apart}");
}

#[test]
fn an_instance_that_is_still_down_when_the_time_is_over_is_stopped() {
    let mut stage = paused();
    stage.systemd.fake.pause(Duration::from_secs(30));
    let ran = run(&mut stage, "rsgen list web");
    assert!(!ran.shown.contains("paused"), "{}", ran.shown);
}
