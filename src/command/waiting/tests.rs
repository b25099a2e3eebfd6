//! The lines that are told while a command waits.

use super::*;
use crate::command::tests::stage::{Recorder, unit};
use crate::systemd::fake::Fake;

#[test]
fn a_line_is_due_after_two_seconds_and_in_a_long_wait_what_is_told_already_after_ten() {
    let sink = Recorder::default();
    let mut fake = Fake::running(&[]);
    let mut passed = 0;
    let mut at = |seconds: u64| {
        fake.pause(Duration::from_secs(seconds - passed));
        passed = seconds;
    };
    let mut waiting = Waiting::begin(&sink);
    at(1);
    assert!(!waiting.is_due(&sink));
    at(2);
    assert!(waiting.is_due(&sink));
    let line = waiting.line(&sink, "a".into());
    assert_eq!(line.as_deref(), Some("waiting for 2 s: a"));
    at(3);
    assert!(!waiting.is_due(&sink));
    assert_eq!(waiting.line(&sink, "a".into()), None);
    at(4);
    let line = waiting.line(&sink, "a".into());
    assert_eq!(line.as_deref(), Some("waiting for 4 s: as before"));
    at(28);
    let line = waiting.line(&sink, "b".into());
    assert_eq!(line.as_deref(), Some("waiting for 28 s: b"));
    for seconds in [30, 37] {
        at(seconds);
        assert_eq!(waiting.line(&sink, "b".into()), None);
    }
    at(38);
    assert!(waiting.line(&sink, "c".into()).is_some());
    at(48);
    assert!(waiting.line(&sink, "c".into()).is_some());
    at(50);
    waiting.is_interrupted();
    at(51);
    assert!(!waiting.is_due(&sink));
}

#[test]
fn the_silence_of_a_command_goes_on_over_its_waits_and_is_looked_at_in_time() {
    let sink = Recorder::default();
    let mut fake = Fake::running(&[]);
    let mut pass = |millis| fake.pause(Duration::from_millis(millis));
    sink.notice(&Notice::Starting("web"));
    let long = Duration::from_secs(1);
    let first = Waiting::begin(&sink);
    assert_eq!(first.nap(&sink, long), long);
    pass(1800);
    let mut second = Waiting::begin(&sink);
    assert!(!second.is_due(&sink));
    assert!(second.nap(&sink, long) <= Duration::from_millis(200));
    pass(200);
    second.tell_of(&sink, "web", "a reload");
    assert_eq!(sink.told()[1..], ["web: waiting: a reload"]);
    assert_eq!(second.nap(&sink, long), long);
    // What others tell counts as well.
    pass(1000);
    sink.notice(&Notice::Starting("web"));
    pass(1000);
    assert!(!second.is_due(&sink));
}

#[test]
fn what_is_waited_for_is_told_after_a_silence() {
    let sink = Recorder::default();
    let mut waiting = Waiting::begin(&sink);
    waiting.tell_of(&sink, "web", "a reload");
    assert_eq!(sink.told(), [""; 0]);
    Fake::running(&[]).pause(SILENCE);
    for _ in 0..2 {
        waiting.tell_of(&sink, "web", "a reload");
    }
    assert_eq!(sink.told(), ["web: waiting for 2 s: a reload"]);
}

#[test]
fn the_cluster_and_the_instances_on_their_way_are_named() {
    let mut fake = Fake::running(&["web.service", "web@9.service"]);
    let on_its_way = |name: &str, active, sub: &str, words: &str| Unit {
        name: name.into(),
        load: "loaded".into(),
        active,
        sub: sub.into(),
        status_text: words.into(),
        ..Unit::default()
    };
    let up = ActiveState::Activating;
    fake.set(on_its_way("web.service", up, "start", "1 of 6 serving"));
    fake.set(on_its_way("web@0.service", up, "start", ""));
    fake.set(on_its_way(
        "web@1.service",
        up,
        "start",
        "waiting 3s after: x",
    ));
    let down = ActiveState::Deactivating;
    fake.set(on_its_way("web@2.service", down, "stop-sigterm", ""));
    for number in 3..5 {
        let name = format!("web@{number}.service");
        fake.set(on_its_way(&name, up, "auto-restart", ""));
    }
    assert_eq!(
        progress(&mut fake, None, "web").unwrap(),
        "1 of 6 serving; web@0: started, but not READY yet; web@1: waiting 3s after: x; \
         web@2: being stopped (stop-sigterm); and 2 more"
    );
    let layout = Layout::system("/nowhere".as_ref());
    let waits = |layout| progress(&mut Fake::running(&["web.service"]), layout, "web").unwrap();
    let here = waits(Some(&layout));
    assert!(here.contains("systemctl list-jobs"), "{here}");
    assert!(!waits(None).contains("systemctl"));
}

#[test]
fn the_words_of_an_instance_are_quoted_as_it_starts_and_not_as_it_is_stopped() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::system(root.path());
    std::fs::create_dir_all(&layout.run).unwrap();
    let deaths = Deaths {
        count: 1,
        reason: "exited with status 1".into(),
        ..Deaths::default()
    };
    let file = Entry::new(&layout.state("web"), Name::Deaths(1));
    deaths.store(&file).unwrap();
    let of = |active, sub| {
        let mut fake = Fake::running(&["web@0.service"]);
        fake.set(unit("web@1.service", active, sub));
        died(&mut fake, &layout, "web").map(|(number, _)| number)
    };
    assert_eq!(of(ActiveState::Activating, "auto-restart"), Some(1));
    assert_eq!(of(ActiveState::Deactivating, "stop-sigterm"), None);
    assert_eq!(of(ActiveState::Active, "running"), None);
    let timed_out = Deaths {
        reason: format!("{TIMED_OUT}not READY within `listen_timeout`"),
        ..deaths
    };
    timed_out.store(&file).unwrap();
    assert_eq!(of(ActiveState::Activating, "auto-restart"), None);
}

#[test]
fn the_deaths_of_this_start_are_told_with_the_last_reason() {
    let died = |count, reason: &str| {
        let unit = unit("web@0.service", ActiveState::Activating, "auto-restart");
        let mut fake = Fake::running(&[]);
        fake.set(unit.clone());
        let brief = fake.units("web@*.service").unwrap().remove(0);
        let deaths = Deaths {
            count,
            reason: reason.into(),
            ..Deaths::default()
        };
        state(&unit, &brief, Some(&deaths))
    };
    let again = "web@0: about to be started again, after";
    let one = format!("{again} one death: exited with status 1");
    assert_eq!(died(1, "exited with status 1"), one);
    let more = format!("{again} 3 deaths, the last: killed by SIGSEGV");
    assert_eq!(died(3, "killed by SIGSEGV"), more);
    let now = "about to be started again";
    let same = died(2, &format!("timed out: {now}"));
    assert_eq!(same, format!("web@0: {now}, after 2 deaths"));
}

#[test]
fn the_words_of_a_cluster_count_while_it_does_something() {
    let mut fake = Fake::running(&["web.service"]);
    let mut told = |active, sub: &str, words: &str| {
        fake.set(Unit {
            status_text: words.into(),
            ..unit("web.service", active, sub)
        });
        for number in 0..NAMED {
            let name = format!("web@{number}.service");
            fake.set(unit(&name, ActiveState::Activating, sub));
        }
        progress(&mut fake, None, "web").unwrap()
    };
    let three = "web@0: about to be started again; web@1: about to be started again; web@2: about to be started again";
    let words = format!("replacing; {three}");
    let sub = "auto-restart";
    assert_eq!(told(ActiveState::Reloading, sub, "replacing"), words);
    assert_eq!(told(ActiveState::Active, sub, "replacing"), three);
    assert_eq!(told(ActiveState::Reloading, sub, " "), three);
}
