//! A listener that the instance shares with systemd: what it is, and what goes on there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, setns};

use super::answers::Connection;
use super::diag::{Diag, States};
use crate::peer::address::Address;
use crate::peer::process::{Process, Socket};
use crate::sys::socket::{self, Shape};

/// One of the instance's listeners.
pub(super) struct Listener {
    pub(super) inode: u64,
    pub(super) shape: Shape,
    pub(super) blocking: bool,
    address: Address,
    diag: Diag,
}

impl Listener {
    /// From a socket of the process; `None` for one that neither listens nor takes datagrams.
    ///
    /// # Errors
    /// `EPERM` when the process may not be looked into, `EBADF` when it has closed it since.
    pub(super) fn of(process: &Process, found: Socket) -> io::Result<Option<Self>> {
        Ok(Self::of_descriptor(&process.socket(found)?, found))
    }

    fn of_descriptor(fd: &OwnedFd, found: Socket) -> Option<Self> {
        let shape = socket::shape(fd.as_fd()).ok()?;
        let listens = socket::number(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
        if listens.ok()? != 1 && shape.kind != libc::SOCK_DGRAM {
            return None;
        }
        // With PrivateNetwork= the commands of a unit are in another network than its socket; an
        // unprivileged manager has no such units.
        let _ = socket::network(fd.as_fd()).map(|network| setns(network, CloneFlags::CLONE_NEWNET));
        Some(Self {
            inode: found.inode,
            shape,
            blocking: is_blocking(fd),
            address: Address::from_bytes(&socket::name(fd.as_fd()).ok()?)?,
            diag: Diag::open().ok()?,
        })
    }

    /// Whether there are no connections at all.
    pub(super) fn takes_datagrams(&self) -> bool {
        self.shape.kind == libc::SOCK_DGRAM
    }

    /// Every connection that came by it, those of other instances included.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn connections(&self) -> io::Result<Vec<Connection>> {
        match &self.address {
            _ if self.takes_datagrams() => Ok(Vec::new()),
            Address::Path(path) => self.diag.unix(path),
            Address::Inet(address) => {
                self.diag
                    .tcp(self.family(), address.port(), States::Connected)
            }
        }
    }

    /// How many connections wait to be accepted.
    fn waiting(&self) -> u32 {
        let Address::Inet(address) = &self.address else {
            return 0;
        };
        let listening = self
            .diag
            .tcp(self.family(), address.port(), States::Listening);
        let own = listening
            .unwrap_or_default()
            .into_iter()
            .find(|c| c.inode == self.inode);
        own.and_then(|c| c.traffic).map_or(0, |t| t.unread)
    }

    /// Wakes another instance when a connection waits for none.
    ///
    /// With `EPOLLEXCLUSIVE` the kernel wakes one sleeper for a connection. If that was the instance
    /// which just stopped accepting, nobody would come before the next connection does: so here is one.
    pub(super) fn nudge(&self) {
        let Address::Inet(mut address) = self.address else {
            return;
        };
        if self.waiting() == 0 {
            return;
        }
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        // Where it is refused there is nobody to wake.
        drop(TcpStream::connect_timeout(
            &address,
            Duration::from_millis(50),
        ));
    }

    fn family(&self) -> u8 {
        u8::try_from(self.shape.domain).unwrap_or(0)
    }
}

fn is_blocking(fd: &OwnedFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap_or_default();
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}
