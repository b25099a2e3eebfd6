//! Registrations in the program's epoll sets, moved from its own socket to systemd's: its event loop
//! would never hear of a connection otherwise, since epoll knows a descriptor by its file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::caller::Caller;
use crate::sys::socket::Change;
use crate::sys::{exec, process, socket};

/// An epoll set of the program that watches one of its sockets.
pub(super) struct Watch {
    epoll: OwnedFd,
    events: u32,
    data: u64,
}

impl Watch {
    /// Takes out the program's own socket, which has this number.
    pub(super) fn forget(&self, theirs: BorrowedFd<'_>, number: RawFd) {
        // A registration that stays is one of a socket that nobody holds: epoll drops it by itself.
        let _ = control(self.epoll.as_fd(), theirs, number, Change::Delete);
    }

    /// Puts in systemd's socket under the same number; whether that was possible.
    pub(super) fn register(&self, source: BorrowedFd<'_>, number: RawFd) -> bool {
        let event = Change::Add(self.events, self.data);
        control(self.epoll.as_fd(), source, number, event).is_ok()
    }
}

/// Changes the registration of a file under a number that is the program's. epoll knows a registration by number and
/// file, so ours has to have the program's number.
///
/// # Errors
/// Those of `epoll_ctl(2)`, or no descriptor to spare.
pub(super) fn control(
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
pub(super) fn watches(caller: &Caller, fd: RawFd, inode: u64) -> Vec<Watch> {
    let mut found = Vec::new();
    for epoll in caller.numbers("anon_inode:[eventpoll]") {
        for line in caller.info(epoll).lines().filter(|l| l.starts_with("tfd:")) {
            let Some((events, data)) = registration(line, fd, inode) else {
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

/// `tfd: 5 events: 19 data: 5 pos:0 ino:61 sdev:8`, the numbers but the first in hexadecimal.
pub(super) fn registration(line: &str, fd: RawFd, inode: u64) -> Option<(u32, u64)> {
    let words: Vec<&str> = line
        .split([' ', ':', '\t'])
        .filter(|w| !w.is_empty())
        .collect();
    let value = |key: &str| {
        words
            .windows(2)
            .find_map(|w| (*w.first()? == key).then(|| w.get(1).copied())?)
    };
    let hex = |key: &str| u64::from_str_radix(value(key)?, 16).ok();
    let same = value("tfd")?.parse::<RawFd>().ok()? == fd && hex("ino").is_none_or(|i| i == inode);
    same.then_some(())?;
    Some((u32::try_from(hex("events")?).ok()?, hex("data")?))
}

#[cfg(test)]
mod tests {
    use super::registration;

    #[test]
    fn a_registration_is_read_as_proc_writes_it() {
        let line = "tfd:       18 events:       19 data:               12  pos:0 ino:1f3a sdev:8";
        assert_eq!(registration(line, 18, 0x1f3a), Some((0x19, 0x12)));
        assert_eq!(registration(line, 19, 0x1f3a), None);
        assert_eq!(registration(line, 18, 1), None);
    }
}
