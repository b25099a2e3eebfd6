//! Replaces a live socket by an unreachable one, under the same descriptor number and in the same epoll sets.
//!
//! Only a thread of the process can change the process's descriptors, so a stopped thread is made to do it, see
//! [`crate::peer::tracee`].

use std::io;
use std::os::fd::AsFd;

use super::kind::{Held, Means};
use crate::contract::Way;
use crate::peer::epoll::Registration;
use crate::peer::process::{Process, Thread};
use crate::peer::tracee::Tracee;
use crate::peer::vdso;

/// Why a process keeps accepting that may not be stopped, and for which changing the epoll sets is not enough.
pub(super) const UNWATCHED: &str = "none of its epoll sets watches the listener";

/// A process in which descriptors can be replaced.
pub(super) struct Replacement<'a> {
    pub(super) process: &'a Process,
    means: Means<'a>,
    /// Whether more seccomp filters apply to the process than its unit and the handover have installed. A filter of the
    /// program's own may kill it for a system call that it never makes itself.
    has_own_filter: bool,
}

impl<'a> Replacement<'a> {
    /// Checks everything that can be known before a thread is stopped, so that none is stopped in vain.
    ///
    /// # Errors
    /// The reason why the process must not be stopped or cannot be inspected; [`UNWATCHED`] with `drain = "epoll"`, by which
    /// no process may be stopped.
    pub(super) fn prepare(process: &'a Process, means: Means<'a>) -> io::Result<Self> {
        if means.way != Way::Auto {
            return Err(io::Error::other(UNWATCHED));
        }
        if let Some(why) = process.untouchable() {
            return Err(io::Error::other(why));
        }
        vdso::call_site(process)?;
        let is_more = |f| process.filters().is_some_and(|own| own > f);
        Ok(Self {
            process,
            means,
            has_own_filter: means.filters.is_some_and(is_more),
        })
    }

    /// Stops a thread.
    ///
    /// # Errors
    /// The errors of [`Tracee::stop`].
    pub(super) fn stop(&self, thread: &Thread) -> io::Result<Tracee<'a>> {
        Tracee::stop(self.process, self.means.group, thread)
    }

    /// Does `work` with a stopped thread and the address at which the thread can make system calls, and releases the thread
    /// even if the work fails.
    ///
    /// # Errors
    /// The errors of `work` and of [`vdso::call_site`], and when the process has a seccomp filter that cannot be suspended.
    pub(super) fn through(
        &self,
        mut tracee: Tracee<'_>,
        work: impl FnOnce(&mut Tracee<'_>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let done = self
            .call_site(&tracee)
            .and_then(|site| work(&mut tracee, site));
        // The release fails only for a thread that has died.
        let _ = tracee.release();
        done
    }

    /// The address at which the thread can make system calls. It is looked up again although [`Replacement::prepare`] found
    /// one, because the process may have executed another program before it was stopped.
    fn call_site(&self, tracee: &Tracee<'_>) -> io::Result<u64> {
        if self.has_own_filter && !tracee.unfiltered {
            return Err(io::Error::other("it has a seccomp filter of its own"));
        }
        vdso::call_site(self.process)
    }

    /// Replaces the socket of one descriptor by an unreachable one.
    ///
    /// The thread makes a fresh socket with socket(2), which is isolated before it takes the descriptor's number: in the
    /// reverse order the program could accept a connection from it. dup3(2) closes the live socket in the same step, so that
    /// the number is never free, so that open(2) in another thread cannot take it. Last, the thread closes the number under
    /// which the fresh socket was made. The program's event loop gets no event from any of this.
    ///
    /// # Errors
    /// The errors of the system calls.
    pub(super) fn replace(
        &self,
        held: Held<'_>,
        tracee: &mut Tracee<'_>,
        site: u64,
    ) -> io::Result<()> {
        self.means.check_time()?;
        let Held { socket, listener } = held;
        // The program may have closed the descriptor, or executed another program, before it was stopped.
        self.process.socket(socket)?;
        let shape = listener.shape;
        let flags = if listener.is_blocking {
            0
        } else {
            libc::SOCK_NONBLOCK
        };
        let kind = word(shape.kind | flags | libc::SOCK_CLOEXEC);
        let with = [word(shape.domain), kind, word(shape.protocol), 0, 0, 0];
        let fresh = tracee.call(site, libc::SYS_socket, with)?;
        let done = self.swap(held, tracee, site, fresh);
        let _ = tracee.call(site, libc::SYS_close, [fresh, 0, 0, 0, 0, 0]);
        done
    }

    /// The part of [`Replacement::replace`] between making the fresh socket and closing its first number, which is closed even
    /// if this part fails.
    fn swap(
        &self,
        held: Held<'_>,
        tracee: &mut Tracee<'_>,
        site: u64,
        fresh: u64,
    ) -> io::Result<()> {
        let Held { socket, listener } = held;
        let number = i32::try_from(fresh).map_err(|_| io::ErrorKind::InvalidData)?;
        let fresh = self.process.descriptor(number)?;
        let folder = self.means.folder;
        listener.kind().isolate(&fresh, listener.shape, folder)?;
        // The live socket leaves the epoll sets before dup3(2). A registration is found by descriptor number and open file:
        // afterwards the number leads to another file, so the registration could not be deleted any more, and it would go on
        // reporting connections, because systemd keeps the file open. See "Questions and answers" in epoll(7).
        let registrations = self.process.registrations(socket);
        for registration in &registrations {
            unregister(tracee, site, registration)?;
        }
        let close_on_exec = if self.process.closes_on_exec(socket.fd) {
            libc::O_CLOEXEC
        } else {
            0
        };
        let with = [word(number), word(socket.fd), word(close_on_exec), 0, 0, 0];
        tracee.call(site, libc::SYS_dup3, with)?;
        for registration in registrations {
            // The fresh socket is registered in the same way, so that the event loop can change or delete its registration.
            // If that fails, the loop has none, as after a close(2).
            if let Ok(open) = registration.open(self.process) {
                let _ = open.add(fresh.as_fd());
            }
        }
        Ok(())
    }
}

/// Deletes a registration. The stopped thread makes the call, because the number that identifies the registration
/// belongs to its process. `ENOENT` is not an error: another thread of the program has deleted the registration first.
fn unregister(tracee: &mut Tracee<'_>, site: u64, registration: &Registration) -> io::Result<()> {
    let delete = word(libc::EPOLL_CTL_DEL);
    let with = [
        word(registration.set),
        delete,
        word(registration.fd),
        0,
        0,
        0,
    ];
    match tracee.call(site, libc::SYS_epoll_ctl, with) {
        Err(e) if e.raw_os_error() != Some(libc::ENOENT) => Err(e),
        _ => Ok(()),
    }
}

/// A number as an argument of a system call.
fn word(number: i32) -> u64 {
    u64::from(number.cast_unsigned())
}
