//! Instances that do not end, and jobs that somebody else's job cancels.

use super::*;

impl Bench {
    /// Has an instance be on its way down, and stay so until it is killed.
    fn falls(&mut self, unit: &str) {
        self.fake.set(Unit {
            name: unit.into(),
            active: ActiveState::Deactivating,
            main_pid: 7,
            ..Unit::default()
        });
    }

    fn killed(&self) -> usize {
        let kills = self.fake.log.iter().filter(|l| l.starts_with("kill "));
        kills.count()
    }
}

#[test]
fn a_stop_kills_what_does_not_end_and_says_so() {
    let words = "web@0 did not end within 8 s: killed";
    let mut bench = Bench::running(&[]);
    bench.falls("web@0.service");
    bench.cluster_ends("success", "stop");
    assert_eq!(bench.stop(), Stopped::Clean);
    assert_eq!((bench.killed(), &*bench.said), (1, &[words.to_owned()][..]));

    // A stop in the middle of a walk comes here alone.
    let mut bench = Bench::running(&[]);
    bench.falls("web@0.service");
    bench.cluster_ends("success", "stop");
    bench.stopped();
    assert_eq!((bench.killed(), &*bench.said), (1, &[words.to_owned()][..]));
}

#[test]
fn a_restart_kills_what_does_not_end_and_starts_it() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.cling("web@0.service");
    bench.fake.queue(Verb::Restart, "web@0.service").unwrap();
    bench.fake.log.clear();
    assert_eq!(bench.start(1), Ok(1));
    assert!(bench.fake.log.contains(&"kill web@0.service".to_owned()));
    assert_eq!(bench.said, ["web@0 did not end within 8 s: killed"]);
}

#[test]
fn one_that_is_never_ready_holds_up_nobody_when_another_serves() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.script("web@1.service", &[fake::Start::Stuck]);
    assert_eq!(bench.start(2), Ok(1));
    assert_eq!(
        bench.said,
        ["web@1.service does not serve: started, but not READY yet"],
        "at its start it is not killed: it may need the time"
    );
    assert_eq!(bench.killed(), 0);
}

#[test]
fn a_start_that_was_cancelled_is_asked_for_again() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.cancel("web@1.service", 3);
    assert_eq!(bench.start(2), Ok(2));
    assert_eq!(bench.said, Vec::<String>::new());

    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.cancel("web@1.service", 100);
    assert_eq!(bench.start(2), Ok(1));
    assert_eq!(bench.said, ["web@1.service does not serve: not running"]);
}

#[test]
fn one_whose_job_was_cancelled_before_anybody_looked_is_waited_for() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.fake.set(Unit {
        name: "web@1.service".into(),
        active: ActiveState::Activating,
        sub: "start".into(),
        ..Unit::default()
    });
    assert_eq!(bench.start(2), Ok(2));
    assert_eq!(bench.fake.log, ["start web@1.service"]);
}

#[test]
fn a_start_that_was_cancelled_while_the_run_before_ends_is_asked_for_again_after_that() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.falls("web@1.service");
    let gone = Unit {
        name: "web@1.service".into(),
        ..Unit::default()
    };
    bench.fake.set_at(Duration::from_secs(2), gone);
    bench.fake.cancel("web@1.service", 1);
    assert_eq!(bench.start(2), Ok(2));
    assert_eq!(bench.fake.log, ["start web@1.service"; 2]);
}

#[test]
fn a_start_whose_cluster_is_being_stopped_is_not_asked_for_again() {
    let mut bench = Bench::running(&["web@0.service"]);
    bench.cluster_ends("success", "stop");
    bench.fake.cancel("web@1.service", 1);
    assert_eq!(bench.start(2), Ok(1));
    assert_eq!(bench.fake.log, ["start web@1.service"]);
}

#[test]
fn the_port_is_closed_although_its_job_was_cancelled() {
    let mut bench = Bench::running(&["web.socket"]);
    bench.cluster_ends("success", "stop");
    bench.fake.cancel("web.socket", 2);
    bench.stopped();
    assert_eq!(bench.fake.ready(), Vec::<&str>::new());
}

/// A restart of the app that was on its way down: its stop is no first outcome.
#[test]
fn an_instance_that_is_being_stopped_is_started_all_the_same() {
    let mut bench = Bench::running(&["web@0.service", "web@1.service"]);
    bench.fake.busy("web@1.service", "stop");
    assert_eq!(bench.start(2), Ok(2));
    assert_eq!(bench.fake.log, ["start web@1.service"]);
}

#[test]
fn a_stop_that_a_start_overtakes_waits_no_longer_and_kills_nobody() {
    let mut bench = Bench::running(&[]);
    bench.falls("web@0.service");
    bench.cluster_ends("success", "stop");
    // The job of the stop is gone with the next pause.
    bench.fake.stop_instead("web.service");
    assert_eq!(bench.stop(), Stopped::Clean);
    assert_eq!(bench.killed(), 0);
}

#[test]
fn a_start_that_succeeds_makes_up_for_those_that_failed() {
    let mut bench = Bench::running(&[]);
    let held = |bench: &mut Bench| hold_off::after_failure(&bench.cluster, bench.fake.now());
    for seconds in [0, 1, 2] {
        assert_eq!(held(&mut bench), Duration::from_secs(seconds));
    }
    assert_eq!(bench.start(1), Ok(1));
    assert_eq!(held(&mut bench), Duration::ZERO);
}

#[test]
fn what_is_held_back_waits_for_nobody_who_does_not_knock_and_gives_way_to_a_job() {
    let socket = |sub: &str| Unit {
        name: "web.socket".into(),
        active: ActiveState::Active,
        sub: sub.into(),
        ..Unit::default()
    };
    let pause = Duration::from_secs(15);
    for (sub, job, held) in [
        ("listening", None, LOOK),
        ("running", None, pause),
        ("running", Some("start"), pause),
        ("running", Some("restart"), LOOK),
        ("running", Some("stop"), LOOK),
    ] {
        let mut bench = Bench::running(&["web.service"]);
        bench.fake.set(socket(sub));
        if let Some(job) = job {
            bench.fake.busy("web.service", job);
        }
        let ended = hold_off::wait(&mut bench.fake, &bench.cluster, pause).unwrap();
        let gave_way = ended.map(|job| job.kind);
        assert_eq!(gave_way.as_deref(), job.filter(|job| *job != "start"));
        assert_eq!(bench.fake.now(), held, "{sub}, {job:?}");
    }
}

#[test]
fn where_there_is_no_socket_none_is_stopped() {
    let mut bench = Bench::running(&["web.service"]);
    bench.cluster_ends("success", "stop");
    bench.fake.busy("web@0.service", "stop");
    bench.ended(0, 0);
    bench.fake.set(Unit {
        name: "web@0.service".into(),
        ..Unit::default()
    });
    assert_eq!(bench.stop(), Stopped::Clean);
    bench.stopped();
    assert_eq!(bench.fake.log, Vec::<String>::new());
}
