//! What a walk asks of systemd when jobs do not end as asked, and what the walk tells of that.

use super::*;

fn bare() -> Plan {
    Plan {
        canaries: 0,
        settle: Duration::ZERO,
        ..plan()
    }
}

fn walk_of<'a>(fake: &'a mut Fake, plan: &'a Plan, notes: &'a mut Notes) -> Walk<'a> {
    Walk {
        manager: fake,
        plan,
        effects: notes,
        canaries: Vec::new(),
        failures: Vec::new(),
        others: Others::Untouched,
        overdue: Overdue::new(&plan.app, plan.longest_stop),
        patience: Duration::ZERO,
    }
}

#[test]
fn a_walk_that_loses_systemd_says_so_whatever_failed_before() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@0.service", &[Start::Fails, Start::Fails]);
    fake.sever_at("web@1.service");
    let two = Plan {
        parallel: 2,
        ..plan()
    };
    let (result, notes) = run(&mut fake, &two);
    notes.line("instance 0: exited with status 1; trying again");
    let failed = result.unwrap_err();
    assert_eq!((failed.number, failed.untouched), (None, false));
    assert_eq!(
        failed.to_string(),
        "systemd cannot be reached: the connection was closed; the instances not yet replaced are unchanged"
    );
}

#[test]
fn a_walk_that_systemd_never_answers_touches_nothing() {
    let mut fake = Fake::running(&ALL);
    fake.sever_at("web@4.service");
    let failed = run(&mut fake, &plan()).0.unwrap_err();
    assert_eq!((failed.number, failed.untouched), (None, true));
}

#[test]
fn a_canary_that_may_not_have_stopped_stays_noted_for_the_next_walk() {
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
fn a_failure_after_all_were_restarted_is_told_as_one() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@1.service", &[Start::Fails, Start::Fails, Start::Fails]);
    let restart = Plan {
        on_failure: OnFailure::Restart,
        ..plan()
    };
    assert_eq!(
        run(&mut fake, &restart).0.unwrap_err().to_string(),
        "instance 1 failed: exited with status 1, after all instances were restarted"
    );
}

#[test]
fn events_tell_times_in_milliseconds() {
    let since = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    assert!((2_000..100_000).contains(&milliseconds(since)));
}

/// systemd may start the instance again by itself, and have it READY, before anybody looks.
#[test]
fn the_result_of_the_job_counts_and_not_the_state_of_the_unit() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@4.service", &[Start::Stuck]);
    let ready = Unit {
        name: "web@4.service".into(),
        active: ActiveState::Active,
        main_pid: 7,
        ..Unit::default()
    };
    fake.set_at(Duration::from_secs(5), ready);
    let failed = run(&mut fake, &plan()).0.unwrap_err();
    assert!(failed.canary && failed.timed_out, "{failed:?}");
}

#[test]
fn why_a_job_did_not_run_is_told_with_the_state_of_the_unit() {
    let mut fake = Fake::running(&ALL);
    let unit = fake.unit("web@0.service").unwrap();
    let (mut notes, plan) = (Notes::default(), plan());
    let walk = walk_of(&mut fake, &plan, &mut notes);
    for result in [JobResult::Dependency, JobResult::Timeout] {
        let failed = walk.failed(0, &unit, Some(result));
        assert_ne!(failed.why, unit.why());
        assert_eq!(failed.timed_out, result == JobResult::Timeout);
    }
}

#[test]
fn one_whose_job_was_cancelled_is_asked_for_again_as_soon_as_it_is_down() {
    let one = Plan {
        instances: 1,
        ..bare()
    };
    let mut fake = Fake::running(&["web.service"]);
    let falling = Unit {
        name: "web@0.service".into(),
        active: ActiveState::Deactivating,
        ..Unit::default()
    };
    let down = Unit {
        active: ActiveState::Inactive,
        ..falling.clone()
    };
    fake.set(falling);
    fake.set_at(Duration::from_secs(2), down);
    fake.cancel("web@0.service", 1);
    assert_eq!(run(&mut fake, &one).0, Ok(()));
    let seconds = Duration::from_secs;
    let waited = fake.now();
    assert!((seconds(2)..seconds(3)).contains(&waited), "{waited:?}");
}

#[test]
fn nothing_is_asked_for_again_while_the_cluster_unit_is_being_stopped() {
    let mut fake = Fake::running(&ALL);
    fake.set(Unit {
        name: "web.service".into(),
        active: ActiveState::Deactivating,
        ..Unit::default()
    });
    fake.cancel("web@4.service", 1);
    run(&mut fake, &plan()).0.unwrap_err();
    assert_eq!(fake.log, ["restart web@4.service"]);
}

#[test]
fn a_stop_that_was_cancelled_by_the_end_of_the_instance_is_not_asked_for_again() {
    let mut fake = Fake::running(&ALL);
    let three = Plan {
        instances: 3,
        ..bare()
    };
    let down = Unit {
        name: "web@3.service".into(),
        ..Unit::default()
    };
    fake.set_at(Duration::ZERO, down);
    fake.cancel("web@3.service", 1);
    let mut notes = Notes::default();
    let mut walk = walk_of(&mut fake, &three, &mut notes);
    assert_eq!(walk.stop_surplus(), Ok(()));
    assert_eq!(fake.log, ["stop web@3.service"]);
}

/// Loses the connection to systemd, for good.
fn sever(fake: &mut Fake) {
    fake.sever_at("web@0.service");
    let job = Job {
        path: "/job/1".into(),
        unit: "web@0.service".into(),
    };
    fake.wait(&job, Duration::ZERO).unwrap_err();
}

#[test]
fn systemd_is_not_asked_about_overdue_instances_at_every_look() {
    let mut fake = Fake::running(&ALL);
    let mut overdue = Overdue::new("web", Duration::from_secs(3));
    assert_eq!(overdue.look(&mut fake), Ok(Vec::new()));
    sever(&mut fake);
    fake.pause(Duration::from_millis(50));
    assert_eq!(overdue.look(&mut fake), Ok(Vec::new()), "not asked");
    fake.pause(Duration::from_secs(1));
    assert!(overdue.look(&mut fake).is_err(), "asked");
}

#[test]
fn of_an_instance_whose_program_was_not_started_or_is_unhealthy_the_known_cause_is_told() {
    let unit = |exit_code| Unit {
        name: "web@0.service".into(),
        active: ActiveState::Failed,
        result: "exit-code".into(),
        exit_code,
        exit_status: 1,
        ..Unit::default()
    };
    let why = |cause: Option<&str>, unit: &Unit| {
        let mut fake = Fake::running(&ALL);
        let plan = plan();
        let mut notes = Notes {
            cause: cause.map(of_run_one),
            ..Notes::default()
        };
        walk_of(&mut fake, &plan, &mut notes)
            .failed(0, unit, None)
            .why
    };
    let known = Some("a file is missing");
    assert_eq!(why(known, &unit(0)), "a file is missing");
    assert_eq!(why(None, &unit(0)), unit(0).why());
    let ran = unit(libc::CLD_EXITED);
    assert_eq!(why(known, &ran), ran.why());
    let unhealthy = "unhealthy: GET / answered 500 No";
    assert_eq!(why(Some(unhealthy), &ran), unhealthy);
}

/// An exit status says less than what was noted of the same run.
#[test]
fn of_an_instance_that_has_failed_what_was_noted_of_that_run_is_told() {
    let unit = |invocation: &str| Unit {
        name: "web@0.service".into(),
        active: ActiveState::Failed,
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 1,
        invocation: invocation.into(),
        ..Unit::default()
    };
    for (invocation, job, is_told) in [
        ("1", JobResult::Failed, true),
        ("2", JobResult::Failed, false),
        ("", JobResult::Failed, false),
        ("1", JobResult::Canceled, false),
    ] {
        let mut fake = Fake::running(&ALL);
        let plan = plan();
        let mut notes = Notes {
            cause: Some(of_run_one("a file is missing")),
            ..Notes::default()
        };
        let unit = unit(invocation);
        let failed = walk_of(&mut fake, &plan, &mut notes).failed(0, &unit, Some(job));
        let case = format!("run {invocation}, {job}: {}", failed.why);
        assert_eq!(failed.why == "a file is missing", is_told, "{case}");
    }
}

fn of_run_one(why: &str) -> Cause {
    Cause {
        why: why.to_owned(),
        invocation: "1".to_owned(),
    }
}

/// A unit that is busy with the next run shows neither how the last one ended nor what it wrote.
#[test]
fn of_an_instance_that_is_already_started_again_the_run_that_failed_is_told() {
    let unit = |sub: &str, invocation: &str| Unit {
        name: "web@0.service".into(),
        active: ActiveState::Activating,
        sub: sub.into(),
        invocation: invocation.into(),
        ..Unit::default()
    };
    for (sub, invocation, job, is_told) in [
        ("start", "2", JobResult::Failed, true),
        ("auto-restart", "2", JobResult::Failed, false),
        ("start", "1", JobResult::Failed, false),
        ("start", "2", JobResult::Timeout, false),
    ] {
        let mut fake = Fake::running(&ALL);
        let plan = plan();
        let mut notes = Notes {
            cause: Some(of_run_one("exited with status 1")),
            ..Notes::default()
        };
        let unit = unit(sub, invocation);
        let failed = walk_of(&mut fake, &plan, &mut notes).failed(0, &unit, Some(job));
        let case = format!("{sub}, run {invocation}, {job}: {}", failed.why);
        assert_eq!(failed.why == "exited with status 1", is_told, "{case}");
        let of_run = if is_told { "1" } else { invocation };
        assert_eq!(failed.invocation, of_run, "{case}");
    }
}

#[test]
fn a_canary_that_fails_where_no_instance_serves_is_not_told_as_if_they_did() {
    for (up, text) in [
        (&ALL[..], "; every instance still serves what it served"),
        (&ALL[..1], "; every instance still serves what it served"),
        (&[], "; no instance serves, as before"),
    ] {
        let mut fake = Fake::running(up);
        fake.script("web@4.service", &[Start::DiesLater]);
        let failed = run(&mut fake, &plan()).0.unwrap_err();
        assert!(
            failed.untouched && failed.to_string().ends_with(text),
            "{failed}"
        );
    }
}

#[test]
fn each_step_is_told_in_the_words_of_what_is_done() {
    let mut fake = Fake::running(&ALL);
    let two = Plan {
        instances: 2,
        ..plan()
    };
    let (_, notes) = run(&mut fake, &two);
    assert_eq!(notes.line("replacing 2 instances, a canary first"), 0);
    assert_eq!(notes.line("canary: starting"), 1);
    for number in [2, 3] {
        notes.line(&format!("instance {number}: stopped, it was surplus"));
    }
    let restart = Plan {
        on_failure: OnFailure::Restart,
        ..bare()
    };
    fake.script("web@3.service", &[Start::Fails, Start::Fails]);
    let (_, notes) = run(&mut fake, &restart);
    assert_eq!(notes.lines[0], "replacing 4 instances");
    notes.line("instance 2: starting");
    let failed = notes.line("instance 3: exited with status 1; trying again");
    assert!(failed < notes.line("restarting every instance at once"));
}

#[test]
fn one_that_failed_has_to_stay_up_to_be_told_as_ready_and_systemd_to_be_there() {
    let mut fake = Fake::running(&ALL);
    let up = fake.unit("web@1.service").unwrap();
    let restarted = Unit {
        main_pid: up.main_pid + 1,
        ..up.clone()
    };
    let plan = plan();
    let mut notes = Notes::default();
    let failed = Failed {
        number: Some(1),
        ..Failed::default()
    };
    fake.set_at(Duration::from_millis(500), restarted);
    let mut walk = walk_of(&mut fake, &plan, &mut notes);
    walk.failures.push(failed.clone());
    assert_eq!(walk.look_again(1, &up), Ok(()));
    assert_eq!(walk.failures, [failed]);
    assert_eq!(notes.lines, [""; 0]);

    sever(&mut fake);
    let mut walk = walk_of(&mut fake, &plan, &mut notes);
    let lost = walk.look_again(1, &up).unwrap_err();
    assert!(lost.why.starts_with("systemd cannot be reached"), "{lost}");
}
