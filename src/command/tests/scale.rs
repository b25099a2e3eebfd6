//! `rsgen scale`.

use super::lines::{self, Ran};
use super::stage::{HOST, Stage};
use crate::brake::Deaths;
use crate::command::apply;
use crate::command::selection::Selected;
use crate::generate::{files, sources};
use crate::output::Exit;
use crate::state::{Entry, Lock, Name};
use crate::systemd::fake::Start;
use crate::systemd::{ActiveState, Manager, Unit};

/// A host with an installed app of four instances, of which these units run.
fn installed(units: &[&str]) -> Stage {
    let mut stage = Stage::running(units);
    stage.write_app("listen = 1\ninstances = 4\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

/// Runs a command line. What systemd forgets about instances that are gone is left out of its log.
fn run(stage: &mut Stage, line: &str) -> Ran {
    let mut ran = lines::run(stage, line);
    ran.log.retain(|job| !job.starts_with("reset-failed"));
    ran
}

const FOUR: &[&str] = &[
    "web.service",
    "web@0.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
];

fn file(stage: &Stage) -> String {
    std::fs::read_to_string(stage.layout.file("web")).unwrap()
}

/// The instances that the cluster unit wants.
fn links(stage: &Stage) -> usize {
    let folder = stage.layout.units.join("web.service.wants");
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn only_what_is_new_is_started_and_only_the_last_are_stopped() {
    let mut stage = installed(FOUR);
    let up = run(&mut stage, "rsgen scale web 6");
    assert_eq!(up.shown, "web: 6 instances");
    assert!(
        up.told.contains("web: scaling from 4 to 6 instances"),
        "{}",
        up.told
    );
    assert_eq!(
        up.jobs(),
        [
            "daemon-reload",
            "start web@4.service",
            "start web@5.service"
        ]
    );
    assert!(file(&stage).contains("instances = 6 # scale, in place of 4\n"));
    let cluster = stage.unit("web.service");
    assert_eq!(cluster.matches("--instances=6").count(), 2, "{cluster}");
    assert!(cluster.contains("\nInstances=6\n"), "{cluster}");
    assert_eq!(links(&stage), 6);
    // What the files say is what an install of the file would write.
    assert_eq!(stage.prepare().changes, []);

    let down = run(&mut stage, "rsgen scale web -4").jobs();
    let stopped = ["5", "4", "3", "2"].map(|n| format!("stop web@{n}.service"));
    assert_eq!(down[0], "daemon-reload");
    assert_eq!(down[1..], stopped);
    assert_eq!(links(&stage), 2);
    run(&mut stage, "rsgen scale web 4").jobs();
    assert!(file(&stage).contains("instances = 4\n"), "{}", file(&stage));
    let again = run(&mut stage, "rsgen scale web 4");
    assert_eq!(again.shown, "nothing to do: web has 4 instances");
    assert_eq!(again.jobs(), Vec::<String>::new());
    run(&mut stage, "rsgen scale web max").jobs();
    assert!(file(&stage).contains("instances = \"max\" # scale, in place of 4\n"));
}

#[test]
fn an_instance_that_was_stopped_stays_so_and_what_a_killed_command_left_is_done() {
    let mut stage = installed(FOUR);
    let down = |number: u32, active, invocation: &str| Unit {
        name: format!("web@{number}.service"),
        load: "loaded".into(),
        active,
        invocation: invocation.into(),
        ..Unit::default()
    };
    stage.systemd.fake.set(down(1, ActiveState::Inactive, "a"));
    stage.systemd.fake.set(down(2, ActiveState::Failed, "b"));
    stage.systemd.fake.set(down(3, ActiveState::Inactive, ""));
    let jobs = run(&mut stage, "rsgen scale web 5").jobs();
    assert_eq!(jobs[1..], ["start web@3.service", "start web@4.service"]);
    let jobs = run(&mut stage, "rsgen scale web 5").jobs();
    assert_eq!(jobs[1..], ["start web@2.service"], "the errored one");
    // One that the brake has stopped has failed too, though systemd calls it inactive.
    let deaths = Deaths {
        errored: true,
        ..Deaths::default()
    };
    let file = Entry::new(&stage.layout.state("web"), Name::Deaths(1));
    deaths.store(&file).unwrap();
    let jobs = run(&mut stage, "rsgen scale web 5").jobs();
    assert_eq!(jobs[1..], ["start web@1.service"]);
}

#[test]
fn what_a_walk_has_undone_after_a_killed_command_is_done_again() {
    let mut stage = installed(FOUR);
    run(&mut stage, "rsgen scale web 6").jobs();
    let stopped = |number: u32| Unit {
        name: format!("web@{number}.service"),
        load: "loaded".into(),
        invocation: "a".into(),
        ..Unit::default()
    };
    stage.systemd.fake.set(stopped(5));
    let again = run(&mut stage, "rsgen scale web 6");
    assert_eq!(again.shown, "nothing to do: web has 6 instances");
    // A command that is killed leaves the number that there was before.
    let mark = Entry::new(&stage.layout.state("web"), Name::Scaling);
    assert!(mark.read().is_err());
    mark.write("4").unwrap();
    stage.systemd.fake.set(stopped(3));
    stage.systemd.fake.set(stopped(4));
    let jobs = run(&mut stage, "rsgen scale web 6").jobs();
    assert_eq!(jobs[1..], ["start web@4.service", "start web@5.service"]);
    assert!(mark.read().is_err());
    // One that fails is not done.
    let gives_up = [Start::GivesUp];
    stage.systemd.fake.script("web@6.service", &gives_up);
    assert!(run(&mut stage, "rsgen scale web 7").failure.is_some());
    assert_eq!(mark.read().unwrap(), "6");
}

#[test]
fn a_number_that_cannot_be_is_refused_before_anything_changes() {
    for (line, exit, told) in [
        (
            "rsgen scale web 0",
            Exit::Usage,
            "`web` cannot have 0 instances; run `rsgen stop web`",
        ),
        (
            "rsgen scale web -4",
            Exit::Usage,
            "`web` has 4 instances, and -4 leaves none",
        ),
        (
            "rsgen scale web 1025",
            Exit::Usage,
            "`1025` instances is out of range; write a number up to 1024",
        ),
        (
            "rsgen scale web +1021",
            Exit::Usage,
            "`1025` instances is out of range",
        ),
        (
            "rsgen scale shop 2",
            Exit::Failed,
            "no app `shop` is installed",
        ),
    ] {
        let mut stage = installed(FOUR);
        let before = file(&stage);
        let ran = run(&mut stage, line);
        assert_eq!(ran.log, Vec::<String>::new(), "{line}");
        assert_eq!(ran.failure.as_ref().unwrap().exit, exit, "{line}");
        let fault = ran.fault();
        assert!(fault.contains(told), "{line}: {fault}");
        assert_eq!(file(&stage), before);
    }
    let mut job = Stage::running(&[]);
    job.write_app("schedule = \"daily\"\n");
    let fault = run(&mut job, "rsgen scale web 2").fault();
    assert!(fault.starts_with("`web` is a job"), "{fault}");
    for word in ["two", "+", "--1", "+-1", "++1", "-+1", "1.5", ""] {
        let line = ["rsgen", "scale", "web", word].map(Into::into);
        let error = crate::command::parse(line.to_vec())
            .unwrap_err()
            .to_string();
        assert!(error.contains("error: "), "{word}: {error}");
    }
}

#[test]
fn the_only_instances_that_serve_are_not_stopped() {
    let mut stage = installed(&["web.service", "web@3.service"]);
    let fault = run(&mut stage, "rsgen scale web 3").fault();
    assert!(
        fault.starts_with("web: none of the 3 instances that would stay serves"),
        "{fault}"
    );
    assert!(file(&stage).contains("instances = 4\n"));

    // Where none serves, none is lost.
    let mut stage = installed(&["web.service"]);
    stage.systemd.fake.set(Unit {
        name: "web@3.service".into(),
        load: "loaded".into(),
        active: ActiveState::Activating,
        ..Unit::default()
    });
    let jobs = run(&mut stage, "rsgen scale web 3").jobs();
    assert!(jobs.contains(&"stop web@3.service".to_owned()), "{jobs:?}");
}

#[test]
fn one_that_does_not_start_is_a_failure_and_the_others_are_waited_for() {
    let mut stage = installed(FOUR);
    stage
        .systemd
        .fake
        .script("web@4.service", &[Start::GivesUp]);
    let ran = run(&mut stage, "rsgen scale web 6");
    let failure = ran.failure.as_ref().unwrap();
    assert_eq!(failure.exit, Exit::Failed);
    assert!(
        failure
            .message
            .starts_with("web: 5 of 6 serving; web@4.service"),
        "{}",
        failure.message
    );
    assert!(stage.systemd.fake.ready().contains(&"web@5.service"));
    // The brake stops one that it gives up, which leaves it as if it had been stopped on purpose.
    let soon = stage.systemd.fake.now() + std::time::Duration::from_secs(1);
    let (starts, given_up) = ([Start::Fails], "web@6.service");
    stage.systemd.fake.script(given_up, &starts);
    let stopped = Unit {
        name: given_up.into(),
        load: "loaded".into(),
        ..Unit::default()
    };
    stage.systemd.fake.set_at(soon, stopped);
    let fault = run(&mut stage, "rsgen scale web 7").fault();
    assert!(
        fault.starts_with("web: 6 of 7 serving; web@6.service"),
        "{fault}"
    );
}

#[test]
fn an_app_that_is_not_active_gets_its_number_at_its_next_start() {
    let mut stage = installed(&[]);
    let ran = run(&mut stage, "rsgen scale web 2");
    assert_eq!(
        ran.shown,
        "web: 2 instances from its next start on; it is not active"
    );
    assert_eq!(ran.jobs(), ["daemon-reload"]);
    assert_eq!(links(&stage), 2);
}

#[test]
fn a_dry_run_shows_the_diff_and_the_steps() {
    let mut stage = installed(FOUR);
    let before = file(&stage);
    let ran = run(&mut stage, "rsgen scale web 3 --dry-run");
    assert_eq!(ran.shown, "web: would stop web@3");
    assert!(
        ran.told.contains("+instances = 3 # scale, in place of 4"),
        "{}",
        ran.told
    );
    assert_eq!(ran.jobs(), Vec::<String>::new());
    assert_eq!(file(&stage), before);
    assert_eq!(links(&stage), 4);
}

#[test]
fn a_walk_is_waited_for() {
    let mut stage = installed(FOUR);
    let held = Lock::take(&stage.layout.state("web")).unwrap();
    let ran = run(&mut stage, "rsgen scale web 5");
    assert!(held.is_some());
    assert!(
        ran.told
            .contains("web: waiting for a reload that is under way"),
        "{}",
        ran.told
    );
    let fault = ran.fault();
    assert!(
        fault.starts_with("a reload of `web` is still under way"),
        "{fault}"
    );
    drop(held);
    // A walk that was asked for before the files were read goes by the old number, so what it undoes is done again.
    let cluster = Unit {
        name: "web.service".into(),
        active: ActiveState::Reloading,
        ..Unit::default()
    };
    stage.systemd.fake.set(cluster.clone());
    let soon = stage.systemd.fake.now() + std::time::Duration::from_secs(1);
    stage.systemd.fake.set_at(
        soon,
        Unit {
            active: ActiveState::Active,
            ..cluster
        },
    );
    stage.systemd.fake.set_at(
        soon,
        Unit {
            name: "web@4.service".into(),
            ..Unit::default()
        },
    );
    let ran = run(&mut stage, "rsgen scale web 5");
    assert!(
        ran.told
            .contains("web: waiting for a reload that was requested earlier"),
        "{}",
        ran.told
    );
    let jobs = ran.jobs();
    assert_eq!(jobs[1..], ["start web@4.service", "start web@4.service"]);
}

#[test]
fn a_file_that_was_not_installed_gets_a_drop_in() {
    let mut stage = Stage::running(FOUR);
    stage.write_app("listen = 1\ninstances = 4\n");
    let before = file(&stage);
    let drop_in = stage
        .layout
        .file("web")
        .with_extension("toml.d")
        .join("99-scale.toml");
    let jobs = run(&mut stage, "rsgen scale web 3").jobs();
    assert_eq!(jobs, ["daemon-reload", "stop web@3.service"]);
    let text = std::fs::read_to_string(&drop_in).unwrap();
    assert_eq!(text, "instances = 3 # scale, in place of 4\n");
    assert_eq!(file(&stage), before);
    // An install moves the number into the installed file, or replaces it.
    let source = sources::find(&stage.layout, "web").unwrap();
    let (pinned, app) = sources::load(&stage.layout, &source).unwrap();
    let pinned = pinned.replace("= 3", "= 2");
    let installed = files::content(&stage.layout.file("web"));
    let selected = Selected {
        app,
        pinned,
        installed,
    };
    let prepared = apply::prepare(&stage.layout, HOST, selected, false);
    let changes = prepared.map_err(|failure| failure.message).unwrap().changes;
    let removed = changes.iter().find(|change| change.path == drop_in);
    assert_eq!(removed.unwrap().new, None);
    let links = changes
        .iter()
        .filter(|c| c.path.parent().unwrap().ends_with("web.service.wants"));
    assert_eq!(links.count(), 2);
    run(&mut stage, "rsgen scale web 4").jobs();
    assert!(!drop_in.exists(), "the number is the file's again");
}

#[test]
fn a_number_that_a_drop_in_sets_is_changed_there() {
    let mut stage = installed(FOUR);
    let folder = stage.layout.file("web").with_extension("toml.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("10-ours.toml"), "instances = 4\n").unwrap();
    let fault = run(&mut stage, "rsgen scale web 5").fault();
    assert!(
        fault.contains("10-ours.toml; change `instances` there"),
        "{fault}"
    );
}
