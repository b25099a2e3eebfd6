//! Sockets of datagrams: a process must not take one that it would not live to answer.
//!
//! Answers leave by the same descriptor, so an unreachable socket can take its place only while there is nothing to answer.
//! An event loop is told of no more datagrams, and has a while for those it took. A program that waits for them in
//! a call of its own has answered the last one when it makes that call again.

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

/// The events that tell an event loop of a datagram.
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM).cast_unsigned();
/// Datagrams that were taken are answered in this time.
const ANSWERS: Duration = Duration::from_secs(1);

/// Calls that take a datagram from the descriptor that is their first argument.
const RECEIVES: &[i64] = &[
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_read,
];

/// Calls that a program makes when it has nothing to do.
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

/// Sockets of datagrams.
pub(super) struct Datagrams;

impl Kind for Datagrams {
    fn recognises(&self, shape: Shape, _listens: bool) -> bool {
        shape.kind == libc::SOCK_DGRAM
    }

    /// Takes the sockets out of what the process waits for, or tries to: a process that has no moment to be interrupted is
    /// looked at again.
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

/// Has the epoll sets of the process tell it no more; whether any watches the socket. The registration stays, as the
/// program may want to change it.
fn mute(process: &Process, held: &Held<'_>) -> io::Result<bool> {
    let registrations = process.registrations(held.socket);
    let told = registrations.iter().filter(|r| r.events & READABLE != 0);
    for registration in told {
        let live = process.socket(held.socket)?;
        let open = registration.open(process)?;
        // An exclusive one cannot be changed, see `EPOLLEXCLUSIVE` in epoll_ctl(2).
        if registration.is_exclusive() {
            open.delete(live.as_fd())?;
        } else {
            open.set_events(live.as_fd(), registration.events & !READABLE)?;
        }
    }
    Ok(!registrations.is_empty())
}

/// Replaces the sockets when the program is about to receive: then it has answered what it took. Only of a program with
/// one thread can that be said.
fn take(replacement: &Replacement<'_>, held: &[Held<'_>]) -> io::Result<()> {
    let threads = replacement.process.threads();
    let [thread] = threads.as_slice() else {
        return Ok(());
    };
    // It has nothing to answer, and may not receive for long.
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
