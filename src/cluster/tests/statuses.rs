//! Exit statuses that an app names as the end of its work.

use super::*;
use crate::contract::Statuses;

#[test]
fn an_instance_that_has_ended_its_work_is_no_death_and_the_last_leaves_nothing_failed() {
    let mut bench = Bench::running(&["web.service"]);
    bench.ended(0, 3);
    assert_eq!(bench.deaths(0), 0);
    assert_eq!(stop_reason::read(&bench.cluster), Some(StopReason::Done));
    assert_eq!(bench.fake.log, ["stop web.service"]);
    assert_eq!(bench.stop(), Stopped::Clean);
}

/// How a program ends that nothing starts again.
impl Bench {
    fn ends_once(&mut self, number: u32, status: i32, was_ready: bool) {
        let ready = if was_ready { 2 } else { 0 };
        let result = if status == 0 && was_ready {
            "success"
        } else {
            "exit-code"
        };
        self.fake.set(Unit {
            name: format!("web@{number}.service"),
            active: ActiveState::Deactivating,
            result: result.into(),
            invocation: "run".into(),
            exit_code: libc::CLD_EXITED,
            exit_status: status,
            inactive_exit: Duration::from_secs(1),
            active_enter: Duration::from_secs(ready),
            ..Unit::default()
        });
        let end = Ended {
            number,
            autorestart: false,
            env_files: &[],
            stop_exit_codes: &Statuses::default(),
            own_listener: false,
        };
        ended(&mut self.fake, &self.cluster, end, &POLICY, Duration::ZERO).unwrap();
    }

    /// The unit after these commands.
    fn is_down(&mut self, number: u32, active: ActiveState) {
        let name = format!("web@{number}.service");
        let unit = self.fake.unit(&name).unwrap();
        self.fake.set(Unit { active, ..unit });
    }
}

#[test]
fn a_program_that_nothing_starts_again_has_done_its_work_by_status_0_after_ready() {
    for (status, was_ready, is_done) in [(0, true, true), (0, false, false), (1, true, false)] {
        let mut bench = Bench::running(&["web.service"]);
        bench.ends_once(0, status, was_ready);
        let why = stop_reason::read(&bench.cluster);
        assert_eq!(why == Some(StopReason::Done), is_done, "{why:?}");
        let deaths = Deaths::load(&bench.cluster.deaths(0));
        assert_eq!(deaths.is_none(), is_done, "{deaths:?}");
    }
}

#[test]
fn a_start_neither_runs_one_again_that_was_quicker_nor_calls_it_failed() {
    for (status, active, told) in [
        (0, ActiveState::Inactive, Ok(0)),
        (
            3,
            ActiveState::Failed,
            Err("none of 1 instances serves: exited with status 3".into()),
        ),
    ] {
        let mut bench = Bench::running(&[]);
        bench.fake.busy("web.service", "start");
        bench.ends_once(0, status, true);
        bench.is_down(0, active);
        assert_eq!(bench.start(1), told);
        assert_eq!(bench.fake.log, [""; 0]);
        // A later start is another job, and runs the program.
        bench.fake.set(Unit {
            name: "web.service".into(),
            job: Some(crate::systemd::QueuedJob {
                path: "/job/later".into(),
                kind: "start".into(),
            }),
            ..Unit::default()
        });
        assert_eq!(bench.start(1), Ok(1));
    }
}

#[test]
fn a_start_waits_for_the_commands_at_the_end_of_one_and_for_no_longer() {
    for (has_end, log) in [(true, &[][..]), (false, &["start web@0.service"])] {
        let mut bench = Bench::running(&[]);
        while_a_start_goes_on(&mut bench);
        bench.ends_once(0, 0, true);
        if has_end {
            let unit = bench.fake.unit("web@0.service").unwrap();
            let down = Unit {
                active: ActiveState::Inactive,
                ..unit
            };
            bench.fake.set_at(Duration::from_secs(2), down);
        }
        let _ = bench.start(1);
        assert_eq!(bench.fake.log, log);
    }
}

/// The job of a start of the app, which goes on.
fn while_a_start_goes_on(bench: &mut Bench) {
    bench.fake.set(Unit {
        name: "web.service".into(),
        job: Some(crate::systemd::QueuedJob {
            path: "/job/start".into(),
            kind: "start".into(),
        }),
        ..Unit::default()
    });
}

#[test]
fn what_somebody_has_stopped_during_a_start_has_not_done_its_work() {
    let mut bench = Bench::running(&["web@1.service"]);
    while_a_start_goes_on(&mut bench);
    bench.fake.busy("web@0.service", "stop");
    bench.ended(0, 0);
    let unit = bench.fake.unit("web@0.service").unwrap();
    bench.fake.set(Unit { job: None, ..unit });
    assert_eq!(bench.start(2), Ok(2));
}

#[test]
fn the_brake_unit_ends_a_cluster_whose_last_instance_ended_during_its_start() {
    for (status, active, is_done) in [
        (0, ActiveState::Inactive, true),
        (3, ActiveState::Failed, false),
    ] {
        let mut bench = Bench::running(&["web.service"]);
        bench.fake.busy("web.service", "start");
        bench.ends_once(0, status, true);
        bench.is_down(0, active);
        assert_eq!(stop_reason::read(&bench.cluster), None);
        let leader = bench.fake.unit("web.service").unwrap();
        bench.fake.set(Unit {
            job: None,
            ..leader
        });
        super::super::brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
        assert_eq!(bench.fake.log, ["stop web.service"]);
        let why = stop_reason::read(&bench.cluster);
        let failed = StopReason::Failed("no instance is left: exited with status 3".into());
        assert_eq!(why, Some(if is_done { StopReason::Done } else { failed }));
    }
}

#[test]
fn while_others_serve_only_the_status_follows_from_it() {
    let mut bench = Bench::running(&["web.service", "web@1.service"]);
    bench.ended(0, 3);
    assert_eq!(bench.fake.log, ["start web:brake.service"]);
    bench.ended(0, 4);
    assert_eq!(bench.deaths(0), 1);
}

#[test]
fn a_cluster_whose_last_instance_was_given_up_ends_with_how_that_died() {
    for (reason, told) in [
        ("killed by SIGTRAP", "killed by SIGTRAP"),
        ("", "exited with status 3"),
    ] {
        let mut bench = Bench::running(&["web.service"]);
        bench.fake.set(Unit {
            name: "web@0.service".into(),
            active: ActiveState::Failed,
            result: "exit-code".into(),
            exit_code: libc::CLD_EXITED,
            exit_status: 3,
            ..Unit::default()
        });
        let deaths = Deaths {
            errored: true,
            reason: reason.into(),
            ..Deaths::default()
        };
        deaths.store(&bench.cluster.deaths(0)).unwrap();
        super::super::brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
        let failed = StopReason::Failed(format!("no instance is left: {told}"));
        assert_eq!(stop_reason::read(&bench.cluster), Some(failed));
    }
}
