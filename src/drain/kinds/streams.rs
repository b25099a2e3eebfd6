//! Sockets of streams, TCP or in the file system: a program accepts connections there.
//!
//! The live listener is shared with the other instances and with systemd, so nothing is done to the socket itself. An
//! unreachable listener takes its place in the process. The program keeps a descriptor of the same number, family and type,
//! watched by the same epoll sets; the descriptor just never becomes readable again.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::kind::{Held, Kind, Listener, Means, Silenced};
use super::replacement::{Replacement, UNWATCHED};
use super::unreachable;
use crate::drain::answers::Connection;
use crate::drain::diag::States;
use crate::peer::address::Address;
use crate::peer::epoll::Registration;
use crate::peer::process::{Process, Thread};
use crate::peer::registers;
use crate::peer::tracee::{self, Tracee};
use crate::sys::socket::Shape;

/// So many threads are asked to stop before the process is given up.
const ATTEMPTS: usize = 3;
/// How often threads in accept(2) are looked for, and how long between: one that was on its way into the call at the first
/// look waits in it at a later one.
const ROUNDS: u32 = 3;
const ROUND: Duration = Duration::from_millis(2);
/// A connection that nobody answers is given up: it is made to wake somebody, not to be served.
const NUDGE: Duration = Duration::from_millis(50);

/// Listeners of streams.
pub(super) struct Streams;

impl Kind for Streams {
    fn recognises(&self, shape: Shape, listens: bool) -> bool {
        listens && shape.kind != libc::SOCK_DGRAM
    }

    /// Replaces the listeners; where that cannot be done, has the epoll sets of the process forget them. A program may watch
    /// with poll(2) or wait in accept(2): then the latter is not enough, and says so.
    fn silence(
        &self,
        process: &Process,
        held: &[Held<'_>],
        means: Means<'_>,
    ) -> io::Result<Silenced> {
        let is_exclusive = |h: &Held<'_>| {
            let registrations = process.registrations(h.socket);
            registrations.iter().any(Registration::is_exclusive)
        };
        // Asked first: afterwards they are those of the unreachable listener.
        let may_have_been_woken = held.iter().any(is_exclusive);
        let prepared = Replacement::prepare(process, means);
        let is_only_unwatched = match prepared.and_then(|r| replace_all(&r, held)) {
            Ok(()) => {
                interrupt_accepting(process, held, means);
                false
            }
            Err(e) => {
                unwatch_all(process, held, means).map_err(|_| e)?;
                true
            }
        };
        Ok(Silenced {
            is_only_unwatched,
            may_have_been_woken,
        })
    }

    fn isolate(&self, fresh: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()> {
        unreachable::isolate(fresh, shape, folder)?;
        unreachable::listen(fresh)
    }

    fn connections(&self, listener: &Listener) -> io::Result<Vec<Connection>> {
        let (diag, family) = (&listener.diag, listener.family());
        match &listener.address {
            Address::Path(path) => diag.unix(path),
            Address::Inet(address) => diag.tcp(family, address.port(), States::Connected),
        }
    }

    /// With `EPOLLEXCLUSIVE` the kernel wakes one sleeper for a connection. If that was the instance which just stopped
    /// accepting, nobody would come before the next connection does: so here is one.
    fn nudge(&self, listener: &Listener) {
        let Address::Inet(mut address) = listener.address else {
            return;
        };
        if waiting(listener, address.port()) == 0 {
            return;
        }
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        // Where it is refused there is nobody to wake.
        drop(TcpStream::connect_timeout(&address, NUDGE));
    }
}

/// How many connections wait to be accepted.
fn waiting(listener: &Listener, port: u16) -> u32 {
    let diag = &listener.diag;
    let listening = diag.tcp(listener.family(), port, States::Listening);
    let mut listening = listening.unwrap_or_default().into_iter();
    let own = listening.find(|c| c.inode == listener.inode);
    own.and_then(|c| c.traffic).map_or(0, |t| t.unread)
}

/// Replaces all of them while one thread is stopped: the one that notices least of it, see [`registers::cost`].
fn replace_all(replacement: &Replacement<'_>, held: &[Held<'_>]) -> io::Result<()> {
    // The threads of a process that waits for a child of vfork(2), for instance.
    let mut failure = io::Error::other("no thread of it can be stopped");
    for attempt in 0..ATTEMPTS {
        // A thread that the attempt before gave up may have stopped since.
        tracee::let_go();
        let mut threads = replacement.process.threads();
        threads.sort_by_key(|t| registers::cost(t.waits));
        let Some(thread) = threads.get(attempt % threads.len().max(1)) else {
            break;
        };
        match replacement.stop(thread) {
            Ok(tracee) => {
                return replacement.through(tracee, |tracee, site| {
                    held.iter()
                        .try_for_each(|h| replacement.replace(*h, tracee, site))
                });
            }
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

/// The way without stopping anything: the epoll sets of the process are changed from here.
fn unwatch_all(process: &Process, held: &[Held<'_>], means: Means<'_>) -> io::Result<()> {
    let mut unwatched = 0;
    for Held { socket, .. } in held {
        means.check_time()?;
        let live = process.socket(*socket)?;
        for registration in process.registrations(*socket) {
            registration.open(process)?.delete(live.as_fd())?;
            unwatched += 1;
        }
    }
    if unwatched == 0 {
        return Err(io::Error::other(UNWATCHED));
    }
    Ok(())
}

/// Has threads that wait in accept(2) look again: the call holds the live listener, whatever its number leads to by now. A
/// stop interrupts it, and made once more it finds the unreachable one.
fn interrupt_accepting(process: &Process, held: &[Held<'_>], means: Means<'_>) {
    let accepts = |thread: &Thread| {
        thread.waits.is_some_and(|(number, [fd, ..])| {
            matches!(number, libc::SYS_accept | libc::SYS_accept4)
                && held
                    .iter()
                    .any(|h| u64::try_from(h.socket.fd) == Ok(fd & 0xffff_ffff))
        })
    };
    let mut interrupted = HashSet::new();
    for _round in 0..ROUNDS {
        for thread in process.threads().iter().filter(|t| accepts(t)) {
            if interrupted.insert(thread.tid) && means.check_time().is_ok() {
                // A thread that cannot be stopped ends here, or has gone on by itself.
                let _ = Tracee::stop(process, means.group, thread).and_then(Tracee::release);
            }
        }
        std::thread::sleep(ROUND);
    }
}
