//! How the helper answers a call of the program.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::seccomp;

/// How a call of the program is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel carries out the call as usual.
    Untouched,
    /// The call returns 0, and the kernel does nothing.
    Done,
    /// The call fails with this errno.
    Refused(i32),
}

impl Outcome {
    /// Answers the call with this ID. Fails with `ENOENT` when the calling thread is gone.
    pub(super) fn answer(self, filter: BorrowedFd<'_>, id: u64) -> io::Result<()> {
        match self {
            Self::Untouched => seccomp::go_on(filter, id),
            Self::Done => seccomp::answer(filter, id, 0),
            Self::Refused(errno) => seccomp::answer(filter, id, errno),
        }
    }
}
