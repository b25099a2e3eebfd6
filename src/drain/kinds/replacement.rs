//! Puts an unreachable socket in the place of a live one, under the same number and in the same epoll sets.
//!
//! Only a thread of the process can change the process's descriptors, so this is done by a stopped one, see
//! [`crate::peer::tracee`].

use std::io;
use std::os::fd::AsFd;

use super::kind::{Held, Means};
use crate::contract::Way;
use crate::peer::epoll::Registration;
use crate::peer::process::{Process, Thread};
use crate::peer::tracee::Tracee;
use crate::peer::vdso;

/// Why a process goes on accepting, where it may not be stopped and changing its epoll sets does not do.
pub(super) const UNWATCHED: &str = "no epoll set of it watches the listener";

/// A process in which descriptors can be replaced.
pub(super) struct Replacement<'a> {
    pub(super) process: &'a Process,
    means: Means<'a>,
    /// Whether the process is under more seccomp filters than its unit and the handover put there. Such a filter may kill the
    /// program for a call that it never makes itself.
    has_own_filter: bool,
}

impl<'a> Replacement<'a> {
    /// Finds out all that can be known before a thread is stopped, so that none is stopped in vain.
    ///
    /// # Errors
    /// Why the process must not be stopped, or what forbids to inspect it; [`UNWATCHED`] where `drain = "epoll"` forbids to
    /// stop any.
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
    /// Those of [`Tracee::stop`].
    pub(super) fn stop(&self, thread: &Thread) -> io::Result<Tracee<'a>> {
        Tracee::stop(self.process, self.means.group, thread)
    }

    /// Does something with a stopped thread, told where the thread may make calls, and lets the thread go on whatever comes
    /// of it.
    ///
    /// # Errors
    /// Those of `work`; when a filter of the process's own stands in the way, and those of [`vdso::call_site`].
    pub(super) fn through(
        &self,
        mut tracee: Tracee<'_>,
        work: impl FnOnce(&mut Tracee<'_>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let done = self
            .call_site(&tracee)
            .and_then(|site| work(&mut tracee, site));
        // Only a thread that died meanwhile cannot be let go.
        let _ = tracee.release();
        done
    }

    /// The address is looked up anew: the process may have become another program before it was stopped.
    fn call_site(&self, tracee: &Tracee<'_>) -> io::Result<u64> {
        if self.has_own_filter && !tracee.unfiltered {
            return Err(io::Error::other("it has a seccomp filter of its own"));
        }
        vdso::call_site(self.process)
    }

    /// Puts an unreachable socket over one descriptor.
    ///
    /// The thread makes a socket; that is isolated and takes the descriptor's number by dup3(2), which closes the live one
    /// in the same moment, so that at no time the number leads nowhere; then the thread closes the number that the new
    /// socket came under. The program's event loop is told of nothing.
    ///
    /// # Errors
    /// Those of the calls that it takes.
    pub(super) fn replace(
        &self,
        held: Held<'_>,
        tracee: &mut Tracee<'_>,
        site: u64,
    ) -> io::Result<()> {
        self.means.check_time()?;
        let Held { socket, listener } = held;
        // The program may have closed the descriptor, or become another one, before it was stopped.
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

    /// The part of [`Replacement::replace`] after which the fresh socket's own number is closed, whatever came of it.
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
        // First out of the epoll sets: a registration is named by number and file, and after dup3(2) the number leads to
        // another file, while the old registration would go on telling of the live socket, which systemd keeps open.
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
            // The event loop finds its registration where it left it, so that it can change or delete it. Where that
            // fails the loop merely has none, as after a close.
            if let Ok(open) = registration.open(self.process) {
                let _ = open.add(fresh.as_fd());
            }
        }
        Ok(())
    }
}

/// By the thread and not from here, for the thread has the number that the registration is named by. Nothing is wrong when
/// another thread of the program was faster.
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
