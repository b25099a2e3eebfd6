//! An app before, during and after a pause.

use super::super::pause::{Paused, pause, resume};
use super::*;
use crate::systemd::ATTEMPTS;

const UNITS: &[&str] = &["web.service", "web@0.service", "web@1.service"];
const MINUTE: Duration = Duration::from_mins(1);

impl Bench {
    fn pause(&mut self) -> Result<(), String> {
        Paused::ask(&self.cluster.state).unwrap();
        self.go_on()
    }

    fn go_on(&mut self) -> Result<(), String> {
        let said = &mut self.said;
        let mut say = |line: &str| said.push(line.to_owned());
        let clock = |_: Duration| "11:52:31".to_owned();
        let times = (MINUTE, LONGEST);
        pause(&mut self.fake, &self.cluster, times, &clock, &mut say).map_err(|e| e.to_string())
    }

    fn resume(&mut self) -> Result<(), String> {
        resume(&mut self.fake, &self.cluster).map_err(|e| e.to_string())
    }

    fn paused(&self) -> Option<Paused> {
        Paused::read(&self.cluster.state)
    }
}

fn a_minute() -> Paused {
    Paused {
        since: Duration::ZERO,
        until: MINUTE,
        numbers: vec![0, 1],
    }
}

fn up(name: &str) -> Unit {
    Unit {
        name: name.into(),
        active: ActiveState::Active,
        ..Unit::default()
    }
}

#[test]
fn all_instances_end_and_come_back_when_the_time_is_over() {
    let mut bench = Bench::running(UNITS);
    bench.pause().unwrap();
    assert_eq!(bench.said, ["the time of the pause is over"]);
    assert!(bench.fake.now() >= MINUTE);
    assert_eq!(bench.fake.ready(), ["web.service"]);
    assert_eq!(bench.paused().unwrap().numbers, [0, 1]);
    bench.resume().unwrap();
    assert_eq!(bench.fake.ready(), UNITS);
    assert_eq!(bench.paused(), None);
    let log = [
        "stop web@0.service",
        "stop web@1.service",
        "start web@0.service",
        "start web@1.service",
    ];
    assert_eq!(bench.fake.log, log);
    bench.resume().unwrap();
    assert_eq!(bench.fake.log, log, "nothing is done twice");
}

#[test]
fn a_pause_whose_commands_were_killed_goes_on_to_its_end_and_is_not_repeated() {
    let mut bench = Bench::running(&UNITS[..1]);
    bench.go_on().unwrap();
    assert_eq!(bench.fake.log, [""; 0], "there is none");
    a_minute().write(&bench.cluster.state).unwrap();
    bench.go_on().unwrap();
    assert!(bench.fake.now() >= MINUTE);
    bench.resume().unwrap();
    assert_eq!(bench.fake.ready(), UNITS);
}

/// The file of a pause keeps the timer of an app from reloading it.
#[test]
fn a_pause_that_was_asked_for_and_never_began_is_none() {
    let mut bench = Bench::running(UNITS);
    let state = bench.cluster.state.clone();
    a_minute().write(&state).unwrap();
    Paused::ask(&state).unwrap();
    assert!(Entry::new(&state, Name::Pause).read().is_err());
    assert!(bench.paused().unwrap().is_asked());
    a_minute().write(&state).unwrap();
    assert!(Entry::new(&state, Name::PauseAsked).read().is_err());
    assert_eq!(bench.paused(), Some(a_minute()));
    Paused::ask(&state).unwrap();
    bench.resume().unwrap();
    assert_eq!(bench.paused(), None);
}

#[test]
fn an_instance_that_was_down_before_stays_down() {
    let mut bench = Bench::running(&UNITS[..2]);
    bench.fake.set(Unit {
        name: "web@1.service".into(),
        ..Unit::default()
    });
    bench.pause().unwrap();
    bench.resume().unwrap();
    assert_eq!(bench.fake.ready(), UNITS[..2]);
}

#[test]
fn an_instance_whose_start_waits_comes_back_and_one_whose_stop_waits_does_not() {
    for (job, numbers) in [("start", &[0, 1][..]), ("stop", &[0])] {
        let mut bench = Bench::running(&UNITS[..2]);
        bench.fake.busy("web@1.service", job);
        bench.pause().unwrap();
        assert_eq!(bench.paused().unwrap().numbers, numbers, "{job}");
    }
}

#[test]
fn the_start_of_an_instance_ends_the_pause() {
    let mut bench = Bench::running(UNITS);
    let soon = Duration::from_secs(3);
    bench.fake.set_at(soon, up("web@1.service"));
    bench.pause().unwrap();
    assert!(bench.fake.now() < MINUTE);
    assert_eq!(
        bench.said,
        ["web@1.service was started, so the pause is over"]
    );
}

#[test]
fn whatever_the_file_says_a_pause_does_not_exceed_the_longest_one() {
    let mut bench = Bench::running(&UNITS[..1]);
    let forever = Paused {
        since: Duration::ZERO,
        until: Duration::from_hours(1),
        numbers: vec![0],
    };
    forever.write(&bench.cluster.state).unwrap();
    assert_eq!(bench.paused(), Some(forever));
    bench.go_on().unwrap();
    let longest = super::super::pause::LONGEST;
    let now = bench.fake.now();
    assert!(now >= longest && now < longest + LONGEST, "{now:?}");
}

#[test]
fn nothing_is_started_for_an_app_that_is_stopped_or_restarted() {
    for job in ["stop", "restart"] {
        let mut bench = Bench::running(UNITS);
        bench.pause().unwrap();
        bench.fake.busy("web.service", job);
        bench.resume().unwrap();
        assert_eq!(bench.fake.ready(), ["web.service"], "{job}");
    }
}

#[test]
fn an_instance_that_does_not_come_back_is_told() {
    let mut bench = Bench::running(UNITS);
    bench.pause().unwrap();
    bench.fake.script("web@1.service", &[fake::Start::Fails]);
    let failed = bench.resume().unwrap_err();
    assert!(
        failed.starts_with("1 of 2 instances came back after the pause: web@1.service "),
        "{failed}"
    );
}

#[test]
fn the_last_instance_that_ends_for_a_pause_leaves_the_cluster_and_its_listener() {
    for (has_file, has_unit) in [(false, false), (false, true), (true, false), (true, true)] {
        let is_paused = has_file && has_unit;
        let mut bench = Bench::running(&["web.service", "web@0.socket"]);
        bench.own_listener = true;
        if has_unit {
            bench.fake.set(up("web:pause.service"));
        }
        if has_file {
            a_minute().write(&bench.cluster.state).unwrap();
        }
        bench.fake.set(Unit {
            name: "web@0.service".into(),
            active: ActiveState::Deactivating,
            ..Unit::default()
        });
        bench.fake.busy("web@0.service", "stop");
        bench.ended(0, 0);
        let is_stopped = |unit: &str| {
            bench
                .fake
                .log
                .iter()
                .any(|l| l.starts_with(&format!("stop {unit}")))
        };
        assert_eq!(is_stopped("web.service"), !is_paused);
        assert_eq!(is_stopped("web@0.socket"), !is_paused);
    }
}

#[test]
fn an_app_whose_instances_are_down_is_active_for_the_pause_and_no_longer() {
    let mut bench = Bench::running(&UNITS[..1]);
    let down = Unit {
        name: "web@0.service".into(),
        active: ActiveState::Failed,
        ..Unit::default()
    };
    bench.fake.set(down);
    let is_stopped = |bench: &mut Bench| {
        super::super::brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
        bench.fake.log.contains(&"stop web.service".to_owned())
    };
    let mut paused = a_minute();
    paused.numbers.clear();
    paused.write(&bench.cluster.state).unwrap();
    for active in [
        ActiveState::Activating,
        ActiveState::Active,
        // Until its last command has had the instances started.
        ActiveState::Deactivating,
    ] {
        bench.fake.set(Unit {
            active,
            ..up("web:pause.service")
        });
        bench.fake.busy("web:pause.service", "stop");
        assert!(!is_stopped(&mut bench), "connections wait: {active:?}");
    }
    // Nobody was there when the pause began, so nobody would answer them.
    bench.resume().unwrap();
    assert_eq!(bench.fake.log, ["stop web.service"]);
}

#[test]
fn an_instance_that_is_started_again_and_ends_for_good_has_its_listener_closed() {
    let mut bench = Bench::running(&UNITS[..1]);
    bench.fake.set(up("web:pause.service"));
    let over = Paused {
        until: Duration::ZERO,
        ..a_minute()
    };
    over.write(&bench.cluster.state).unwrap();
    bench.fake.set(Unit {
        name: "web@0.service".into(),
        active: ActiveState::Deactivating,
        ..Unit::default()
    });
    bench.fake.busy("web@0.service", "stop");
    bench.ended(0, 0);
    assert_eq!(bench.fake.log, ["stop web.service"]);
}

/// The commands of the unit may be killed while the instances end, and the unit is started again.
#[test]
fn a_pause_that_was_killed_before_it_began_is_not_as_long_as_the_longest() {
    let mut bench = Bench::running(UNITS);
    bench.fake.cancel("web@0.service", 99);
    let failed = bench.pause().unwrap_err();
    assert!(failed.contains("web@0.service"), "{failed}");
    let noted = bench.paused().unwrap();
    // The instances may take that long to end, and the pause is not shorter because of it.
    assert_eq!(noted.until, MINUTE + LONGEST);
    assert_eq!(noted.numbers, [0, 1]);
}

/// `systemctl cancel` without arguments throws away all jobs of systemd.
#[test]
fn what_was_cancelled_is_asked_for_again_a_few_times() {
    let asked = |bench: &Bench, verb: &str| {
        let line = format!("{verb} web@0.service");
        bench.fake.log.iter().filter(|l| **l == line).count()
    };
    let mut bench = Bench::running(&UNITS[..2]);
    bench.fake.cancel("web@0.service", 1);
    bench.pause().unwrap();
    bench.fake.cancel("web@0.service", 1);
    bench.resume().unwrap();
    assert_eq!(bench.fake.ready(), UNITS[..2]);
    assert_eq!([asked(&bench, "stop"), asked(&bench, "start")], [2, 2]);

    bench.pause().unwrap();
    bench.fake.cancel("web@0.service", 99);
    bench.resume().unwrap_err();
    assert_eq!(asked(&bench, "start"), 2 + 1 + ATTEMPTS);
    let mut bench = Bench::running(&UNITS[..2]);
    bench.fake.cancel("web@0.service", 99);
    bench.pause().unwrap_err();
    assert_eq!(asked(&bench, "stop"), 1 + ATTEMPTS);
}

#[test]
fn an_instance_that_is_on_its_way_down_is_asked_once_and_killed_in_time() {
    let mut bench = Bench::running(&UNITS[..2]);
    bench.fake.cling("web@0.service");
    bench.pause().unwrap();
    assert_eq!(bench.fake.log, ["stop web@0.service", "kill web@0.service"]);
    assert_eq!(bench.said[0], "web@0 did not end within 8 s: killed");
}

/// Instances that it has started by then end for good as if there had been no pause.
#[test]
fn the_end_of_a_pause_that_loses_systemd_is_tried_again_and_is_no_pause_meanwhile() {
    let mut bench = Bench::running(UNITS);
    bench.fake.pause(LOOK);
    bench.pause().unwrap();
    bench.fake.sever_at("web@0.service");
    bench.resume().unwrap_err();
    let left = bench.paused().unwrap();
    assert_eq!(left.numbers, [0, 1]);
    assert!(!left.is_on() && !left.is_asked());
}
