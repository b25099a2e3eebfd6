//! Waiting, always for something and never for longer than said.
//!
//! The one `sleep` of all tests is here. A spec that needs time to pass says what it waits for.

use std::thread;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(10);

/// Waits until `probe` is true; panics, naming `what`, when it is not within `limit`.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    wait_for(limit, what, || probe().then_some(()));
}

/// Waits until `probe` has an answer; panics, naming `what`, when it has none within `limit`.
#[track_caller]
pub fn wait_for<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            start.elapsed() < limit,
            "gave up after {limit:?} waiting for {what}"
        );
        nap(STEP);
    }
}

/// Lets time pass: for pacing load, and for watching that something does *not* happen. To wait
/// for an event, use [`wait_until`].
pub fn nap(time: Duration) {
    thread::sleep(time);
}
