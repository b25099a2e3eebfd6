//! Instances whose program is never started: a command before it fails, or systemd can run no command at all.

use std::path::PathBuf;

use super::*;
use crate::cluster::left::Left;
use crate::cluster::progress;
use crate::contract::Statuses;
use crate::state::Lock;

impl Bench {
    /// A run that ended before there was a program.
    fn fails_before(&mut self, env_files: &[PathBuf]) {
        self.fake.set(Unit {
            name: "web@0.service".into(),
            load: "loaded".into(),
            active: ActiveState::Deactivating,
            result: "exit-code".into(),
            ..Unit::default()
        });
        let end = Ended {
            number: 0,
            autorestart: true,
            env_files,
            stop_exit_codes: &Statuses::default(),
            own_listener: false,
        };
        ended(&mut self.fake, &self.cluster, end, &POLICY, Duration::ZERO).unwrap();
    }

    fn reason(&self) -> String {
        Deaths::load(&self.cluster.deaths(0)).unwrap().reason
    }
}

#[test]
fn a_command_that_fails_before_the_program_is_counted_and_ends_in_a_stop() {
    let mut bench = Bench::running(&["web.service", "web@1.service"]);
    for count in 1..POLICY.max_restarts {
        bench.fails_before(&[]);
        assert_eq!(bench.deaths(0), count);
    }
    assert!(!bench.fake.log.contains(&"stop web@0.service".to_owned()));
    bench.fails_before(&[]);
    assert!(bench.fake.log.contains(&"stop web@0.service".to_owned()));
    // The next start is one trial.
    assert_eq!(bench.deaths(0), POLICY.max_restarts - 1);
    assert!(bench.reason().contains("`ExecStartPre=`"));
}

#[test]
fn a_missing_file_of_variables_is_the_reason_and_one_that_is_there_is_not() {
    let mut bench = Bench::running(&["web.service", "web@1.service"]);
    bench.fails_before(&["/etc/passwd".into(), "/no/such/file".into()]);
    let reason = bench.reason();
    assert!(
        reason.starts_with("`/no/such/file`, a file of `env_file`, is missing"),
        "{reason}"
    );
    bench.fails_before(&["/etc/passwd".into()]);
    assert!(!bench.reason().contains("passwd"), "{}", bench.reason());
}

#[test]
fn one_whose_deaths_nobody_counts_is_stopped_by_the_start_after_many_restarts() {
    let mut bench = Bench::running(&[]);
    let restarting = |n_restarts| Brief {
        name: "web@0.service".into(),
        active: ActiveState::Activating,
        sub: format!("auto-restart {n_restarts}"),
        job: None,
    };
    // The program ran once: its exit stays in the properties of the unit.
    let unit = |n_restarts, result: &str| Unit {
        name: "web@0.service".into(),
        active: ActiveState::Activating,
        result: result.into(),
        exit_code: libc::CLD_EXITED,
        n_restarts,
        ..Unit::default()
    };
    let mut unrun = super::super::unrun::Unrun::new(None);
    let mut is_stopped_after = |n_restarts, result: &str, counted| {
        let deaths = Deaths {
            count: counted,
            ..Deaths::default()
        };
        deaths.store(&bench.cluster.deaths(0)).unwrap();
        bench.fake.set(unit(n_restarts, result));
        let instances = [restarting(n_restarts)];
        unrun
            .brake(&mut bench.fake, &bench.cluster, &instances)
            .unwrap();
        bench.fake.log.contains(&"stop web@0.service".to_owned())
    };
    assert!(!is_stopped_after(3, "exit-code", 1));
    // The brake of the app itself counts these.
    assert!(!is_stopped_after(43, "exit-code", 41));
    assert!(!is_stopped_after(58, "resources", 41));
    assert!(!is_stopped_after(59, "resources", 41));
    assert!(is_stopped_after(60, "oom-kill", 41));
}

#[test]
fn one_that_serves_is_not_stopped_however_often_it_was_restarted() {
    let mut bench = Bench::running(&["web@0.service"]);
    let mut unrun = super::super::unrun::Unrun::new(None);
    for n_restarts in [0, 1000] {
        bench.fake.set(Unit {
            name: "web@0.service".into(),
            active: ActiveState::Active,
            n_restarts,
            ..Unit::default()
        });
        let instances = bench.fake.units("web@*.service").unwrap();
        unrun
            .brake(&mut bench.fake, &bench.cluster, &instances)
            .unwrap();
    }
    assert_eq!(bench.fake.log, [""; 0]);
}

#[test]
fn the_start_names_why_a_program_was_not_started_where_that_was_noted() {
    for (reason, told) in [("a file is missing", Some("a file is missing")), ("", None)] {
        let mut bench = Bench::running(&["web@0.service"]);
        let unit = Unit {
            name: "web@1.service".into(),
            active: ActiveState::Activating,
            sub: "auto-restart".into(),
            result: "exit-code".into(),
            ..Unit::default()
        };
        let deaths = Deaths {
            count: 1,
            reason: reason.into(),
            ..Deaths::default()
        };
        deaths.store(&bench.cluster.deaths(1)).unwrap();
        let told = told.map_or_else(|| unit.why(), str::to_owned);
        bench.fake.set(unit);
        assert_eq!(bench.start(2), Ok(1));
        assert_eq!(
            bench.said,
            [format!("web@1.service does not serve: {told}")]
        );
    }
}

/// An instance that systemd cannot run and goes on restarting.
pub(super) fn refused(number: u32, n_restarts: u32) -> Unit {
    Unit {
        name: format!("web@{number}.service"),
        load: "loaded".into(),
        active: ActiveState::Activating,
        sub: "auto-restart".into(),
        result: "resources".into(),
        n_restarts,
        ..Unit::default()
    }
}

#[test]
fn the_brake_unit_ends_the_restarts_of_each_and_after_the_last_the_cluster() {
    let mut bench = Bench::running(&["web.service"]);
    bench.fake.set(refused(0, 1));
    bench.fake.set(refused(1, 7));
    for (after, unit) in [
        (2, refused(0, 3)),
        (2, refused(1, 8)),
        (4, refused(0, 5)),
        (5, refused(1, 10)),
        (6, refused(1, 11)),
    ] {
        bench.fake.set_at(Duration::from_secs(after), unit);
    }
    let said = &mut bench.said;
    brake(&mut bench.fake, &bench.cluster, 3, &mut |line| {
        said.push(line.to_owned());
    })
    .unwrap();
    let stops = |number| {
        [
            format!("stop web@{number}.service"),
            format!("stop web@{number}.socket alone"),
        ]
    };
    let mut stopped = [stops(0), stops(1)].concat();
    stopped.push("stop web.service".into());
    assert_eq!(bench.fake.log, stopped);
    let why = "systemd could not run it because something that the unit needs is missing; `journalctl -u web@0.service` says what";
    assert_eq!(
        bench.said[0],
        format!(
            "web@0.service is given up after 4 restarts in a row that could not be counted, the last: {why}"
        )
    );
    let known = Deaths::load(&bench.cluster.deaths(0)).unwrap();
    assert!(known.errored);
    // The next start is one trial.
    assert_eq!((known.count, known.reason.as_str()), (2, why));
    let Some(StopReason::Failed(last)) = stop_reason::read(&bench.cluster) else {
        panic!("no stop_reason");
    };
    assert!(
        last.starts_with("no instance is left: systemd could not run it"),
        "{last}"
    );
}

#[test]
fn the_brake_unit_ends_once_all_have_come_up_or_are_down() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    bench.fake.set(Unit {
        active: ActiveState::Failed,
        ..refused(1, 100)
    });
    bench.fake.set(refused(2, 100));
    bench.fake.set_at(
        Duration::from_secs(3),
        Unit {
            active: ActiveState::Active,
            ..refused(2, 100)
        },
    );
    brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
    assert_eq!(bench.fake.now(), Duration::from_secs(3));
    assert_eq!(bench.fake.log, [""; 0]);
}

#[test]
fn the_brake_unit_leaves_one_whose_ends_are_counted_to_the_crash_loop_brake() {
    let mut bench = Bench::running(&["web.service"]);
    let mut unrun = super::super::unrun::Unrun::new(Some(1));
    for n_restarts in 0..9 {
        // Each of these runs was long: the count stays as it is.
        let deaths = Deaths {
            last: Duration::from_secs(n_restarts),
            ..Deaths::default()
        };
        deaths.store(&bench.cluster.deaths(0)).unwrap();
        // The restart after a death is seen later than its count.
        for late in [0, 1] {
            let n_restarts = u32::try_from(n_restarts).unwrap() + late;
            bench.fake.set(refused(0, n_restarts));
            let instances = bench.fake.units("web@*.service").unwrap();
            let given_up = unrun.brake(&mut bench.fake, &bench.cluster, &instances);
            assert!(given_up.unwrap().is_empty(), "{n_restarts}");
        }
    }
}

#[test]
fn the_brake_unit_ends_the_canary_of_a_walk_that_was_killed() {
    let mut bench = Bench::running(&["web.service", "web@0.service", "web@1.service"]);
    let mut said = Vec::new();
    let mut run = |bench: &mut Bench| {
        let say = &mut |line: &str| said.push(line.to_owned());
        brake(&mut bench.fake, &bench.cluster, 3, say).unwrap();
        std::mem::take(&mut said)
    };
    progress::remember_canaries(&bench.cluster, &[1]);
    // Also one that does not come up, while another instance is on its way.
    bench.fake.set(refused(1, 0));
    let said = run(&mut bench);
    assert_eq!(
        said,
        ["web@1.service is stopped: it was the canary of a reload that was killed"]
    );
    assert_eq!(bench.fake.log, ["stop web@1.service"]);
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
    // All of several.
    bench.fake = Fake::running(&[
        "web.service",
        "web@0.service",
        "web@1.service",
        "web@3.service",
    ]);
    progress::remember_canaries(&bench.cluster, &[1, 3]);
    assert_eq!(run(&mut bench).len(), 2);
    assert_eq!(bench.fake.log, ["stop web@1.service", "stop web@3.service"]);
    assert_eq!(bench.fake.ready(), ["web.service", "web@0.service"]);
    // A canary that is gone is only forgotten.
    progress::remember_canaries(&bench.cluster, &[1]);
    assert_eq!(run(&mut bench), [""; 0]);
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
}

/// The canary may have connections to finish.
#[test]
fn the_brake_unit_looks_at_the_others_while_a_canary_is_stopped() {
    let mut bench = Bench::running(&["web.service", "web@0.service", "web@1.service"]);
    progress::remember_canaries(&bench.cluster, &[1]);
    bench.fake.cling("web@1.service");
    bench.fake.set(refused(2, 0));
    let soon = Duration::from_secs(2);
    bench.fake.set_at(soon, refused(2, 100));
    brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
    let log = [
        "stop web@1.service",
        "stop web@2.service",
        "stop web@2.socket alone",
        "kill web@1.service",
    ];
    assert_eq!(bench.fake.log, log);
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
}

#[test]
fn the_canary_of_a_walk_that_goes_on_is_left_to_the_walk() {
    let mut bench = Bench::running(&["web.service", "web@0.service", "web@1.service"]);
    progress::remember_canaries(&bench.cluster, &[1]);
    let lock = Lock::take(&bench.cluster.state).unwrap();
    let is_ended = Left::default().look(&mut bench.fake, &bench.cluster, &mut |_| {});
    assert_eq!(is_ended, Ok(false));
    assert_eq!(progress::canaries(&bench.cluster), [1]);
    drop(lock);
    let is_ended = Left::default().look(&mut bench.fake, &bench.cluster, &mut |_| {});
    assert_eq!(is_ended, Ok(true));
    assert_eq!(bench.fake.log, ["stop web@1.service"]);
}

#[test]
fn a_canary_that_alone_serves_is_not_stopped() {
    for (active, is_over) in [
        (ActiveState::Activating, false),
        (ActiveState::Failed, true),
    ] {
        let mut bench = Bench::running(&["web.service", "web@1.service"]);
        bench.fake.set(Unit {
            name: "web@0.service".into(),
            load: "loaded".into(),
            active,
            ..Unit::default()
        });
        progress::remember_canaries(&bench.cluster, &[1]);
        let ended = Left::default().look(&mut bench.fake, &bench.cluster, &mut |_| {});
        assert_eq!(ended, Ok(is_over), "{active:?}");
        assert!(bench.fake.log.is_empty());
        assert_eq!(progress::canaries(&bench.cluster), [1]);
    }
}

#[test]
fn the_brake_unit_is_started_again_for_an_instance_that_came_while_it_ended() {
    let brake = "web:brake.service";
    let ended = |job| Unit {
        name: brake.into(),
        active: ActiveState::Deactivating,
        exit_code: libc::CLD_EXITED,
        job,
        ..Unit::default()
    };
    let after = |instance: Unit, unit: Unit| {
        let mut bench = Bench::running(&["web.service", "web@0.service"]);
        bench.fake.set(instance);
        bench.fake.set(unit);
        braked(&mut bench.fake, &bench.cluster).unwrap();
        bench.fake.log
    };
    let is_up = || Unit {
        active: ActiveState::Active,
        ..refused(1, 0)
    };
    let again = ["start web:brake.service".to_owned()];
    assert_eq!(after(refused(1, 0), ended(None)), again);
    assert_eq!(after(is_up(), ended(None)), [""; 0]);
    // A start is waiting already, or the unit is being stopped.
    for kind in ["start", "stop"] {
        let job = QueuedJob {
            path: "/job/1".into(),
            kind: kind.into(),
        };
        assert_eq!(after(refused(1, 0), ended(Some(job))), [""; 0], "{kind}");
    }
    // A command that failed once would fail again.
    let failed = Unit {
        exit_status: 1,
        ..ended(None)
    };
    assert_eq!(after(refused(1, 0), failed), [""; 0]);
}
