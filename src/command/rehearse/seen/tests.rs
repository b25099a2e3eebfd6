//! When a rehearsal is over, and what is known of the program then.

use super::*;
use crate::ecosystem;

const SECOND: u64 = 1_000_000_000;

fn app(lines: &str) -> App {
    let text = format!("[[apps]]\nname = \"web\"\nscript = \"/srv/web.js\"\n{lines}\n");
    let (mut apps, _) = ecosystem::parse("", &text);
    apps.pop().unwrap()
}

fn listens() -> Report {
    "found tcp 1 0 0 0.0.0.0:3000".parse().unwrap()
}

/// When the rehearsal of a program is over that reports this after so many seconds, uses so many nanoseconds of a processor in
/// each second, and after that time uses none.
fn over(app: &App, reports: &[(u64, Report)], busy: u64, cpu: Option<u64>) -> (f64, Over) {
    let begun = Instant::now();
    let mut seen = Seen::begin(begun);
    let mut unit = Unit {
        active: ActiveState::Activating,
        ..Unit::default()
    };
    for tick in 0..400 {
        let now = begun + Duration::from_millis(tick * 200);
        for (_, report) in reports.iter().filter(|(at, _)| at * 5 == tick) {
            if *report == Report::Ready && app.ready == Ready::Notify {
                unit.active = ActiveState::Active;
            }
            seen.take(now, report.clone(), app);
        }
        unit.cpu_usage_nsec = cpu.map(|cpu| cpu * tick.min(busy * 5) / 5);
        seen.look(now, &unit, true, app);
        if let Some(over) = seen.over(now, app) {
            return (now.duration_since(begun).as_secs_f64(), over);
        }
    }
    panic!("never over");
}

#[test]
fn a_program_that_sleeps_without_a_port_is_not_waited_for() {
    let app = app("");
    let used = Some(SECOND / 2);
    assert_eq!(over(&app, &[], 0, used), (8.0, Over::Asleep));
    assert_eq!(over(&app, &[], 4, used), (12.0, Over::Asleep));
    // A timer each second is no work; loading is, and so is what systemd does not count.
    assert_eq!(over(&app, &[], 60, Some(SECOND / 100)).1, Over::Asleep);
    assert_eq!(over(&app, &[], 60, used), (30.0, Over::Late));
    assert_eq!(over(&app, &[], 0, None), (30.0, Over::Late));
    // A second address is waited for as long as the first took, but not while the program sleeps.
    let bound = [(10, listens())];
    assert_eq!(over(&app, &bound, 60, used), (20.0, Over::Clear));
    assert_eq!(over(&app, &[(6, listens())], 6, used), (9.0, Over::Clear));
    assert_eq!(over(&app, &[(1, listens())], 60, used), (2.6, Over::Clear));
}

#[test]
fn a_program_that_says_when_it_is_ready_is_waited_for_until_then_and_no_longer() {
    for ready in ["notify", "message"] {
        let app = app(&format!("ready = \"{ready}\""));
        let told = [(2, listens()), (20, Report::Ready)];
        assert_eq!(over(&app, &told, 0, Some(SECOND)), (21.6, Over::Clear));
        assert_eq!(over(&app, &told[1..], 0, Some(SECOND)), (21.6, Over::Clear));
        assert_eq!(over(&app, &told[..1], 0, Some(0)), (30.0, Over::Late));
    }
}

#[test]
fn a_program_that_reads_from_a_disk_does_not_sleep() {
    let begun = Instant::now();
    let mut rest = Rest::default();
    for tick in 0..10 {
        rest.look(begun + LOOK_OF_A_TEST * tick, Some(0), tick == 5);
    }
    let now = begun + LOOK_OF_A_TEST * 9;
    assert_eq!(rest.of(now), LOOK_OF_A_TEST * 4);
}

const LOOK_OF_A_TEST: Duration = Duration::from_millis(200);

#[test]
fn the_same_news_is_no_news() {
    let app = app("");
    let used = Some(SECOND / 2);
    let twice = [(1, listens()), (2, listens())];
    assert_eq!(over(&app, &twice, 60, used), (2.6, Over::Clear));
    // PM2's message is a program's own affair unless `ready` asks for it.
    let ready = [(1, Report::Ready)];
    assert_eq!(over(&app, &ready, 60, used), (30.0, Over::Late));
    // A fiftieth of a processor is still sleep.
    assert_eq!(over(&app, &[], 60, Some(SECOND / 50)).1, Over::Asleep);
}

#[test]
fn a_socket_that_is_bound_and_listens_later_is_one() {
    let now = Instant::now();
    let mut seen = Seen::begin(now);
    let other = "found tcp 0 0 0 0.0.0.0:4000";
    for line in [other, "found tcp 0 0 0 0.0.0.0:3000"] {
        seen.take(now, line.parse().unwrap(), &app(""));
    }
    seen.take(now, listens(), &app(""));
    let found = seen.found.into_iter().map(Report::Found);
    assert_eq!(
        found.collect::<Vec<_>>(),
        [other.parse().unwrap(), listens()]
    );
}

#[test]
fn the_invocation_is_kept_when_systemd_forgets_the_unit() {
    let now = Instant::now();
    let mut seen = Seen::begin(now);
    let running = Unit {
        active: ActiveState::Active,
        invocation: "abc".into(),
        ..Unit::default()
    };
    assert!(!seen.look(now, &running, true, &app("")));
    assert!(seen.look(now, &Unit::default(), true, &app("")));
    assert_eq!(seen.run.invocation, "abc");
}

#[test]
fn the_progress_is_told_by_what_was_heard_last() {
    let now = Instant::now();
    let told = |lines: &str, is_heard: bool, reports: &[Report]| {
        let app = app(lines);
        let mut seen = Seen::begin(now);
        for report in reports {
            seen.take(now, report.clone(), &app);
        }
        seen.progress(is_heard, &app)
    };
    let message = "ready = \"message\"";
    let listening = "it listens; it may bind a further address; this ends after 30 s";
    let none = "no address bound yet; ";
    assert!(told("", false, &[listens()]).starts_with("the commands before the program run; "));
    assert!(told(message, true, &[listens()]).starts_with("not READY yet; "));
    assert_eq!(told(message, true, &[Report::Ready]), listening);
    assert_eq!(told("", true, &[listens()]), listening);
    assert!(told("", true, &[]).starts_with(none));
}

#[test]
fn a_second_strange_address_is_no_news() {
    let begun = Instant::now();
    let mut seen = Seen::begin(begun);
    let later = |seconds| begun + Duration::from_secs(seconds);
    seen.take(later(1), Report::Strange, &app(""));
    seen.take(later(2), Report::Strange, &app(""));
    assert_eq!(seen.news, later(1));
}

/// The output of a program is asked for when its unit is gone, and the user of a process is known as long as that runs.
#[test]
fn what_the_journal_has_to_know_of_a_run_outlasts_the_unit() {
    let (app, now) = (app(""), Instant::now());
    let mut seen = Seen::begin(now);
    let runs = Unit {
        name: "web-rehearsal.service".into(),
        invocation: "a".into(),
        last_main_pid: 7,
        began: Duration::from_secs(5),
        uid: Some(1000),
        active: ActiveState::Activating,
        ..Unit::default()
    };
    let ended = Unit {
        uid: None,
        active: ActiveState::Failed,
        ..runs.clone()
    };
    let gone = Unit::default();
    for (unit, has_ended) in [(&runs, false), (&ended, true), (&gone, true)] {
        assert_eq!(seen.look(now, unit, false, &app), has_ended);
        let known = Unit {
            active: ActiveState::default(),
            ..runs.clone()
        };
        assert_eq!(seen.run, known);
    }
}
