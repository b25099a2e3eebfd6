//! Reloads in two parts, the pace of one reload, and what a kept canary is an obstacle to.

use std::time::Duration;

use serde_json::json;

use super::lines::run;
use super::stage::Stage;
use crate::cluster::asked::Wish;
use crate::command::deployment::{Goal, each};
use crate::command::jobs::LONGEST;
use crate::contract::{Amount, Course, canaries};
use crate::output::Exit;
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, JobResult, Unit};
use crate::walk::{Event, Failed};

const APP: &str = "listen = 1\n";

/// A host with an installed app of one instance, of which these units run.
fn installed(units: &[&str]) -> Stage {
    let mut stage = Stage::running(units);
    stage.write_app(APP);
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

const ONE: &[&str] = &["web.service", "web@0.service"];

/// The same, with the units that the app has where it is a user's.
fn of_a_user(units: &[&str]) -> Stage {
    let mut stage = installed(units);
    run(&mut stage, "rsgen reload web").jobs();
    stage
}

/// The same with a canary that a reload has kept.
fn with_canary(installed: fn(&[&str]) -> Stage) -> Stage {
    let stage = installed(&["web.service", "web@0.service", "web@1.service"]);
    let note = Entry::new(&stage.layout.state("web"), Name::Canary);
    note.write(&canaries::note_of_kept(&[1])).unwrap();
    stage
}

#[test]
fn a_canary_is_started_for_an_app_that_is_active_and_has_none() {
    let jobs = run(&mut of_a_user(ONE), "rsgen reload web --canary-only").jobs();
    assert_eq!(jobs, ["reload web.service"]);
    let mut stopped = of_a_user(ONE);
    stopped.systemd.fake.set(Unit {
        name: "web.service".into(),
        ..Unit::default()
    });
    let kept = with_canary(of_a_user);
    for (mut stage, told) in [
        (stopped, "`web` is not active; run `rsgen start web`"),
        (kept, "web@1.service is kept as a canary; "),
    ] {
        let fault = run(&mut stage, "rsgen reload web --canary-only").fault();
        assert!(fault.starts_with(told), "{fault}");
        assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
    }
}

#[test]
fn what_becomes_of_a_canary_is_decided_once_there_is_one() {
    for part in ["--promote", "--abort", "--promote --parallel 1"] {
        let line = format!("rsgen reload web {part}");
        assert_eq!(
            run(&mut with_canary(of_a_user), &line).jobs(),
            ["reload web.service"]
        );
        let fault = run(&mut of_a_user(ONE), &line).fault();
        let told = "no canary of `web` is kept; run `rsgen reload web --canary-only`";
        assert_eq!(fault, told, "{part}");
    }
}

#[test]
fn a_canary_is_of_the_units_that_all_instances_have() {
    let mut stage = of_a_user(ONE);
    stage.write_app("listen = 1\nkill_timeout = 7\n");
    let before = stage.unit("web@.service");
    let ran = run(&mut stage, "rsgen reload web --canary-only");
    assert_eq!(ran.log, Vec::<String>::new());
    let fault = ran.fault();
    assert!(
        fault.starts_with("`--canary-only` is for new code with unchanged units, but the units of `web` would change"),
        "{fault}"
    );
    assert_eq!(stage.unit("web@.service"), before);
}

#[test]
fn a_part_of_a_reload_is_refused_during_another_reload_and_nothing_is_touched() {
    for part in ["--canary-only", "--promote", "--abort"] {
        let mut stage = with_canary(of_a_user);
        stage.systemd.fake.set(Unit {
            name: "web.service".into(),
            active: ActiveState::Reloading,
            ..Unit::default()
        });
        let ran = run(&mut stage, &format!("rsgen reload web {part}"));
        assert_eq!(ran.log, Vec::<String>::new());
        let failure = ran.failure.unwrap();
        assert_eq!(failure.message, "a reload of `web` is under way", "{part}");
        assert!(failure.untouched, "{part}");
    }
}

#[test]
fn a_pace_of_one_reload_has_the_bounds_of_its_key() {
    for (pace, told) in [
        ("--surge 0", None),
        ("--surge 1024", None),
        ("--surge 1025", Some("write a number from 0 to 1024")),
        ("--parallel 1", None),
        ("--parallel 1024", None),
        ("--parallel 0", Some("write a number from 1 to 1024")),
        ("--parallel 1025", Some("write a number from 1 to 1024")),
    ] {
        let words = format!("rsgen reload web {pace}");
        let parsed = crate::command::parse(super::words(&words));
        let error = parsed.err().map(|error| error.to_string());
        let is_told = |told: &str| error.as_ref().is_some_and(|error| error.contains(told));
        assert!(told.map_or(error.is_none(), is_told), "{pace}: {error:?}");
    }
}

#[test]
fn a_reload_that_does_not_end_is_waited_for_no_longer_than_an_hour() {
    let mut stage = Stage::running(&[]);
    let mut jobs = stage.jobs();
    let begun = jobs.manager.now();
    let failure = jobs.outlast_reload("web", |jobs| {
        // A look takes a time of its own, so that none of them is at the very end.
        jobs.manager.pause(Duration::from_millis(7));
        let latest = begun + LONGEST + Duration::from_mins(1);
        assert!(jobs.manager.now() < latest, "no end");
        Ok(None::<()>)
    });
    let failure = failure.unwrap_err();
    assert_eq!(failure.exit, Exit::Failed);
    assert!(failure.message.ends_with("is still under way"));
}

#[test]
fn a_kept_canary_is_an_obstacle_to_new_units_alone() {
    let mut stage = with_canary(installed);
    let prepared = [stage.prepare()];
    assert_eq!(prepared[0].changes, []);
    assert!(each(&mut stage.jobs(), &prepared, Goal::CURRENT).is_ok());
    stage.write_app("listen = 1\nkill_timeout = 7\n");
    let before = stage.unit("web@.service");
    let prepared = [stage.prepare()];
    let refused = each(&mut stage.jobs(), &prepared, Goal::CURRENT).err();
    let message = refused.unwrap().message;
    assert_eq!(message, "web@1.service is kept as a canary");
    assert_eq!(stage.unit("web@.service"), before);
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
}

/// The walk is the cluster unit's, and finds what is wished of it in a note.
#[test]
fn a_walk_finds_what_a_command_wishes_of_it_and_no_other_walk_does() {
    let mut stage = of_a_user(ONE);
    for (options, wish) in [
        ("", Wish::NONE),
        (
            " --canary-only",
            Wish {
                course: Some(Course::CanaryOnly),
                ..Wish::NONE
            },
        ),
        (
            " --surge 2 --parallel 50%",
            Wish {
                surge: Some(Amount::Exactly(2)),
                parallel: "50%".parse().ok(),
                ..Wish::NONE
            },
        ),
    ] {
        stage.systemd.wishes.clear();
        run(&mut stage, &format!("rsgen reload web{options}")).jobs();
        let found: Vec<_> = stage
            .systemd
            .wishes
            .iter()
            .map(|note| note.rsplit_once(' ').unwrap().0)
            .collect();
        let expected = (!wish.is_none()).then(|| wish.to_string());
        assert_eq!(found, expected.as_slice(), "{options}");
        let note = Entry::new(&stage.layout.state("web"), Name::Asked);
        assert!(note.read().is_err(), "{options}");
    }
}

/// systemd forgets a job that has ended, and an active unit looks as if the reload had worked.
#[test]
fn the_last_word_of_a_walk_counts_though_the_end_of_its_job_was_missed() {
    let mut stage = of_a_user(ONE);
    let failed = Failed {
        why: "it ended".into(),
        ..Failed::default()
    };
    let walk = (vec![Event::Aborted { failed }], JobResult::Done);
    stage.systemd.walks.push_back(walk);
    let fault = run(&mut stage, "rsgen reload web").fault();
    assert!(fault.contains("it ended"), "{fault}");
}

#[test]
fn a_script_hears_of_apps_as_reloaded_whose_instances_were_replaced() {
    let told = |mut stage: Stage, part: &str| {
        let ran = run(&mut stage, &format!("rsgen reload web {part}"));
        let json = ran.json.clone();
        ran.jobs();
        json["reloaded"].clone()
    };
    let none: [&str; 0] = [];
    assert_eq!(told(of_a_user(ONE), "--canary-only"), json!(none));
    assert_eq!(told(with_canary(of_a_user), "--promote"), json!(["web"]));
    assert_eq!(told(with_canary(of_a_user), "--abort"), json!(none));
}
