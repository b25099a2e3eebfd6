//! Commands that write the files of an app at the same moment.

use std::path::PathBuf;
use std::time::Duration;

use super::lines::run;
use super::stage::{HOST, Recorder, Stage, as_the_fake};
use crate::command::apply;
use crate::command::deployment::{Goal, each};
use crate::command::jobs::Jobs;
use crate::command::selection::Selected;
use crate::command::uninstall;
use crate::command::writing::Writing;
use crate::generate::{files, sources};
use crate::state::{self, Entry, Lock, Name};
use crate::systemd::fake::Fake;
use crate::systemd::{ActiveState, Brief, Error, Job, JobResult, Manager, Unit, Verb};

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
    let refused = each(&mut stage.jobs(), &prepared, Goal::CURRENT).err();
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
    assert!(each(&mut stage.jobs(), &prepared, Goal::CURRENT).is_ok());
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
            fault.starts_with("another rsgen command is still writing files; `fuser"),
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
            fault.starts_with("another command is reloading `web` with its own options"),
            "{part}: {fault}"
        );
        let asked = &stage.systemd.fake.log;
        assert!(asked.iter().all(|job| job == "daemon-reload"), "{asked:?}");
    }
}

/// A systemd beside which another command writes until this time.
struct Beside {
    fake: Fake,
    until: Duration,
    held: Option<Lock>,
    /// A file that the other command writes before its end.
    writes: Option<PathBuf>,
}

impl Beside {
    fn fake(&mut self) -> &mut Fake {
        &mut self.fake
    }
}

impl Manager for Beside {
    as_the_fake!(
        unit,
        units,
        queue,
        wait,
        cut_short,
        kill,
        reset_failed,
        daemon_reload,
        version,
        now
    );

    fn pause(&mut self, time: Duration) {
        // A pause is longer than it was to be, as it is on a host that has much to do.
        self.fake.pause(time + Duration::from_millis(7));
        let now = self.fake.now();
        assert!(now < Duration::from_mins(11), "no end");
        if now >= self.until {
            if let Some(path) = self.writes.take() {
                std::fs::write(path, "of another command").unwrap();
            }
            self.held = None;
        }
    }
}

#[test]
fn a_wait_for_another_command_is_told_after_a_second_and_ends_after_ten_minutes() {
    for (millis, told, is_over) in [
        (500, 0..1, false),
        (1500, 1..2, false),
        // Again and again, the longer it lasts the more seldom.
        (11 * 60_000, 60..90, true),
    ] {
        let stage = Stage::running(&[]);
        let sink = Recorder::default();
        let mut systemd = Beside {
            fake: Fake::default(),
            until: Duration::from_millis(millis),
            held: Lock::take(&state::files(&stage.layout.run)).unwrap(),
            writes: None,
        };
        let mut jobs = Jobs {
            manager: &mut systemd,
            layout: &stage.layout,
            sink: &sink,
            command: "reload",
            begun: std::time::SystemTime::now(),
            part: None,
            is_reread: &std::cell::Cell::default(),
        };
        let begun = Writing::begin(&mut jobs, "web");
        assert_eq!(begun.is_err(), is_over, "{millis}");
        assert!(told.contains(&sink.told().len()), "{millis}");
    }
}

#[test]
fn an_app_that_nobody_has_named_stays_where_its_files_were_written_meanwhile() {
    for is_written in [false, true] {
        let stage = installed();
        let file = stage.layout.file("web");
        let sink = Recorder::default();
        let mut systemd = Beside {
            fake: Fake::running(&["web.service", "web@0.service"]),
            until: Duration::from_millis(500),
            held: Lock::take(&state::files(&stage.layout.run)).unwrap(),
            writes: is_written.then(|| file.clone()),
        };
        let mut jobs = Jobs {
            manager: &mut systemd,
            layout: &stage.layout,
            sink: &sink,
            command: "install",
            begun: std::time::SystemTime::now(),
            part: None,
            is_reread: &std::cell::Cell::default(),
        };
        let removed = uninstall::remove_unchanged(&mut jobs, "web");
        assert_eq!(removed.is_err(), is_written);
        assert_eq!(file.exists(), is_written);
        if let Err(failure) = removed {
            let told =
                "`web` was stopped, and its files stay: another command has written them meanwhile";
            assert_eq!(failure.message, told);
            assert_eq!(failure.help.as_deref(), Some("run `rsgen start web`"));
        }
    }
}

/// A host with an installed app of so many instances, which run.
fn with_instances(count: u32) -> Stage {
    let instances = (0..count).map(|number| format!("web@{number}.service"));
    let units: Vec<String> = instances.chain(["web.service".into()]).collect();
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let mut stage = Stage::running(&units);
    stage.write_app(&format!("listen = 1\ninstances = {count}\n"));
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

#[test]
fn an_instance_on_its_way_up_or_down_is_left_to_the_job_that_it_has() {
    let mut stage = with_instances(4);
    let on_its_way = |number: u32, active| Unit {
        name: format!("web@{number}.service"),
        load: "loaded".into(),
        active,
        invocation: "a".into(),
        ..Unit::default()
    };
    let fake = &mut stage.systemd.fake;
    fake.set(on_its_way(1, ActiveState::Deactivating));
    fake.busy("web@1.service", "stop");
    let again = run(&mut stage, "rsgen scale web 4");
    assert_eq!(again.shown, "nothing to do: web has 4 instances");
    // A command that was killed may have started what comes after the first two.
    let mark = Entry::new(&stage.layout.state("web"), Name::Scaling);
    mark.write("2").unwrap();
    let fake = &mut stage.systemd.fake;
    fake.set(on_its_way(3, ActiveState::Activating));
    let jobs = run(&mut stage, "rsgen scale web 5").jobs();
    assert!(jobs.contains(&"start web@4.service".into()), "{jobs:?}");
    assert!(!jobs.contains(&"start web@3.service".into()), "{jobs:?}");
}
