//! Which instances are replaced, and what becomes of the others.

mod told;

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::contract::OnFailure;
use crate::layout::Scope;
use crate::record::Journal;
use crate::systemd::fake::{Fake, Start};

const ALL: &[&str] = &[
    "web.service",
    "web@0.service",
    "web@1.service",
    "web@2.service",
];
const LIMIT: Bytes = Bytes(300 << 20);

struct Bench {
    cluster: Cluster,
    fake: Fake,
    plan: Plan,
    /// The memory of the first run of an instance, in MiB; of all others it is small.
    memory: BTreeMap<&'static str, u64>,
    said: Vec<String>,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            cluster: Cluster {
                app: "web".into(),
                state: folder.path().join("web"),
                scope: Scope::System,
                journal: Journal::default(),
            },
            fake: Fake::running(ALL),
            plan: Plan {
                app: "web".into(),
                instances: 3,
                canaries: 1,
                parallel: 1,
                settle: Duration::from_secs(1),
                on_failure: OnFailure::Abort,
                max_failures: 0,
                step: Duration::from_secs(10),
                longest_stop: Duration::from_secs(3),
            },
            memory: BTreeMap::new(),
            said: Vec::new(),
            _folder: folder,
        }
    }

    fn using(memory: &[(&'static str, u64)]) -> Self {
        Self {
            memory: memory.iter().copied().collect(),
            ..Self::new()
        }
    }

    /// Looks once. Returns the jobs that followed.
    fn look(&mut self) -> Result<Vec<String>, String> {
        let before = self.fake.log.len();
        let first = |name: &str| ALL.iter().position(|unit| *unit == name);
        let memory = &self.memory;
        let used = |unit: &Unit| {
            let is_first =
                usize::try_from(unit.main_pid).ok() == first(&unit.name).map(|at| 101 + at);
            let used = memory.get(unit.name.as_str()).filter(|_| is_first);
            Some(used.copied().unwrap_or(1) << 20)
        };
        let limits = Limits {
            memory: Some(LIMIT),
            uptime: None,
        };
        let said = &mut self.said;
        let mut say = |line: &str| said.push(line.to_owned());
        let done = look(
            &mut self.fake,
            &self.cluster,
            &self.plan,
            limits,
            &used,
            &mut say,
        );
        let jobs = self.fake.log.get(before..).unwrap_or_default().to_vec();
        done.map(|()| jobs).map_err(|e| e.to_string())
    }
}

const MUCH: &[(&str, u64)] = &[("web@1.service", 312)];

#[test]
fn one_that_uses_too_much_is_replaced_while_a_canary_stands_in_and_only_once() {
    let mut bench = Bench::using(MUCH);
    let jobs = bench.look().unwrap();
    let expected = [
        "restart web@3.service",
        "restart web@1.service",
        "stop web@3.service",
    ];
    assert_eq!(jobs, expected);
    assert_eq!(
        bench.fake.fewest_ready,
        ALL.len(),
        "as many serve as before"
    );
    assert_eq!(bench.look().unwrap(), Vec::<String>::new());
}

#[test]
fn a_canary_and_its_instance_have_the_release_of_the_run_before() {
    let mut bench = Bench::using(MUCH);
    let unit = bench.fake.unit("web@1.service").unwrap();
    bench.fake.set(Unit {
        invocation: "aa".into(),
        ..unit
    });
    let note = |number| bench.cluster.file(Name::Release(number));
    let (own, canary) = (note(1), note(3));
    own.write("/a\n/b\n").unwrap();
    canary.write("what an earlier canary has left").unwrap();
    bench.look().unwrap();
    assert_eq!(canary.read().unwrap(), "/a\n/b\n");
    let of_run = bench.cluster.file(Name::Recycled(1)).read().unwrap();
    assert_eq!(of_run, "aa", "for the end of that run");

    let bench = Bench::new();
    let canary = bench.cluster.file(Name::Release(3));
    canary.write("left").unwrap();
    bench.cluster.share_release(1, 3);
    assert!(canary.read().is_err());
}

#[test]
fn nothing_is_touched_below_the_limit_or_at_it() {
    let mut bench = Bench::using(&[("web@0.service", 299), ("web@1.service", 300)]);
    assert_eq!(bench.look().unwrap(), Vec::<String>::new());
}

/// A canary that somebody looks at, or one of an earlier walk.
#[test]
fn one_beyond_the_number_of_instances_is_left_alone() {
    let mut bench = Bench::using(&[("web@2.service", 400)]);
    bench.plan.instances = 2;
    assert_eq!(bench.look().unwrap(), Vec::<String>::new());
}

#[test]
fn one_without_a_main_process_is_left_alone() {
    let mut bench = Bench::new();
    let unit = bench.fake.unit("web@1.service").unwrap();
    bench.fake.set(Unit {
        main_pid: 0,
        ..unit
    });
    let limits = Limits {
        memory: Some(LIMIT),
        uptime: None,
    };
    let much = |_: &Unit| Some(400 << 20);
    let due = due(&mut bench.fake, &bench.cluster, &bench.plan, limits, &much);
    let numbers: Vec<u32> = due.unwrap().iter().map(|due| due.number).collect();
    assert_eq!(numbers, [0, 2]);
}

/// Otherwise a recycling that was killed would leave one more instance running for good.
#[test]
fn the_canary_of_a_recycling_that_was_interrupted_is_stopped_by_the_next_walk() {
    let mut bench = Bench::using(MUCH);
    bench.fake.sever_at("web@1.service");
    bench.look().unwrap_err();
    assert_eq!(progress::canaries(&bench.cluster), [3]);

    let mut bench = Bench::using(MUCH);
    progress::remember_canaries(&bench.cluster, &[4]);
    let canary = Unit {
        name: "web@4.service".into(),
        ..bench.fake.unit("web@2.service").unwrap()
    };
    bench.fake.set(canary);
    bench.plan.canaries = 0;
    let jobs = bench.look().unwrap();
    assert!(jobs.contains(&"stop web@4.service".to_owned()), "{jobs:?}");
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
}

#[test]
fn one_that_is_up_for_too_long_is_replaced() {
    let mut bench = Bench::new();
    let limits = Limits {
        memory: None,
        uptime: Some(Duration::from_millis(1)),
    };
    bench.plan.canaries = 0;
    recycle(
        &mut bench.fake,
        &bench.cluster,
        &bench.plan,
        limits,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(bench.fake.log.len(), 3, "{:?}", bench.fake.log);
}

#[test]
fn several_are_replaced_one_after_the_other_behind_one_canary() {
    let mut bench = Bench::using(&[("web@2.service", 400), ("web@0.service", 301)]);
    bench.plan.settle = Duration::ZERO;
    let expected = [
        "restart web@3.service",
        "restart web@0.service",
        "restart web@2.service",
        "stop web@3.service",
    ];
    assert_eq!(bench.look().unwrap(), expected);
}

#[test]
fn without_surge_it_is_restarted_and_no_other() {
    let mut bench = Bench::using(MUCH);
    bench.plan.canaries = 0;
    assert_eq!(bench.look().unwrap(), ["restart web@1.service"]);
}

#[test]
fn nothing_happens_during_a_walk_and_while_a_canary_is_kept() {
    let mut bench = Bench::using(MUCH);
    let lock = Lock::take(&bench.cluster.state).unwrap();
    assert_eq!(bench.look().unwrap(), Vec::<String>::new());
    drop(lock);
    progress::keep_canaries(&bench.cluster, &[3]).unwrap();
    let canary = |active| Unit {
        name: "web@3.service".into(),
        active,
        ..Unit::default()
    };
    for active in [ActiveState::Active, ActiveState::Failed] {
        bench.fake.set(canary(active));
        assert_eq!(bench.look().unwrap(), Vec::<String>::new());
        assert_eq!(progress::kept(&bench.cluster.state), [3]);
    }
    // Stopped by hand.
    bench.fake.set(canary(ActiveState::Inactive));
    assert_eq!(bench.look().unwrap().len(), 3);
    assert_eq!(progress::kept(&bench.cluster.state), [0; 0]);
}

#[test]
fn nothing_happens_while_the_app_or_the_instance_has_a_job_or_is_down() {
    for (unit, job) in [
        ("web.service", "reload"),
        ("web.service", "stop"),
        ("web@1.service", "restart"),
    ] {
        let mut bench = Bench::using(MUCH);
        bench.fake.busy(unit, job);
        assert_eq!(bench.look().unwrap(), Vec::<String>::new(), "{unit} {job}");
    }
    for unit in ["web.service", "web@1.service"] {
        let mut bench = Bench::using(MUCH);
        bench.fake.set(Unit {
            name: unit.into(),
            active: ActiveState::Failed,
            ..Unit::default()
        });
        assert_eq!(bench.look().unwrap(), Vec::<String>::new(), "{unit}");
    }
}

#[test]
fn a_canary_that_fails_leaves_the_instance_serving_and_there_is_a_pause() {
    let mut bench = Bench::using(MUCH);
    bench.fake.script("web@3.service", &[Start::Fails; 2]);
    let told = bench.look().unwrap_err();
    assert!(
        told.starts_with("web@1 was not recycled (312.0M of 300M"),
        "{told}"
    );
    assert!(
        told.contains("every instance still serves what it served"),
        "{told}"
    );
    assert!(told.ends_with("tried again in 10min"), "{told}");
    let pid = bench.fake.pid("web@1.service");
    assert_eq!(pid, 103, "it is the first run");

    assert_eq!(bench.look().unwrap(), Vec::<String>::new());
    bench.fake.pause(PAUSE);
    let told = bench.look().unwrap_err();
    assert!(told.ends_with("tried again in 20min"), "{told}");
    bench.fake.pause(PAUSE);
    assert_eq!(bench.look().unwrap(), Vec::<String>::new());
    bench.fake.pause(PAUSE);
    assert_eq!(bench.look().unwrap().len(), 3);
    assert_eq!(
        failures(&bench.cluster),
        None,
        "the next pause is short again"
    );
}

#[test]
fn the_pause_has_an_end_whatever_the_note_says() {
    let bench = Bench::new();
    let pauses: Vec<u64> = (0..9)
        .map(|_| note_failure(&bench.cluster, Duration::ZERO).as_secs() / 60)
        .collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 360, 360, 360]);
    for (note, is) in [
        ("1 600\n", true),
        ("1 99999999999\n", false),
        ("", false),
        ("x\n", false),
    ] {
        bench.cluster.file(Name::Recycling).write(note).unwrap();
        assert_eq!(
            is_paused(&bench.cluster, Duration::from_secs(1)),
            is,
            "{note}"
        );
    }
}

#[test]
fn an_uptime_is_spread_over_a_tenth_by_the_run() {
    let day = Duration::from_hours(24);
    assert_eq!(spread(day, "0000aaaa"), Duration::ZERO);
    assert_eq!(spread(day, "ffffaaaa"), day / 10);
    assert_eq!(spread(day, ""), Duration::ZERO);
    let up = |invocation: &str| {
        let unit = Unit {
            invocation: invocation.into(),
            ..Unit::default()
        };
        let uptime = unit.active_for() * 20 / 21;
        let limits = Limits {
            memory: None,
            uptime: Some(uptime),
        };
        over_uptime(&unit, limits)
    };
    assert!(
        up("0000").is_some_and(|why| why.starts_with("up for ")),
        "a twentieth over"
    );
    assert_eq!(up("ffff"), None, "a tenth is allowed");
}
