//! Connections that another program carries.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::Bus;
use super::super::far::by_this_clock;
use super::super::properties::Properties;
use crate::systemd::{Error, Unit};

fn fault(script: &str) -> String {
    let connected = Bus::connect_through(Command::new("sh").args(["-c", script]));
    match connected.map(|_| ()) {
        Err(Error::NoBus { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_connection_the_carriers_last_lines_are_the_reason() {
    let said = fault("echo connecting >&2; echo 'no such host' >&2; exit 255");
    assert_eq!(said, "connecting; no such host");
    assert_eq!(fault("seq 100 >&2; exit 1"), "96; 97; 98; 99; 100");
    let silent = fault("exit 127");
    assert_eq!(silent, "the connection ended (exit status: 127)");
    // What comes is not the beginning of a connection.
    assert_eq!(fault("echo 'Welcome!'; echo 'no bus' >&2"), "no bus");
}

#[test]
fn a_carrier_that_says_more_than_is_kept_does_not_wait_for_a_reader() {
    let said = fault("yes x | head -c 1000000 >&2; exit 1");
    assert_eq!(said, "x; x; x; x; x");
}

#[test]
fn a_carrier_that_cannot_be_started_is_named() {
    let connected = Bus::connect_through(&mut Command::new("/nowhere/ssh"));
    let error = connected.err().unwrap().to_string();
    assert!(
        error.ends_with("there is no program `/nowhere/ssh`"),
        "{error}"
    );
}

#[test]
fn times_of_another_host_are_told_by_the_clock_on_the_wall() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = |time: Duration| {
        let micros = u64::try_from(time.as_micros()).unwrap();
        zbus::Variant::from(micros).try_to_owned().unwrap()
    };
    let unit: Properties = HashMap::from([
        (
            "ActiveEnterTimestamp".to_owned(),
            at(now.saturating_sub(Duration::from_secs(90))),
        ),
        (
            "InactiveExitTimestamp".to_owned(),
            at(now + Duration::from_hours(1)),
        ),
    ]);
    let read = by_this_clock(Unit::default(), &unit, &Properties::new());
    // A machine that has just booted has a clock that shows less.
    assert!(read.active_for() <= Duration::from_secs(91));
    assert!(read.active_for() >= Duration::from_secs(90) || read.active_enter.is_zero());
    assert!(
        read.started_for() < Duration::from_secs(1),
        "a clock that is ahead"
    );
    assert_eq!(read.main_exit, Duration::ZERO, "never");
}
