//! Waiting: always for an event, and never longer than a limit.
//!
//! The only `sleep` of all tests is here.

use std::thread;
use std::time::{Duration, Instant};

use crate::profile;

/// The pause between two looks. A look is often a command in a machine, which needs 20 ms of processor time, so the pauses of a
/// long wait are longer.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(150);
/// A pause is this part of the elapsed time.
const PART: u32 = 10;

/// Waits until `probe` is true; panics with the text `what` when that takes longer than `limit`.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    wait_for(limit, what, || probe().then_some(()));
}

/// Waits until `probe` returns a value; panics with the text `what` when that takes longer than `limit`.
#[track_caller]
pub fn wait_for<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            profile::step(what, start.elapsed());
            return found;
        }
        assert!(
            start.elapsed() < limit,
            "gave up after {limit:?} waiting for {what}"
        );
        nap((start.elapsed() / PART).clamp(SHORTEST, LONGEST));
    }
}

/// Lets time pass, to pace load or to see that something does *not* happen. To wait for an event, use [`wait_until`].
pub fn nap(time: Duration) {
    profile::step("a nap", time);
    thread::sleep(time);
}
