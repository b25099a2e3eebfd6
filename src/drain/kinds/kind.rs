//! What a kind of sockets is: a trait for what differs, and the types that every kind works with.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
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
pub(in crate::drain) type Row = (usize, &'static dyn Kind);

/// A socket that the instance shares with systemd, and so with the other instances.
pub(in crate::drain) struct Listener {
    pub(in crate::drain) inode: u64,
    pub(in crate::drain) shape: Shape,
    pub(in crate::drain) is_blocking: bool,
    pub(super) row: Row,
    pub(super) address: Address,
    pub(super) diag: Diag,
}

impl Listener {
    /// `socket` is a copy of a descriptor of the program. Connections are those of the network namespace that this process
    /// is in now, see [`crate::drain::draining`].
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

    /// The port, or the path: what a program can tell of a connection that came by the socket.
    pub(in crate::drain) fn place(&self) -> String {
        match &self.address {
            Address::Inet(address) => address.port().to_string(),
            Address::Path(path) => String::from_utf8_lossy(path).into_owned(),
        }
    }

    pub(in crate::drain) fn kind(&self) -> &'static dyn Kind {
        self.row.1
    }

    /// The family, as `sock_diag(7)` takes it.
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

/// The means by which the processes of an instance are silenced.
#[derive(Clone, Copy)]
pub(in crate::drain) struct Means<'a> {
    /// The group that the processes are in.
    pub(in crate::drain) group: &'a ControlGroup,
    pub(in crate::drain) way: Way,
    /// A process under no more seccomp filters than these has none of its own.
    pub(in crate::drain) filters: Option<u32>,
    /// The folder for [`Kind::isolate`].
    pub(in crate::drain) folder: &'a Path,
    /// No process is worked on for longer, however much there is to do.
    pub(in crate::drain) end: Instant,
}

impl Means<'_> {
    /// # Errors
    /// When the time for the process is over.
    pub(in crate::drain) fn check_time(&self) -> io::Result<()> {
        if Instant::now() < self.end {
            Ok(())
        } else {
            Err(io::Error::other("it has too many descriptors"))
        }
    }
}

/// The state that a process was brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::drain) struct Silenced {
    /// Descriptors still lead to a listener, but no epoll set of the process watches them any more.
    pub(in crate::drain) is_only_unwatched: bool,
    /// An epoll set may have been woken for a connection that the process does not accept any more.
    pub(in crate::drain) may_have_been_woken: bool,
}
