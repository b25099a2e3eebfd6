//! Keeps a process from accepting: a dead listener takes the place of the live one.
//!
//! The live one is shared with the other instances and with systemd, so nothing is done to the socket
//! itself. The program keeps its descriptor, of the same family and type, watched by the same epoll sets;
//! it just never becomes readable again.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::arguments::Way;
use super::listener::Listener;
use super::{datagrams, dead};
use crate::peer::epoll;
use crate::peer::process::{Process, Socket, Thread, Watch};
use crate::peer::registers;
use crate::peer::tracee::{self, Tracee};
use crate::peer::unit::Unit;
use crate::sys::socket::Change;

/// A descriptor of the process for it.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) socket: Socket,
    pub(super) listener: &'a Listener,
}

/// What the processes of an instance are silenced with.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    /// Whose processes they are.
    pub(super) unit: &'a Unit,
    pub(super) way: Way,
    /// A process under no more seccomp filters than these has none of its own.
    pub(super) filters: Option<u32>,
    /// One for [`dead::make`].
    pub(super) folder: &'a Path,
    /// No process is worked on for longer, however much there is to do.
    pub(super) end: Instant,
}

impl Means<'_> {
    fn is_over(&self) -> io::Result<()> {
        if Instant::now() < self.end {
            Ok(())
        } else {
            Err(io::Error::other("it has too many descriptors"))
        }
    }
}

/// How a process is made to act.
pub(super) struct Gate<'a> {
    /// A filter may kill a program for a call that it never makes itself.
    has_own_filter: bool,
    pub(super) means: Means<'a>,
}

impl<'a> Gate<'a> {
    /// # Errors
    /// Why the process must not be stopped, or what forbids to look.
    fn of(process: &Process, means: Means<'a>) -> io::Result<Self> {
        if let Some(why) = process.untouchable() {
            return Err(io::Error::other(why));
        }
        // Without one nothing is stopped in vain.
        tracee::gate(process)?;
        let is_more = |f| process.filters().is_some_and(|own| own > f);
        Ok(Self {
            has_own_filter: means.filters.is_some_and(is_more),
            means,
        })
    }

    /// Where in its memory a stopped thread may make calls.
    ///
    /// # Errors
    /// When a filter of its own stands in the way, and those of [`tracee::gate`].
    pub(super) fn address(&self, process: &Process, tracee: &Tracee<'_>) -> io::Result<u64> {
        if self.has_own_filter && !tracee.unfiltered {
            return Err(io::Error::other("it has a seccomp filter of its own"));
        }
        tracee::gate(process)
    }
}

const UNWATCHED: &str = "no epoll set of it watches the listener";
/// So many threads are asked to stop before the process is given up.
const ATTEMPTS: usize = 3;
const ROUNDS: u32 = 3;
const ROUND: Duration = Duration::from_millis(2);

/// What there was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    /// Descriptors still lead to a listener, but no epoll set of it watches them any more.
    pub(super) forgotten: bool,
    /// An epoll set may have been woken for a connection that it does not accept any more.
    pub(super) woken: bool,
}

/// Silences one process; `Ok` means that no descriptor of it leads to the listeners any more, or that
/// with [`Way::Epoll`] no epoll set of it does.
///
/// # Errors
/// What stood in the way.
pub(super) fn silence(
    process: &Process,
    listeners: &[Listener],
    means: Means<'_>,
) -> io::Result<Done> {
    let held = process.sockets().into_iter().filter_map(|socket| {
        let listener = listeners.iter().find(|l| l.inode == socket.inode)?;
        Some(Held { socket, listener })
    });
    let (datagrams, streams): (Vec<Held<'_>>, Vec<Held<'_>>) =
        held.partition(|h| h.listener.takes_datagrams());
    let gate = || match means.way {
        Way::Auto => Gate::of(process, means),
        Way::Epoll | Way::Off => Err(io::Error::other(UNWATCHED)),
    };
    let heard = datagrams::silence(process, &datagrams, gate);
    let done = if streams.is_empty() {
        Ok(Done::default())
    } else {
        silence_streams(process, &streams, means, gate)
    };
    heard.and(done)
}

fn silence_streams<'a>(
    process: &Process,
    held: &[Held<'_>],
    means: Means<'_>,
    gate: impl FnOnce() -> io::Result<Gate<'a>>,
) -> io::Result<Done> {
    let exclusive = |h: &Held<'_>| {
        let watches = process.watches(h.socket);
        watches
            .iter()
            .any(|w| w.events & libc::EPOLLEXCLUSIVE.cast_unsigned() != 0)
    };
    let done = Done {
        woken: held.iter().any(exclusive),
        ..Done::default()
    };
    match gate().and_then(|gate| replace_all(process, held, &gate)) {
        Ok(()) => {
            kick(process, held, means);
            Ok(done)
        }
        // The program may watch with poll(2) or wait in accept(2): then this is not enough, and says so.
        Err(e) => {
            forget_all(process, held, means).map_err(|_| e)?;
            Ok(Done {
                forgotten: true,
                ..done
            })
        }
    }
}

fn replace_all(process: &Process, held: &[Held<'_>], gate: &Gate<'_>) -> io::Result<()> {
    // As of one that waits for a child of vfork(2).
    let mut failure = io::Error::other("no thread of it can be stopped");
    for attempt in 0..ATTEMPTS {
        let mut threads = process.threads();
        threads.sort_by_key(|t| registers::cost(t.waits));
        let Some(thread) = threads.get(attempt % threads.len().max(1)) else {
            break;
        };
        match Tracee::stop(process, gate.means.unit, thread) {
            Ok(mut tracee) => {
                let done = gate.address(process, &tracee).and_then(|at| {
                    held.iter()
                        .try_for_each(|h| replace(process, *h, &mut tracee, at, gate.means))
                });
                // Only a thread that died meanwhile cannot be let go.
                let _ = tracee.release();
                return done;
            }
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

/// Puts a dead listener over one descriptor.
///
/// # Errors
/// Those of the calls that it takes.
pub(super) fn replace(
    process: &Process,
    held: Held<'_>,
    tracee: &mut Tracee<'_>,
    gate: u64,
    means: Means<'_>,
) -> io::Result<()> {
    means.is_over()?;
    let Held { socket, listener } = held;
    // It may have become another program before it was stopped.
    process.socket(socket)?;
    let word = |number: i32| u64::from(number.cast_unsigned());
    let shape = listener.shape;
    let flags = if listener.blocking {
        0
    } else {
        libc::SOCK_NONBLOCK
    };
    let kind = word(shape.kind | flags | libc::SOCK_CLOEXEC);
    let with = [word(shape.domain), kind, word(shape.protocol), 0, 0, 0];
    let number = tracee.call(gate, libc::SYS_socket, with)?;
    let mut swap = || {
        let number = i32::try_from(number).map_err(|_| io::ErrorKind::InvalidData)?;
        let dead = process.descriptor(number)?;
        dead::make(&dead, shape, means.folder)?;
        // First out of the epoll sets: once its descriptor is gone a registration cannot be named.
        let watches = process.watches(socket);
        for watch in &watches {
            let delete = u64::from(libc::EPOLL_CTL_DEL.cast_unsigned());
            let with = [word(watch.epoll), delete, word(watch.fd), 0, 0, 0];
            match tracee.call(gate, libc::SYS_epoll_ctl, with) {
                Err(e) if e.raw_os_error() != Some(libc::ENOENT) => return Err(e),
                _ => {}
            }
        }
        let close_on_exec = if process.closes_on_exec(socket.fd) {
            libc::O_CLOEXEC
        } else {
            0
        };
        let with = [word(number), word(socket.fd), word(close_on_exec), 0, 0, 0];
        tracee.call(gate, libc::SYS_dup3, with)?;
        for watch in &watches {
            register(process, &dead, watch);
        }
        Ok(())
    };
    let done = swap();
    let _ = tracee.call(gate, libc::SYS_close, [number, 0, 0, 0, 0, 0]);
    done
}

/// The event loop finds its registration where it left it, so that it can change or delete it. Where
/// that fails it merely has none, as after a close.
fn register(process: &Process, dead: &OwnedFd, watch: &Watch) {
    let Ok(set) = process.descriptor(watch.epoll) else {
        return;
    };
    let event = Change::Add(watch.events, watch.data);
    let _ = epoll::control(set.as_fd(), dead.as_fd(), watch.fd, event);
}

/// The way without stopping anything: its epoll sets are told from here to forget the listener.
fn forget_all(process: &Process, held: &[Held<'_>], means: Means<'_>) -> io::Result<()> {
    let mut forgotten = 0;
    for Held { socket, .. } in held {
        means.is_over()?;
        let live = process.socket(*socket)?;
        for watch in process.watches(*socket) {
            let set = process.descriptor(watch.epoll)?;
            epoll::control(set.as_fd(), live.as_fd(), watch.fd, Change::Delete)?;
            forgotten += 1;
        }
    }
    if forgotten == 0 {
        return Err(io::Error::other(UNWATCHED));
    }
    Ok(())
}

/// Threads that wait in accept(2) hold the live listener: interrupted, they look again. One that was
/// on its way into the call at the first round waits in it at a later one.
fn kick(process: &Process, held: &[Held<'_>], means: Means<'_>) {
    let waits = |thread: &Thread| {
        thread.waits.is_some_and(|(number, [fd, ..])| {
            matches!(number, libc::SYS_accept | libc::SYS_accept4)
                && held
                    .iter()
                    .any(|h| u64::try_from(h.socket.fd) == Ok(fd & 0xffff_ffff))
        })
    };
    let mut kicked = HashSet::new();
    for _round in 0..ROUNDS {
        for thread in process.threads().iter().filter(|t| waits(t)) {
            if kicked.insert(thread.tid) && means.is_over().is_ok() {
                // A thread that cannot be stopped ends here, or has gone on by itself.
                let _ = Tracee::stop(process, means.unit, thread).and_then(Tracee::release);
            }
        }
        std::thread::sleep(ROUND);
    }
}
