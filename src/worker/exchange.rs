//! Exchanges one socket for another under the same number, while the program waits in bind(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::fstat;

use crate::peer::process::{Process, Socket};
use crate::sys::seccomp::{self, Call};
use crate::sys::socket;

/// Replaces every descriptor of the caller that leads to the socket with the inode `old` by `source`, and
/// moves the descriptor's registrations in epoll sets. Returns whether all of them could be moved.
///
/// The program may have duplicated the descriptor, and may have registered it with its event loop before bind. The
/// order matters: a registration can only be removed with a descriptor that still leads to the old socket, and can only
/// be added for the new socket once the number leads there.
///
/// # Errors
/// When the descriptor that is being bound cannot be replaced. Failures with its duplicates are ignored.
pub(super) fn exchange(
    filter: BorrowedFd<'_>,
    call: &Call,
    caller: &Process,
    theirs: &OwnedFd,
    old: u64,
    source: BorrowedFd<'_>,
) -> io::Result<bool> {
    let mut is_told = true;
    for socket in caller.sockets().into_iter().filter(|s| s.inode == old) {
        let Socket { fd, .. } = socket;
        let registrations = caller.registrations(socket).into_iter();
        // Opened only once, because another epoll set may have the number by the time the registration is added again.
        let registrations: Vec<_> = registrations.filter_map(|r| r.open(caller).ok()).collect();
        for registration in &registrations {
            // A registration that stays belongs to a socket without any descriptor, so the kernel drops it.
            let _ = registration.delete(theirs.as_fd());
        }
        let replaced = seccomp::replace(filter, call.id, source, fd, caller.closes_on_exec(fd));
        if let Err(e) = replaced
            && fd == call.fd
        {
            return Err(e);
        }
        is_told &= registrations.iter().all(|r| r.add(source).is_ok());
    }
    Ok(is_told)
}

/// Returns the inode of a socket, which identifies the socket whatever its descriptor is.
pub(super) fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(fstat(fd)?.st_ino)
}

/// Returns whether the program's socket blocks and systemd's does not. Units have `NonBlocking=yes`. If the
/// user has turned it off, for a program that sleeps in accept(2), an event loop must still get a
/// non-blocking socket: it would hang after losing the race for a connection.
pub(super) fn settle_blocking(theirs: BorrowedFd<'_>, source: BorrowedFd<'_>) -> bool {
    let flags = |fd| fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    let (Ok(theirs), Ok(ours)) = (flags(theirs), flags(source)) else {
        return false;
    };
    let [theirs, waits] = [theirs, ours].map(|f| !f.contains(OFlag::O_NONBLOCK));
    if waits && !theirs {
        let _ = fcntl(source, FcntlArg::F_SETFL(ours | OFlag::O_NONBLOCK));
    }
    theirs && !waits
}

/// Returns the options that the program had set on purpose and that were lost with the old socket.
pub(super) fn lost_options(theirs: BorrowedFd<'_>, ours: BorrowedFd<'_>) -> Vec<&'static str> {
    const TELLING: &[(i32, i32, &str)] = &[
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_V6ONLY,
            "IPV6_V6ONLY (BindIPv6Only=)",
        ),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, "TCP_FASTOPEN"),
        (
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            "TCP_DEFER_ACCEPT (DeferAcceptSec=)",
        ),
        (
            libc::SOL_SOCKET,
            libc::SO_KEEPALIVE,
            "SO_KEEPALIVE (KeepAlive=)",
        ),
    ];
    let differs = |level, name| matches!((socket::number(theirs, level, name), socket::number(ours, level, name)), (Ok(a), Ok(b)) if a != b);
    TELLING
        .iter()
        .filter(|(level, name, _)| differs(*level, *name))
        .map(|(_, _, text)| *text)
        .collect()
}
