//! The traces of the end of an instance: the reason for the next reader, and why the cluster is stopped.

use super::*;
use crate::contract::{BACKGROUND, ELSEWHERE, NOT_STARTED, REFUSED};

const REASON: &str = "killed by SIGTRAP";

fn died_before(bench: &Bench) {
    let deaths = Deaths {
        count: POLICY.max_restarts,
        reason: REASON.into(),
        ..Deaths::default()
    };
    deaths.store(&bench.cluster.deaths(0)).unwrap();
}

#[test]
fn an_end_is_noted_with_its_reason() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    bench.ended(0, 7);
    let deaths = Deaths::load(&bench.cluster.deaths(0)).unwrap();
    assert!(deaths.reason.contains("status 7"), "{}", deaths.reason);
}

#[test]
fn a_program_that_went_to_the_background_is_not_started_again_and_one_that_is_done_at_once_is_told_what_to_write()
 {
    let reason = |bench: &Bench| Deaths::load(&bench.cluster.deaths(0)).unwrap().reason;
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let unit = bench.fake.unit("web@0.service").unwrap();
    let soon = Unit {
        inactive_exit: Duration::from_secs(1),
        active_enter: Duration::from_secs(2),
        main_exit: Duration::from_secs(2) + POLICY.min_uptime / 2,
        ..unit.clone()
    };
    bench.fake.set(soon.clone());
    bench.ended(0, 0);
    assert!(
        reason(&bench).starts_with("exited with status 0 soon after it was READY; "),
        "{}",
        reason(&bench)
    );
    bench.fake.set(Unit {
        main_exit: Duration::from_secs(2) + POLICY.min_uptime,
        ..soon.clone()
    });
    bench.ended(0, 0);
    assert_eq!(reason(&bench), "exited with status 0");
    bench.fake.set(Unit {
        status_text: BACKGROUND.into(),
        ..soon
    });
    bench.ended(0, 0);
    assert_eq!(reason(&bench), format!("{REFUSED}{BACKGROUND}"));
    bench.ended(0, 7);
    assert_eq!(reason(&bench), "exited with status 7");
}

#[test]
fn an_instance_that_is_unhealthy_died_of_that_whatever_its_status_is_by_then() {
    let file = |bench: &Bench| bench.cluster.file(Name::Unhealthy(0));
    let reason = |bench: &Bench| Deaths::load(&bench.cluster.deaths(0)).unwrap().reason;
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let draining = Unit {
        status_text: "draining, busy connections: 1".into(),
        active_enter: Duration::ZERO,
        ..bench.fake.unit("web@0.service").unwrap()
    };
    let unhealthy = Unit {
        status_text: "unhealthy: `check` ended with exit status: 3".into(),
        ..draining.clone()
    };
    bench.fake.set(unhealthy);
    bench.ended(0, 0);
    assert_eq!(
        reason(&bench),
        "unhealthy: `check` ended with exit status: 3"
    );
    bench.fake.set(draining);
    file(&bench)
        .write("unhealthy: GET / answered 500 No")
        .unwrap();
    bench.ended(0, 0);
    assert_eq!(reason(&bench), "unhealthy: GET / answered 500 No");
    bench.ended(0, 7);
    assert!(reason(&bench).contains("status 7"), "it is told once");
}

#[test]
fn an_instance_that_was_given_up_is_told_by_how_it_died() {
    for (status, is_told) in [(190, true), (203, false)] {
        let mut bench = Bench::running(&["web.service"]);
        died_before(&bench);
        bench.ended(0, status);
        let Some(StopReason::Failed(why)) = stop_reason::read(&bench.cluster) else {
            panic!("status {status}: no stop_reason")
        };
        assert_eq!(why.contains(REASON), is_told, "{why}");
        // Whether the worker gave it up or did not see the count, it is known as given up.
        let deaths = Deaths::load(&bench.cluster.deaths(0)).unwrap();
        assert!(deaths.errored, "status {status}");
    }
}

#[test]
fn the_sockets_are_stopped_only_for_a_stop_that_somebody_asked_for() {
    for (job, stop_reason) in [("restart", None), ("stop", Some(StopReason::Idle))] {
        let mut bench = Bench::running(&["web.service", "web.socket"]);
        bench.cluster_ends("success", job);
        bench.fake.busy("web@0.service", "stop");
        if let Some(stop_reason) = stop_reason {
            stop_reason::write(&bench.cluster, &stop_reason).unwrap();
        }
        bench.ended(0, 0);
        assert_eq!(bench.fake.log, [""; 0], "{job}");
    }
}

#[test]
fn a_worker_that_starts_no_program_says_why_and_a_program_may_not() {
    let said = |status| {
        let mut bench = Bench::running(&["web.service", "web@0.service"]);
        let told = Unit {
            status_text: format!("{NOT_STARTED}no such user"),
            ..bench.fake.unit("web@0.service").unwrap()
        };
        bench.fake.set(told);
        bench.ended(0, status);
        Deaths::load(&bench.cluster.deaths(0)).unwrap().reason
    };
    assert_eq!(said(1), "no such user");
    assert!(said(7).contains("status 7"));
}

#[test]
fn an_address_that_was_refused_is_told_without_how_the_worker_ended() {
    let mut bench = Bench::running(&["web@0.service"]);
    let deaths = Deaths {
        reason: format!("{REFUSED}another address"),
        ..Deaths::default()
    };
    deaths.store(&bench.cluster.deaths(1)).unwrap();
    bench.fake.script("web@1.service", &[fake::Start::GivesUp]);
    assert_eq!(bench.start(2), Ok(1));
    assert_eq!(
        bench.said,
        ["web@1.service does not serve: another address"]
    );
}

#[test]
fn an_end_that_a_job_asked_for_is_no_loss() {
    for (job, may_be_lost) in [
        (Some("restart"), false),
        (Some("stop"), false),
        (None, true),
    ] {
        let mut bench = Bench::running(&["web.service", "web@0.service", "web@1.service"]);
        if let Some(kind) = job {
            bench.fake.busy("web@0.service", kind);
        }
        let end = Ended {
            number: 0,
            autorestart: true,
            env_files: &[],
            stop_exit_codes: &vec![].into(),
            own_listener: false,
        };
        let Bench { fake, cluster, .. } = &mut bench;
        let noted = ended(fake, cluster, end, &POLICY, Duration::ZERO);
        assert_eq!(noted.unwrap().is_asked_for, !may_be_lost, "{job:?}");
    }
}

#[test]
fn one_that_is_restarted_follows_the_link_and_one_that_is_recycled_keeps_its_release_once() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let unit = bench.fake.unit("web@0.service").unwrap();
    bench.fake.set(Unit {
        invocation: "aa".into(),
        ..unit
    });
    bench.fake.busy("web@0.service", "restart");
    let release = bench.cluster.file(Name::Release(0));
    for (of_run, is_kept) in [(None, false), (Some("aa"), true), (Some("bb"), false)] {
        release.write("/a\n/b\n").unwrap();
        if let Some(of_run) = of_run {
            bench.cluster.keep_release(0, of_run);
        }
        bench.ended(0, 0);
        assert_eq!(release.read().is_ok(), is_kept, "{of_run:?}");
        bench.ended(0, 0);
        assert!(release.read().is_err(), "only once");
    }
}

#[test]
fn an_instance_that_never_served_because_it_was_unhealthy_is_told_with_the_fault() {
    let mut bench = Bench::running(&["web@0.service"]);
    let deaths = Deaths {
        count: 1,
        reason: "unhealthy: GET / answered 500".into(),
        ..Deaths::default()
    };
    deaths.store(&bench.cluster.deaths(1)).unwrap();
    bench.fake.script("web@1.service", &[fake::Start::Fails]);
    assert_eq!(bench.start(2), Ok(1));
    assert_eq!(
        bench.said,
        ["web@1.service does not serve: unhealthy: GET / answered 500"]
    );
}

#[test]
fn a_death_is_told_with_the_time_since_ready() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let unit = bench.fake.unit("web@0.service").unwrap();
    bench.fake.set(Unit {
        inactive_exit: Duration::from_secs(1),
        active_enter: Duration::from_secs(2),
        main_exit: Duration::from_millis(14_390),
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 1,
        ..unit
    });
    let end = Ended {
        number: 0,
        autorestart: true,
        env_files: &[],
        stop_exit_codes: &vec![].into(),
        own_listener: false,
    };
    let Bench { fake, cluster, .. } = &mut bench;
    let noted = ended(fake, cluster, end, &POLICY, Duration::ZERO).unwrap();
    assert_eq!(
        noted.death.unwrap().text,
        "web@0.service ended 12.3 s after it was ready: exited with status 1"
    );
}

/// The lines of such a run would be looked for up to a time before they were written.
#[test]
fn a_process_that_has_not_ended_is_not_looked_for_by_its_times() {
    let run = |last_main_pid, ended| Unit {
        last_main_pid,
        ended: Duration::from_secs(ended),
        ..Unit::default()
    };
    let is_known = |unit: Unit| crate::cluster::ended::process(&unit).is_some();
    assert!(is_known(run(7, 1)));
    assert!(!is_known(run(7, 0)));
    assert!(!is_known(run(0, 1)));
}

#[test]
fn an_instance_that_was_stopped_after_it_had_recovered_is_not_given_up() {
    for (up, job, is_errored) in [
        (POLICY.min_uptime, "stop", false),
        (POLICY.min_uptime, "restart", false),
        (POLICY.min_uptime / 2, "stop", true),
    ] {
        let mut bench = Bench::running(&["web.service", "web@0.service", "web@1.service"]);
        let given_up = Deaths {
            count: POLICY.max_restarts,
            reason: REASON.into(),
            errored: true,
            ..Deaths::default()
        };
        given_up.store(&bench.cluster.deaths(0)).unwrap();
        let unit = Unit {
            inactive_exit: Duration::from_secs(1),
            active_enter: Duration::from_secs(2),
            main_exit: Duration::from_secs(2) + up,
            ..bench.fake.unit("web@0.service").unwrap()
        };
        bench.fake.set(unit);
        bench.fake.busy("web@0.service", job);
        bench.ended(0, 0);
        let deaths = Deaths::load(&bench.cluster.deaths(0)).unwrap();
        assert_eq!(deaths.errored, is_errored, "{job} after {up:?}");
        // The next deaths are the first ones again.
        assert_eq!(deaths.count == 0, !is_errored, "{job} after {up:?}");
        assert_eq!(deaths.reason, REASON);
    }
}

#[test]
fn a_program_that_listened_elsewhere_until_its_time_was_over_is_told_where() {
    let elsewhere = format!("{ELSEWHERE}[::]:4000, declared is [::]:3000");
    let reason = |result: &str, status: &str, ready| {
        let mut bench = Bench::running(&["web.service", "web@0.service"]);
        let unit = bench.fake.unit("web@0.service").unwrap();
        bench.fake.set(Unit {
            result: result.into(),
            status_text: status.into(),
            exit_code: libc::CLD_KILLED,
            exit_status: libc::SIGTERM,
            inactive_exit: Duration::from_secs(1),
            active_enter: Duration::from_secs(ready),
            main_exit: Duration::from_secs(9),
            ..unit
        });
        let end = Ended {
            number: 0,
            autorestart: true,
            env_files: &[],
            stop_exit_codes: &Vec::new().into(),
            own_listener: false,
        };
        let Bench { fake, cluster, .. } = &mut bench;
        ended(fake, cluster, end, &POLICY, Duration::ZERO).unwrap();
        Deaths::load(&cluster.deaths(0)).unwrap().reason
    };
    let told = reason("timeout", &elsewhere, 0);
    assert!(told.ends_with(&format!(": {elsewhere}")), "{told}");
    for (result, status, ready) in [
        ("timeout", "serving", 0),
        ("timeout", &*elsewhere, 2),
        ("signal", &*elsewhere, 0),
    ] {
        let told = reason(result, status, ready);
        assert!(!told.contains(status), "{result} after {ready}: {told}");
    }
}
