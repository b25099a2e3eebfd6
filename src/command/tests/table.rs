//! The table of `rsgen list`.

use std::time::Duration;

use anstyle::AnsiColor;
use nix::time::{ClockId, clock_gettime};

use super::lines::{run, run_in};
use super::stage::Stage;
use crate::brake::Deaths;
use crate::command::list::Listing;
use crate::command::survey;
use crate::contract::canaries;
use crate::layout::Scope;
use crate::output::{Shown, Style};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Timer, Unit};
use crate::unit::name::Units;

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
    all.push("the program writes to `/l/web`: run `tail /l/web`");
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

/// What is said beside an app that this timer starts something for, or beside its first instance.
fn remark(mut stage: Stage) -> String {
    let lines = lines(&mut stage, "rsgen list");
    let (_, remark) = lines[1].split_once(" 3000").unwrap();
    remark.trim().to_owned()
}

#[test]
fn beside_a_canary_that_was_kept_stands_what_ends_it() {
    let mut stage = Stage::running(&["web.service"]);
    stage.write_app("listen = 3000\n");
    let kept = unit("web@1.service", ActiveState::Active);
    stage.systemd.fake.set(kept);
    let note = Entry::new(&stage.layout.state("web"), Name::Canary);
    note.write(&canaries::note_of_kept(&[1])).unwrap();
    assert_eq!(remark(stage), "canary, until `--promote` or `--abort`");
}

/// When an app is reloaded next says nothing of why it is down.
#[test]
fn beside_an_app_that_is_reloaded_by_a_timer_stands_nothing_of_the_timer() {
    let mut stage = Stage::running(&[]);
    stage.write_app("listen = 3000\n");
    let timer = Timer {
        starts: Units::of("web").reloader(),
        is_active: true,
        next: Some(Duration::from_hours(1 << 20)),
    };
    stage.systemd.fake.timers.insert("web.timer".into(), timer);
    assert_eq!(remark(stage), "");
}

/// A queue that all instances share is counted once.
#[test]
fn what_waits_at_a_shared_listener_stands_beside_the_first_instance() {
    for (balance, queues) in [("shared", ["3", "-"]), ("even", ["-", "-"])] {
        let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
        stage.write_app(&format!("listen = 3000\nbalance = \"{balance}\"\n"));
        let apps = ["web".to_owned()];
        let apps = survey::states(&mut stage.systemd.fake, &stage.layout, 4, &apps);
        let mut apps = apps.unwrap();
        apps[0].waiting = Some(3);
        let listing = Listing {
            apps,
            is_filtered: false,
            is_block: false,
            scope: Scope::User,
            words: Vec::new(),
        };
        let shown = listing.shown(Style::Plain).unwrap().to_string();
        let cells = |line: &str| -> Vec<String> {
            let cells = line.split("  ").map(str::trim);
            cells
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let rows: Vec<Vec<String>> = shown.lines().map(cells).collect();
        let queue = rows[0].iter().position(|head| head == "QUEUE");
        let Some(queue) = queue else {
            assert_eq!(balance, "even", "{shown}");
            continue;
        };
        assert_eq!([&rows[1][queue], &rows[2][queue]], queues, "{shown}");
    }
}
