//! The first start of an app, which a command waits for.

use std::time::Duration;

use super::{Bench, POLICY};
use crate::brake::{Deaths, Verdict};
use crate::cluster::{Ended, Trial, ended};
use crate::state::Name;
use crate::systemd::{Manager, Unit};

const ELSEWHERE: &str =
    "the program listens on 0.0.0.0:4000, declared is [::]:3000; write `listen = \"0.0.0.0:4000\"`";

/// Returns what the brake makes of a start that has ended with this result and status text.
fn after(trial: Option<Trial>, result: &str, status: &str) -> Verdict {
    end_of(&["web@0.service"], trial, (result, status), Duration::ZERO)
}

/// The same beside these instances, which are READY.
fn beside(units: &[&str], trial: Option<Trial>, result: &str, status: &str) -> Verdict {
    end_of(units, trial, (result, status), Duration::ZERO)
}

/// The same of an instance that became READY at this time in an earlier run.
fn after_run(trial: Option<Trial>, result: &str, status: &str, served: Duration) -> Verdict {
    end_of(&["web@0.service"], trial, (result, status), served)
}

fn end_of(
    units: &[&str],
    trial: Option<Trial>,
    (result, status): (&str, &str),
    served: Duration,
) -> Verdict {
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
        result: result.into(),
        exit_code: libc::CLD_KILLED,
        exit_status: libc::SIGTERM,
        status_text: status.into(),
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
        .verdict(&POLICY, now)
}

#[test]
fn a_program_that_has_all_its_time_and_listens_elsewhere_is_not_started_again_in_a_first_start() {
    let first = Trial {
        begun: Duration::from_secs(1),
        is_first: true,
        is_given: true,
    };
    let refused = Verdict::Errored(ELSEWHERE.to_owned());
    assert_eq!(after(Some(first), "timeout", ELSEWHERE), refused);
    // The other has found the declared port, and may have kept this one waiting.
    let both = ["web@0.service", "web@1.service"];
    let served = beside(&both, Some(first), "timeout", ELSEWHERE);
    assert_eq!(served, Verdict::Go);
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
            Verdict::Go,
            "{trial:?} {result} {status}"
        );
    }
}

/// The note of an install that was killed stays for minutes.
#[test]
fn an_instance_that_has_served_is_started_again_although_the_note_is_still_there() {
    let first = Trial {
        begun: Duration::from_secs(1),
        is_first: true,
        is_given: true,
    };
    let served = Duration::from_secs(5);
    let verdict = after_run(Some(first), "timeout", ELSEWHERE, served);
    assert_eq!(verdict, Verdict::Go);
}
