//! Room for our own descriptors beside copies of another process's.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sys::process;

/// Our own descriptors have numbers from here on, those of programs mostly lower ones: a registration in an epoll set can
/// only be made from a descriptor that has the program's number, see [`super::epoll`].
pub(crate) const ABOVE: RawFd = 512;

/// Moves a descriptor up to [`ABOVE`]; under a lower limit (`RLIMIT_NOFILE`) it stays where it is.
pub(crate) fn above(fd: OwnedFd) -> OwnedFd {
    process::raise(fd.as_fd(), ABOVE).unwrap_or(fd)
}

/// Raises the limit on descriptors, so that this process can have descriptors of the program's numbers.
pub(crate) fn raise_limit() {
    const ROOM: u64 = 1 << 16;
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Only root may raise the hard limit, see setrlimit(2). For anybody else the hard limit has to do.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, ROOM, hard.max(ROOM))
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    }
}
