//! Keeps our own descriptors apart from copies of another process's.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sys::process;

/// Our own descriptors have numbers from here on, because programs mostly have lower ones, and a registration in an epoll set
/// can only be changed through a descriptor that has the same number as the program's, see [`super::epoll`].
pub(crate) const ABOVE: RawFd = 512;

/// Gives a descriptor a number from [`ABOVE`] on; under a lower limit (`RLIMIT_NOFILE`) it keeps its number.
pub(crate) fn above(fd: OwnedFd) -> OwnedFd {
    process::raise(fd.as_fd(), ABOVE).unwrap_or(fd)
}

/// Raises the limit on descriptors, so that this process can have descriptors with the numbers of the program's.
pub(crate) fn raise_limit() {
    const ROOM: u64 = 1 << 16;
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Only root may raise the hard limit, see setrlimit(2). Anybody else raises the soft limit to it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, ROOM, hard.max(ROOM))
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    }
}
