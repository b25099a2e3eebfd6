//! One socket for another under the same number, while the program waits in bind(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::fstat;

use crate::peer::process::{Process, Socket};
use crate::sys::seccomp::{self, Call};
use crate::sys::socket;

/// Puts `source` in the place of every descriptor of the caller that leads to the socket with the inode `old`, and moves
/// its registrations in epoll sets along; whether all of these could be moved.
///
/// The program may have duplicated the descriptor, and may have told its event loop of it before bind. In this order: a
/// registration can only be taken out by a descriptor that still leads to the old socket, and can only be made for the new
/// one when the number leads to that.
///
/// # Errors
/// When the descriptor that is being bound cannot be replaced. That one decides; copies of it do not.
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
        // Opened once: by the time that it is made again another epoll set may have the number.
        let registrations: Vec<_> = registrations.filter_map(|r| r.open(caller).ok()).collect();
        for registration in &registrations {
            // One that stays is of a socket that nobody holds: epoll drops it by itself.
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

/// The inode of a socket, by which it is known whatever its number is.
pub(super) fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(fstat(fd)?.st_ino)
}

/// Whether the program's socket waits and systemd's does not. Units have `NonBlocking=yes`; where the
/// user has it off, for a program that sleeps in accept(2), an event loop must not find the socket so:
/// it would hang when it loses the race for a connection.
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

/// Options that people set for a reason and that went with the old socket.
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
