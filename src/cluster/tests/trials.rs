//! The first start of an app, which a command waits for.

use std::time::Duration;

use super::{Bench, POLICY};
use crate::brake::{Deaths, Decision};
use crate::cluster::{Ended, Trial, ended};
use crate::state::Name;
use crate::systemd::{Manager, Unit};

const ELSEWHERE: &str =
    "the program listens on 0.0.0.0:4000, declared is [::]:3000; write `listen = \"0.0.0.0:4000\"`";

const SILENT: &str = "the program never listened on [::]:3000";

/// Returns what the brake makes of a start that has ended with this result and status text.
fn after(trial: Option<Trial>, result: &str, status: &str) -> Decision {
    end_of(
        &["web@0.service"],
        trial,
        End::killed(result, status),
        Duration::ZERO,
    )
}

/// The same beside these instances, which are READY.
fn beside(units: &[&str], trial: Option<Trial>, result: &str, status: &str) -> Decision {
    end_of(units, trial, End::killed(result, status), Duration::ZERO)
}

/// The same of an instance that became READY at this time in an earlier run.
fn after_run(trial: Option<Trial>, result: &str, status: &str, served: Duration) -> Decision {
    end_of(
        &["web@0.service"],
        trial,
        End::killed(result, status),
        served,
    )
}

/// The end of a start, as systemd tells it.
#[derive(Clone, Copy)]
struct End<'a> {
    result: &'a str,
    text: &'a str,
    exit: (i32, i32),
}

impl<'a> End<'a> {
    fn killed(result: &'a str, text: &'a str) -> Self {
        let exit = (libc::CLD_KILLED, libc::SIGTERM);
        Self { result, text, exit }
    }
}

fn end_of(units: &[&str], trial: Option<Trial>, end: End<'_>, served: Duration) -> Decision {
    let mut bench = Bench::running(units);
    if let Some(trial) = trial {
        bench
            .cluster
            .file(Name::Trial)
            .write(&trial.text())
            .unwrap();
    }
    let unit = bench.fake.unit("web@0.service").unwrap();
    bench.fake.set(Unit {
        inactive_exit: Duration::from_secs(10),
        active_enter: served,
        result: end.result.into(),
        exit_code: end.exit.0,
        exit_status: end.exit.1,
        status_text: end.text.into(),
        ..unit
    });
    let end = Ended {
        number: 0,
        autorestart: true,
        env_files: &[],
        stop_exit_codes: &vec![].into(),
        own_listener: false,
    };
    let now = Duration::from_secs(40);
    let Bench { fake, cluster, .. } = &mut bench;
    ended(fake, cluster, end, &POLICY, now).unwrap();
    Deaths::load(&cluster.deaths(0))
        .unwrap()
        .decide(&POLICY, now)
}

const FIRST: Trial = Trial {
    begun: Duration::from_secs(1),
    valid: Duration::from_mins(5),
    is_first: true,
    is_given: true,
    notifies: false,
};

#[test]
fn a_program_that_has_all_its_time_and_is_silent_is_not_started_again_in_a_first_start() {
    let seldom = "a longer `listen_timeout` is for a program that needs more time";
    for text in [
        SILENT,
        "the program did not send 'ready'",
        "the program sent 'ready', but the program never listened on [::]:3000",
    ] {
        let how = "timed out: not READY within `listen_timeout`";
        let refused = Decision::Errored(format!("{how}: {text}; {seldom}"));
        assert_eq!(after(Some(FIRST), "timeout", text), refused);
        let later = Trial {
            is_first: false,
            ..FIRST
        };
        for trial in [Some(later), None] {
            assert_eq!(after(trial, "timeout", text), Decision::Go, "{text}");
        }
        assert_eq!(after(Some(FIRST), "exit-code", text), Decision::Go);
    }
}

#[test]
fn a_program_that_is_to_tell_systemd_itself_and_does_not_is_not_started_again_in_a_first_start() {
    let notifies = Trial {
        notifies: true,
        ..FIRST
    };
    let silent = "timed out: not READY within `listen_timeout`: the program did not send `READY=1`, see sd_notify(3)";
    for (text, status) in [("", ""), ("waits for x", "; its status is `waits for x`")] {
        let Decision::Errored(why) = after(Some(notifies), "timeout", text) else {
            panic!("is started again: {text}")
        };
        assert!(why.starts_with(&format!("{silent}{status}; ")), "{why}");
        assert!(why.contains("`ready = \"listen\"`"), "{why}");
        // The findings of the helper are told for any other program alone.
        assert_eq!(after(Some(FIRST), "timeout", text), Decision::Go);
        assert_eq!(after(Some(notifies), "exit-code", text), Decision::Go);
    }
    let elsewhere = Decision::Errored(ELSEWHERE.to_owned());
    assert_eq!(after(Some(notifies), "timeout", ELSEWHERE), elsewhere);
    // READY was sent, and the commands behind it took too long.
    let unhealthy = after(Some(notifies), "timeout", "unhealthy: no answer");
    assert_eq!(unhealthy, Decision::Go);
    // A command before the program took too long.
    let end = End {
        exit: (0, 0),
        ..End::killed("timeout", "")
    };
    let decision = end_of(&["web@0.service"], Some(notifies), end, Duration::ZERO);
    assert_eq!(decision, Decision::Go);
    let later = Trial {
        is_first: false,
        ..notifies
    };
    assert_eq!(after(Some(later), "timeout", ""), Decision::Go);
}

/// Programs end in many ways where there is no database.
#[test]
fn a_program_that_ends_is_started_again_in_a_first_start() {
    let exited = libc::CLD_EXITED;
    for (result, code, status) in [
        ("exit-code", exited, 1),
        ("protocol", exited, 0),
        ("protocol", libc::CLD_KILLED, 9),
    ] {
        let end = End {
            result,
            text: "",
            exit: (code, status),
        };
        let decision = end_of(&["web@0.service"], Some(FIRST), end, Duration::ZERO);
        assert_eq!(decision, Decision::Go, "{result} {code} {status}");
    }
}

#[test]
fn a_program_that_has_all_its_time_and_listens_elsewhere_is_not_started_again_in_a_first_start() {
    let first = FIRST;
    let refused = Decision::Errored(ELSEWHERE.to_owned());
    assert_eq!(after(Some(first), "timeout", ELSEWHERE), refused);
    // The other has found the declared port, and may have kept this one waiting.
    let both = ["web@0.service", "web@1.service"];
    let served = beside(&both, Some(first), "timeout", ELSEWHERE);
    assert_eq!(served, Decision::Go);
    let later = Trial {
        is_first: false,
        ..first
    };
    for (trial, result, status) in [
        // A database may be there by the next start.
        (Some(later), "timeout", ELSEWHERE),
        (None, "timeout", ELSEWHERE),
        // The program may have been about to bind the declared port.
        (Some(first), "exit-code", ELSEWHERE),
        (Some(first), "timeout", "waiting"),
    ] {
        assert_eq!(
            after(trial, result, status),
            Decision::Go,
            "{trial:?} {result} {status}"
        );
    }
}

/// The note of an install that was killed stays for minutes.
#[test]
fn an_instance_that_has_served_is_started_again_although_the_note_is_still_there() {
    let served = Duration::from_secs(5);
    let decision = after_run(Some(FIRST), "timeout", ELSEWHERE, served);
    assert_eq!(decision, Decision::Go);
}
