//! The command lines of each version, exactly as its units have them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use testbed::unit::{Dollar, words};

use super::*;

/// Splits a line as systemd does in the unit of instance 3.
fn read_by_systemd(line: &str) -> Vec<OsString> {
    let words = words(line, Dollar::Variable).unwrap();
    words.iter().map(|w| w.replace("%i", "3").into()).collect()
}

/// Returns the words after the program.
fn of_worker(line: &str) -> Vec<OsString> {
    let words = read_by_systemd(line);
    assert!(words[0].to_str().unwrap().ends_with("/rsgen-worker"));
    words[1..].to_vec()
}

fn run(line: &str) -> Result<Run, Usage> {
    Run::parse(of_worker(line))
}

fn drain(line: &str) -> Result<Drain, Usage> {
    Drain::parse(of_worker(line))
}

fn step(line: &str) -> Result<Step, Usage> {
    let words = read_by_systemd(line);
    assert_eq!(words[..2], ["/usr/bin/rsgen", "unit"]);
    Step::parse(words[2..].to_vec())
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const RUN: &str = "/usr/lib/rsgen/bin/rsgen-worker run --app=shop --instance=%i --state=/run/rsgen/shop --handover=bind --ready=listen --listen-timeout=90s --min-uptime=5s --max-restarts=3 --preload=true --backoff=150ms --env-file=/srv/shop/a.env --env-file=/srv/shop/b=c.env -- /opt/python/bin/python3 -u /srv/shop/main.py --mode \"fast lane\" -v";
const DRAIN: &str = "/usr/lib/rsgen/bin/rsgen-worker drain --app=shop --instance=%i --state=/run/rsgen/shop --handover=fds --timeout=20s --way=epoll --message=1600ms";
const START: &str =
    "/usr/bin/rsgen unit start shop --instances=-1 --step-timeout=126800ms --longest-stop=24800ms";
const RELOAD: &str = "/usr/bin/rsgen unit reload shop --instances=-1 --surge=0 --parallel=2 --settle=0 --on-failure=restart --step-timeout=126800ms --longest-stop=24800ms";
const STOP: &str = "/usr/bin/rsgen unit stop shop --longest-stop=24800ms";
const STOPPED: &str = "/usr/bin/rsgen unit stopped shop --longest-stop=24800ms";
const ENDED: &str =
    "/usr/bin/rsgen unit ended shop %i --min-uptime=5s --max-restarts=3 --autorestart=false";

#[test]
fn lines_of_0_2_are_read() {
    let program = [
        "/opt/python/bin/python3",
        "-u",
        "/srv/shop/main.py",
        "--mode",
        "fast lane",
        "-v",
    ];
    let expected = Run {
        app: "shop".into(),
        instance: 3,
        state: "/run/rsgen/shop".into(),
        handover: Handover::Bind,
        ready: Ready::Listen,
        listen_timeout: seconds(90),
        brake: Policy {
            min_uptime: seconds(5),
            max_restarts: 3,
            backoff: Some(Duration::from_millis(150)),
        },
        preload: true,
        rehearsal: None,
        env_files: ["/srv/shop/a.env", "/srv/shop/b=c.env"]
            .map(PathBuf::from)
            .to_vec(),
        counted: Vec::new(),
        cpus: None,
        program: program.map(OsString::from).to_vec(),
    };
    assert_eq!(run(RUN), Ok(expected));
    let expected = Drain {
        app: "shop".into(),
        instance: 3,
        state: "/run/rsgen/shop".into(),
        handover: Handover::Fds,
        timeout: seconds(20),
        way: Way::Epoll,
        signal: None,
        message: Some(Duration::from_millis(1600)),
    };
    assert_eq!(drain(DRAIN), Ok(expected));
}

#[test]
fn steps_of_0_2_are_read() {
    let longest_stop = Some(Duration::from_millis(24_800));
    let step_timeout = Duration::from_millis(126_800);
    let start = Start {
        app: "shop".into(),
        instances: Instances::Fewer(1),
        step_timeout,
        longest_stop,
    };
    assert_eq!(step(START), Ok(Step::Start(start)));
    let reload = Reload {
        app: "shop".into(),
        instances: Instances::Fewer(1),
        surge: Amount::Exactly(0),
        parallel: Amount::Exactly(2),
        settle: Duration::ZERO,
        on_failure: OnFailure::Restart,
        max_failures: None,
        step_timeout,
        longest_stop,
    };
    assert_eq!(step(RELOAD), Ok(Step::Reload(reload)));
    let stop = Stop {
        app: "shop".into(),
        longest_stop,
    };
    assert_eq!(step(STOP), Ok(Step::Stop(stop.clone())));
    assert_eq!(step(STOPPED), Ok(Step::Stopped(stop)));
    let ended = Ended {
        app: "shop".into(),
        number: 3,
        min_uptime: seconds(5),
        max_restarts: 3,
        autorestart: false,
        env_files: Vec::new(),
        stop_exit_codes: Statuses::default(),
        own_listener: None,
    };
    assert_eq!(step(ENDED), Ok(Step::Ended(ended)));
}

#[test]
fn a_brake_unit_is_read() {
    let brake = Brake {
        app: "shop".into(),
        max_restarts: 3,
    };
    let line = "/usr/bin/rsgen unit brake shop --max-restarts=3";
    assert_eq!(step(line), Ok(Step::Brake(brake)));
}

#[test]
fn a_watch_unit_is_read() {
    let line = "/usr/bin/rsgen unit watch shop --delay=200ms --path=/srv/shop/src \"--path=/srv/a b\" \"--ignore=.*\"";
    let watch = Watch {
        app: "shop".into(),
        paths: vec!["/srv/shop/src".into(), "/srv/a b".into()],
        ignore: vec![".*".into()],
        delay: Duration::from_millis(200),
    };
    assert_eq!(step(line), Ok(Step::Watch(watch)));
}

/// Pinned units may be as old as 0.1.0, or older.
#[test]
fn lines_of_older_versions_mean_what_they_meant() {
    let now = run(RUN).unwrap();
    let line = "/usr/lib/rsgen/rsgen-worker run --app=shop --instance=%i --state=/run/rsgen/shop --handover=bind --ready=listen --listen-timeout=90s --min-uptime=5s --max-restarts=3 -- /opt/python/bin/python3 -u /srv/shop/main.py --mode \"fast lane\" -v";
    let brake = Policy {
        backoff: None,
        ..now.brake
    };
    let before = Run {
        brake,
        preload: false,
        rehearsal: None,
        env_files: Vec::new(),
        ..now
    };
    assert_eq!(run(line), Ok(before));

    let now = drain(DRAIN).unwrap();
    let line = "/usr/lib/rsgen/rsgen-worker drain --app=shop --instance=%i --state=/run/rsgen/shop --timeout=20s --way=epoll --message=1600ms";
    let bind = Drain {
        handover: Handover::Bind,
        ..now
    };
    assert_eq!(drain(line).as_ref(), Ok(&bind));
    let line =
        "/usr/lib/rsgen/rsgen-worker drain --app=shop --instance=%i --timeout=20s --way=epoll";
    let stateless = Drain {
        state: PathBuf::new(),
        message: None,
        ..bind
    };
    assert_eq!(drain(line), Ok(stateless));

    let started = Step::Start(Start {
        app: "shop".into(),
        instances: Instances::Fewer(1),
        step_timeout: seconds(600),
        longest_stop: None,
    });
    assert_eq!(
        step("/usr/bin/rsgen unit start shop --instances=-1"),
        Ok(started)
    );
    let line = "/usr/bin/rsgen unit reload shop --instances=-1 --surge=0 --parallel=2 --settle=0 --on-failure=restart --step-timeout=126800ms";
    let Ok(Step::Reload(reload)) = step(line) else {
        panic!("no reload")
    };
    assert_eq!(reload.longest_stop, None);
    let stop = Stop {
        app: "shop".into(),
        longest_stop: None,
    };
    assert_eq!(
        step("/usr/bin/rsgen unit stop shop"),
        Ok(Step::Stop(stop.clone()))
    );
    assert_eq!(
        step("/usr/bin/rsgen unit stopped shop"),
        Ok(Step::Stopped(stop))
    );
}

/// Every flag of every line is required, except those whose absence has a meaning.
#[test]
fn a_flag_that_was_lost_is_an_error() {
    let without = |line: &str, lost: &str| {
        let kept = line.split(' ').filter(|word| *word != lost);
        kept.collect::<Vec<_>>().join(" ")
    };
    // Optional flags, and the one that was introduced last: lines of an older version lack it.
    let may_be_lost = [
        "--backoff=150ms",
        "--env-file=/srv/shop/a.env",
        "--env-file=/srv/shop/b=c.env",
        "--message=1600ms",
        "--longest-stop=24800ms",
    ];
    for line in [RUN, DRAIN, START, RELOAD, STOP, STOPPED, ENDED] {
        let ours = line.split(" -- ").next().unwrap();
        for flag in ours.split(' ').filter(|word| word.starts_with("--")) {
            let shorter = without(line, flag);
            let is_read = match line {
                RUN => run(&shorter).is_ok(),
                DRAIN => drain(&shorter).is_ok(),
                _ => step(&shorter).is_ok(),
            };
            // A line whose flags were introduced one by one may lack the last one.
            let is_last = matches!(
                (line, flag),
                (RUN, "--preload=true") | (DRAIN, "--handover=fds")
            );
            let expected = is_last || line != START && may_be_lost.contains(&flag);
            assert_eq!(is_read, expected, "{shorter}");
        }
    }
}

#[test]
fn what_units_never_wrote_is_refused() {
    let worker = "/usr/lib/rsgen/rsgen-worker";
    for line in [
        worker.to_owned(),
        format!("{worker} start --app=web -- x"),
        RUN.replace("--app=shop", "--app="),
        RUN.replace("--ready=listen", "--ready=soon"),
        RUN.replace("--instance=%i", "--instance=-1"),
        RUN.replace("--app=shop", "--app=shop --app=web"),
        RUN.replace("--app=shop", "--app=shop --nope=1"),
        RUN.replace("--app=shop", "--app=shop now"),
        RUN.split(" /opt").next().unwrap().to_owned(),
    ] {
        assert!(run(&line).is_err(), "{line}");
    }
    for line in [
        DRAIN.replace("--way=epoll", "--way=none"),
        DRAIN.replace("--timeout=20s", "--timeout=20"),
        format!("{DRAIN} now"),
        format!("{DRAIN} -- x"),
        RUN.to_owned(),
    ] {
        assert!(drain(&line).is_err(), "{line}");
    }
    for line in ["", "start", "begin shop", "ended shop x --min-uptime=5s"] {
        assert!(
            Step::parse(line.split(' ').map(OsString::from)).is_err(),
            "{line}"
        );
    }
}
