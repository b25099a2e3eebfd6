//! Where our own descriptors lie while we handle those of another process.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::sys::process;

/// Descriptors of our own lie from here on, those of programs mostly below: a registration in an
/// epoll set can only be made from a descriptor of the same number.
pub(crate) const ABOVE: RawFd = 512;

/// Moves a descriptor up; under a low limit it stays where it is.
pub(crate) fn above(fd: OwnedFd) -> OwnedFd {
    process::raise(fd.as_fd(), ABOVE).unwrap_or(fd)
}
