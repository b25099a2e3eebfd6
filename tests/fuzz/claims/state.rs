//! Claims about the small files below `/run/rsgen`, and about `[X-rsgen]` in a unit: what was written is read, no file causes a
//! long pause, and no number in a file overflows.

use std::time::Duration;

use rsgen::brake::{Deaths, Decision, Process};
use rsgen::cluster::{hold_off, progress, stop_reason};
use rsgen::contract::{Instances, OnFailure, Policy};
use rsgen::generate::marked;
use rsgen::unit::name;
use rsgen::walk::Plan;

/// The longest line that [`Deaths::text`] keeps.
const LINE: usize = 1000;
/// The size of the longest file that is read.
const FILE: usize = 64 << 10;
/// The longest pause.
const MOST: Duration = Duration::from_secs(15);

/// The text as each of the files, and as the words in a file.
pub(crate) fn of_any_text(text: &str, numbers: [u64; 4]) {
    let [count, nanos, seconds, wanted] = numbers;
    if let Some(found) = Deaths::parse(text) {
        of_deaths(&found, numbers);
    }
    let deaths = Deaths {
        count: low(count),
        last: time(seconds, nanos),
        errored: wanted % 2 == 0,
        reason: text.to_owned(),
        invocation: text.to_owned(),
        process: Some(Process {
            pid: low(wanted),
            began: time(seconds, nanos),
            ended: time(nanos, seconds),
            uid: (count % 2 == 0).then(|| low(count)),
        }),
    };
    of_deaths(&deaths, numbers);
    failures_are_counted(text, numbers);
    a_stop_reason_is_read_as_it_was_written(text);
    a_walk_is_noted_by_its_plan(text, numbers);
    a_mark_names_an_app(text, low(wanted));
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

/// A time that is often of a realistic size.
fn time(seconds: u64, nanos: u64) -> Duration {
    let seconds = if seconds.is_multiple_of(2) {
        seconds >> 48
    } else {
        seconds
    };
    Duration::new(seconds, low(nanos) % 1_000_000_000)
}

fn of_deaths(deaths: &Deaths, [a, b, c, d]: [u64; 4]) {
    let text = deaths.text();
    assert!(text.len() < FILE);
    let read = Deaths::parse(&text).expect("of our own");
    assert_eq!(Deaths::parse(&read.text()).as_ref(), Some(&read));
    let micros = u64::try_from(deaths.last.as_micros()).unwrap_or(u64::MAX);
    assert_eq!(
        (read.count, read.last, read.errored),
        (deaths.count, Duration::from_micros(micros), deaths.errored)
    );
    assert!(!read.reason.contains(char::is_control) && !read.invocation.contains(char::is_control));
    let is_plain = |words: &str| words.chars().count() <= LINE && !words.contains(char::is_control);
    if is_plain(&deaths.reason) {
        assert_eq!(read.reason, deaths.reason.trim_end());
    }
    if is_plain(&deaths.invocation) {
        assert_eq!(read.invocation, deaths.invocation);
    }

    let policy = Policy {
        min_uptime: time(a, b),
        max_restarts: low(c),
        backoff: (d % 3 != 0).then(|| time(d, a)),
    };
    let now = time(d, c);
    of_a_decision(deaths, &policy, now);
    of_a_decision(&read, &policy, now);
    let uptime = time(c, d);
    let after = Deaths::after(Some(read), uptime, now, String::new(), &policy);
    let quick = uptime < policy.min_uptime;
    let counted = if quick {
        deaths.count.saturating_add(1)
    } else {
        0
    };
    assert_eq!((after.count, after.last), (counted, now));
    of_a_decision(&after, &policy, now);
    let given_up = after.given_up(&policy);
    // The next start is a last attempt: one more death, and the instance is given up.
    assert!(policy.max_restarts == 0 || given_up.count + 1 == policy.max_restarts);
    of_a_decision(&given_up, &policy, now);
}

fn of_a_decision(deaths: &Deaths, policy: &Policy, now: Duration) {
    let decision = deaths.decide(policy, now);
    let is_over = matches!(decision, Decision::Errored(_));
    assert_eq!(is_over, deaths.count >= policy.max_restarts);
    if let Decision::Wait(pause) = decision {
        assert!(!pause.is_zero() && pause <= MOST, "{pause:?}");
    }
}

fn failures_are_counted(text: &str, [count, at, now, distance]: [u64; 4]) {
    let now = time(now, count);
    let found = hold_off::failures(text, now);
    assert!(found >= 1 && hold_off::pause(found) <= MOST);
    let at = if distance % 2 == 0 {
        at
    } else {
        low(distance).into()
    };
    let note = format!("{} {at}", low(count));
    let is_in_a_row = now.saturating_sub(Duration::from_micros(at)) < Duration::from_mins(1);
    let expected = if is_in_a_row {
        low(count).saturating_add(1)
    } else {
        1
    };
    assert_eq!(hold_off::failures(&note, now), expected, "{note}");
    assert!(hold_off::pause(expected) >= hold_off::pause(expected - 1));
}

fn a_stop_reason_is_read_as_it_was_written(text: &str) {
    let failed = stop_reason::StopReason::Failed(text.to_owned());
    let read = stop_reason::StopReason::parse(&failed.text());
    assert_eq!(
        read,
        stop_reason::StopReason::Failed(text.trim_end().to_owned())
    );
    let idle = stop_reason::StopReason::Idle;
    assert_eq!(stop_reason::StopReason::parse(&idle.text()), idle);
    let is_idle = stop_reason::StopReason::parse(text) == idle;
    assert!(is_idle || text.starts_with("failed"));
}

fn a_walk_is_noted_by_its_plan(text: &str, [began, asked, instances, settle]: [u64; 4]) {
    let plan = Plan {
        app: text.to_owned(),
        instances: low(instances),
        canaries: low(instances % 2),
        parallel: 1,
        settle: time(settle, began),
        on_failure: OnFailure::Abort,
        max_failures: 0,
        step: Duration::from_secs(30),
        longest_stop: time(settle, began),
    };
    let (began, asked) = (time(began, settle), time(asked, settle));
    let note = progress::note(began, &plan);
    let is_later = began.as_micros() > asked.as_micros();
    assert_eq!(progress::is_noted(&note, asked, &plan), is_later);
    let other = Plan {
        parallel: 2,
        ..plan.clone()
    };
    assert!(!progress::is_noted(&note, asked, &other));
    assert!(!progress::is_noted(text, asked, &plan));
}

fn a_mark_names_an_app(text: &str, cpus: u32) {
    let is_an_app = |(app, instances): &(String, Instances)| {
        name::check(app).is_ok() && (1..=1024).contains(&instances.resolve(cpus % 1024))
    };
    assert!(marked(text).is_none_or(|mark| is_an_app(&mark)));
    // A value in front of the section has one line.
    let value = text.replace('\n', " ");
    let unit = format!("[Unit]\nDescription={value}\n\n[X-rsgen]\nApp=web\nInstances=-1\n");
    let (app, instances) = marked(&unit).expect("a mark");
    assert_eq!((app.as_str(), instances.resolve(8)), ("web", 7));
    // The text as the name of the app.
    let unit = format!("[Unit]\n\n[X-rsgen]\nApp={text}\nInstances=max\n");
    assert!(marked(&unit).is_none_or(|mark| is_an_app(&mark)));
}
