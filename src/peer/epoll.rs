//! Registrations in the program's epoll sets, moved from its own socket to systemd's: its event loop
//! would never hear of a connection otherwise, since epoll knows a descriptor by its file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::caller::Caller;
use crate::procfs;
use crate::sys::socket::Change;
use crate::sys::{exec, process, socket};

/// An epoll set of the program that watches one of its sockets.
pub(crate) struct Watch {
    epoll: OwnedFd,
    events: u32,
    data: u64,
}

impl Watch {
    /// Takes out the program's own socket, which has this number.
    pub(crate) fn forget(&self, theirs: BorrowedFd<'_>, number: RawFd) {
        // A registration that stays is one of a socket that nobody holds: epoll drops it by itself.
        let _ = control(self.epoll.as_fd(), theirs, number, Change::Delete);
    }

    /// Puts in systemd's socket under the same number; whether that was possible.
    pub(crate) fn register(&self, source: BorrowedFd<'_>, number: RawFd) -> bool {
        let event = Change::Add(self.events, self.data);
        control(self.epoll.as_fd(), source, number, event).is_ok()
    }
}

/// Changes the registration of a file under a number that is the program's. epoll knows a registration by number and
/// file, so ours has to have the program's number.
///
/// # Errors
/// Those of `epoll_ctl(2)`, or no descriptor to spare.
pub(crate) fn control(
    epoll: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    number: RawFd,
    change: Change,
) -> io::Result<()> {
    if file.as_raw_fd() == number {
        return socket::watch(epoll, file, change);
    }
    if exec::passed(number).is_err() {
        let placed = process::place(file, number)?;
        return socket::watch(epoll, placed.as_fd(), change);
    }
    // Something of ours has the number. A child has a table of its own.
    process::in_child(|| {
        let taken = [number, file.as_raw_fd()];
        let spare = [0, 1, 2].into_iter().find(|n| !taken.contains(n));
        let epoll = process::place(epoll, spare.unwrap_or(0))?;
        let placed = process::place(file, number)?;
        socket::watch(epoll.as_fd(), placed.as_fd(), change)
    })
}

/// Every registration of a descriptor in the program's epoll sets, see `proc_pid_fdinfo(5)`.
pub(crate) fn watches(caller: &Caller, fd: RawFd, inode: u64) -> Vec<Watch> {
    let mut found = Vec::new();
    for epoll in caller.numbers("anon_inode:[eventpoll]") {
        for line in caller.info(epoll).lines().filter(|l| l.starts_with("tfd:")) {
            let Some((events, data)) = procfs::registration(line, fd, inode) else {
                continue;
            };
            if let Ok(epoll) = caller.descriptor(epoll) {
                found.push(Watch {
                    epoll,
                    events,
                    data,
                });
            }
        }
    }
    found
}
