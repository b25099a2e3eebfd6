//! Exit statuses that an app names as the end of its work.

use super::*;

#[test]
fn an_instance_that_has_ended_its_work_is_no_death_and_the_last_leaves_nothing_failed() {
    let mut bench = Bench::running(&["web.service"]);
    bench.ended(0, 3);
    assert_eq!(bench.deaths(0), 0);
    assert_eq!(verdict::read(&bench.cluster), Some(Verdict::Idle));
    assert_eq!(bench.fake.log, ["stop web.service"]);
}

#[test]
fn while_others_serve_only_the_status_follows_from_it() {
    let mut bench = Bench::running(&["web.service", "web@1.service"]);
    bench.ended(0, 3);
    assert_eq!(bench.fake.log, ["start web:brake.service"]);
    bench.ended(0, 4);
    assert_eq!(bench.deaths(0), 1);
}
