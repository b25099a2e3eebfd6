//! Entries that the cluster unit writes to the journal, with fields that scripts match.

use super::*;
use crate::cluster::asked::Wish;
use crate::contract::Course;
use crate::journal::{Happening, field};
use crate::record::fake::{Entry, Journald};
use crate::record::{Asked, Journal};

fn bench_with(journal: Journal, units: &[&str]) -> Bench {
    let mut bench = Bench::running(units);
    bench.cluster.journal = journal;
    bench
}

/// An entry: the happening, the instance, and whether it says how long it took.
fn seen(entry: &Entry) -> (&str, Option<&str>, bool) {
    let instance = entry.get(field::INSTANCE).map(String::as_str);
    let took = entry.contains_key(field::DURATION);
    (&entry["MESSAGE_ID"], instance, took)
}

/// Walks on this course. Returns the lines, without those of the single steps.
fn walk(bench: &mut Bench, course: Option<Course>) -> Vec<String> {
    let wish = Wish {
        course,
        ..Wish::NONE
    };
    let now = bench.fake.now();
    let _note = course.map(|_| asked::ask(&bench.cluster.state, wish, now).unwrap());
    let plan = Plan {
        canaries: 1,
        ..plan()
    };
    let mut said = Vec::new();
    let _ = reload(&mut bench.fake, &bench.cluster, &plan, &mut |line| {
        said.push(line.to_owned());
    });
    said
}

#[test]
fn a_stop_has_who_asked_for_it_and_the_next_stop_has_nobody() {
    let journald = Journald::new();
    let mut bench = bench_with(journald.of_cluster_unit(), &["web.service", "web.socket"]);
    let asked = Asked {
        command: "stop".into(),
        by: "alice".into(),
        change: None,
    };
    let note = bench.cluster.file(Name::AskedBy);
    note.write(&asked.text()).unwrap();
    for by in [Some("alice"), None] {
        bench.cluster_ends("success", "stop");
        bench.stopped();
        let entry = journald.entry();
        assert_eq!(entry["MESSAGE_ID"], Happening::Stopped.id());
        assert_eq!(entry.get(field::BY).map(String::as_str), by);
        assert_eq!(entry.contains_key(field::COMMAND), by.is_some());
    }
}

#[test]
fn whether_the_last_instance_was_stopped_or_has_ended_by_itself_is_told() {
    for (stop_reason, how) in [
        (StopReason::Idle, "was stopped"),
        (StopReason::Done, "has ended by itself"),
    ] {
        let journald = Journald::new();
        let mut bench = bench_with(journald.of_cluster_unit(), &["web.service"]);
        stop_reason::write(&bench.cluster, &stop_reason).unwrap();
        bench.cluster_ends("success", "stop");
        bench.stopped();
        let entry = journald.entry();
        assert_eq!(entry["MESSAGE_ID"], Happening::Stopped.id());
        assert_eq!(entry["MESSAGE"], format!("the last instance {how}"));
    }
}

#[test]
fn each_end_of_a_reload_is_an_entry_with_how_long_it_took_and_no_line_as_well() {
    let journald = Journald::new();
    let up = &["web.service", "web@0.service"];
    let mut bench = bench_with(journald.of_cluster_unit(), up);
    let (kept, dropped) = (Happening::CanaryKept, Happening::CanaryDropped);
    for (course, happening, instance) in [
        (None, Happening::Reloaded, None),
        (Some(Course::CanaryOnly), kept, Some("1")),
        (Some(Course::Abort), dropped, None),
    ] {
        let said = walk(&mut bench, course);
        let entry = journald.entry();
        assert_eq!(seen(&entry), (happening.id(), instance, true));
        assert!(!said.is_empty(), "its steps are lines");
        assert!(!said.contains(&entry["MESSAGE"]), "{said:?}");
    }
    bench.fake.script("web@1.service", &[fake::Start::Fails; 2]);
    walk(&mut bench, None);
    let failed = (Happening::ReloadFailed.id(), Some("1"), true);
    assert_eq!(seen(&journald.entry()), failed);
}

#[test]
fn without_a_journal_the_end_of_a_reload_is_a_line() {
    let journald = Journald::new();
    let up = &["web.service", "web@0.service"];
    let mut told = bench_with(journald.of_cluster_unit(), up);
    walk(&mut told, Some(Course::CanaryOnly));
    let mut bench = Bench::running(up);
    let said = walk(&mut bench, Some(Course::CanaryOnly));
    let text = &journald.entry()["MESSAGE"];
    assert!(said.contains(text), "{said:?}");
}

#[test]
fn an_instance_that_the_brake_unit_gives_up_is_an_entry_about_that_instance() {
    let journald = Journald::new();
    let mut bench = bench_with(journald.of_cluster_unit(), &["web.service"]);
    bench.fake.set(unrun::refused(1, 1));
    bench
        .fake
        .set_at(Duration::from_secs(2), unrun::refused(1, 5));
    brake(&mut bench.fake, &bench.cluster, 3, &mut |_| {}).unwrap();
    let given_up = (Happening::Errored.id(), Some("1"), false);
    let entries = journald.entries();
    assert!(entries.iter().any(|entry| seen(entry) == given_up));
}

#[test]
fn a_pause_says_how_long_the_instances_took_to_end() {
    let journald = Journald::new();
    let mut bench = bench_with(
        journald.of_cluster_unit(),
        &["web.service", "web@0.service"],
    );
    pause::Paused::ask(&bench.cluster.state).unwrap();
    let times = (Duration::from_mins(1), LONGEST);
    let clock = |_: Duration| "11:52:31".to_owned();
    pause::pause(&mut bench.fake, &bench.cluster, times, &clock, &mut |_| {}).unwrap();
    let entries = journald.entries();
    let told = entries.iter().map(seen);
    let paused = Happening::Paused.id();
    assert!(
        told.clone().any(|told| told == (paused, None, true)),
        "{entries:?}"
    );
}

#[test]
fn the_end_of_a_pause_says_how_long_the_starts_took_and_whether_all_serve() {
    for (starts, outcome) in [(&[][..], "done"), (&[fake::Start::Fails], "failed")] {
        let journald = Journald::new();
        let mut bench = bench_with(journald.of_cluster_unit(), &["web.service"]);
        let paused = pause::Paused {
            since: Duration::ZERO,
            until: Duration::ZERO,
            numbers: vec![0],
        };
        paused.write(&bench.cluster.state).unwrap();
        bench.fake.script("web@0.service", starts);
        let _ = pause::resume(&mut bench.fake, &bench.cluster);
        let entry = journald.entry();
        assert_eq!(seen(&entry), (Happening::Resumed.id(), None, true));
        assert_eq!(entry[field::OUTCOME], outcome);
    }
}
