//! How many instances a walk replaces at a time, and how many may fail.

use super::*;

fn canaries(fake: &Fake) -> Vec<&str> {
    let names = fake.ready().into_iter();
    names.filter(|name| !ALL.contains(name)).collect()
}

#[test]
fn parallel_takes_so_many_at_a_time() {
    let mut fake = Fake::running(&ALL);
    let three = Plan {
        parallel: 3,
        ..plan()
    };
    let (result, notes) = run(&mut fake, &three);
    assert_eq!(result, Ok(()));
    let first_ready = notes.line("instance 0: ready");
    assert!(notes.line("instance 2: replacing") < first_ready);
    assert!(first_ready < notes.line("instance 3: replacing"));
    assert_eq!(fake.fewest_ready, 2, "the canary and instance 3");
}

#[test]
fn all_canaries_start_before_anything_is_stopped_and_as_many_are_replaced_at_once() {
    let mut fake = Fake::running(&ALL);
    let doubled = Plan {
        canaries: 4,
        ..plan()
    };
    let (result, notes) = run(&mut fake, &doubled);
    assert_eq!(result, Ok(()));
    let verbs = |verb: &str| fake.log.iter().filter(|l| l.starts_with(verb)).count();
    assert_eq!((verbs("restart"), verbs("stop")), (8, 4));
    assert!(
        fake.log
            .iter()
            .take(4)
            .all(|l| l.as_str() >= "restart web@4")
    );
    assert_eq!(notes.line("replacing 4 instances, 4 canaries first"), 0);
    let first_ready = notes.line("instance 0: ready");
    assert!(notes.line("canary 7: ready") < notes.line("instance 0: replacing"));
    assert!(notes.line("instance 3: replacing") < first_ready);
    notes.line("canary 7: stopped");
    assert_eq!(fake.fewest_ready, 4);
    assert_eq!(fake.ready(), ALL);
    assert_eq!(notes.canaries, [0; 0]);
}

#[test]
fn with_several_canaries_never_fewer_than_n_are_ready() {
    let mut fake = Fake::running(&ALL);
    let three = Plan {
        canaries: 3,
        ..plan()
    };
    run(&mut fake, &three).0.unwrap();
    assert_eq!(fake.fewest_ready, 4);
}

#[test]
fn one_canary_of_several_that_fails_leaves_every_instance_untouched() {
    for how in [Start::Fails, Start::Hangs, Start::DiesLater] {
        let mut fake = Fake::running(&ALL);
        let before = pids(&fake);
        fake.script("web@5.service", &[how]);
        let two = Plan {
            canaries: 2,
            max_failures: 9,
            ..plan()
        };
        let (result, notes) = run(&mut fake, &two);
        let failed = result.unwrap_err();
        assert!(failed.canary && failed.untouched, "{how:?}: {failed:?}");
        assert!(failed.to_string().starts_with("canary 5 failed: "));
        assert_eq!(pids(&fake), before);
        assert_eq!(canaries(&fake), [""; 0]);
        assert_eq!(notes.canaries, [0; 0]);
    }
}

#[test]
fn canaries_take_no_number_of_an_instance_that_serves() {
    let mut fake = Fake::running(&[&ALL[..], &["web@5.service"]].concat());
    let two = Plan {
        canaries: 2,
        ..plan()
    };
    run(&mut fake, &two).0.unwrap();
    assert_eq!(
        fake.log[..2],
        ["restart web@4.service", "restart web@6.service"]
    );
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn every_canary_that_a_killed_walk_has_left_is_stopped_first() {
    let mut fake = Fake::running(&[&ALL[..], &["web@4.service", "web@5.service"]].concat());
    let mut notes = Notes {
        canaries: vec![3, 4, 5],
        ..Notes::default()
    };
    walk(&mut fake, &plan(), &mut notes).unwrap();
    assert_eq!(fake.log[..2], ["stop web@4.service", "stop web@5.service"]);
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn canaries_whose_end_was_not_seen_are_remembered_for_the_next_walk() {
    let mut fake = Fake::running(&[&ALL[..], &["web@4.service"]].concat());
    fake.sever_at("web@4.service");
    let mut notes = Notes {
        canaries: vec![4],
        ..Notes::default()
    };
    walk(&mut fake, &plan(), &mut notes).unwrap_err();
    assert_eq!(notes.canaries, [4]);
}

#[test]
fn as_many_as_may_fail_do_not_end_the_walk_which_fails_after_the_last_instance() {
    let mut fake = Fake::running(&ALL);
    let before = pids(&fake);
    fake.script("web@1.service", &[Start::Fails, Start::Fails]);
    let one = Plan {
        max_failures: 1,
        ..plan()
    };
    let (result, notes) = run(&mut fake, &one);
    let failed = result.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "instance 1 failed twice: exited with status 1; every instance that did not fail was replaced"
    );
    assert!(!failed.untouched);
    notes.line(
        "instance 1: failed twice: exited with status 1; continuing, 1 of at most 1 failures",
    );
    let after = pids(&fake);
    assert!([0, 2, 3].iter().all(|i| before[*i] != after[*i]));
    assert_eq!(canaries(&fake), [""; 0]);
}

#[test]
fn one_failure_too_many_ends_the_walk() {
    let mut fake = Fake::running(&ALL);
    let before = pids(&fake);
    for unit in &ALL[..2] {
        fake.script(unit, &[Start::Fails, Start::Fails]);
    }
    let one = Plan {
        max_failures: 1,
        ..plan()
    };
    let failed = run(&mut fake, &one).0.unwrap_err();
    assert_eq!(
        (failed.number, failed.others),
        (Some(1), Others::AsTheyWere)
    );
    assert_eq!(pids(&fake)[2..], before[2..]);
}

#[test]
fn one_that_failed_and_has_come_up_by_the_end_is_told_as_ready() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@1.service", &[Start::Fails, Start::Fails]);
    let up = Unit {
        name: "web@1.service".into(),
        active: ActiveState::Active,
        main_pid: 7,
        ..Unit::default()
    };
    // While the canary settles and the others are replaced.
    fake.set_at(Duration::from_millis(1500), up);
    let slow = Plan {
        canaries: 0,
        max_failures: 1,
        ..plan()
    };
    let (result, notes) = run(&mut fake, &slow);
    assert_eq!(result, Ok(()));
    assert!(notes.line("instance 1: failed twice") < notes.line("instance 1: ready"));
}

/// An instance that systemd has started again.
fn rising(name: &str) -> Unit {
    Unit {
        name: name.into(),
        active: ActiveState::Activating,
        sub: "start".into(),
        main_pid: 7,
        ..Unit::default()
    }
}

/// systemd would stop it without a drain.
#[test]
fn an_instance_that_is_about_to_be_ready_is_not_stopped_before() {
    let plan = Plan {
        canaries: 0,
        settle: Duration::ZERO,
        ..plan()
    };
    for (name, verb) in [("web@1.service", "restart"), ("web@4.service", "stop")] {
        let mut fake = Fake::running(&ALL);
        fake.set(rising(name));
        let ready = Unit {
            active: ActiveState::Active,
            sub: "running".into(),
            ..rising(name)
        };
        fake.set_at(Duration::from_millis(200), ready);
        assert_eq!(run(&mut fake, &plan).0, Ok(()));
        assert_eq!(fake.now(), Duration::from_millis(200), "{name}");
        assert!(fake.log.contains(&format!("{verb} {name}")));
    }
}

#[test]
fn instances_that_do_not_get_ready_keep_a_walk_waiting_for_three_seconds_in_all() {
    let plan = Plan {
        canaries: 0,
        settle: Duration::ZERO,
        ..plan()
    };
    let mut fake = Fake::running(&ALL);
    for name in &ALL {
        fake.set(rising(name));
    }
    assert_eq!(run(&mut fake, &plan).0, Ok(()));
    assert_eq!(fake.now(), Duration::from_secs(3));
    assert_eq!(fake.ready(), ALL);
}
