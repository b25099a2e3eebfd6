//! The commands of the cluster unit on a systemd of the test.

mod deaths;
mod files;
mod instances;
mod jobs;
mod kept;
mod left;
mod listener;
mod paused;
mod shown;
mod statuses;
mod told;
mod trials;
mod unrun;

use std::time::Duration;

use tempfile::TempDir;

use super::stop_reason::{self, StopReason};
use super::*;
use crate::brake::Deaths;
use crate::contract::{OnFailure, Policy};
use crate::systemd::fake::{self, Fake};
use crate::systemd::{ActiveState, Unit, Verb};
use crate::walk::Plan;

const POLICY: Policy = Policy {
    min_uptime: Duration::from_secs(1),
    max_restarts: 3,
    backoff: None,
};

const LONGEST: Duration = Duration::from_secs(3);

struct Bench {
    cluster: Cluster,
    fake: Fake,
    said: Vec<String>,
    /// Whether each instance has a listener of its own.
    own_listener: bool,
    _folder: TempDir,
}

impl Bench {
    fn running(units: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            cluster: Cluster {
                app: "web".into(),
                state: folder.path().join("web"),
                scope: crate::layout::Scope::System,
                journal: crate::record::Journal::default(),
            },
            fake: Fake::running(units),
            said: Vec::new(),
            own_listener: false,
            _folder: folder,
        }
    }

    fn start(&mut self, wanted: u32) -> Result<u32, String> {
        let said = &mut self.said;
        let mut say = |line: &str| said.push(line.to_owned());
        let how = Start {
            wanted,
            longest_stop: LONGEST,
            patience: Duration::from_mins(1),
        };
        super::start(&mut self.fake, &self.cluster, how, &mut say).map_err(|e| e.to_string())
    }

    fn stop(&mut self) -> Stopped {
        let said = &mut self.said;
        let mut say = |line: &str| said.push(line.to_owned());
        super::stop(&mut self.fake, &self.cluster, LONGEST, &mut say).unwrap()
    }

    fn stopped(&mut self) {
        let said = &mut self.said;
        let mut say = |line: &str| said.push(line.to_owned());
        super::stopped(&mut self.fake, &self.cluster, LONGEST, &mut say).unwrap();
    }

    fn ended(&mut self, number: u32, status: i32) {
        let name = format!("web@{number}.service");
        let unit = Unit {
            result: "exit-code".into(),
            exit_code: libc::CLD_EXITED,
            exit_status: status,
            ..self.fake.unit(&name).unwrap()
        };
        let end = Ended {
            number,
            autorestart: true,
            env_files: &[],
            stop_exit_codes: &vec![3].into(),
            own_listener: self.own_listener,
        };
        self.fake.set(unit);
        ended(&mut self.fake, &self.cluster, end, &POLICY, Duration::ZERO).unwrap();
    }

    /// The cluster unit as it is between its end and what follows.
    fn cluster_ends(&mut self, result: &str, job: &str) {
        self.fake.set(Unit {
            name: "web.service".into(),
            active: ActiveState::Deactivating,
            result: result.into(),
            ..Unit::default()
        });
        self.fake.busy("web.service", job);
    }

    fn deaths(&self, number: u32) -> u32 {
        Deaths::load(&self.cluster.deaths(number)).map_or(0, |d| d.count)
    }
}

#[test]
fn start_starts_what_the_links_did_not_and_stops_what_is_too_much() {
    let mut bench = Bench::running(&["web@0.service", "web@2.service"]);
    assert_eq!(bench.start(2), Ok(2));
    assert_eq!(bench.fake.ready(), ["web@0.service", "web@1.service"]);
}

#[test]
fn start_stops_a_canary_that_a_restart_is_about_to_start_again() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.busy("web@1.service", "start");
    assert_eq!(bench.start(1), Ok(1));
    assert_eq!(bench.fake.log, ["stop web@1.service"]);
    assert_eq!(bench.fake.ready(), ["web@0.service"]);
}

#[test]
fn start_waits_for_the_jobs_of_the_links_and_queues_none_of_its_own_for_them() {
    let mut bench = Bench::running(&[]);
    bench.fake.busy("web@0.service", "start");
    bench.fake.busy("web@1.service", "start");
    assert_eq!(bench.start(2), Ok(2));
    assert_eq!(bench.fake.log, Vec::<String>::new());
}

#[test]
fn one_that_serves_is_enough_and_the_others_are_named() {
    let mut bench = Bench::running(&[]);
    bench.fake.script("web@1.service", &[fake::Start::Fails]);
    assert_eq!(bench.start(3), Ok(2));
    assert_eq!(
        bench.said,
        ["web@1.service does not serve: exited with status 1"]
    );
}

#[test]
fn when_all_are_given_up_the_start_fails_and_says_why_once() {
    let mut bench = Bench::running(&[]);
    for unit in ["web@0.service", "web@1.service"] {
        bench.fake.script(unit, &[fake::Start::GivesUp]);
    }
    assert_eq!(
        bench.start(2),
        Err("none of 2 instances serves: exited with status 1".into())
    );
}

#[test]
fn start_forgets_why_it_was_stopped_and_the_canary_of_before() {
    let mut bench = Bench::running(&["web@1.service"]);
    stop_reason::write(&bench.cluster, &StopReason::Idle).unwrap();
    progress::remember_canaries(&bench.cluster, &[1]);
    assert_eq!(bench.start(1), Ok(1));
    assert_eq!(stop_reason::read(&bench.cluster), None);
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
    assert_eq!(bench.fake.ready(), ["web@0.service"]);
}

#[test]
fn a_crash_is_counted_and_the_cluster_left_alone() {
    let mut bench = Bench::running(&["web.service"]);
    bench.ended(0, 1);
    assert_eq!(bench.deaths(0), 1);
    assert_eq!(bench.fake.log, Vec::<String>::new());
}

#[test]
fn a_crash_on_the_way_up_is_counted_although_its_job_is_there() {
    let mut bench = Bench::running(&["web.service"]);
    bench.fake.busy("web@0.service", "start");
    bench.ended(0, 1);
    assert_eq!(bench.deaths(0), 1);
}

#[test]
fn what_is_stopped_or_restarted_on_purpose_is_no_death() {
    let mut bench = Bench::running(&["web.service", "web@1.service"]);
    for job in ["stop", "restart", "try-restart"] {
        bench.fake.busy("web@0.service", job);
        bench.ended(0, 0);
    }
    assert_eq!(bench.deaths(0), 0);
    // After the stop, nothing else has the status count one fewer.
    assert_eq!(bench.fake.log, ["start web:brake.service"]);
}

#[test]
fn a_run_that_never_was_ready_lived_for_no_time_whatever_one_before_it_did() {
    let seconds = Duration::from_secs;
    for (active_enter, deaths) in [(10, 1), (25, 0)] {
        let mut bench = Bench::running(&["web.service"]);
        bench.fake.set(Unit {
            name: "web@0.service".into(),
            active_enter: seconds(active_enter),
            inactive_exit: seconds(20),
            main_exit: seconds(30),
            invocation: "abc".into(),
            last_main_pid: 42,
            began: seconds(7),
            ended: seconds(9),
            uid: Some(33),
            ..Unit::default()
        });
        bench.ended(0, 1);
        assert_eq!(bench.deaths(0), deaths, "ready after {active_enter} s");
        let noted = Deaths::load(&bench.cluster.deaths(0)).unwrap();
        assert_eq!(noted.invocation, "abc", "for the journal of that run");
        let process = noted.process.map(|p| (p.pid, p.began, p.uid));
        assert_eq!(process, Some((42, seconds(7), Some(33))));
    }
}

#[test]
fn the_last_one_given_up_has_the_cluster_stopped_and_says_why() {
    let mut bench = Bench::running(&["web.service", "web@1.service"]);
    bench.fake.busy("web@0.service", "start");
    bench.ended(0, 190);
    assert_eq!(
        bench.fake.log,
        ["start web:brake.service"],
        "another instance serves"
    );
    bench.fake.queue(Verb::Stop, "web@1.service").unwrap();
    bench.ended(0, 190);
    assert_eq!(bench.fake.log.last().unwrap(), "stop web.service");
    assert!(matches!(
        stop_reason::read(&bench.cluster),
        Some(StopReason::Failed(_))
    ));
    let told = bench.stop();
    assert!(matches!(told, Stopped::Failed(why) if why.starts_with("no instance is left: ")));

    bench.cluster_ends("exit-code", "stop");
    bench.stopped();
    assert!(!bench.fake.log.contains(&"stop web.socket".to_owned()));
    assert_eq!(stop_reason::read(&bench.cluster), None);
}

#[test]
fn two_that_end_for_good_at_once_do_not_wait_for_each_other() {
    let mut bench = Bench::running(&["web.service"]);
    bench.fake.set(Unit {
        name: "web@1.service".into(),
        active: ActiveState::Deactivating,
        exit_status: 203,
        ..Unit::default()
    });
    bench.ended(0, 203);
    assert_eq!(bench.fake.log, ["stop web.service"]);
}

#[test]
fn the_last_one_stopped_by_hand_leaves_the_port_open_and_nothing_failed() {
    let mut bench = Bench::running(&["web.service"]);
    bench.fake.busy("web@0.service", "stop");
    bench.ended(0, 0);
    assert_eq!(stop_reason::read(&bench.cluster), Some(StopReason::Idle));
    assert_eq!(bench.stop(), Stopped::Clean);
    bench.cluster_ends("success", "stop");
    bench.stopped();
    assert_eq!(bench.fake.log, ["stop web.service"]);
}

#[test]
fn an_instance_that_goes_with_its_cluster_has_the_socket_stopped_first() {
    let mut bench = Bench::running(&["web.service", "web.socket"]);
    bench.cluster_ends("success", "stop");
    bench.fake.busy("web@0.service", "stop");
    bench.ended(0, 0);
    assert_eq!(bench.fake.log, ["stop web.socket"]);
}

#[test]
fn a_loop_that_the_worker_does_not_see_ends_all_the_same() {
    let mut bench = Bench::running(&["web@1.service"]);
    for _ in 0..POLICY.max_restarts {
        bench.ended(0, 1);
    }
    assert!(
        bench.fake.log.is_empty(),
        "the worker's turn: {:?}",
        bench.fake.log
    );
    bench.ended(0, 1);
    assert_eq!(bench.fake.log, ["stop web@0.service"]);
}

#[test]
fn stop_closes_the_port_and_restart_does_not() {
    let mut bench = Bench::running(&["web.socket"]);
    let stop_twice = ["stop web.socket", "stop web.socket alone"];
    for (job, log, log_post) in [
        ("restart", &[][..], &[][..]),
        ("stop", &stop_twice[..1], &stop_twice[..]),
    ] {
        bench.cluster_ends("success", job);
        bench.stop();
        assert_eq!(bench.fake.log, log);
        bench.fake.log.clear();
        bench.stopped();
        assert_eq!(bench.fake.log, log_post);
    }
}

#[test]
fn a_failed_start_leaves_the_port_open_and_ends_what_still_tries() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.set(Unit {
        name: "web@1.service".into(),
        active: ActiveState::Activating,
        sub: "auto-restart".into(),
        ..Unit::default()
    });
    bench.cluster_ends("timeout", "start");
    bench.stopped();
    assert_eq!(bench.fake.log, ["stop web@1.service"]);
}

#[test]
fn a_stop_that_a_start_overtook_touches_nothing() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.cluster_ends("success", "start");
    bench.stop();
    bench.stopped();
    assert_eq!(bench.fake.log, Vec::<String>::new());
}

fn plan() -> Plan {
    Plan {
        app: "web".into(),
        instances: 1,
        canaries: 0,
        parallel: 1,
        settle: Duration::ZERO,
        on_failure: OnFailure::Abort,
        max_failures: 0,
        step: Duration::from_secs(10),
        longest_stop: Duration::from_secs(3),
    }
}

#[test]
fn a_walk_that_leaves_nobody_ends_the_cluster_and_says_why() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let gives_up = [fake::Start::GivesUp, fake::Start::GivesUp];
    bench.fake.script("web@0.service", &gives_up);
    let mut told = Vec::new();
    let error = reload(&mut bench.fake, &bench.cluster, &plan(), &mut |line| {
        told.push(line.to_owned());
    })
    .unwrap_err();
    assert!(matches!(error, ReloadError::Walk(failed) if failed.number == Some(0)));
    assert_eq!(bench.fake.log.last().unwrap(), "stop web.service");
    assert!(stop_reason::read(&bench.cluster).is_some());
}

#[test]
fn a_reload_is_skipped_only_after_one_that_began_later_and_did_the_same() {
    let bench = Bench::running(&[]);
    let second = Duration::from_secs(1);
    assert!(!progress::is_done_since(&bench.cluster, second, &plan()));
    progress::done(&bench.cluster, second * 2, &plan());
    assert!(progress::is_done_since(&bench.cluster, second, &plan()));
    assert!(!progress::is_done_since(
        &bench.cluster,
        second * 3,
        &plan()
    ));
    let more = Plan {
        instances: 2,
        ..plan()
    };
    assert!(!progress::is_done_since(&bench.cluster, second, &more));
}
