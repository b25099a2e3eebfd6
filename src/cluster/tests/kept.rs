//! A canary that a reload has kept, in the state folder of its app.

use super::*;
use crate::cluster::asked::Wish;
use crate::contract::{Amount, Course};

const UP: &[&str] = &["web.service", "web@0.service"];

fn canary_plan() -> Plan {
    Plan {
        canaries: 1,
        ..plan()
    }
}

fn walk(bench: &mut Bench, course: Option<Course>) -> Result<(), ReloadError> {
    let state = &bench.cluster.state;
    let wish = Wish {
        course,
        ..Wish::NONE
    };
    let _note = course.map(|_| asked::ask(state, wish, bench.fake.now()).unwrap());
    bench.fake.log.clear();
    reload(&mut bench.fake, &bench.cluster, &canary_plan(), &mut |_| {})
}

#[test]
fn a_kept_canary_outlasts_its_walk_and_the_brake_unit_and_stops_other_reloads() {
    let mut bench = Bench::running(UP);
    walk(&mut bench, Some(Course::CanaryOnly)).unwrap();
    assert_eq!(bench.fake.log, ["restart web@1.service"]);
    assert_eq!(progress::kept(&bench.cluster.state), [1]);
    brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
    for course in [None, Some(Course::CanaryOnly)] {
        let error = walk(&mut bench, course).unwrap_err();
        assert!(matches!(error, ReloadError::Kept(..)), "{error}");
        assert_eq!(bench.fake.log, [""; 0]);
    }
    assert_eq!(
        bench.fake.ready(),
        ["web.service", "web@0.service", "web@1.service"]
    );

    walk(&mut bench, Some(Course::Promote)).unwrap();
    assert_eq!(
        bench.fake.log,
        ["restart web@0.service", "stop web@1.service"]
    );
    assert_eq!(progress::kept(&bench.cluster.state), [0; 0]);
    walk(&mut bench, None).unwrap();
}

#[test]
fn a_kept_canary_is_aborted_once() {
    let mut bench = Bench::running(UP);
    walk(&mut bench, Some(Course::CanaryOnly)).unwrap();
    walk(&mut bench, Some(Course::Abort)).unwrap();
    assert_eq!(bench.fake.log, ["stop web@1.service"]);
    for course in [Course::Abort, Course::Promote] {
        let error = walk(&mut bench, Some(course)).unwrap_err();
        assert!(matches!(error, ReloadError::NoneKept(_)), "{error}");
    }
}

#[test]
fn a_kept_canary_that_is_gone_is_no_obstacle_and_a_start_ends_one() {
    let mut bench = Bench::running(UP);
    walk(&mut bench, Some(Course::CanaryOnly)).unwrap();
    bench.fake.queue(Verb::Stop, "web@1.service").unwrap();
    walk(&mut bench, None).unwrap();
    assert_eq!(progress::kept(&bench.cluster.state), [0; 0]);

    walk(&mut bench, Some(Course::CanaryOnly)).unwrap();
    bench.start(1).unwrap();
    assert_eq!(progress::kept(&bench.cluster.state), [0; 0]);
    assert_eq!(bench.fake.ready(), UP);
}

#[test]
fn a_walk_that_begins_too_late_for_its_course_touches_nothing() {
    let mut bench = Bench::running(UP);
    let late = Wish {
        course: Some(Course::CanaryOnly),
        ..Wish::NONE
    };
    let _note = asked::ask(&bench.cluster.state, late, bench.fake.now()).unwrap();
    bench.fake.pause(Duration::from_mins(2));
    let error = walk(&mut bench, None).unwrap_err();
    assert!(matches!(error, ReloadError::Old), "{error}");
    assert_eq!(bench.fake.log, [""; 0]);
    walk(&mut bench, None).unwrap();
}

#[test]
fn an_abort_that_leaves_nobody_to_serve_ends_the_cluster_with_its_port_open() {
    let mut bench = Bench::running(UP);
    walk(&mut bench, Some(Course::CanaryOnly)).unwrap();
    bench.fake.queue(Verb::Stop, "web@0.service").unwrap();
    walk(&mut bench, Some(Course::Abort)).unwrap();
    assert_eq!(bench.fake.log, ["stop web@1.service", "stop web.service"]);
    assert_eq!(stop_reason::read(&bench.cluster), Some(StopReason::Idle));
}

#[test]
fn a_pace_of_its_own_is_that_of_one_walk() {
    let mut bench = Bench::running(&["web.service", "web@0.service", "web@1.service"]);
    let plan = Plan {
        instances: 2,
        ..canary_plan()
    };
    let mut walk = |wish: Wish| {
        let bench = &mut bench;
        let _note = (!wish.is_none())
            .then(|| asked::ask(&bench.cluster.state, wish, bench.fake.now()).unwrap());
        bench.fake.log.clear();
        reload(&mut bench.fake, &bench.cluster, &plan, &mut |_| {}).unwrap();
        bench.fake.log.clone()
    };
    let all = Wish {
        surge: Some(Amount::Percent(100)),
        ..Wish::NONE
    };
    let none = Wish {
        surge: Some(Amount::Exactly(0)),
        parallel: Some(Amount::Exactly(9)),
        ..Wish::NONE
    };
    assert_eq!(
        walk(all)[..2],
        ["restart web@2.service", "restart web@3.service"]
    );
    assert_eq!(
        walk(none),
        ["restart web@0.service", "restart web@1.service"]
    );
    let as_the_unit_says = walk(Wish::NONE);
    assert_eq!(
        as_the_unit_says[..2],
        ["restart web@2.service", "restart web@0.service"]
    );
}
