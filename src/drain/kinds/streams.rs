//! Stream sockets, TCP or unix, from which a program accepts connections.
//!
//! The live listener is shared with the other instances and with systemd, so the socket itself is never
//! changed. In the process an unreachable listener replaces it. The program keeps a descriptor of the same
//! number, family and type, watched by the same epoll sets, but it never becomes readable again.

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
use crate::peer::process::Process;
use crate::peer::registers;
use crate::peer::tracee;
use crate::sys::socket::Shape;

/// How many threads are asked to stop before the process is given up.
const ATTEMPTS: usize = 3;
/// The time-out of a connection that is made only to wake an instance, not to be served.
const NUDGE: Duration = Duration::from_millis(50);

/// Stream listeners.
pub(super) struct Streams;

impl Kind for Streams {
    fn recognises(&self, shape: Shape, listens: bool) -> bool {
        listens && shape.kind != libc::SOCK_DGRAM
    }

    /// Replaces the listeners. If that is impossible, removes them from the epoll sets of the process; for a program that uses
    /// poll(2) or waits in accept(2) this is not enough, and the error says so.
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
        // Determined before the replacement, after which the registrations are those of the unreachable listener.
        let may_have_been_woken = held.iter().any(is_exclusive);
        let prepared = Replacement::prepare(process, means);
        let mut replaced = Vec::new();
        let is_only_unwatched = match prepared.and_then(|r| replace_all(&r, held)) {
            Ok(()) => {
                replaced.extend(held.iter().map(|h| h.socket.fd));
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
            replaced,
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

    /// With `EPOLLEXCLUSIVE` the kernel may wake only one of the waiting epoll sets for a connection. If that was a set of the
    /// process that has just been silenced, the connection would wait until the next one wakes another set. So this makes a
    /// connection.
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
        // A refused connection means that there is no listener, and therefore no instance to wake.
        drop(TcpStream::connect_timeout(&address, NUDGE));
    }
}

/// The number of connections that wait to be accepted.
fn waiting(listener: &Listener, port: u16) -> u32 {
    let diag = &listener.diag;
    let listening = diag.tcp(listener.family(), port, States::Listening);
    let mut listening = listening.unwrap_or_default().into_iter();
    let own = listening.find(|c| c.inode == listener.inode);
    own.and_then(|c| c.traffic).map_or(0, |t| t.unread)
}

/// Replaces all listeners while one thread is stopped: the thread that notices the stop least, see [`registers::cost`].
fn replace_all(replacement: &Replacement<'_>, held: &[Held<'_>]) -> io::Result<()> {
    // For instance, every thread waits for a child of vfork(2), in uninterruptible sleep.
    let mut failure = io::Error::other("none of its threads can be stopped");
    for attempt in 0..ATTEMPTS {
        // A thread that the previous attempt gave up on may have stopped since.
        tracee::detach_late();
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

/// Removes the listeners from the epoll sets of the process. No thread is stopped: a copy of the epoll set's descriptor is
/// enough.
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
