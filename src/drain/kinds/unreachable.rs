//! Turns a fresh socket of the program into one that nobody reaches.
//!
//! A thread of the program makes the socket, so that it is the program's own, in the program's network and counted against
//! its limits. All else is done from here, through a copy of the descriptor: no filter of the program is on the way, and no
//! address has to be written into its memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{Backlog, SockaddrStorage, UnixAddr, bind, getpeername};

use crate::state::{Folder, Name};
use crate::sys::socket::{self, Shape};

/// No connection comes from so near, unless somebody asks for it: packets begin with 64, see ip(7).
const NEAREST: i32 = 255;

/// Binds `fresh` where nobody comes. `folder` is one that the program's other users cannot write to.
///
/// # Errors
/// When the kernel forbids a step, or a unix socket finds no place in the folder; `EBADF` when the socket is not fresh.
pub(super) fn isolate(fresh: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()> {
    // Another thread of the program may have put something else into its place meanwhile, and whoever shares that with
    // the program would be cut off as well.
    if socket::shape(fresh.as_fd())? != shape || is_in_use(fresh)? {
        return Err(nix::Error::EBADF.into());
    }
    if matches!(shape.domain, libc::AF_INET | libc::AF_INET6) {
        let ipv6 = shape.domain == libc::AF_INET6;
        // Before bind: from then on something could come. Some kernels let only root attach a filter.
        socket::drop_everything(fresh.as_fd()).or_else(|_| drop_what_is_far(fresh, ipv6))?;
        // In a network of its own the loopback may be down: then listen(2) chooses an address.
        let _ = socket::bind_loopback(fresh.as_fd(), ipv6);
        Ok(())
    } else {
        bind_nowhere(fresh, folder)
    }
}

/// Has an isolated socket listen, as a program expects of a descriptor that it gives to accept(2).
///
/// # Errors
/// Those of listen(2).
pub(super) fn listen(isolated: &OwnedFd) -> io::Result<()> {
    Ok(nix::sys::socket::listen(isolated, Backlog::new(1)?)?)
}

/// Whether a socket has an address or a peer already, or listens.
fn is_in_use(fresh: &OwnedFd) -> io::Result<bool> {
    let listens = socket::number(fresh.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 1;
    let has_peer = getpeername::<SockaddrStorage>(fresh.as_raw_fd()).is_ok();
    // Of a fresh socket the address has no port, or no path.
    let name = socket::name(fresh.as_fd())?;
    let is_bound = name.get(2..4).is_some_and(|port| port != [0, 0]);
    Ok(listens || has_peer || is_bound)
}

fn drop_what_is_far(fresh: &OwnedFd, ipv6: bool) -> io::Result<()> {
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    socket::set_number(fresh.as_fd(), level, name, NEAREST)
}

/// No filter keeps a connection from a unix socket, and an abstract name is for every user to find. A file that is
/// gone before anybody listens is not.
fn bind_nowhere(fresh: &OwnedFd, folder: &Path) -> io::Result<()> {
    let folder = Folder::make(folder)?;
    let name = Name::Dead(std::process::id());
    // Of a drain that was killed.
    folder.remove(&name.to_string())?;
    // However long the path of the folder is, an address is not.
    bind(fresh.as_raw_fd(), &UnixAddr::new(&folder.path_of(name))?)?;
    folder.remove(&name.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{SocketAddr, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockname};

    use super::*;

    fn unbound(family: AddressFamily) -> OwnedFd {
        let flags = SockFlag::SOCK_CLOEXEC;
        nix::sys::socket::socket(family, SockType::Stream, flags, None).unwrap()
    }

    fn assert_unreachable(fresh: &OwnedFd) {
        let name: SockaddrStorage = getsockname(fresh.as_raw_fd()).unwrap();
        let address: SocketAddr = name.to_string().parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
        let tried = TcpStream::connect_timeout(&address, Duration::from_millis(300));
        assert_eq!(tried.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn nobody_reaches_it() {
        let folder = tempfile::tempdir().unwrap();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let fresh = unbound(family);
            let shape = socket::shape(fresh.as_fd()).unwrap();
            isolate(&fresh, shape, folder.path()).unwrap();
            super::listen(&fresh).unwrap();
            assert_unreachable(&fresh);
        }
    }

    #[test]
    fn nor_where_a_filter_is_for_root_alone() {
        for (family, ipv6) in [(AddressFamily::Inet, false), (AddressFamily::Inet6, true)] {
            let fresh = unbound(family);
            drop_what_is_far(&fresh, ipv6).unwrap();
            socket::bind_loopback(fresh.as_fd(), ipv6).unwrap();
            super::listen(&fresh).unwrap();
            assert_unreachable(&fresh);
        }
    }

    #[test]
    fn a_unix_socket_has_no_name_that_leads_to_it() {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("a".repeat(120));
        for _drain in 0..2 {
            let fresh = unbound(AddressFamily::Unix);
            let shape = socket::shape(fresh.as_fd()).unwrap();
            isolate(&fresh, shape, &folder).unwrap();
            super::listen(&fresh).unwrap();
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
            let name: UnixAddr = getsockname(fresh.as_raw_fd()).unwrap();
            assert!(name.as_abstract().is_none());
            assert!(UnixStream::connect(name.path().unwrap()).is_err());
            let listens = socket::number(fresh.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
            assert_eq!(listens.unwrap(), 1);
        }
    }
}
