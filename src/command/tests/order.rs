//! The order of `rsgen list`, the rows that are chosen, and processor time as a rate.

use std::time::Duration;

use super::lines::run;
use super::stage::Stage;
use crate::command::order::Order;
use crate::command::rates;
use crate::command::status::AppStatus;
use crate::command::survey;
use crate::systemd::{ActiveState, Unit};

fn unit(name: &str, active: ActiveState, memory: Option<u64>) -> Unit {
    Unit {
        name: name.into(),
        load: "loaded".into(),
        active,
        main_pid: 7,
        memory_current: memory,
        cpu_usage_nsec: memory.map(|memory| memory * 1_000_000_000),
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 3,
        ..Unit::default()
    }
}

/// Two apps, of which the second has the largest instance, and one whose memory nobody knows.
fn stage() -> Stage {
    let mut stage = Stage::running(&["api.service", "web.service"]);
    let fake = &mut stage.systemd.fake;
    fake.set(unit("api@0.service", ActiveState::Active, Some(2)));
    fake.set(unit("web@0.service", ActiveState::Active, Some(1)));
    fake.set(unit("web@1.service", ActiveState::Active, Some(3)));
    fake.set(unit("web@2.service", ActiveState::Failed, None));
    stage
}

fn apps(stage: &mut Stage) -> Vec<AppStatus> {
    let apps = ["api", "web"].map(str::to_owned);
    survey::states(&mut stage.systemd.fake, &stage.layout, 4, &apps).unwrap()
}

fn names(apps: &[AppStatus]) -> String {
    let instances = apps.iter().flat_map(|app| {
        let numbers = app.instances.iter().map(|i| i.number);
        numbers.map(|number| format!("{}{number}", app.name))
    });
    instances.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_largest_comes_first_and_what_has_no_value_last() {
    for (order, expected) in [
        ("memory", "web1 web0 web2 api0"),
        ("memory:asc", "web0 web1 web2 api0"),
        ("name", "api0 web0 web1 web2"),
        ("name:desc", "web0 web1 web2 api0"),
        // Nothing was measured.
        ("cpu", "api0 web0 web1 web2"),
    ] {
        let mut apps = apps(&mut stage());
        Order::parse(order).unwrap().apply(&mut apps);
        assert_eq!(names(&apps), expected, "{order}");
    }
    for wrong in ["size", "cpu:up", ""] {
        assert!(Order::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_rate_is_that_of_a_process_which_was_there_before() {
    let mut stage = stage();
    let before = apps(&mut stage);
    let fake = &mut stage.systemd.fake;
    let spent = |number, cpu, main_pid| Unit {
        cpu_usage_nsec: Some(cpu),
        main_pid,
        ..unit(&format!("web@{number}.service"), ActiveState::Active, None)
    };
    fake.set(spent(0, 1_500_000_000, 7));
    fake.set(spent(1, 9_000_000_000, 8));
    let mut now = apps(&mut stage);
    rates::measure(&mut now, &before, Duration::from_secs(2));
    let rates = now[1].instances.iter().map(|i| i.cpu_percent);
    assert_eq!(rates.collect::<Vec<_>>(), [Some(25.0), None, None]);
    assert_eq!(now[0].instances[0].cpu_percent, Some(0.0));

    // systemd leaves out the time of the run before, of which a process has ended meanwhile.
    stage.systemd.fake.set(Unit {
        has_leftovers: true,
        ..spent(0, 1_600_000_000, 7)
    });
    let mut later = apps(&mut stage);
    rates::measure(&mut later, &now, Duration::from_secs(2));
    assert_eq!(later[1].instances[0].cpu_percent, None);
}

#[test]
fn only_rows_in_the_states_that_are_asked_for_are_shown() {
    let shown = |line: &str| {
        let mut stage = stage();
        for app in ["api", "web"] {
            let text = format!("[[apps]]\nname = \"{app}\"\nscript = \"/srv/{app}\"\n");
            std::fs::write(stage.layout.file(app), text).unwrap();
        }
        run(&mut stage, line).shown
    };
    let errored = shown("rsgen list --status errored");
    assert!(
        !errored.contains("api") && errored.contains("web  2  errored"),
        "{errored}"
    );
    let both = shown("rsgen list --status online,errored");
    assert_eq!(
        both.lines().filter(|line| line.contains("web ")).count(),
        3,
        "{both}"
    );
    assert_eq!(shown("rsgen list --status stopping"), "");
    // Nothing spends time on a fake, whose clock runs.
    let measured = shown("rsgen list --cpu");
    assert!(
        measured.contains("CPU") && measured.contains("0.0%"),
        "{measured}"
    );
    let by = |key: &str| shown(&format!("rsgen list --sort {key}")).contains("CPU");
    assert_eq!((by("cpu"), by("memory")), (true, false));
}
