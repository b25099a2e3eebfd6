//! The present moment for whoever waits for a fake: what a test itself takes counts for nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static BEGUN: Instant = Instant::now();
    /// The time by which the clocks of all fakes of this test have advanced.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Notes that the clock of a fake has advanced.
pub(super) fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
}

/// Returns the present moment.
#[must_use]
pub fn instant() -> Instant {
    BEGUN.with(|begun| *begun) + PASSED.get()
}
