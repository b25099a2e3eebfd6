//! What becomes of the listener of an instance that has one of its own.

use super::*;

const CLOSED: &str = "stop web@1.socket";

/// Whether the listener of instance 1 is closed when the instance has ended with this status, beside instances that run.
fn is_closed(others: &[&str], status: i32, job: Option<&str>) -> bool {
    let mut bench = Bench::running(others);
    bench.own_listener = true;
    bench.fake.set(Unit {
        name: "web@1.service".into(),
        active: ActiveState::Deactivating,
        ..Unit::default()
    });
    bench.fake.set(Unit {
        name: "web@1.socket".into(),
        active: ActiveState::Active,
        ..Unit::default()
    });
    if let Some(kind) = job {
        bench.fake.busy("web@1.service", kind);
    }
    bench.ended(1, status);
    bench.fake.log.iter().any(|line| line.contains(CLOSED))
}

const OTHERS: &[&str] = &["web.service", "web@0.service"];

#[test]
fn what_waits_at_the_listener_of_a_crashed_instance_goes_to_those_that_serve() {
    assert!(is_closed(OTHERS, 1, None));
    assert!(
        !is_closed(&["web.service"], 1, None),
        "it waits for the restart"
    );
}

#[test]
fn an_instance_that_does_not_come_back_leaves_no_listener() {
    let errored = i32::from(crate::contract::ERRORED);
    for others in [OTHERS, &["web.service"]] {
        assert!(is_closed(others, errored, None), "given up");
        assert!(is_closed(others, 3, None), "as it means to");
        assert!(is_closed(others, 0, Some("stop")));
    }
}

#[test]
fn the_successor_of_a_restart_takes_over_the_listener() {
    assert!(!is_closed(OTHERS, 0, Some("restart")));
}

#[test]
fn an_instance_that_is_about_to_stop_is_no_heir() {
    let mut bench = Bench::running(OTHERS);
    bench.fake.busy("web@0.service", "stop");
    assert_eq!(
        super::super::listener::has_heir(&mut bench.fake, &bench.cluster, 1),
        Ok(false)
    );
}

#[test]
fn an_instance_whose_listener_cannot_be_opened_is_given_up_at_its_next_start() {
    let reason = |own_listener: bool, socket: ActiveState| {
        let mut bench = Bench::running(&["web.service"]);
        bench.own_listener = own_listener;
        bench.fake.set(Unit {
            name: "web@0.service".into(),
            active: ActiveState::Deactivating,
            status_text: "not started: systemd passed no socket".into(),
            ..Unit::default()
        });
        bench.fake.set(Unit {
            name: "web@0.socket".into(),
            active: socket,
            ..Unit::default()
        });
        bench.ended(0, 1);
        Deaths::load(&bench.cluster.deaths(0)).map(|deaths| deaths.reason)
    };
    let told = "refused: web@0.socket could not be started; see `systemctl status web@0.socket`";
    assert_eq!(reason(true, ActiveState::Failed).as_deref(), Some(told));
    let other = Some("systemd passed no socket");
    assert_eq!(reason(true, ActiveState::Active).as_deref(), other);
    assert_eq!(reason(false, ActiveState::Failed).as_deref(), other);
}

#[test]
fn neither_the_instance_itself_nor_one_that_does_not_serve_is_an_heir() {
    let has_heir = |bench: &mut Bench| {
        let heir = super::super::listener::has_heir(&mut bench.fake, &bench.cluster, 1);
        heir.unwrap()
    };
    let mut bench = Bench::running(&["web@1.service"]);
    bench.fake.set(Unit {
        name: "web@0.service".into(),
        active: ActiveState::Activating,
        ..Unit::default()
    });
    assert!(!has_heir(&mut bench));
    bench.fake = Fake::running(&["web@0.service"]);
    assert!(has_heir(&mut bench));
}

#[test]
fn a_stop_closes_what_an_instance_has_left_that_was_about_to_be_started_again() {
    let mut bench = Bench::running(&["web.service", "web@0.socket"]);
    bench.fake.busy("web.service", "stop");
    bench.stopped();
    assert_eq!(bench.fake.log, ["stop web@0.socket alone"]);
    let mut bench = Bench::running(&["web.service", "web@0.socket"]);
    bench.fake.busy("web.service", "restart");
    bench.stopped();
    assert_eq!(bench.fake.log, Vec::<String>::new());
}
