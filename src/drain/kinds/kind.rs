//! The trait of a kind of sockets, with everything that differs between kinds, and the types that every kind uses.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::contract::Way;
use crate::drain::answers::Connection;
use crate::drain::diag::Diag;
use crate::peer::address::Address;
use crate::peer::control_group::ControlGroup;
use crate::peer::process::{Process, Socket};
use crate::sys::socket::{self, Shape};

/// A kind of sockets.
pub(in crate::drain) trait Kind: Sync {
    /// Whether a socket is of this kind. `listens` is `SO_ACCEPTCONN`, see socket(7).
    fn recognises(&self, shape: Shape, listens: bool) -> bool;

    /// Silences a process: keeps it from accepting or receiving anything new on its sockets of this kind, which `held` lists.
    /// `Ok` also when that has to wait for a better moment. Called at every look, as long as the process has such a socket.
    ///
    /// # Errors
    /// The reason why the process cannot be silenced, for the journal.
    fn silence(
        &self,
        process: &Process,
        held: &[Held<'_>],
        means: Means<'_>,
    ) -> io::Result<Silenced>;

    /// Turns a fresh socket, which a thread of the program has made, into an unreachable one of this kind, which then replaces
    /// the live one. `folder` must be one that no other user can write to.
    ///
    /// # Errors
    /// When the kernel forbids a step.
    fn isolate(&self, fresh: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()>;

    /// Every connection that was accepted from a socket, including those of other instances.
    ///
    /// # Errors
    /// The errors of `sock_diag(7)`.
    fn connections(&self, listener: &Listener) -> io::Result<Vec<Connection>>;

    /// How long a program may take to answer what it has received, for kinds where no connection shows that it has not.
    fn answers(&self) -> Duration {
        Duration::ZERO
    }

    /// Makes the kernel wake another instance, if something waits of which only the silenced one was notified.
    fn nudge(&self, _listener: &Listener) {}
}

/// A kind and its position in the table.
pub(in crate::drain) type Row = (usize, &'static dyn Kind);

/// A socket that the instance shares with systemd, and therefore with the other instances.
pub(in crate::drain) struct Listener {
    pub(in crate::drain) inode: u64,
    pub(in crate::drain) shape: Shape,
    pub(in crate::drain) is_blocking: bool,
    pub(super) row: Row,
    pub(super) address: Address,
    pub(super) diag: Diag,
}

impl Listener {
    /// The listener that `socket`, a copy of a descriptor of the program, leads to. Connections are looked up in the network
    /// namespace that this process is in now, see [`crate::drain::draining`].
    pub(in crate::drain) fn of(row: Row, socket: &OwnedFd, inode: u64) -> Option<Self> {
        Some(Self {
            inode,
            shape: socket::shape(socket.as_fd()).ok()?,
            is_blocking: is_blocking(socket),
            row,
            address: Address::from_bytes(&socket::name(socket.as_fd()).ok()?)?,
            diag: Diag::open().ok()?,
        })
    }

    /// The port or the path, by which a program recognises a connection that was accepted from the socket.
    pub(in crate::drain) fn place(&self) -> String {
        match &self.address {
            Address::Inet(address) => address.port().to_string(),
            Address::Path(path) => String::from_utf8_lossy(path).into_owned(),
        }
    }

    /// Whether `socket`, a copy of a descriptor of the program, is a TCP connection that this listener may have accepted: of its
    /// shape, and at its address.
    pub(in crate::drain) fn may_have_accepted(&self, socket: &OwnedFd) -> bool {
        let shape = socket::shape(socket.as_fd());
        let is_shaped = shape.is_ok_and(|s| s == self.shape && s.protocol == libc::IPPROTO_TCP);
        let listens = socket::number(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
        let name = socket::name(socket.as_fd()).unwrap_or_default();
        match (&self.address, Address::from_bytes(&name)) {
            (Address::Inet(own), Some(Address::Inet(its))) => {
                is_shaped
                    && listens.is_ok_and(|listens| listens == 0)
                    && own.port() == its.port()
                    && (own.ip().is_unspecified() || own.ip() == its.ip())
            }
            _ => false,
        }
    }

    pub(in crate::drain) fn kind(&self) -> &'static dyn Kind {
        self.row.1
    }

    /// The address family as `sock_diag(7)` expects it.
    pub(super) fn family(&self) -> u8 {
        u8::try_from(self.shape.domain).unwrap_or(0)
    }
}

fn is_blocking(socket: &OwnedFd) -> bool {
    let flags = fcntl(socket, FcntlArg::F_GETFL).unwrap_or_default();
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// A descriptor of the process that leads to a listener.
#[derive(Clone, Copy)]
pub(in crate::drain) struct Held<'a> {
    pub(in crate::drain) socket: Socket,
    pub(in crate::drain) listener: &'a Listener,
}

/// Everything but the process and its sockets that [`Kind::silence`] needs.
#[derive(Clone, Copy)]
pub(in crate::drain) struct Means<'a> {
    /// The control group that the processes are in.
    pub(in crate::drain) group: &'a ControlGroup,
    pub(in crate::drain) way: Way,
    /// The number of seccomp filters that apply to a process without any of its own.
    pub(in crate::drain) filters: Option<u32>,
    /// The folder for [`Kind::isolate`].
    pub(in crate::drain) folder: &'a Path,
    /// The deadline, however many descriptors a process has.
    pub(in crate::drain) end: Instant,
}

impl Means<'_> {
    /// Checks the deadline.
    ///
    /// # Errors
    /// When the deadline has passed.
    pub(in crate::drain) fn check_time(&self) -> io::Result<()> {
        if Instant::now() < self.end {
            Ok(())
        } else {
            Err(io::Error::other("it has too many descriptors"))
        }
    }
}

/// How a process was silenced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::drain) struct Silenced {
    /// Whether descriptors still lead to a listener, and only the epoll sets of the process no longer watch them.
    pub(in crate::drain) is_only_unwatched: bool,
    /// Whether an epoll set may have been woken for a connection that the process no longer accepts.
    pub(in crate::drain) may_have_been_woken: bool,
    /// The descriptor numbers of listeners that were replaced. A thread may still wait in accept(2) for the live ones.
    pub(in crate::drain) replaced: Vec<RawFd>,
}
