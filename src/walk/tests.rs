//! The walk on a systemd of the test: what is touched, in which order, and what is left alone.

mod jobs;
mod kept;
mod pace;
mod told;

use std::time::Duration;

use super::*;
use crate::systemd::fake::{Fake, Start};
use crate::systemd::{ActiveState, Brief, Error, Job, JobResult, Verb};

#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    forgotten: Vec<u32>,
    canaries: Vec<u32>,
    kept: Option<Vec<u32>>,
    longest: Duration,
    cause: Option<Cause>,
}

impl Effects for Notes {
    fn step(&mut self, at_most: Duration) {
        self.longest = self.longest.max(at_most);
    }
    fn tell(&mut self, event: &Event) {
        self.lines.push(event.to_string());
    }
    fn forget(&mut self, number: u32) {
        self.forgotten.push(number);
    }
    fn remember_canaries(&mut self, numbers: &[u32]) {
        self.canaries = numbers.to_vec();
    }
    fn keep_canaries(&mut self, numbers: &[u32]) -> bool {
        self.kept = Some(numbers.to_vec());
        true
    }
    fn canaries_left(&mut self) -> Vec<u32> {
        self.canaries.clone()
    }
    fn cause(&self, _: u32) -> Option<Cause> {
        self.cause.clone()
    }
}

const ALL: [&str; 4] = [
    "web@0.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
];

fn plan() -> Plan {
    Plan {
        app: "web".into(),
        instances: 4,
        canaries: 1,
        parallel: 1,
        settle: Duration::from_secs(1),
        on_failure: OnFailure::Abort,
        max_failures: 0,
        step: Duration::from_secs(10),
        longest_stop: Duration::from_secs(3),
    }
}

fn run(fake: &mut Fake, plan: &Plan) -> (Result<(), Failed>, Notes) {
    let mut notes = Notes::default();
    (walk(fake, plan, &mut notes), notes)
}

impl Notes {
    fn line(&self, start: &str) -> usize {
        let found = self.lines.iter().position(|l| l.starts_with(start));
        found.unwrap_or_else(|| panic!("no `{start}` in {:?}", self.lines))
    }
}

fn pids(fake: &Fake) -> Vec<u32> {
    ALL.iter().map(|u| fake.pid(u)).collect()
}

#[test]
fn the_canary_goes_first_then_every_instance_in_order_and_the_canary_is_stopped() {
    let mut fake = Fake::running(&ALL);
    let (result, notes) = run(&mut fake, &plan());
    assert_eq!(result, Ok(()));
    let order = [
        "restart web@4",
        "restart web@0",
        "restart web@1",
        "restart web@2",
        "restart web@3",
        "stop web@4",
    ];
    assert_eq!(fake.log, order.map(|o| format!("{o}.service")));
    assert_eq!(fake.ready(), ALL);
    assert!(notes.line("canary: starting") < notes.line("canary: ready after"));
    assert_eq!(notes.line("done: 4 of 4 replaced"), notes.lines.len() - 1);
    assert_eq!(notes.canaries, [0; 0]);
}

#[test]
fn with_a_canary_never_fewer_than_n_are_ready() {
    let mut fake = Fake::running(&ALL);
    run(&mut fake, &plan()).0.unwrap();
    assert_eq!(fake.fewest_ready, 4);
    let mut fake = Fake::running(&ALL);
    let bare = Plan {
        canaries: 0,
        ..plan()
    };
    run(&mut fake, &bare).0.unwrap();
    assert_eq!(fake.fewest_ready, 3);
}

#[test]
fn a_canary_that_fails_hangs_or_dies_after_ready_leaves_every_instance_untouched() {
    for how in [Start::Fails, Start::Hangs, Start::DiesLater] {
        let mut fake = Fake::running(&ALL);
        let before = pids(&fake);
        fake.script("web@4.service", &[how]);
        let failed = run(&mut fake, &plan()).0.unwrap_err();
        assert!(failed.canary && failed.untouched, "{how:?}: {failed:?}");
        assert_eq!(failed.timed_out, how == Start::Hangs);
        assert_eq!(pids(&fake), before);
        assert_eq!(fake.ready(), ALL);
    }
}

#[test]
fn an_instance_gets_a_second_chance() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@1.service", &[Start::Fails]);
    let (result, notes) = run(&mut fake, &plan());
    assert_eq!(result, Ok(()));
    notes.line("instance 1: exited with status 1; trying again");
}

#[test]
fn an_instance_that_fails_twice_ends_the_walk_and_the_rest_keep_what_they_run() {
    let mut fake = Fake::running(&ALL);
    let before = pids(&fake);
    fake.script("web@1.service", &[Start::Fails, Start::Fails]);
    let failed = run(&mut fake, &plan()).0.unwrap_err();
    assert_eq!((failed.number, failed.untouched), (Some(1), false));
    assert_eq!(pids(&fake)[2..], before[2..]);
    assert_eq!(
        fake.ready(),
        ["web@0.service", "web@2.service", "web@3.service"]
    );
}

#[test]
fn with_on_failure_restart_the_whole_app_is_restarted_at_once() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@1.service", &[Start::Fails, Start::Fails]);
    let restart = Plan {
        on_failure: OnFailure::Restart,
        ..plan()
    };
    let (result, notes) = run(&mut fake, &restart);
    assert_eq!(result, Ok(()));
    notes.line("restarting every instance at once");
    assert_eq!(fake.ready(), ALL);

    fake.script("web@1.service", &[Start::Fails, Start::Fails, Start::Fails]);
    let failed = run(&mut fake, &restart).0.unwrap_err();
    assert_eq!((failed.number, failed.others), (Some(1), Others::Restarted));
}

#[test]
fn without_a_canary_each_instance_has_to_settle() {
    let mut fake = Fake::running(&ALL);
    let bare = Plan {
        canaries: 0,
        ..plan()
    };
    fake.script("web@0.service", &[Start::DiesLater, Start::DiesLater]);
    let (result, notes) = run(&mut fake, &bare);
    let failed = result.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "instance 0 failed twice: ready, and then exited with status 1; the instances after it are unchanged"
    );
    assert_eq!(fake.ready(), &ALL[1..]);
    assert!(notes.lines.iter().all(|l| !l.contains("canary")));
}

#[test]
fn one_that_died_since_it_was_ready_is_not_told_as_replaced() {
    let mut fake = Fake::running(&ALL);
    let hasty = Plan {
        canaries: 0,
        settle: Duration::ZERO,
        ..plan()
    };
    fake.script("web@3.service", &[Start::Fails, Start::Works]);
    assert_eq!(run(&mut fake, &hasty).0, Ok(()));
    for number in [0, 1] {
        let mut killer = Killer(Fake::running(&ALL), ALL[number]);
        let mut notes = Notes::default();
        walk(&mut killer, &hasty, &mut notes).unwrap();
        notes.line(&format!(
            "instance {number}: exited with status 1; trying again"
        ));
        assert_eq!(killer.0.ready(), ALL);
    }
}

#[test]
fn a_job_that_never_ends_is_a_failure_in_time() {
    let mut fake = Fake::running(&ALL);
    fake.script("web@4.service", &[Start::Stuck]);
    let failed = run(&mut fake, &plan()).0.unwrap_err();
    assert!(failed.canary && failed.timed_out && failed.untouched);
    assert_eq!(failed.why, "not ready within 10s");
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn every_wait_is_announced_with_its_bound() {
    let mut fake = Fake::running(&ALL);
    let slow = Plan {
        settle: Duration::from_mins(1),
        ..plan()
    };
    let (_, notes) = run(&mut fake, &slow);
    assert!(notes.longest >= slow.settle);
}

#[test]
fn the_number_of_instances_is_brought_to_what_is_wanted() {
    let mut fake = Fake::running(&ALL);
    let two = Plan {
        instances: 2,
        ..plan()
    };
    run(&mut fake, &two).0.unwrap();
    assert_eq!(fake.ready(), &ALL[..2]);
    run(&mut fake, &plan()).0.unwrap();
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn a_canary_takes_no_number_of_an_instance_that_serves() {
    let mut fake = Fake::running(&ALL);
    let before = pids(&fake);
    let two = Plan {
        instances: 2,
        ..plan()
    };
    fake.script("web@4.service", &[Start::Fails]);
    let failed = run(&mut fake, &two).0.unwrap_err();
    assert!(failed.canary && failed.untouched);
    assert_eq!(pids(&fake), before);

    fake.script("web@1.service", &[Start::Fails, Start::Fails]);
    let failed = run(&mut fake, &two).0.unwrap_err();
    assert_eq!(failed.number, Some(1));
    assert_eq!(
        pids(&fake)[2..],
        before[2..],
        "too many, but they serve what they served"
    );
}

#[test]
fn a_canary_left_by_a_killed_walk_is_stopped_first() {
    let mut fake = Fake::running(&[&ALL[..], &["web@4.service"]].concat());
    let mut notes = Notes {
        canaries: vec![4],
        ..Notes::default()
    };
    fake.script("web@4.service", &[Start::Fails]);
    walk(&mut fake, &plan(), &mut notes).unwrap_err();
    assert_eq!(fake.log[0], "stop web@4.service");
    assert_eq!(fake.ready(), ALL, "also when the new one fails");
    assert_eq!(notes.canaries, [0; 0]);

    // Since then it has become one of the wanted: it serves.
    let mut fake = Fake::running(&ALL);
    let mut notes = Notes {
        canaries: vec![3],
        ..Notes::default()
    };
    let canaries = 0;
    walk(&mut fake, &Plan { canaries, ..plan() }, &mut notes).unwrap();
    assert!(!fake.log.contains(&"stop web@3.service".to_owned()));
    assert_eq!(notes.canaries, [0; 0]);
}

#[test]
fn one_beyond_the_wanted_that_no_walk_left_is_stopped_at_the_end() {
    let mut fake = Fake::running(&[&ALL[..], &["web@4.service"]].concat());
    let (result, notes) = run(&mut fake, &plan());
    result.unwrap();
    notes.line("instance 4: stopped, it was surplus");
    assert_eq!(fake.ready(), ALL);
    assert_eq!(fake.log[0], "restart web@5.service");
}

#[test]
fn when_one_of_several_at_a_time_fails_the_others_are_waited_for() {
    let mut fake = Fake::running(&ALL);
    let two = Plan {
        parallel: 2,
        ..plan()
    };
    fake.script("web@0.service", &[Start::Fails, Start::Fails]);
    let (result, notes) = run(&mut fake, &two);
    assert_eq!(result.unwrap_err().number, Some(0));
    assert!(notes.line("instance 1: ready") < notes.line("canary: stopped"));
    assert_eq!(fake.ready(), &ALL[1..]);
}

#[test]
fn every_instance_it_starts_begins_with_a_clean_slate() {
    let mut fake = Fake::running(&ALL);
    let (_, notes) = run(&mut fake, &plan());
    assert_eq!(notes.forgotten, [4, 0, 1, 2, 3, 4]);
}

#[test]
fn events_have_stable_names_for_scripts() {
    let ready = Event::Ready {
        number: 1,
        old_pid: 7,
        pid: 8,
        took_ms: 1234,
    };
    let json = serde_json::to_string(&ready).unwrap();
    assert_eq!(
        json,
        r#"{"event":"ready","number":1,"old_pid":7,"pid":8,"took_ms":1234}"#
    );
    assert_eq!(ready.to_string(), "instance 1: ready after 1.2 s (pid 8)");
}

/// A systemd where one instance dies when the last one is replaced.
struct Killer(Fake, &'static str);

impl Manager for Killer {
    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        self.0.unit(name)
    }
    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        self.0.units(pattern)
    }
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        let job = self.0.queue(verb, unit)?;
        if unit == "web@3.service" {
            let dead = Unit {
                name: self.1.into(),
                active: ActiveState::Activating,
                result: "exit-code".into(),
                exit_code: 1,
                exit_status: 1,
                ..Unit::default()
            };
            self.0.set(dead);
        }
        Ok(job)
    }
    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        self.0.wait(job, at_most)
    }
    fn cut_short(&mut self, unit: &str) -> Result<(), Error> {
        self.0.cut_short(unit)
    }
    fn kill(&mut self, unit: &str) -> Result<(), Error> {
        self.0.kill(unit)
    }
    fn now(&mut self) -> Duration {
        self.0.now()
    }
    fn pause(&mut self, time: Duration) {
        self.0.pause(time);
    }
    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        self.0.reset_failed(unit)
    }
    fn daemon_reload(&mut self) -> Result<(), Error> {
        self.0.daemon_reload()
    }
    fn version(&mut self) -> Result<u32, Error> {
        self.0.version()
    }
}
