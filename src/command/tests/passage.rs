//! The way of an app that serves to other addresses, step by step.

use super::stage::Stage;
use crate::command::deployment::{Goal, deploy, foresee};
use crate::command::passage::is_under_way;
use crate::layout::Scope;
use crate::output::{Failure, Shown, Style};
use crate::plan::slots::Slots;
use crate::systemd::JobResult;
use crate::walk::{Event, Failed};

/// Returns a host with an app that serves at 3000, and whose file says 3001.
fn moving() -> Stage {
    let units = ["web.service", "web.socket", "web@0.service"];
    let mut stage = Stage::running(&units);
    stage.write_app("listen = 3000\ninstances = 1\n");
    let prepared = [stage.prepare()];
    deploy(&mut stage.jobs(), &prepared, Goal::Current).unwrap();
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
    deploy(&mut stage.jobs(), &prepared, Goal::Current).map(drop)
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
    let outcome = foresee(jobs, &prepared, Vec::new(), Goal::Current, Scope::System);
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
    let said = "3000 stays open as well; the same command again goes on from here";
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
