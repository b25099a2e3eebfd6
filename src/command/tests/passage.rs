//! The way of an app that serves to other addresses, step by step.

use super::stage::{HOST, Stage, unit};
use crate::command::apply;
use crate::command::deployment::{Goal, deploy, foresee};
use crate::command::passage::{is_under_way, open};
use crate::command::selection::Selected;
use crate::generate::{files, sources};
use crate::layout::Scope;
use crate::output::{Failure, Shown, Style};
use crate::plan::slots::Slots;
use crate::systemd::{ActiveState, JobResult};
use crate::walk::{Event, Failed};

/// Returns a host with an app that serves at 3000, and whose file says 3001.
fn moving() -> Stage {
    let units = ["web.service", "web.socket", "web@0.service"];
    let mut stage = Stage::running(&units);
    stage.write_app("listen = 3000\ninstances = 1\n");
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    let (link, target) = Slots::link("web.socket");
    let link = stage.layout.units.join(link);
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(target, link).unwrap();
    stage.systemd.fake.log.clear();
    stage.write_app("listen = 3001\ninstances = 1\n");
    stage
}

fn go(stage: &mut Stage) -> Result<(), Failure> {
    let prepared = [stage.prepare_serving()];
    assert!(prepared[0].readdressed.is_none());
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).map(drop)
}

fn fail(stage: &mut Stage, untouched: bool) -> Failure {
    let failed = Failed {
        untouched,
        why: "it ended".into(),
        ..Failed::default()
    };
    let walk = (vec![Event::Aborted { failed }], JobResult::Failed);
    stage.systemd.walks.push_back(walk);
    go(stage).unwrap_err()
}

/// The addresses in the files of the two units; `None` where there is no file.
fn addresses(stage: &Stage) -> [Option<String>; 2] {
    ["web.socket", "web:2.socket"].map(|unit| {
        let text = std::fs::read_to_string(stage.layout.units.join(unit)).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("ListenStream="));
        line.map(str::to_owned)
    })
}

/// The socket units of the app that systemd starts at boot.
fn at_boot(stage: &Stage) -> Vec<&'static str> {
    let is_wanted = |unit: &&str| stage.layout.units.join(Slots::link(unit).0).is_symlink();
    let units = ["web.socket", "web:2.socket"].into_iter();
    units.filter(is_wanted).collect()
}

fn is_tidy(stage: &Stage) -> bool {
    let left = std::fs::read_dir(&stage.layout.runtime_units);
    left.is_ok_and(|mut left| left.next().is_none())
}

#[test]
fn the_new_address_is_opened_first_and_the_old_one_closed_last() {
    let mut stage = moving();
    let prepared = [stage.prepare_serving()];
    let jobs = Some(stage.jobs());
    let outcome = foresee(jobs, &prepared, Vec::new(), Goal::CURRENT, Scope::System);
    let shown = outcome.unwrap().shown(Style::Plain).unwrap().to_string();
    let steps = "web: would open 3001 in web:2.socket, then replace the instances, then close 3000 in web.socket";
    assert!(shown.contains(steps), "{shown}");

    go(&mut stage).unwrap();
    let log = [
        "daemon-reload",
        "start web:2.socket",
        "daemon-reload",
        "reload web.service",
        "stop web.socket alone",
        "daemon-reload",
        "stop web:2.service",
    ];
    assert_eq!(stage.systemd.fake.log, log);
    assert_eq!(addresses(&stage), [None, Some("3001".into())]);
    assert_eq!(at_boot(&stage), ["web:2.socket"]);
    assert!(
        stage
            .unit("web@.service")
            .contains("Sockets=web:2.socket\n")
    );
    let told = stage.sink.told();
    for said in ["web: 3001 is open, in web:2.socket", "web: 3000 is closed"] {
        assert!(told.iter().any(|line| line == said), "{told:?}");
    }
    assert!(is_tidy(&stage));
    stage.systemd.fake.log.clear();
    go(&mut stage).unwrap();
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
}

#[test]
fn where_the_new_address_cannot_be_opened_everything_stays_as_it_was() {
    let mut stage = moving();
    stage.systemd.unknown = Some("web:2.socket");
    go(&mut stage).unwrap_err();
    assert!(is_tidy(&stage));
    assert_eq!(addresses(&stage), [Some("3000".into()), None]);
    let log = &stage.systemd.fake.log;
    assert!(!log.contains(&"reload web.service".into()), "{log:?}");
}

#[test]
fn a_walk_that_touched_no_instance_leaves_the_old_address_alone() {
    let mut stage = moving();
    fail(&mut stage, true);
    assert_eq!(addresses(&stage), [Some("3000".into()), None]);
    assert!(!is_under_way(&stage.layout, "web"));
    assert!(stage.unit("web@.service").contains("Sockets=web.socket\n"));
    let log = &stage.systemd.fake.log;
    assert!(log.contains(&"stop web:2.socket alone".into()), "{log:?}");
    assert!(!log.contains(&"stop web.socket alone".into()), "{log:?}");
    assert!(is_tidy(&stage));
}

#[test]
fn a_walk_that_ended_in_the_middle_leaves_both_open_for_the_next_one() {
    let mut stage = moving();
    let failure = fail(&mut stage, false);
    let help = failure.help.unwrap();
    let said = "3000 stays open as well; run the same command again to continue";
    assert!(help.contains(said), "{help}");
    let both = [Some("3000".into()), Some("3001".into())];
    assert_eq!(addresses(&stage), both);
    // After a boot there is no instance that listens at the old address.
    assert_eq!(at_boot(&stage), ["web:2.socket"]);
    assert!(is_under_way(&stage.layout, "web"), "nothing is recycled");
    stage.systemd.fake.log.clear();
    go(&mut stage).unwrap();
    assert_eq!(addresses(&stage), [None, Some("3001".into())]);
    assert!(!is_under_way(&stage.layout, "web"));
    let log = &stage.systemd.fake.log;
    let walk = log.iter().position(|line| line == "reload web.service");
    let close = log.iter().position(|line| line == "stop web.socket alone");
    assert!(walk.is_some() && walk < close, "{log:?}");
}

#[test]
fn what_a_command_has_left_that_was_killed_is_removed_by_the_next_one_that_needs_none_of_it() {
    let mut stage = moving();
    let socket = stage.layout.runtime_units.join("web:2.socket");
    std::fs::create_dir_all(&stage.layout.runtime_units).unwrap();
    std::fs::write(
        &socket,
        "# Written by rsgen for web; a test.\n[Socket]\nListenStream=3001\n",
    )
    .unwrap();
    stage.write_app("listen = 3000\ninstances = 1\n");
    go(&mut stage).unwrap();
    let log = &stage.systemd.fake.log;
    assert!(log.contains(&"stop web:2.socket alone".into()), "{log:?}");
    assert!(is_tidy(&stage));
    assert_eq!(addresses(&stage), [Some("3000".into()), None]);
}

/// An app that listens nowhere, before or afterwards, has no second address that could be opened first.
#[test]
fn an_app_that_gets_its_first_address_or_loses_its_last_one_does_not_move() {
    for (before, after) in [
        ("listen = 3000\n", "listen = []\n"),
        ("listen = []\n", "listen = 3000\n"),
    ] {
        let mut stage = Stage::running(&["web.service", "web@0.service"]);
        stage.write_app(before);
        let prepared = [stage.prepare()];
        deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        stage.write_app(after);
        let prepared = stage.prepare_serving();
        assert!(prepared.crossing.is_none(), "{before}");
        let moved = prepared.readdressed.unwrap();
        assert_eq!(moved.why, None, "{before}");
    }
}

/// A program that is given its sockets knows them by their order, which those of two units do not keep.
#[test]
fn a_program_that_is_given_its_sockets_moves_if_all_of_them_are_in_one_unit() {
    for (handover, before, after, why) in [
        ("fds", "3000", "3001", None),
        ("bind", "3000", "[3000, 3001]", None),
        ("fds", "3000", "[3000, 3001]", Some("by their order")),
    ] {
        let mut stage = Stage::running(&["web.service", "web.socket", "web@0.service"]);
        let keys = |listen: &str| format!("listen = {listen}\nhandover = \"{handover}\"\n");
        stage.write_app(&keys(before));
        let prepared = [stage.prepare()];
        deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
        stage.write_app(&keys(after));
        let prepared = stage.prepare_serving();
        assert_eq!(
            prepared.crossing.is_some(),
            why.is_none(),
            "{handover} {after}"
        );
        let told = prepared.readdressed.and_then(|moved| moved.why);
        assert_eq!(told.is_some(), why.is_some(), "{told:?}");
        assert!(why.is_none_or(|why| told.unwrap().contains(why)));
    }
}

/// A connection that waits at an address is lost when that is closed and opened once more.
#[test]
fn an_address_that_a_killed_command_has_opened_stays_open() {
    let is_opened = |change: fn(&mut Stage)| {
        let mut stage = moving();
        let prepared = stage.prepare_serving();
        let crossing = prepared.crossing.unwrap();
        open(&mut stage.jobs(), "web", &crossing).unwrap();
        change(&mut stage);
        stage.systemd.fake.log.clear();
        go(&mut stage).unwrap();
        assert_eq!(addresses(&stage), [None, Some("3001".into())]);
        let log = &stage.systemd.fake.log;
        ["stop web:2.socket alone", "start web:2.socket"].map(|job| log.contains(&job.into()))
    };
    assert_eq!(is_opened(|_| {}), [false, false]);
    // The command was killed between the file and the start.
    let unopened = |stage: &mut Stage| {
        let closed = unit("web:2.socket", ActiveState::Inactive, "dead");
        stage.systemd.fake.set(closed);
    };
    assert_eq!(is_opened(unopened), [false, true]);
    // That one was going to open something else.
    let other = |stage: &mut Stage| {
        let path = stage.layout.runtime_units.join("web:2.socket");
        let text = "# Written by rsgen for web; a test.\n[Socket]\nListenStream=3001\n";
        std::fs::write(path, text).unwrap();
    };
    assert_eq!(is_opened(other), [true, true]);
}

#[test]
fn where_the_files_cannot_be_written_the_new_address_is_closed_again() {
    let mut stage = moving();
    // Another instance needs a link in this folder.
    let folder = stage.layout.units.join("web.service.wants");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let failure = go(&mut stage).unwrap_err();
    assert!(
        failure.message.starts_with("nothing was changed"),
        "{}",
        failure.message
    );
    assert_eq!(addresses(&stage), [Some("3000".into()), None]);
    let log = &stage.systemd.fake.log;
    assert!(log.contains(&"stop web:2.socket alone".into()), "{log:?}");
    assert!(is_tidy(&stage));
}

/// The links of an app that has moved are those of its cluster unit and of the unit that has the address now.
#[test]
fn an_install_of_an_app_that_has_moved_enables_the_app_as_before() {
    let mut stage = moving();
    go(&mut stage).unwrap();
    let source = sources::find(&stage.layout, "web").unwrap();
    let (pinned, app) = sources::load(&stage.layout, &source).unwrap();
    let selected = Selected {
        app,
        pinned,
        installed: files::content(&source.path),
    };
    let prepared = apply::prepare(&stage.layout, HOST, selected, true);
    let changes = prepared.map_err(|failure| failure.message).unwrap().changes;
    let made: Vec<_> = changes.iter().map(|c| (c.verb(), c.path.clone())).collect();
    let link = stage
        .layout
        .units
        .join("multi-user.target.wants/web.service");
    assert_eq!(made, [("create", link)]);
}
