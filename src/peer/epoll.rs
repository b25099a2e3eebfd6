//! Registrations in the epoll sets of another process, see epoll(7).
//!
//! A program registers a socket with its epoll set once, and then waits on the set alone. The kernel identifies a registration by
//! the descriptor number *and* by the open file that the number led to, and keeps watching that file. So when the socket under a
//! number is replaced, its registration has to be moved as well, or the event loop never gets an event of the new socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::process::{Process, Socket};
use crate::procfs;
use crate::sys::socket::Change;
use crate::sys::{exec, process, socket};

/// A registration of a socket in an epoll set of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registration {
    /// The descriptor number of the epoll set.
    pub(crate) set: RawFd,
    /// The descriptor number under which the socket is registered.
    pub(crate) fd: RawFd,
    /// The events that the program waits for, and flags: `EPOLLIN`, `EPOLLEXCLUSIVE` and so on.
    pub(crate) events: u32,
    /// The data that the program gets with each event.
    pub(crate) data: u64,
}

impl Process {
    /// The registrations of a socket in all epoll sets of the process, see `proc_pid_fdinfo(5)`.
    pub(crate) fn registrations(&self, socket: Socket) -> Vec<Registration> {
        let sets = self.epoll_sets().into_iter();
        sets.flat_map(|set| self.registrations_in(set, socket))
            .collect()
    }

    fn registrations_in(&self, set: RawFd, socket: Socket) -> Vec<Registration> {
        let info = self.info(set);
        let lines = info.lines().filter(|l| l.starts_with("tfd:"));
        let registration = |line| {
            let (events, data) = procfs::registration(line, socket.fd, socket.inode)?;
            Some(Registration {
                set,
                fd: socket.fd,
                events,
                data,
            })
        };
        lines.filter_map(registration).collect()
    }
}

impl Registration {
    /// Whether the kernel may wake only one of all epoll sets that watch this socket, see `EPOLLEXCLUSIVE` in `epoll_ctl(2)`.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.events & libc::EPOLLEXCLUSIVE.cast_unsigned() != 0
    }

    /// Opens the registration for changes: copies the descriptor of the epoll set.
    ///
    /// # Errors
    /// The errors of [`Process::descriptor`].
    pub(crate) fn open(self, process: &Process) -> io::Result<OpenRegistration> {
        let set = process.descriptor(self.set)?;
        Ok(OpenRegistration {
            registration: self,
            set,
        })
    }
}

/// A registration whose epoll set this process has open as well.
pub(crate) struct OpenRegistration {
    registration: Registration,
    set: OwnedFd,
}

impl OpenRegistration {
    /// Registers a file in the same way: under the same number, for the same events, with the same data.
    ///
    /// # Errors
    /// The errors of `epoll_ctl(2)`, and when no descriptor is free.
    pub(crate) fn add(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let Registration { events, data, .. } = self.registration;
        self.change(file, Change::Add(events, data))
    }

    /// Changes the events that the program waits for.
    ///
    /// # Errors
    /// As [`OpenRegistration::add`]; `EINVAL` for an exclusive registration.
    pub(crate) fn set_events(&self, file: BorrowedFd<'_>, events: u32) -> io::Result<()> {
        self.change(file, Change::Modify(events, self.registration.data))
    }

    /// Deletes the registration.
    ///
    /// # Errors
    /// As [`OpenRegistration::add`].
    pub(crate) fn delete(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.change(file, Change::Delete)
    }

    /// Changes the registration. `epoll_ctl(2)` finds a registration by file and number, and takes both from a descriptor of
    /// the caller. So this process needs a descriptor with the same number as the program's.
    fn change(&self, file: BorrowedFd<'_>, change: Change) -> io::Result<()> {
        let number = self.registration.fd;
        if file.as_raw_fd() == number {
            return socket::watch(self.set.as_fd(), file, change);
        }
        if exec::passed(number).is_err() {
            let placed = process::place(file, number)?;
            return socket::watch(self.set.as_fd(), placed.as_fd(), change);
        }
        // One of our descriptors has the number, perhaps that of the epoll set itself. A child has a copy of the table, in which
        // any descriptor may be overwritten. The epoll set is moved out of the way first, to one of the first three numbers,
        // because placing the file could overwrite it.
        process::in_child(|| {
            let taken = [number, file.as_raw_fd()];
            let spare = [0, 1, 2].into_iter().find(|n| !taken.contains(n));
            let set = process::place(self.set.as_fd(), spare.unwrap_or(0))?;
            let placed = process::place(file, number)?;
            socket::watch(set.as_fd(), placed.as_fd(), change)
        })
    }
}
