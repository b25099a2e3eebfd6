//! The kinds of sockets that can be drained: a trait for what differs between them, and the table of them.
//!
//! CONTRIBUTING.md, "A new kind of socket that is drained", says how one is added.

mod datagrams;
mod streams;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::answers::Connection;
use super::diag::Diag;
use crate::arguments::drain::Way;
use crate::peer::address::Address;
use crate::peer::control_group::ControlGroup;
use crate::peer::process::{Process, Socket};
use crate::sys::socket::{self, Shape};

/// Every kind; a socket is of the first that recognises it. Datagrams come first, since what a program has taken of those
/// has to be answered in a bounded time from the first look on.
const KINDS: &[&dyn Kind] = &[&datagrams::Datagrams, &streams::Streams];

/// A kind of sockets.
pub(super) trait Kind: Sync {
    /// Whether a socket is of this kind. `listens` is `SO_ACCEPTCONN`, see socket(7).
    fn recognises(&self, shape: Shape, listens: bool) -> bool;

    /// Keeps a process from taking anything new from its sockets of this kind, which `held` lists; `Ok` also when that has to
    /// wait for a better moment. Called at every look, for as long as the process has such a socket.
    ///
    /// # Errors
    /// The reason why it cannot be done, for people.
    fn silence(
        &self,
        process: &Process,
        held: &[Held<'_>],
        means: Means<'_>,
    ) -> io::Result<Silenced>;

    /// Turns a fresh socket, which a thread of the program has made, into one of this kind that nothing reaches. It takes
    /// the place of the live one. `folder` is one that the program's other users cannot write to.
    ///
    /// # Errors
    /// When the kernel forbids a step.
    fn isolate(&self, fresh: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()>;

    /// Every connection that came by a socket, those of other instances included.
    ///
    /// # Errors
    /// When the kernel does not tell.
    fn connections(&self, listener: &Listener) -> io::Result<Vec<Connection>>;

    /// How long a program may take to answer what it has received, where no connection tells that it has not yet.
    fn answers(&self) -> Duration {
        Duration::ZERO
    }

    /// Has the kernel wake another instance, if something waits that it told only this one about.
    fn nudge(&self, _listener: &Listener) {}
}

/// Where a kind stands in the table, and the kind.
pub(super) type Row = (usize, &'static dyn Kind);

/// A socket that the instance shares with systemd, and so with the other instances.
pub(super) struct Listener {
    pub(super) inode: u64,
    pub(super) shape: Shape,
    pub(super) is_blocking: bool,
    row: Row,
    address: Address,
    diag: Diag,
}

/// The kind of a socket; `None` for a connection, and for all that cannot be drained.
pub(super) fn recognise(socket: &OwnedFd) -> Option<Row> {
    let shape = socket::shape(socket.as_fd()).ok()?;
    let listens = socket::number(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN).ok()?;
    let mut rows = KINDS.iter().copied().enumerate();
    rows.find(|(_, kind)| kind.recognises(shape, listens == 1))
}

impl Listener {
    /// `socket` is a copy of a descriptor of the program. Connections are those of the network namespace that this process
    /// is in now, see [`super::draining`].
    pub(super) fn of(row: Row, socket: &OwnedFd, inode: u64) -> Option<Self> {
        Some(Self {
            inode,
            shape: socket::shape(socket.as_fd()).ok()?,
            is_blocking: is_blocking(socket),
            row,
            address: Address::from_bytes(&socket::name(socket.as_fd()).ok()?)?,
            diag: Diag::open().ok()?,
        })
    }

    pub(super) fn kind(&self) -> &'static dyn Kind {
        self.row.1
    }

    /// The family, as `sock_diag(7)` takes it.
    fn family(&self) -> u8 {
        u8::try_from(self.shape.domain).unwrap_or(0)
    }
}

fn is_blocking(socket: &OwnedFd) -> bool {
    let flags = fcntl(socket, FcntlArg::F_GETFL).unwrap_or_default();
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// A descriptor of the process that leads to a listener.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) socket: Socket,
    pub(super) listener: &'a Listener,
}

/// The means by which the processes of an instance are silenced.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    /// The group that the processes are in.
    pub(super) group: &'a ControlGroup,
    pub(super) way: Way,
    /// A process under no more seccomp filters than these has none of its own.
    pub(super) filters: Option<u32>,
    /// The folder for [`Kind::isolate`].
    pub(super) folder: &'a Path,
    /// No process is worked on for longer, however much there is to do.
    pub(super) end: Instant,
}

impl Means<'_> {
    /// # Errors
    /// When the time for the process is over.
    pub(super) fn check_time(&self) -> io::Result<()> {
        if Instant::now() < self.end {
            Ok(())
        } else {
            Err(io::Error::other("it has too many descriptors"))
        }
    }
}

/// The state that a process was brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Silenced {
    /// Descriptors still lead to a listener, but no epoll set of the process watches them any more.
    pub(super) is_only_unwatched: bool,
    /// An epoll set may have been woken for a connection that the process does not accept any more.
    pub(super) may_have_been_woken: bool,
}

/// Silences one process, kind by kind. `Ok` means that no descriptor of the process leads to the listeners any more, that
/// the moment for that is still to come, or that with [`Way::Epoll`] no epoll set of the process watches them.
///
/// # Errors
/// The reason why it cannot be done, of the first kind that has one; the other kinds are silenced nevertheless.
pub(super) fn silence(
    process: &Process,
    listeners: &[Listener],
    means: Means<'_>,
) -> io::Result<Silenced> {
    let held = process.sockets().into_iter().filter_map(|socket| {
        let listener = listeners.iter().find(|l| l.inode == socket.inode)?;
        Some(Held { socket, listener })
    });
    let held: Vec<Held<'_>> = held.collect();
    let mut all = Ok(Silenced::default());
    for (place, kind) in KINDS.iter().enumerate() {
        let is_one = |h: &&Held<'_>| h.listener.row.0 == place;
        let held: Vec<Held<'_>> = held.iter().filter(is_one).copied().collect();
        if held.is_empty() {
            continue;
        }
        let done = kind.silence(process, &held, means);
        all = all.and_then(|all| {
            done.map(|done| Silenced {
                is_only_unwatched: all.is_only_unwatched || done.is_only_unwatched,
                may_have_been_woken: all.may_have_been_woken || done.may_have_been_woken,
            })
        });
    }
    all
}
