//! The port of an app whose first start fails, and the last words that are held back until it is known why.

use std::net::TcpListener;
use std::time::Duration;

use super::stage::{Recorder, Stage, unit};
use crate::command::half_open;
use crate::command::held::Held;
use crate::command::uninstall::Uninstalled;
use crate::ecosystem::{Diagnostic, Report};
use crate::output::{Colour, Failure, Json, Notice, Sink};
use crate::systemd::{ActiveState, JobResult, Manager, QueuedJob, Unit, Verb};
use crate::visible::Visible;

#[test]
fn a_port_that_nobody_serves_is_closed_after_a_start_that_failed() {
    for (units, is_open, is_closed) in [
        (&["web.socket"][..], true, true),
        (&["web.socket", "web@0.service"], true, false),
        (&[], false, false),
    ] {
        let mut stage = Stage::running(units);
        let mut jobs = stage.jobs();
        assert_eq!(half_open::is_open(&mut jobs, "web").ok(), Some(is_open));
        let failure = half_open::close(&mut jobs, "web", Failure::failed("no"));
        let help = failure.help.unwrap_or_default();
        assert_eq!(
            help.contains("the port is closed again"),
            is_closed,
            "{help}"
        );
        let log = stage.systemd.fake.log;
        let stops = ["stop web.socket", "stop web.service"].map(String::from);
        assert!(
            if is_closed {
                log.ends_with(&stops)
            } else {
                log.is_empty()
            },
            "{log:?}"
        );
    }
}

#[test]
fn a_port_that_was_open_before_a_start_that_failed_stays_open() {
    for (units, is_closed) in [(&[][..], true), (&["web.socket"], false)] {
        let mut stage = Stage::running(units);
        let end = half_open::with(&mut stage.jobs(), "web", |jobs| {
            jobs.run(Verb::Start, "web.socket")?;
            Err(Failure::failed("no"))
        });
        let help = end.unwrap_err().help.unwrap_or_default();
        assert_eq!(
            help.contains("the port is closed again"),
            is_closed,
            "{help}"
        );
        let is_open = stage.systemd.fake.ready().contains(&"web.socket");
        assert_ne!(is_open, is_closed);
    }
}

/// A stop of the cluster unit would hide what the brake unit decides about programs that have ended and are not started again.
#[test]
fn the_port_is_closed_after_the_verdict_on_programs_that_have_ended() {
    let (active, failed) = (ActiveState::Active, ActiveState::Failed);
    let (one, patience) = (Duration::from_secs(1), Duration::from_secs(5));
    let starting = QueuedJob {
        path: "/job/1".into(),
        kind: "start".into(),
    };
    for (cluster, instance, job, decided, waited) in [
        (active, ActiveState::Inactive, None, one, one..patience),
        (active, failed, None, one, one..patience),
        (active, failed, None, 2 * patience, patience..2 * patience),
        (failed, failed, None, one, Duration::ZERO..one),
        // The brake unit waits for these as well.
        (
            active,
            ActiveState::Activating,
            None,
            one,
            Duration::ZERO..one,
        ),
        (active, failed, Some(starting), one, Duration::ZERO..one),
    ] {
        let mut stage = Stage::running(&["web.socket"]);
        let fake = &mut stage.systemd.fake;
        fake.set(unit("web.service", cluster, ""));
        fake.set(Unit {
            job,
            ..unit("web@0.service", instance, "")
        });
        let begun = fake.now();
        fake.set_at(begun + decided, unit("web.service", failed, ""));
        half_open::close(&mut stage.jobs(), "web", Failure::failed("no"));
        let fake = &mut stage.systemd.fake;
        let took = fake.now().saturating_sub(begun);
        assert!(waited.contains(&took), "{cluster:?} {instance:?}: {took:?}");
        assert_eq!(fake.log, ["stop web.socket", "stop web.service"]);
    }
}

#[test]
fn last_words_are_held_back_for_the_app_that_asks_for_it_alone() {
    let sink = Recorder::default();
    let keeps = |app: &str| app == "web";
    let held = Held::over(&sink, &keeps);
    let line = |text: &str| Visible::line(text);
    held.notice(&Notice::LastWord(&line("before any start")));
    for app in ["api", "web"] {
        held.notice(&Notice::Starting(app));
        held.notice(&Notice::LastWord(&line(&format!("of {app}"))));
    }
    let warning = Diagnostic::warning(0..0, "a warning");
    held.warnings(&Report::new("eco.toml", "", vec![warning]));
    held.failure(&Failure::failed("a failure"));
    held.answer(&Uninstalled {
        dry_run: false,
        changes: Vec::new(),
    });
    assert!(!held.is_for_scripts());
    let json = Json::new(Colour::Never);
    assert!(Held::over(&json, &keeps).is_for_scripts());
    assert_eq!(held.into_words(), [("web".to_owned(), line("of web"))]);
    let told = sink.told().join("\n");
    for said in [
        "before any start",
        "of api",
        "web",
        "a warning",
        "a failure",
        "dry_run",
    ] {
        assert!(told.contains(said), "{told}");
    }
    assert!(!told.contains("of web"), "{told}");
}

#[test]
fn a_start_that_fails_because_of_a_socket_says_so() {
    let mut stage = Stage::running(&["web.service"]);
    stage.systemd.fake.set(Unit {
        name: "web.socket".into(),
        active: ActiveState::Failed,
        ..Unit::default()
    });
    let mut failed = |unit, result| {
        let failure = stage.jobs().failed(Verb::Start, unit, result);
        (failure.message, failure.help.unwrap())
    };
    let (message, help) = failed("web.service", JobResult::Dependency);
    let socket = "start of web.service failed, because web.socket could not be started";
    assert_eq!(message, socket);
    assert!(
        help.starts_with("see `systemctl status web.socket`"),
        "{help}"
    );
    let (message, help) = failed("web.service", JobResult::Failed);
    assert!(!message.contains("web.socket"), "{message}");
    assert!(help.starts_with("see `journalctl -u web -u "), "{help}");
    let (_, help) = failed("web@1.service", JobResult::Failed);
    assert!(help.starts_with("see `systemctl status web@1` "), "{help}");
    // Listeners of single instances are no dependency of a unit.
    for (unit, active) in [
        ("web@0.socket", ActiveState::Active),
        ("web@1.socket", ActiveState::Failed),
    ] {
        stage.systemd.fake.set(Unit {
            name: unit.into(),
            active,
            ..Unit::default()
        });
    }
    let failure = stage
        .jobs()
        .failed(Verb::Start, "web.service", JobResult::Failed);
    let listener = "start of web.service failed, because web@1.socket could not be started";
    assert_eq!(failure.message, listener);
}

#[test]
fn as_long_as_another_program_has_the_port_it_is_named() {
    let mut stage = Stage::running(&["web.service"]);
    stage.systemd.fake.set(Unit {
        name: "web.socket".into(),
        active: ActiveState::Failed,
        ..Unit::default()
    });
    let socket = "start of web.service failed, because web.socket could not be started";
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    stage.write_app(&format!("listen = \"{address}\"\n"));
    let failure = stage
        .jobs()
        .failed(Verb::Start, "web.service", JobResult::Dependency);
    let (pid, message) = (std::process::id(), failure.message);
    assert!(
        message.starts_with(&format!("{socket}: `web` cannot listen on {address}: `")),
        "{message}"
    );
    assert!(
        message.ends_with(&format!("` (pid {pid}) listens there")),
        "{message}"
    );
    let failure = stage
        .jobs()
        .failed(Verb::Start, "web.socket", JobResult::Failed);
    let message = failure.message;
    assert!(
        message.starts_with("start of web.socket failed: `web` cannot listen"),
        "{message}"
    );
    assert!(
        failure
            .help
            .unwrap()
            .starts_with("stop it, or write another address")
    );
}
