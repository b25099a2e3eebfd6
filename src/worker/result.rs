//! The result of a call in the memory of its caller: bytes at one address, and their number at another.

use std::os::fd::BorrowedFd;

use super::outcome::Outcome;
use crate::peer::process::Process;
use crate::sys::seccomp::{self, Call};

/// The number that a call reports beside its result, if the caller has less room than the result needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// The length of the whole result, as of getsockname(2).
    Whole,
    /// The length of the part that was written, as of getsockopt(2).
    Written,
}

/// Writes a result. As much of it is written as the caller has room for.
pub(super) fn write(
    filter: BorrowedFd<'_>,
    call: &Call,
    caller: &Process,
    bytes: &[u8],
    length: Length,
) -> Outcome {
    let mut room = [0; 4];
    let read = caller.read_memory(call.length, &mut room);
    // The memory is opened before the check that the call still waits: otherwise another thread could execute a setuid program
    // in between.
    let Ok(memory) = caller.writable_memory() else {
        return Outcome::Untouched;
    };
    if read.is_err() || !seccomp::is_waiting(filter, call.id) {
        return Outcome::Untouched;
    }
    // The kernel refuses a negative number.
    let Ok(room) = usize::try_from(i32::from_ne_bytes(room)) else {
        return Outcome::Untouched;
    };
    let shown = bytes.get(..room).unwrap_or(bytes);
    let length = match length {
        Length::Whole => bytes.len(),
        Length::Written => shown.len(),
    };
    let length = u32::try_from(length).unwrap_or(0).to_ne_bytes();
    let written = memory
        .write(call.address, shown)
        .and_then(|()| memory.write(call.length, &length));
    if written.is_ok() {
        Outcome::Done
    } else {
        Outcome::Untouched
    }
}
