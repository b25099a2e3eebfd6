//! Keeps a process from taking datagrams that it would not live to answer.
//!
//! Answers leave by the same descriptor, so a dead socket can take its place only while there is nothing to answer.
//! An event loop is told of no more datagrams, and has a while for those it took; a program that waits for them in
//! a call of its own has answered the last one.

use std::io;
use std::os::fd::AsFd;

use super::silence::{Gate, Held, replace};
use crate::peer::epoll;
use crate::peer::process::Process;
use crate::peer::tracee::Tracee;
use crate::sys::socket::Change;

/// What tells an event loop of a datagram.
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM).cast_unsigned();
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE.cast_unsigned();

/// Takes the sockets out of what a process waits for, or tries to: one that has no moment to be interrupted is
/// looked at again.
///
/// # Errors
/// What stood in the way.
pub(super) fn silence<'a>(
    process: &Process,
    held: &[Held<'_>],
    gate: impl FnOnce() -> io::Result<Gate<'a>>,
) -> io::Result<()> {
    let mut others = Vec::new();
    for one in held {
        if !mute(process, one)? {
            others.push(*one);
        }
    }
    if others.is_empty() {
        return Ok(());
    }
    take(process, &others, &gate()?)
}

/// Has its epoll sets tell it no more; whether any watches the socket. The registration stays, as the program may
/// want to change it.
fn mute(process: &Process, held: &Held<'_>) -> io::Result<bool> {
    let watches = process.watches(held.socket);
    let told = watches.iter().filter(|w| w.events & READABLE != 0);
    for watch in told {
        let live = process.socket(held.socket)?;
        let set = process.descriptor(watch.epoll)?;
        // Such a one cannot be changed, see epoll_ctl(2).
        let change = if watch.events & EXCLUSIVE == 0 {
            Change::Modify(watch.events & !READABLE, watch.data)
        } else {
            Change::Delete
        };
        epoll::control(set.as_fd(), live.as_fd(), watch.fd, change)?;
    }
    Ok(!watches.is_empty())
}

/// Puts dead sockets in their places when the program is about to receive: then it has answered what it took. Only
/// of a program with one thread can that be said.
fn take(process: &Process, held: &[Held<'_>], gate: &Gate<'_>) -> io::Result<()> {
    let threads = process.threads();
    let [thread] = threads.as_slice() else {
        return Ok(());
    };
    // It has nothing to answer, and may not receive for long.
    if thread.waits.is_some_and(|(call, _)| RESTS.contains(&call)) {
        return Ok(());
    }
    let mut tracee = Tracee::stop(process, gate.means.unit, thread)?;
    let done = gate.address(process, &tracee).and_then(|at| {
        if tracee.run_to(|number, arguments| receives(held, number, arguments))? {
            held.iter()
                .try_for_each(|h| replace(process, *h, &mut tracee, at, gate.means))?;
        }
        Ok(())
    });
    // Only a thread that died meanwhile cannot be let go.
    let _ = tracee.release();
    done
}

/// Calls that take a datagram from their first argument.
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

fn receives(held: &[Held<'_>], number: i64, [fd, ..]: [u64; 6]) -> bool {
    let is_one = |h: &Held<'_>| u64::try_from(h.socket.fd) == Ok(fd & 0xffff_ffff);
    RECEIVES.contains(&number) && held.iter().any(is_one)
}
