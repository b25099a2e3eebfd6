//! Everything that is written into a command line is read back unchanged.

use std::ffi::OsString;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use testbed::unit::{Dollar, words};

use super::*;

fn app() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}"
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        any::<u64>().prop_map(Duration::from_micros),
        (0..10_000_u64).prop_map(Duration::from_millis),
        (0..10_000_u64).prop_map(Duration::from_secs),
    ]
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        any::<u32>().prop_map(Amount::Exactly),
        (1..=100_u32).prop_map(Amount::Percent),
    ]
}

fn instances() -> impl Strategy<Value = Instances> {
    prop_oneof![
        Just(Instances::Max),
        (1..=1024_u32).prop_map(Instances::Fewer),
        (1..=1024_u32).prop_map(Instances::Exactly),
    ]
}

fn path() -> impl Strategy<Value = PathBuf> {
    "/[^\u{0}\u{80}-\u{9f}]{0,20}".prop_map(PathBuf::from)
}

fn handover() -> impl Strategy<Value = Handover> {
    select(vec![Handover::Bind, Handover::Fds, Handover::Nothing])
}

fn way() -> impl Strategy<Value = Way> {
    select(vec![Way::Auto, Way::Epoll, Way::Off])
}

prop_compose! {
    fn runs()(
        (app, instance, state, handover) in (app(), any::<u32>(), path(), handover()),
        ready in select(vec![Ready::Listen, Ready::Notify, Ready::Message, Ready::Exec]),
        (listen_timeout, min_uptime) in (time(), time()),
        (max_restarts, backoff) in (any::<u32>(), prop::option::of(time())),
        cpus in prop::option::of(select(vec![Cpus::All, Cpus::Spread])),
        preload in any::<bool>(),
        env_files in prop::collection::vec(path(), 0..3),
        counted in prop::collection::vec("[A-Z_]{1,9}", 0..3),
        rehearsal in prop::option::of((path(), "SIG[A-Z]{2,5}", time())),
        program in prop::collection::vec("[^\u{0}\u{80}-\u{9f}]{0,20}", 1..5),
    ) -> Run {
        let brake = Policy { min_uptime, max_restarts, backoff };
        let program = program.into_iter().map(OsString::from).collect();
        let rehearsal = rehearsal.map(|(report, signal, kill_timeout)| Rehearsal { report, signal, kill_timeout });
        Run { app, instance, state, handover, ready, listen_timeout, brake, preload, env_files, counted, cpus, rehearsal, program }
    }
}

prop_compose! {
    fn drains()(
        (app, instance, state, handover) in (app(), any::<u32>(), path(), handover()),
        (timeout, way, message) in (time(), way(), prop::option::of(time())),
        signal in prop::option::of("SIG[A-Z]{2,5}"),
    ) -> Drain {
        Drain { app, instance, state, handover, timeout, way, signal, message }
    }
}

prop_compose! {
    fn reloads()(
        (app, instances) in (app(), instances()),
        (surge, parallel, settle) in (amount(), amount(), time()),
        on_failure in select(vec![OnFailure::Abort, OnFailure::Restart]),
        max_failures in prop::option::of(any::<u32>()),
        (step_timeout, longest_stop) in (time(), time().prop_map(Some)),
    ) -> Reload {
        Reload { app, instances, surge, parallel, settle, on_failure, max_failures, step_timeout, longest_stop }
    }
}

prop_compose! {
    fn recycles()(
        (app, instances, surge) in (app(), instances(), amount()),
        max_memory in prop::option::of(any::<u64>().prop_map(Bytes)),
        (max_uptime, settle) in (prop::option::of(time()), time()),
        (step_timeout, longest_stop) in (time(), time()),
    ) -> Recycle {
        Recycle { app, instances, max_memory, max_uptime, surge, settle, step_timeout, longest_stop }
    }
}

fn pauses() -> impl Strategy<Value = Step> {
    let number = prop_oneof![
        Just(Instances::Max),
        (1..=1024_u32).prop_map(Instances::Exactly)
    ];
    prop_oneof![
        ("[a-z][a-z0-9_-]{0,9}[a-z]{6}", number).prop_map(|(app, instances)| {
            let compared = None;
            Step::Scale(Scale {
                app,
                instances,
                compared,
            })
        }),
        (
            "[a-z][a-z0-9_-]{0,9}[a-z]{6}",
            1..=1024_u32,
            any::<u32>(),
            any::<u64>()
        )
            .prop_map(|(app, number, from, asker)| {
                let instances = Instances::Exactly(number);
                let compared = Some(Compared { from, asker });
                Step::Scale(Scale {
                    app,
                    instances,
                    compared,
                })
            }),
        (app(), time()).prop_map(|(app, time)| Step::Pause(Pause { app, time })),
        app().prop_map(|app| Step::Resume(Resume { app })),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let start = (app(), instances(), time(), time()).prop_map(
        |(app, instances, step_timeout, longest_stop)| Start {
            app,
            instances,
            step_timeout,
            longest_stop: Some(longest_stop),
        },
    );
    let stop = || {
        (app(), time()).prop_map(|(app, longest_stop)| Stop {
            app,
            longest_stop: Some(longest_stop),
        })
    };
    let files = prop::collection::vec(path(), 0..3);
    let codes = prop::collection::vec(any::<u8>(), 0..3);
    let policy = (time(), any::<u32>(), any::<bool>(), codes);
    let listener = prop::option::of(any::<bool>());
    let ended = (app(), any::<u32>(), policy, files, listener).prop_map(
        |(app, number, (min_uptime, max_restarts, autorestart, codes), env_files, own_listener)| {
            Ended {
                app,
                number,
                min_uptime,
                max_restarts,
                autorestart,
                env_files,
                stop_exit_codes: codes.into(),
                own_listener,
            }
        },
    );
    let watch = (
        app(),
        prop::collection::vec(path(), 0..3),
        prop::collection::vec("[^\u{0}\u{80}-\u{9f}]{1,20}", 0..3),
        time(),
    )
        .prop_map(|(app, paths, ignore, delay)| Watch {
            app,
            paths,
            ignore,
            delay,
        });
    let job = (app(), instances()).prop_map(|(app, instances)| Job { app, instances });
    let brake = (app(), any::<u32>()).prop_map(|(app, max_restarts)| Brake { app, max_restarts });
    prop_oneof![
        brake.prop_map(Step::Brake),
        app().prop_map(|app| Step::Braked(Braked { app })),
        watch.prop_map(Step::Watch),
        job.prop_map(Step::Job),
        recycles().prop_map(Step::Recycle),
        start.prop_map(Step::Start),
        reloads().prop_map(Step::Reload),
        stop().prop_map(Step::Stop),
        stop().prop_map(Step::Stopped),
        ended.prop_map(Step::Ended),
        (app(), any::<u32>()).prop_map(|(app, number)| Step::Rehearsed(Rehearsed { app, number })),
        pauses(),
    ]
}

/// Reads a line back in both ways: from its words, and from the words that systemd makes of the line in a unit.
fn is_read_back<T: Debug + PartialEq>(
    given: &T,
    line: &Line,
    parse: impl Fn(Vec<OsString>) -> Result<T, Usage>,
) -> Result<(), TestCaseError> {
    let read = parse(line.words());
    prop_assert_eq!(read.as_ref(), Ok(given));
    let in_unit = line.in_unit(&["/a b/rsgen-worker"]).0;
    let words = words(&in_unit, Dollar::Variable).map_err(TestCaseError::fail)?;
    prop_assert_eq!(&words[0], "/a b/rsgen-worker");
    let words = words[1..].iter().map(OsString::from).collect();
    let read = parse(words);
    prop_assert_eq!(read.as_ref(), Ok(given));
    Ok(())
}

proptest! {
    #[test]
    fn what_a_worker_is_told_is_read_back(run in runs()) {
        is_read_back(&run, &run.line(), Run::parse)?;
    }

    #[test]
    fn what_a_drain_is_told_is_read_back(drain in drains()) {
        is_read_back(&drain, &drain.line(), Drain::parse)?;
        let asked = drain.request();
        prop_assert_eq!(Request::parse(&asked.text()), Some(asked));
    }

    #[test]
    fn which_files_are_looked_at_is_read_back(
        (state, files) in (path(), prop::collection::vec(path(), 0..3)),
    ) {
        let files = EnvFiles { state, files };
        is_read_back(&files, &files.line(), EnvFiles::parse)?;
    }

    #[test]
    fn which_release_is_noted_is_read_back((instance, state, link) in (any::<u32>(), path(), path())) {
        let release = Release { instance, state, link };
        is_read_back(&release, &release.line(), Release::parse)?;
    }

    #[test]
    fn what_a_step_is_told_is_read_back(step in steps()) {
        is_read_back(&step, &step.line(), Step::parse)?;
    }

    #[test]
    fn a_span_is_read_as_it_is_shown(time in time()) {
        prop_assert_eq!(time::parse(&time::show(time)), Some(time));
    }
}
