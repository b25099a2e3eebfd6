//! Registrations in the epoll sets of another process, see epoll(7).
//!
//! A program registers a socket with its epoll set once, and then waits for the set alone. Whoever exchanges the socket has
//! to move the registration as well, or the event loop never hears of a connection: epoll knows a registration by the
//! number of the descriptor *and* by the open file that it led to, and goes on with the old file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::process::{Process, Socket};
use crate::procfs;
use crate::sys::socket::Change;
use crate::sys::{exec, process, socket};

/// A registration of a socket in an epoll set of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registration {
    /// The number of the epoll set.
    pub(crate) set: RawFd,
    /// The number under which the socket is registered.
    pub(crate) fd: RawFd,
    /// The events that the program waits for, and how: `EPOLLIN`, `EPOLLEXCLUSIVE` and so on.
    pub(crate) events: u32,
    /// The number that the program is given back with each event.
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
    /// Whether the kernel wakes only one of all that wait for this socket.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.events & libc::EPOLLEXCLUSIVE.cast_unsigned() != 0
    }

    /// The registration with a descriptor of our own for the epoll set, by which it can be changed.
    ///
    /// # Errors
    /// Those of [`Process::descriptor`].
    pub(crate) fn open(self, process: &Process) -> io::Result<OpenRegistration> {
        let set = process.descriptor(self.set)?;
        Ok(OpenRegistration {
            registration: self,
            set,
        })
    }
}

/// A registration whose epoll set this process has open, too.
pub(crate) struct OpenRegistration {
    registration: Registration,
    set: OwnedFd,
}

impl OpenRegistration {
    /// Registers a file as `Registration` says: under the same number, for the same events, with the same data.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`, or no descriptor to spare.
    pub(crate) fn add(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let Registration { events, data, .. } = self.registration;
        self.change(file, Change::Add(events, data))
    }

    /// Has the file that is registered waited for other events.
    ///
    /// # Errors
    /// As [`OpenRegistration::add`]; `EINVAL` for one that is exclusive.
    pub(crate) fn set_events(&self, file: BorrowedFd<'_>, events: u32) -> io::Result<()> {
        self.change(file, Change::Modify(events, self.registration.data))
    }

    /// Takes the file out of the epoll set.
    ///
    /// # Errors
    /// As [`OpenRegistration::add`].
    pub(crate) fn delete(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.change(file, Change::Delete)
    }

    /// `epoll_ctl(2)` looks a registration up by file and number, and takes both from a descriptor of the caller: so a
    /// descriptor of ours has to have the number that the program's has.
    fn change(&self, file: BorrowedFd<'_>, change: Change) -> io::Result<()> {
        let number = self.registration.fd;
        if file.as_raw_fd() == number {
            return socket::watch(self.set.as_fd(), file, change);
        }
        if exec::passed(number).is_err() {
            let placed = process::place(file, number)?;
            return socket::watch(self.set.as_fd(), placed.as_fd(), change);
        }
        // Something of ours has the number, perhaps the epoll set itself. A child has a table of descriptors of its own, where
        // anything may be overwritten: the epoll set is moved to one of the first three numbers, then the file to its own.
        process::in_child(|| {
            let taken = [number, file.as_raw_fd()];
            let spare = [0, 1, 2].into_iter().find(|n| !taken.contains(n));
            let set = process::place(self.set.as_fd(), spare.unwrap_or(0))?;
            let placed = process::place(file, number)?;
            socket::watch(set.as_fd(), placed.as_fd(), change)
        })
    }
}
