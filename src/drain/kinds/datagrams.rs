//! Datagram sockets: a process must not receive a datagram that it cannot answer before it is stopped.
//!
//! Answers are sent through the same descriptor, so an unreachable socket may replace it only when every received
//! datagram was answered. An event loop is no longer notified of datagrams, and gets some time for those that it has
//! received. A program that blocks in a receiving call has answered the last datagram when it makes that call again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::kind::{Held, Kind, Listener, Means, Silenced};
use super::replacement::Replacement;
use super::unreachable;
use crate::drain::answers::Connection;
use crate::peer::process::Process;
use crate::sys::socket::Shape;

/// The events by which an event loop learns of a datagram.
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM).cast_unsigned();
/// The time that a program gets to answer the datagrams that it has received.
const ANSWERS: Duration = Duration::from_secs(1);

/// System calls that receive a datagram from the descriptor in their first argument.
const RECEIVES: &[i64] = &[
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_read,
];

/// System calls in which a program waits when it has nothing to do.
const RESTS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// Datagram sockets.
pub(super) struct Datagrams;

impl Kind for Datagrams {
    fn recognises(&self, shape: Shape, _listens: bool) -> bool {
        shape.kind == libc::SOCK_DGRAM
    }

    /// Mutes the sockets in the epoll sets of the process. Sockets that no epoll set watches are replaced when the program is
    /// about to receive, which may take more than one look.
    fn silence(
        &self,
        process: &Process,
        held: &[Held<'_>],
        means: Means<'_>,
    ) -> io::Result<Silenced> {
        let mut others = Vec::new();
        for one in held {
            if !mute(process, one)? {
                others.push(*one);
            }
        }
        if !others.is_empty() {
            take(&Replacement::prepare(process, means)?, &others)?;
        }
        Ok(Silenced::default())
    }

    fn isolate(&self, fresh: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()> {
        unreachable::isolate(fresh, shape, folder)
    }

    fn connections(&self, _listener: &Listener) -> io::Result<Vec<Connection>> {
        Ok(Vec::new())
    }

    fn answers(&self) -> Duration {
        ANSWERS
    }
}

/// Stops the epoll sets of the process from reporting datagrams of this socket; returns whether any watches the socket. The
/// registration stays, without these events: the program may change it, and for a deleted one that fails with `ENOENT`.
fn mute(process: &Process, held: &Held<'_>) -> io::Result<bool> {
    let registrations = process.registrations(held.socket);
    let told = registrations.iter().filter(|r| r.events & READABLE != 0);
    for registration in told {
        let live = process.socket(held.socket)?;
        let open = registration.open(process)?;
        // An exclusive registration can only be deleted, see `EPOLLEXCLUSIVE` in epoll_ctl(2).
        if registration.is_exclusive() {
            open.delete(live.as_fd())?;
        } else {
            open.set_events(live.as_fd(), registration.events & !READABLE)?;
        }
    }
    Ok(!registrations.is_empty())
}

/// Replaces the sockets at the moment when the program is about to receive again, because by then it has answered all
/// that it has received. With more than one thread this does not hold, since another thread may still be answering.
fn take(replacement: &Replacement<'_>, held: &[Held<'_>]) -> io::Result<()> {
    let threads = replacement.process.threads();
    let [thread] = threads.as_slice() else {
        return Ok(());
    };
    // A program that waits has nothing to answer, and may not receive for a long time: running it to that call would time out.
    if thread.waits.is_some_and(|(call, _)| RESTS.contains(&call)) {
        return Ok(());
    }
    let tracee = replacement.stop(thread)?;
    replacement.through(tracee, |tracee, site| {
        if tracee.run_to(|number, arguments| receives(held, number, arguments))? {
            held.iter()
                .try_for_each(|h| replacement.replace(*h, tracee, site))?;
        }
        Ok(())
    })
}

fn receives(held: &[Held<'_>], number: i64, [fd, ..]: [u64; 6]) -> bool {
    let is_one = |h: &Held<'_>| u64::try_from(h.socket.fd) == Ok(fd & 0xffff_ffff);
    RECEIVES.contains(&number) && held.iter().any(is_one)
}
