//! The walk on a systemd of the test: what is touched, in which order, and what is left alone.

use std::time::Duration;

use super::*;
use crate::systemd::fake::{Fake, Start};

#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    forgotten: Vec<u32>,
}

impl Witness for Notes {
    fn step(&mut self, _: Duration) {}
    fn tell(&mut self, event: &Event) {
        self.lines.push(event.to_string());
    }
    fn forget(&mut self, number: u32) {
        self.forgotten.push(number);
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
        canary: true,
        parallel: 1,
        settle: Duration::from_secs(1),
        on_failure: OnFailure::Abort,
        step: Duration::from_secs(10),
    }
}

fn run(fake: &mut Fake, plan: &Plan) -> (Result<(), Failed>, Notes) {
    let mut notes = Notes::default();
    (walk(fake, plan, &mut notes), notes)
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
    assert_eq!(notes.lines.last().unwrap(), "done: 4 of 4 replaced");
}

#[test]
fn with_a_canary_never_fewer_than_n_are_ready() {
    let mut fake = Fake::running(&ALL);
    run(&mut fake, &plan()).0.unwrap();
    assert_eq!(fake.fewest_ready, 4);
    let mut fake = Fake::running(&ALL);
    run(
        &mut fake,
        &Plan {
            canary: false,
            ..plan()
        },
    )
    .0
    .unwrap();
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
    assert!(
        notes
            .lines
            .contains(&"instance 1: exited with status 1; once more".to_owned()),
        "{:?}",
        notes.lines
    );
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
    assert_eq!(
        run(
            &mut fake,
            &Plan {
                on_failure: OnFailure::Restart,
                ..plan()
            }
        )
        .0,
        Ok(())
    );
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn the_number_of_instances_is_brought_to_what_is_wanted() {
    let mut fake = Fake::running(&ALL);
    run(
        &mut fake,
        &Plan {
            instances: 2,
            ..plan()
        },
    )
    .0
    .unwrap();
    assert_eq!(fake.ready(), &ALL[..2]);
    run(&mut fake, &plan()).0.unwrap();
    assert_eq!(fake.ready(), ALL);
}

#[test]
fn a_canary_left_by_a_killed_walk_is_replaced_and_stopped() {
    let mut fake = Fake::running(&[&ALL[..], &["web@4.service"]].concat());
    let left = fake.pid("web@4.service");
    run(&mut fake, &plan()).0.unwrap();
    assert_eq!(fake.ready(), ALL);
    assert_ne!(left, 0);
}

#[test]
fn parallel_takes_so_many_at_a_time() {
    let mut fake = Fake::running(&ALL);
    let (result, notes) = run(
        &mut fake,
        &Plan {
            parallel: 3,
            ..plan()
        },
    );
    assert_eq!(result, Ok(()));
    let first_ready = notes
        .lines
        .iter()
        .position(|l| l.starts_with("instance 0: ready"))
        .unwrap();
    let third = notes
        .lines
        .iter()
        .position(|l| l.starts_with("instance 2: replacing"))
        .unwrap();
    let fourth = notes
        .lines
        .iter()
        .position(|l| l.starts_with("instance 3: replacing"))
        .unwrap();
    assert!(
        third < first_ready && first_ready < fourth,
        "{:?}",
        notes.lines
    );
}

#[test]
fn every_instance_it_starts_begins_with_a_clean_slate() {
    let mut fake = Fake::running(&ALL);
    let (_, notes) = run(&mut fake, &plan());
    assert_eq!(notes.forgotten, [4, 0, 1, 2, 3, 4]);
}
