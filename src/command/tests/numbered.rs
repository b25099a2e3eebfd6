//! An install in which only the number of instances is another.

use super::stage::{HOST, Stage};
use crate::command::deployment::{Goal, deploy};
use crate::command::foresee::foresee;
use crate::command::numbered::Number;
use crate::layout::Scope;
use crate::output::{Shown, Style};
use crate::state::{Entry, Lock, Name};

const FOUR: &[&str] = &[
    "web.service",
    "web@0.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
];

/// A host with an app of four instances, which run.
fn installed() -> Stage {
    let mut stage = Stage::running(FOUR);
    stage.write_app("listen = 1\ninstances = 4\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

/// What an install of these lines does, and what a dry run has said.
fn install(stage: &mut Stage, lines: &str) -> (Vec<String>, String) {
    stage.write_app(lines);
    let mut prepared = stage.prepare();
    prepared.number = Number::of(&stage.layout, HOST.cpus, "web", &prepared.changes);
    let prepared = [prepared];
    let jobs = Some(stage.jobs());
    let foreseen = foresee(jobs, &prepared, Vec::new(), Goal::CURRENT, Scope::System).unwrap();
    let shown = foreseen.shown(Style::Plain).unwrap().to_string();
    stage.systemd.fake.log.clear();
    deploy(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    let mut log = stage.systemd.fake.log.clone();
    log.retain(|job| !job.starts_with("reset-failed"));
    (log, shown)
}

#[test]
fn those_that_stay_are_not_replaced() {
    let mut stage = installed();
    let (log, told) = install(&mut stage, "listen = 1\ninstances = 6\n");
    assert_eq!(
        log,
        [
            "daemon-reload",
            "start web@4.service",
            "start web@5.service"
        ]
    );
    assert_eq!(
        told,
        "web: would scale from 4 to 6, and replace no instance"
    );
    let mark = Entry::new(&stage.layout.state("web"), Name::Scaling);
    assert!(mark.read().is_err(), "nothing is left to be done");
    // The lock is free again.
    assert!(Lock::take(&stage.layout.state("web")).unwrap().is_some());
    let (log, _) = install(&mut stage, "listen = 1\ninstances = 3\n");
    let stopped = ["5", "4", "3"].map(|n| format!("stop web@{n}.service"));
    assert_eq!(log[1..], stopped);
}

#[test]
fn with_another_change_all_are_replaced() {
    let mut stage = installed();
    let lines = "listen = 1\ninstances = 6\nenv = { COLOUR = \"green\" }\n";
    let (log, told) = install(&mut stage, lines);
    assert!(log.contains(&"reload web.service".to_owned()), "{log:?}");
    assert_eq!(told, "web: would reload");
}
