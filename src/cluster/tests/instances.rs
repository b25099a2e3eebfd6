//! The states of instances and their jobs, and what start, stop and the end of an instance make of them.

use super::*;
use ActiveState::{Activating, Active, Deactivating, Failed, Inactive};

fn instance(number: u32, active: ActiveState, sub: &str) -> Unit {
    Unit {
        name: format!("web@{number}.service"),
        active,
        sub: sub.into(),
        ..Unit::default()
    }
}

#[test]
fn whether_an_instance_is_there_follows_from_its_job_and_then_from_its_state() {
    for (active, exit_status, job, is_there) in [
        (Active, 0, "", true),
        (Active, 0, "restart", true),
        (Active, 0, "stop", false),
        (Activating, 1, "", true),
        (Inactive, 0, "", false),
        (Inactive, 0, "start", true),
        (Failed, 1, "", false),
        (Deactivating, 0, "stop", false),
        (Deactivating, 1, "", true),
        // Given up: only a restart, which somebody has asked for, starts it once more.
        (Deactivating, 190, "", false),
        (Deactivating, 190, "start", false),
        (Deactivating, 190, "restart", true),
    ] {
        let mut bench = Bench::running(&[]);
        bench.fake.set(Unit {
            exit_status,
            ..instance(0, active, "")
        });
        if !job.is_empty() {
            bench.fake.busy("web@0.service", job);
        }
        let found = serving::anybody(&mut bench.fake, &bench.cluster, None).unwrap();
        let case = format!("{active}, status {exit_status}, job `{job}`");
        assert_eq!(found, is_there, "{case}");
        let another = serving::anybody(&mut bench.fake, &bench.cluster, Some(0)).unwrap();
        assert!(!another, "{case}");
    }
}

#[test]
fn start_starts_what_is_down_and_leaves_alone_what_waits_for_its_next_start() {
    for (active, sub, log) in [
        (Inactive, "dead", &["start web@1.service"][..]),
        (Failed, "failed", &["start web@1.service"]),
        (Activating, "auto-restart", &[]),
    ] {
        let mut bench = Bench::running(&["web@0.service"]);
        bench.fake.set(instance(1, active, sub));
        let serving = if log.is_empty() { 1 } else { 2 };
        assert_eq!(bench.start(2), Ok(serving));
        assert_eq!(bench.fake.log, log, "{active} ({sub})");
    }
}

#[test]
fn one_beyond_the_wanted_that_does_not_end_is_none_of_those_that_do_not_serve() {
    let mut bench = Bench::running(&["web@0.service", "web@1.service"]);
    bench.fake.cling("web@1.service");
    assert_eq!(bench.start(1), Ok(1));
    assert_eq!(bench.said, [""; 0]);
}

#[test]
fn the_others_have_their_time_from_when_the_first_serves() {
    let mut bench = Bench::running(&[]);
    for (number, seconds) in [(0, 120), (1, 125)] {
        let ready = instance(number, Active, "running");
        bench.fake.script(&ready.name, &[fake::Start::Stuck]);
        let when = Duration::from_secs(seconds);
        bench.fake.set_at(when, ready);
    }
    assert_eq!(bench.start(2), Ok(2));
}

#[test]
fn one_that_somebody_stops_while_it_starts_stays_stopped() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.stop_instead("web@1.service");
    assert_eq!(bench.start(2), Ok(1));
    assert_eq!(bench.fake.log, ["start web@1.service"]);
}

#[test]
fn one_whose_start_was_cancelled_before_it_was_down_is_started_once_it_is() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.set(instance(1, Deactivating, "stop"));
    let down = instance(1, Inactive, "dead");
    bench.fake.set_at(Duration::from_secs(2), down);
    bench.fake.cancel("web@1.service", 1);
    assert_eq!(bench.start(2), Ok(2));
}

#[test]
fn how_an_instance_died_is_told_only_of_one_that_was_given_up() {
    for (exit_status, is_told) in [(190, true), (1, false)] {
        let mut bench = Bench::running(&["web@0.service"]);
        let deaths = Deaths {
            reason: "killed by SIGTRAP".into(),
            ..Deaths::default()
        };
        deaths.store(&bench.cluster.deaths(1)).unwrap();
        bench.fake.set(Unit {
            result: "exit-code".into(),
            exit_code: libc::CLD_EXITED,
            exit_status,
            ..instance(1, Activating, "auto-restart")
        });
        assert_eq!(bench.start(2), Ok(1));
        let told = bench.said.join("\n");
        assert!(told.starts_with("web@1.service does not serve: "), "{told}");
        assert_eq!(told.contains("killed by SIGTRAP"), is_told, "{told}");
    }
}

#[test]
fn what_still_tries_is_ended_only_after_a_start_that_failed_by_itself() {
    for (result, job, log) in [
        ("timeout", "start", &["stop web@0.service"][..]),
        ("timeout", "restart", &[]),
        ("success", "start", &[]),
    ] {
        let mut bench = Bench::running(&[]);
        bench.fake.set(instance(0, Activating, "auto-restart"));
        bench.cluster_ends(result, job);
        bench.stopped();
        assert_eq!(bench.fake.log, log, "{result}, job `{job}`");
        let is_counted = bench.cluster.file(Name::Failures).read().is_ok();
        assert_eq!(is_counted, !log.is_empty(), "{result}, job `{job}`");
    }
}

/// A mask hides `PartOf=` from systemd, which then does not stop the instance with its cluster.
#[test]
fn an_instance_that_no_stop_has_reached_is_stopped_once() {
    let mut bench = Bench::running(&["web@0.service", "web@1.service"]);
    bench.fake.busy("web.service", "stop");
    assert_eq!(bench.stop(), Stopped::Clean);
    assert_eq!(bench.fake.log, ["stop web@0.service", "stop web@1.service"]);
    // An instance whose stop is on its way is left to that stop.
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.busy("web.service", "stop");
    bench.fake.busy("web@0.service", "stop");
    let end = bench.fake.now() + Duration::from_secs(1);
    bench.fake.set_at(end, instance(0, Inactive, "dead"));
    assert_eq!(bench.stop(), Stopped::Clean);
    assert_eq!(bench.fake.log, [""; 0]);
}
