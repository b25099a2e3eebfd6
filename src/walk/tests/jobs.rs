//! Instances that do not end, and jobs that somebody else's job cancels.

use super::*;

const WORDS: &str = "its job was cancelled by another job of systemd";

fn killed(fake: &Fake) -> Vec<&str> {
    let kills = fake.log.iter().filter_map(|l| l.strip_prefix("kill "));
    kills.collect()
}

#[test]
fn an_instance_that_does_not_end_is_killed_and_replaced() {
    let mut fake = Fake::running(&ALL);
    let before = pids(&fake);
    fake.cling("web@1.service");
    let (result, notes) = run(&mut fake, &plan());
    assert_eq!(result, Ok(()));
    assert_eq!(killed(&fake), ["web@1.service"]);
    notes.line("instance 1: did not end within 8 s: killed");
    assert!(pids(&fake).iter().all(|pid| !before.contains(pid)));
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn the_bound_is_the_apps_own_and_what_an_administrator_added() {
    let mut fake = Fake::running(&ALL);
    let mut slow = fake.unit("web@1.service").unwrap();
    slow.active = ActiveState::Deactivating;
    slow.stop_timeout = Duration::from_mins(1);
    fake.set(slow);
    let mut overdue = Overdue::new("web", Duration::from_secs(3));
    let mut look_after = |fake: &mut Fake, seconds| {
        fake.pause(Duration::from_secs(seconds));
        let killed = overdue.look(fake).unwrap();
        killed.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(look_after(&mut fake, 1), none, "the first look");
    assert_eq!(look_after(&mut fake, 62), none);
    let words = ["web@1 did not end within 63 s: killed"];
    assert_eq!(look_after(&mut fake, 1), words);
    assert_eq!(killed(&fake), ["web@1.service"]);
}

#[test]
fn one_that_ends_again_and_again_is_not_one_that_never_ends() {
    let mut fake = Fake::running(&["web@0.service"]);
    let mut overdue = Overdue::new("web", Duration::from_secs(3));
    for run in 0..20 {
        let mut unit = fake.unit("web@0.service").unwrap();
        unit.active = ActiveState::Deactivating;
        unit.invocation = run.to_string();
        fake.set(unit);
        assert_eq!(overdue.look(&mut fake), Ok(Vec::new()));
        fake.pause(Duration::from_secs(7));
    }
}

#[test]
fn what_a_kill_does_not_end_is_killed_again_and_told_once() {
    let mut fake = Fake::running(&["web@0.service"]);
    let stuck = Unit {
        active: ActiveState::Deactivating,
        ..fake.unit("web@0.service").unwrap()
    };
    let mut overdue = Overdue::new("web", Duration::from_secs(3));
    let mut told = 0;
    for _ in 0..30 {
        fake.set(stuck.clone());
        told += overdue.look(&mut fake).unwrap().len();
        fake.pause(Duration::from_secs(1));
    }
    assert_eq!((told, killed(&fake).len()), (1, 3));
}

#[test]
fn instances_too_many_that_do_not_end_are_killed() {
    let mut fake = Fake::running(&ALL);
    let three = Plan {
        instances: 3,
        ..plan()
    };
    fake.cling("web@3.service");
    assert_eq!(run(&mut fake, &three).0, Ok(()));
    assert_eq!(fake.ready(), &ALL[..3]);
    assert_eq!(killed(&fake), ["web@3.service"]);
}

/// The job of one that runs already is done, and nothing has changed.
#[test]
fn one_that_runs_on_as_the_old_process_was_not_replaced() {
    let mut fake = Fake::running(&ALL);
    let old_pid = fake.pid("web@0.service");
    let job = fake.queue(Verb::Start, "web@0.service").unwrap();
    let (mut notes, plan) = (Notes::default(), plan());
    let mut walk = Walk {
        manager: &mut fake,
        plan: &plan,
        effects: &mut notes,
        canaries: Vec::new(),
        failures: Vec::new(),
        others: Others::Untouched,
        overdue: Overdue::new(&plan.app, plan.longest_stop),
        patience: Duration::ZERO,
    };
    assert_eq!(walk.judge(0, &job, old_pid).unwrap_err().number, Some(0));
}

/// systemd has started it again by itself between two looks.
#[test]
fn one_that_dies_while_it_settles_has_failed_although_it_is_ready_again() {
    let mut fake = Fake::running(&ALL);
    let first = Unit {
        main_pid: 7,
        ..fake.unit("web@0.service").unwrap()
    };
    let (mut notes, plan) = (Notes::default(), plan());
    let mut walk = Walk {
        manager: &mut fake,
        plan: &plan,
        effects: &mut notes,
        canaries: Vec::new(),
        failures: Vec::new(),
        others: Others::Untouched,
        overdue: Overdue::new(&plan.app, plan.longest_stop),
        patience: Duration::ZERO,
    };
    let failed = walk.settle(&[(0, first.main_pid)]).unwrap_err();
    assert_eq!(failed.why, "ready, and then pid 7 died");
}

#[test]
fn one_whose_job_had_nothing_to_do_counts_by_its_process() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@1.service", &[Start::Skips]);
    assert_eq!(run(&mut fake, &plan()).0, Ok(()));
    let restarts = fake.log.iter().filter(|l| *l == "restart web@1.service");
    assert_eq!(restarts.count(), 1);
}

#[test]
fn a_job_that_was_cancelled_is_asked_for_again() {
    for (unit, line) in [
        ("web@4.service", "canary: "),
        ("web@2.service", "instance 2: "),
    ] {
        let mut fake = Fake::running(&ALL);
        let before = pids(&fake);
        fake.cancel(unit, 3);
        let (result, notes) = run(&mut fake, &plan());
        assert_eq!(result, Ok(()));
        notes.line(&format!("{line}{WORDS}; queued again"));
        assert!(notes.lines.iter().all(|l| !l.contains("trying again")));
        assert!(pids(&fake).iter().all(|pid| !before.contains(pid)));
        assert_eq!(fake.ready(), ALL);
    }
}

#[test]
fn one_that_always_is_cancelled_ends_the_walk_with_these_words() {
    let mut fake = Fake::running(&ALL);
    let before = pids(&fake);
    fake.cancel("web@4.service", 100);
    let failed = run(&mut fake, &plan()).0.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!(
            "the canary failed: not running; {WORDS}; every instance still serves what it served"
        )
    );
    assert_eq!(pids(&fake), before);
}

#[test]
fn a_stop_that_was_cancelled_is_asked_for_again() {
    let mut fake = Fake::running(&ALL);
    let three = Plan {
        instances: 3,
        ..plan()
    };
    fake.cancel("web@3.service", 2);
    assert_eq!(run(&mut fake, &three).0, Ok(()));
    assert_eq!(fake.ready(), &ALL[..3]);

    let mut fake = Fake::running(&ALL);
    fake.cancel("web@3.service", 100);
    assert_eq!(
        run(&mut fake, &three).0.unwrap_err().why,
        "the stop of `web@3.service` was cancelled by another job of systemd"
    );
}

#[test]
fn a_cancel_by_a_stop_or_restart_of_the_cluster_is_not_undone() {
    for kind in ["stop", "restart"] {
        let mut fake = Fake::running(&[&ALL[..], &["web.service"]].concat());
        fake.busy("web.service", kind);
        fake.cancel("web@4.service", 1);
        let failed = run(&mut fake, &plan()).0.unwrap_err();
        assert!(failed.why.contains(WORDS), "{failed}");
        let asked = fake.log.iter().filter(|l| l.starts_with("restart"));
        assert_eq!(asked.count(), 1, "{:?}", fake.log);
    }
}

#[test]
fn what_somebody_elses_job_leads_to_is_a_failure_with_its_second_chance() {
    let mut fake = Fake::running(&ALL);
    fake.stop_instead("web@0.service");
    let (result, notes) = run(&mut fake, &plan());
    assert_eq!(result, Ok(()));
    notes.line(&format!("instance 0: not running; {WORDS}; trying again"));
}
