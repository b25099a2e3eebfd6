//! Exit statuses after which systemd does not start an instance again.

use std::ops::RangeInclusive;

/// The worker's exit status for an instance that is given up, see [`crate::brake`].
pub const ERRORED: u8 = 190;

/// The statuses by which systemd says that it could not run the program, see "Process Exit Codes" in systemd.exec(5).
const NOT_RUN: RangeInclusive<u8> = 200..=243;

/// Every status after which an instance stays stopped, for `RestartPreventExitStatus=`.
pub fn final_statuses() -> impl Iterator<Item = u8> {
    std::iter::once(ERRORED).chain(NOT_RUN)
}

/// Whether systemd leaves an instance stopped after this status.
#[must_use]
pub fn is_final(status: u8) -> bool {
    status == ERRORED || NOT_RUN.contains(&status)
}
