//! The table of `rsgen list`.

use std::time::Duration;

use anstyle::AnsiColor;
use nix::time::{ClockId, clock_gettime};

use super::lines::{run, run_in};
use super::stage::Stage;
use crate::brake::Deaths;
use crate::output::Style;
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Timer, Unit};

fn unit(name: &str, active: ActiveState) -> Unit {
    Unit {
        name: name.into(),
        load: "loaded".into(),
        active,
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 3,
        ..Unit::default()
    }
}

/// The lines of what a command line shows, with one space between the cells.
fn lines(stage: &mut Stage, line: &str) -> Vec<String> {
    let shown = run(stage, line).shown;
    let lines = shown.lines();
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The monotonic clock a while ago, as long as this many seconds.
fn ago(seconds: u64) -> Duration {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    now.saturating_sub(Duration::from_secs(seconds))
}

/// Records that an instance has died.
fn dies(stage: &Stage, number: u32) {
    let deaths = Deaths {
        reason: "killed by SIGBUS".into(),
        ..Deaths::default()
    };
    let file = Entry::new(&stage.layout.state("web"), Name::Deaths(number));
    deaths.store(&file).unwrap();
}

/// A host with an app of three instances: one that has died before, one that starts, one that was given up.
fn three() -> Stage {
    let mut stage = Stage::running(&["web.service"]);
    let output = "service.StandardOutput = \"append:/l/web\"";
    stage.write_app(&format!(
        "listen = [3000, 3001]\nbalance = \"even\"\ninstances = 3\n{output}\n"
    ));
    let fake = &mut stage.systemd.fake;
    let online = Unit {
        main_pid: 77,
        n_restarts: 2,
        active_enter: ago(80),
        memory_current: Some(5 << 20),
        ..unit("web@0.service", ActiveState::Active)
    };
    fake.set(online);
    fake.set(unit("web@1.service", ActiveState::Activating));
    fake.set(unit("web@2.service", ActiveState::Failed));
    dies(&stage, 0);
    stage
}

const HEADER: &str = "APP # STATUS PID UPTIME RESTARTS MEMORY LISTEN";
const GIVEN_UP: &str = "web 2 errored - - 0 - 3000 3001 even exited with status 3";
const MISSING: &str = "web: 1 of 3 serving";

#[test]
fn each_instance_has_a_row_and_what_is_missing_a_line() {
    let again = "restarted 0s ago: killed by SIGBUS";
    let online = &format!("web 0 online 77 1min 2 5.0M 3000 3001 even {again}");
    let starting = "web 1 starting - - 0 - 3000 3001 even";
    let mut all = vec![HEADER, online, starting, GIVEN_UP, MISSING];
    assert_eq!(lines(&mut three(), "rsgen list"), all);
    // Of an app that is named, the words of the first errored instance are shown, or where they are.
    all.push("the program writes to `/l/web`");
    for word in ["web", "web.service"] {
        assert_eq!(lines(&mut three(), &format!("rsgen list {word}")), all);
    }
}

#[test]
fn one_that_could_not_be_turned_on_or_off_is_told_as_long_as_it_runs() {
    let mut stage = three();
    for number in [0, 2] {
        let file = Entry::new(&stage.layout.state("web"), Name::Unbalanced(number));
        file.write("web@N cannot be turned off").unwrap();
    }
    let told = "balance: web@N cannot be turned off";
    let lines = lines(&mut stage, "rsgen list");
    let with: Vec<&String> = lines.iter().filter(|line| line.contains(told)).collect();
    assert_eq!(with.len(), 1, "{lines:?}");
    assert!(with[0].contains("online"), "{lines:?}");
}

#[test]
fn a_state_has_a_colour_on_a_terminal() {
    let shown = run_in(&mut three(), "rsgen list", Style::Terminal).shown;
    for (status, colour) in [
        ("online", AnsiColor::Green),
        ("starting", AnsiColor::Yellow),
        ("errored", AnsiColor::Red),
    ] {
        let painted = Style::Terminal.paint(status, colour);
        assert!(shown.contains(painted.as_str()), "{shown}");
    }
}

#[test]
fn of_what_has_failed_only_that_is_shown_and_a_script_is_told() {
    let ran = |stage: &mut Stage| run(stage, "rsgen list --failed");
    let mut stage = three();
    assert!(ran(&mut stage).failure.is_some());
    let failed = [HEADER, GIVEN_UP, MISSING];
    assert_eq!(lines(&mut stage, "rsgen list --failed"), failed);
    // A cluster unit that has failed is shown although no instance was given up.
    stage
        .systemd
        .fake
        .set(unit("web@2.service", ActiveState::Active));
    let well = ran(&mut stage);
    assert!(well.failure.is_none() && well.shown.is_empty());
    stage
        .systemd
        .fake
        .set(unit("web.service", ActiveState::Failed));
    assert!(ran(&mut stage).shown.contains("web"));
    let none = &mut Stage::running(&[]);
    assert!(run(none, "rsgen list --failed").shown.is_empty());
    let hint = "no app is installed; begin with `rsgen --user install ecosystem.toml`";
    assert_eq!(lines(none, "rsgen list"), [hint]);
}

#[test]
fn an_app_that_is_down_or_complete_misses_nothing() {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    stage.write_app("listen = 3000\n");
    let row = |stage: &mut Stage| {
        let lines = lines(stage, "rsgen list");
        assert_eq!(lines.len(), 2, "{lines:?}");
        lines[1].clone()
    };
    assert!(row(&mut stage).starts_with("web 0 online "));
    let mut stage = Stage::running(&[]);
    stage.write_app("listen = 3000\n");
    assert_eq!(row(&mut stage), "web - inactive - - - - 3000");
    stage.write_app("");
    assert_eq!(row(&mut stage), "web - inactive - - - - -");
}

#[test]
fn beside_the_first_instance_stands_whether_the_app_is_watched() {
    use ActiveState::{Active, Deactivating, Failed, Inactive};
    let remark = |app, watch, instance| {
        let mut stage = Stage::running(&[]);
        stage.write_app("listen = 3000\ninstances = 2\n");
        dies(&stage, 0);
        let fake = &mut stage.systemd.fake;
        fake.set(unit("web.service", app));
        fake.set(unit("web:watch.service", watch));
        fake.set(unit("web@0.service", instance));
        fake.set(unit("web@1.service", instance));
        let lines = lines(&mut stage, "rsgen list");
        let of = |line: &str| line.split_once("3000").unwrap().1.trim().to_owned();
        assert_eq!(of(&lines[2]), "", "the second says nothing");
        of(&lines[1])
    };
    assert_eq!(remark(Active, Active, Deactivating), "watched");
    assert_eq!(remark(Inactive, Inactive, Inactive), "");
    assert_eq!(
        remark(Active, Inactive, Deactivating),
        "watch unit: inactive"
    );
    assert_eq!(remark(Inactive, Failed, Inactive), "watch unit: failed");
}

#[test]
fn a_job_has_one_row_unless_it_runs() {
    let rows = |cluster, is_active| {
        let mut stage = Stage::running(&[]);
        stage.write_app("schedule = \"daily\"\n");
        let timer = Timer {
            starts: "web.service".into(),
            is_active,
            next: None,
        };
        let fake = &mut stage.systemd.fake;
        fake.timers.insert("web.timer".into(), timer);
        let has_ended = cluster == ActiveState::Failed;
        let run = Unit {
            ended: Duration::from_secs(u64::from(has_ended)),
            ..unit("web.service", cluster)
        };
        fake.set(run);
        fake.set(unit("web@0.service", cluster));
        let lines = lines(&mut stage, "rsgen list");
        assert_eq!(lines.len(), 2, "{lines:?}");
        lines[1].clone()
    };
    assert!(rows(ActiveState::Activating, true).starts_with("web 0 running "));
    assert!(rows(ActiveState::Failed, true).starts_with("web - failed - - - - - exited "));
    assert_eq!(rows(ActiveState::Inactive, true), "web - waiting - - - - -");
    assert_eq!(
        rows(ActiveState::Inactive, false),
        "web - stopped - - - - -"
    );
}
