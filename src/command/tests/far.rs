//! Signals for the instances of another host, and the end of a pause there.

use std::time::Duration;

use super::remote::{run, serving};
use crate::output::Exit;
use crate::systemd::fake::Fake;
use crate::systemd::{ActiveState, Manager, Unit};
use crate::unit::name::Units;

#[test]
fn a_signal_is_sent_by_the_other_hosts_systemd_to_the_instances_that_are_ready() {
    for (line, log) in [
        (
            "rsgen signal USR2 web",
            &[
                "signal 12 web@0.service main",
                "signal 12 web@1.service main",
            ][..],
        ),
        (
            "rsgen signal --kill-whom all HUP web@1",
            &["signal 1 web@1.service all"],
        ),
        (
            "rsgen signal USR2 all",
            &[
                "signal 12 web@0.service main",
                "signal 12 web@1.service main",
            ],
        ),
    ] {
        let ran = run(serving(), line);
        assert_eq!(ran.failure.map(|failure| failure.message), None, "{line}");
        assert_eq!(ran.log, log, "{line}");
        assert!(ran.told.contains("web@1"), "{line}: {}", ran.told);
    }
}

#[test]
fn a_signal_that_nobody_gets_is_refused_with_the_command_that_asks_that_host() {
    let none = run(Fake::default(), "rsgen signal USR2 web");
    let failure = none.failure.unwrap();
    assert_eq!(failure.exit, Exit::Failed);
    let message = "anna@web1: no instance of `web` is READY";
    assert_eq!(failure.message, message);
    let help = "run `rsgen --host anna@web1 list web` to see its instances";
    assert_eq!(failure.help.as_deref(), Some(help));
    let wrong = run(serving(), "rsgen signal USR2 wbe").failure.unwrap();
    assert_eq!(wrong.message, "anna@web1: no app `wbe` is installed");
}

#[test]
fn the_end_of_a_pause_is_the_stop_of_its_unit_and_waits_for_the_instances() {
    let pause = Units::of("web").pause();
    let mut fake = Fake::running(&["web.service", &pause]);
    let end = fake.now() + Duration::from_secs(1);
    for number in [0, 1] {
        fake.set_at(
            end,
            Unit {
                name: format!("web@{number}.service"),
                active: ActiveState::Active,
                sub: "running".into(),
                ..Unit::default()
            },
        );
    }
    let ran = run(fake, "rsgen resume web");
    assert_eq!(ran.failure.map(|failure| failure.message), None);
    assert_eq!(ran.log, [format!("stop {pause}")]);
    let nothing = run(serving(), "rsgen resume web");
    assert_eq!(nothing.log, [""; 0]);
    assert!(
        nothing.told.contains(r#""changed":false"#),
        "{}",
        nothing.told
    );
}
