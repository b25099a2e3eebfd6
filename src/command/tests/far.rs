//! Signals for the instances of another host, and the end of a pause there.

use std::time::Duration;

use super::elsewhere::{run, serving};
use super::stage::Recorder;
use crate::command::remote::Remote;
use crate::output::Exit;
use crate::systemd::fake::Fake;
use crate::systemd::{ActiveState, Error, Manager, Unit};
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
    let of = |number: u32, active: ActiveState, sub: &str| Unit {
        name: format!("web@{number}.service"),
        active,
        sub: sub.into(),
        ..Unit::default()
    };
    // An instance that serves although the app is paused was started by somebody else.
    for (up, started) in [(&[][..], "[0,1]"), (&[0], "[1]")] {
        let mut fake = Fake::running(&["web.service", &pause]);
        let end = fake.now() + Duration::from_secs(1);
        for number in [0, 1] {
            let ready = of(number, ActiveState::Active, "running");
            if up.contains(&number) {
                fake.set(ready);
            } else {
                fake.set(of(number, ActiveState::Activating, "start"));
                fake.set_at(end, ready);
            }
        }
        let ran = run(fake, "rsgen resume web");
        assert_eq!(ran.failure.map(|failure| failure.message), None);
        assert_eq!(ran.log, [format!("stop {pause}")]);
        let told = format!(r#""instances":{started}"#);
        assert!(ran.told.contains(&told), "{}", ran.told);
    }
    let nothing = run(serving(), "rsgen resume web");
    assert_eq!(nothing.log, [""; 0]);
    assert!(
        nothing.told.contains(r#""changed":false"#),
        "{}",
        nothing.told
    );
}

#[test]
fn what_a_condition_keeps_down_was_not_started() {
    let why = "not started, because `ConditionHost=a` did not hold";
    for (target, fault) in [
        ("web@1", format!("start of web@1.service failed: {why}")),
        ("web", format!("web: 1 of 2 serving; web@1.service: {why}")),
    ] {
        let mut fake = Fake::running(&["web.service", "web@0.service"]);
        fake.set(Unit {
            name: "web@1.service".into(),
            unmet: "ConditionHost=a".into(),
            ..Unit::default()
        });
        let failure = run(fake, &format!("rsgen start {target}")).failure.unwrap();
        assert_eq!(failure.message, format!("anna@web1: {fault}"));
        let help = format!(
            "make sure on anna@web1 that it holds, and run `rsgen --host anna@web1 start {target}`"
        );
        assert_eq!(failure.help, Some(help));
    }
}

#[test]
fn who_is_refused_there_is_told_what_to_do_there() {
    let sink = Recorder::default();
    let remote = Remote::of_a_test(&sink, Box::new(Fake::default()));
    for (error, help) in [
        (
            Error::NoBus {
                reason: "no such command".into(),
            },
            "see that `ssh anna@web1 systemd-stdio-bridge --version` works",
        ),
        (
            Error::AccessDenied {
                reason: "polkit".into(),
            },
            "log in as root there, or allow it in polkit(8) of anna@web1",
        ),
    ] {
        let failure = remote.failure(error);
        assert!(failure.message.starts_with("anna@web1: "));
        assert_eq!(failure.help.as_deref(), Some(help));
    }
}
