//! The words and the entries of the journal about a recycling.

use super::*;
use crate::brake::Deaths;
use crate::journal::field;
use crate::record::fake::Journald;

#[test]
fn the_journal_is_told_of_each_that_was_replaced_and_of_one_that_could_not_be() {
    let journald = Journald::new();
    let mut bench = Bench::using(&[("web@0.service", 301), ("web@1.service", 312)]);
    bench.cluster.journal = journald.of_cluster_unit();
    bench.look().unwrap();
    let told: Vec<_> = journald
        .entries()
        .into_iter()
        .map(|entry| {
            assert!(entry.contains_key(field::DURATION), "{entry:?}");
            (entry[field::INSTANCE].clone(), entry["MESSAGE"].clone())
        })
        .collect();
    let [(first, why), (second, _)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!([first, second], ["0", "1"]);
    assert!(
        why.starts_with("web@0 was recycled: 301.0M of 300M"),
        "{why}"
    );
    assert!(!bench.said.is_empty(), "each step is a line");

    let mut bench = Bench::using(MUCH);
    bench.cluster.journal = journald.of_cluster_unit();
    bench.fake.script("web@3.service", &[Start::Fails; 2]);
    let told = bench.look().unwrap_err();
    let entry = journald.entry();
    assert_eq!(entry["MESSAGE"], told);
    assert_eq!(entry[field::INSTANCE], "1", "not the canary");
}

#[test]
fn one_that_needs_too_much_soon_after_its_start_is_told_with_the_time() {
    let limits = Limits {
        memory: Some(LIMIT),
        uptime: None,
    };
    let much = |_: &Unit| Some(312 << 20);
    let unit = Unit {
        active_enter: Unit::default().active_for(),
        ..Unit::default()
    };
    let why = over_memory(&unit, limits, &much).unwrap();
    assert!(why.starts_with("312.0M of 300M after only "), "{why}");
}

#[test]
fn one_that_is_unhealthy_once_it_was_replaced_is_told_with_its_fault() {
    let bench = Bench::using(MUCH);
    let deaths = Deaths {
        reason: "unhealthy: GET / answered 500".into(),
        ..Deaths::default()
    };
    let teller = Teller {
        cluster: &bench.cluster,
        due: Vec::new(),
        say: &mut |_| {},
    };
    assert_eq!(teller.cause(1), None);
    deaths.store(&bench.cluster.deaths(1)).unwrap();
    let why = teller.cause(1).map(|cause| cause.why);
    assert_eq!(why, Some(deaths.reason));
}
