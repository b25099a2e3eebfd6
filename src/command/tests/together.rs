//! Commands that write the files of an app at the same moment.

use super::lines::run;
use super::stage::{HOST, Stage};
use crate::command::apply;
use crate::command::deployment::{Goal, each};
use crate::command::selection::Selected;
use crate::command::writing::Writing;
use crate::generate::{files, sources};
use crate::state::{self, Lock};

/// A host with an installed app of one instance, which runs.
fn installed() -> Stage {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    stage.write_app("listen = 1\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

fn cluster(stage: &Stage) -> String {
    stage.unit("web.service")
}

#[test]
fn an_install_does_not_undo_what_scale_has_written_meanwhile() {
    let mut stage = installed();
    stage.write_app("listen = 1\nenv = { A = 1 }\nkill_timeout = 7\n");
    let prepared = [stage.prepare()];
    assert!(!prepared[0].changes.is_empty());
    run(&mut stage, "rsgen scale web 3").jobs();
    let scaled = cluster(&stage);
    assert!(scaled.contains("--instances=3"), "{scaled}");
    let refused = each(&mut stage.jobs(), &prepared, Goal::Current).err();
    let failure = refused.unwrap();
    assert!(
        failure
            .message
            .ends_with("was changed meanwhile, and this command changed nothing"),
        "{}",
        failure.message
    );
    assert_eq!(failure.help.as_deref(), Some("run it again"));
    assert_eq!(cluster(&stage), scaled);
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
    // Once more, from what there is by then.
    let prepared = [stage.prepare()];
    assert!(each(&mut stage.jobs(), &prepared, Goal::Current).is_ok());
    assert!(cluster(&stage).contains("--instances=3"));
}

#[test]
fn an_install_does_not_go_by_a_number_that_scale_has_changed_since_it_was_read() {
    let mut stage = installed();
    let source = sources::find(&stage.layout, "web").unwrap();
    let (pinned, app) = sources::load(&stage.layout, &source).unwrap();
    let selected = Selected {
        app,
        pinned,
        installed: files::content(&source.path),
    };
    run(&mut stage, "rsgen scale web 3").jobs();
    let prepared = apply::prepare(&stage.layout, HOST, selected, false);
    let refused = prepared.err().map(|failure| failure.message).unwrap();
    assert!(
        refused.ends_with("web.toml was changed meanwhile, and this command changed nothing"),
        "{refused}"
    );
}

#[test]
fn the_same_change_by_two_commands_is_no_conflict() {
    let mut stage = installed();
    stage.write_app("listen = 1\nkill_timeout = 7\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.write(&changes);
}

#[test]
fn a_failed_reload_does_not_undo_what_another_command_has_written_since() {
    let mut stage = installed();
    stage.write_app("listen = 1\nkill_timeout = 7\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    let roll_back = |stage: &mut Stage| {
        let mut jobs = stage.jobs();
        let done = Writing::begin(&mut jobs, "web").and_then(|w| w.roll_back(&mut jobs, &changes));
        done.err().map(|failure| failure.message)
    };
    let path = &changes[0].path;
    let written = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, "another command\n").unwrap();
    let told = roll_back(&mut stage).unwrap();
    assert!(told.ends_with("was changed meanwhile"), "{told}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "another command\n");
    std::fs::write(path, written).unwrap();
    assert_eq!(roll_back(&mut stage), None);
    assert_ne!(stage.prepare().changes, [], "the old units");
}

#[test]
fn a_command_that_is_writing_is_waited_for() {
    for line in [
        "rsgen scale web 2",
        "rsgen uninstall web",
        "rsgen reload web",
    ] {
        let mut stage = installed();
        stage.write_app("listen = 1\nkill_timeout = 7\n");
        let held = Lock::take(&state::files(&stage.layout.run)).unwrap();
        let before = cluster(&stage);
        let ran = run(&mut stage, line);
        assert!(held.is_some());
        let told = "web: waiting for another rsgen command that is writing files";
        assert_eq!(ran.told.matches(told).count(), 1, "{line}: {}", ran.told);
        let fault = ran.fault();
        assert!(
            fault.starts_with("another rsgen command is writing files and does not end; `fuser"),
            "{line}: {fault}"
        );
        assert_eq!(cluster(&stage), before, "{line}");
    }
}

#[test]
fn of_two_commands_with_a_wish_for_a_walk_one_does_nothing() {
    for part in ["--promote", "--abort", "--surge 0", "--parallel 50%"] {
        let mut stage = installed();
        let held = Lock::take(&state::part(&stage.layout.run, "web")).unwrap();
        let fault = run(&mut stage, &format!("rsgen reload web {part}")).fault();
        assert!(held.is_some());
        assert!(
            fault.starts_with("another command has a reload of `web` done with options of its own"),
            "{part}: {fault}"
        );
        let asked = &stage.systemd.fake.log;
        assert!(asked.iter().all(|job| job == "daemon-reload"), "{asked:?}");
    }
}
