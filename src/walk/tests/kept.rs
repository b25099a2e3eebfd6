//! A canary that is kept, and what becomes of it.

use super::*;
use crate::contract::Course;

fn run_by(fake: &mut Fake, plan: &Plan, course: Course) -> (Result<(), Failed>, Notes) {
    let mut notes = Notes::default();
    let kept = match course {
        Course::CanaryOnly => &[][..],
        Course::Promote | Course::Abort => &[4],
    };
    let result = walk_by(fake, plan, Some(course), kept, &mut notes);
    (result, notes)
}

/// A systemd in which the canary runs that a walk has kept.
fn with_canary() -> Fake {
    Fake::running(&[&ALL[..], &["web@4.service"]].concat())
}

#[test]
fn one_canary_is_started_and_kept_whatever_the_surge() {
    for canaries in [0, 1, 4] {
        let mut fake = Fake::running(&ALL);
        let before = pids(&fake);
        let plan = Plan { canaries, ..plan() };
        let (result, notes) = run_by(&mut fake, &plan, Course::CanaryOnly);
        assert_eq!(result, Ok(()));
        assert_eq!(fake.log, ["restart web@4.service"]);
        assert_eq!(notes.kept, Some(vec![4]));
        assert_eq!(notes.line("done: the canary was started and kept"), 2);
        assert_eq!(pids(&fake), before);
    }
}

#[test]
fn a_canary_that_fails_is_not_kept() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@4.service", &[Start::DiesLater]);
    let (result, notes) = run_by(&mut fake, &plan(), Course::CanaryOnly);
    let failed = result.unwrap_err();
    assert!(failed.canary && failed.untouched);
    assert_eq!((notes.kept, notes.canaries), (None, vec![]));
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn a_promoted_canary_stands_in_for_the_instances_and_is_stopped_last() {
    let mut fake = with_canary();
    let canary = fake.pid("web@4.service");
    let (result, notes) = run_by(&mut fake, &plan(), Course::Promote);
    assert_eq!(result, Ok(()));
    assert_eq!(notes.line("replacing 4 instances, after the canary"), 0);
    assert_eq!(fake.log.first().unwrap(), "restart web@0.service");
    assert_eq!(fake.log.last().unwrap(), "stop web@4.service");
    assert_eq!(
        fake.log.len(),
        5,
        "the canary is process {canary} to its end"
    );
    assert_eq!(fake.ready(), ALL);
    assert_eq!(notes.canaries, [0; 0]);
}

#[test]
fn further_canaries_are_started_beside_the_one_that_is_promoted() {
    let mut fake = with_canary();
    let three = Plan {
        canaries: 3,
        ..plan()
    };
    run_by(&mut fake, &three, Course::Promote).0.unwrap();
    assert_eq!(
        fake.log[..2],
        ["restart web@5.service", "restart web@6.service"]
    );
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn in_place_of_a_canary_that_does_not_serve_any_more_another_is_started() {
    for canaries in [0, 1] {
        let mut fake = with_canary();
        fake.set(Unit {
            name: "web@4.service".into(),
            active: ActiveState::Activating,
            ..Unit::default()
        });
        let plan = Plan { canaries, ..plan() };
        run_by(&mut fake, &plan, Course::Promote).0.unwrap();
        assert_eq!(
            fake.log[..2],
            ["stop web@4.service", "restart web@4.service"]
        );
        assert_eq!(fake.ready(), ALL);
    }
}

#[test]
fn a_canary_that_is_aborted_is_stopped_and_nothing_else_is_touched() {
    let mut fake = with_canary();
    let before = pids(&fake);
    let (result, notes) = run_by(&mut fake, &plan(), Course::Abort);
    assert_eq!(result, Ok(()));
    assert_eq!(
        notes.lines,
        ["canary: stopped", "done: no instance was replaced"]
    );
    assert_eq!(notes.canaries, [0; 0]);
    assert_eq!((pids(&fake), fake.ready()), (before, ALL.to_vec()));
}
