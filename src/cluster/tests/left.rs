//! The canaries of a walk that was killed, where one of them is started once more meanwhile.

use super::*;
use crate::cluster::left::Left;

#[test]
fn canaries_are_remembered_until_all_of_them_are_gone() {
    let units = [
        "web.service",
        "web@0.service",
        "web@1.service",
        "web@3.service",
    ];
    let mut bench = Bench::running(&units);
    progress::remember_canaries(&bench.cluster, &[1, 3]);
    bench.fake.cling("web@1.service");
    let mut left = Left::default();
    let look = |left: &mut Left, bench: &mut Bench| {
        left.look(&mut bench.fake, &bench.cluster, &mut |_| {})
    };
    assert_eq!(look(&mut left, &mut bench), Ok(false));
    // The other is stopped already, and somebody starts it.
    bench.fake.set(Unit {
        name: "web@3.service".into(),
        load: "loaded".into(),
        active: ActiveState::Active,
        ..Unit::default()
    });
    let mut looks = 0;
    while look(&mut left, &mut bench) == Ok(false) {
        bench.fake.pause(Duration::from_secs(1));
        looks += 1;
        assert!(looks < 100, "{:?}", bench.fake.log);
    }
    let stops = |unit: &str| {
        let line = format!("stop {unit}");
        bench.fake.log.iter().filter(|told| **told == line).count()
    };
    assert_eq!((stops("web@1.service"), stops("web@3.service")), (1, 2));
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
}
