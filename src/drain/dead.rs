//! Makes a listener that nobody reaches of a socket of the program, or a socket for datagrams that gets none.
//!
//! From here, through our own descriptor of it: no filter of the program is on the way, and no address has to be
//! written into its memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{Backlog, SockaddrStorage, UnixAddr, bind, getpeername, listen};

use crate::state::{Folder, Name};
use crate::sys::socket::{self, Shape};

/// No connection comes from so near, unless somebody asks for it: packets begin with 64, see ip(7).
const NEAREST: i32 = 255;

/// Makes `dead` listen where nobody comes. `folder` is one that the program's other users cannot write to.
///
/// # Errors
/// When the kernel forbids a step, or a unix socket finds no place in the folder.
pub(super) fn make(dead: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()> {
    // Another thread of the program may have put something else into its place meanwhile, and who shares that with
    // the program is a stranger.
    if socket::shape(dead.as_fd())? != shape || is_in_use(dead)? {
        return Err(nix::Error::EBADF.into());
    }
    if matches!(shape.domain, libc::AF_INET | libc::AF_INET6) {
        let ipv6 = shape.domain == libc::AF_INET6;
        // Some kernels let only root attach a filter.
        socket::drop_everything(dead.as_fd()).or_else(|_| drop_what_is_far(dead, ipv6))?;
        // In a network of its own the loopback may be down: then listen(2) chooses an address.
        let _ = socket::bind_loopback(dead.as_fd(), ipv6);
    } else {
        bind_nowhere(dead, folder)?;
    }
    if shape.kind == libc::SOCK_DGRAM {
        return Ok(());
    }
    Ok(listen(dead, Backlog::new(1)?)?)
}

/// Whether it has an address or a peer already.
fn is_in_use(dead: &OwnedFd) -> io::Result<bool> {
    let listens = socket::number(dead.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 1;
    let has_peer = getpeername::<SockaddrStorage>(dead.as_raw_fd()).is_ok();
    // Of a fresh socket the address has no port, or no path.
    let name = socket::name(dead.as_fd())?;
    let is_bound = name.get(2..4).is_some_and(|port| port != [0, 0]);
    Ok(listens || has_peer || is_bound)
}

fn drop_what_is_far(dead: &OwnedFd, ipv6: bool) -> io::Result<()> {
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    socket::set_number(dead.as_fd(), level, name, NEAREST)
}

/// No filter keeps a connection from a unix socket, and an abstract name is for every user to find. A file that is
/// gone before anybody listens is not.
fn bind_nowhere(dead: &OwnedFd, folder: &Path) -> io::Result<()> {
    let folder = Folder::make(folder)?;
    let name = Name::Dead(std::process::id());
    // Of a drain that was killed.
    folder.remove(&name.to_string())?;
    // However long the path of the folder is, an address is not.
    bind(dead.as_raw_fd(), &UnixAddr::new(&folder.path_of(name))?)?;
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

    fn fresh(family: AddressFamily) -> OwnedFd {
        let flags = SockFlag::SOCK_CLOEXEC;
        nix::sys::socket::socket(family, SockType::Stream, flags, None).unwrap()
    }

    fn assert_unreachable(dead: &OwnedFd) {
        let name: SockaddrStorage = getsockname(dead.as_raw_fd()).unwrap();
        let address: SocketAddr = name.to_string().parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
        let tried = TcpStream::connect_timeout(&address, Duration::from_millis(300));
        assert_eq!(tried.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn nobody_reaches_it() {
        let folder = tempfile::tempdir().unwrap();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let dead = fresh(family);
            let shape = socket::shape(dead.as_fd()).unwrap();
            make(&dead, shape, folder.path()).unwrap();
            assert_unreachable(&dead);
        }
    }

    #[test]
    fn nor_where_a_filter_is_for_root_alone() {
        for (family, ipv6) in [(AddressFamily::Inet, false), (AddressFamily::Inet6, true)] {
            let dead = fresh(family);
            drop_what_is_far(&dead, ipv6).unwrap();
            socket::bind_loopback(dead.as_fd(), ipv6).unwrap();
            listen(&dead, Backlog::new(1).unwrap()).unwrap();
            assert_unreachable(&dead);
        }
    }

    #[test]
    fn one_of_unix_has_no_name_that_leads_to_it() {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("a".repeat(120));
        for _drain in 0..2 {
            let dead = fresh(AddressFamily::Unix);
            let shape = socket::shape(dead.as_fd()).unwrap();
            make(&dead, shape, &folder).unwrap();
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
            let name: UnixAddr = getsockname(dead.as_raw_fd()).unwrap();
            assert!(name.as_abstract().is_none());
            assert!(UnixStream::connect(name.path().unwrap()).is_err());
            let listens = socket::number(dead.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
            assert_eq!(listens.unwrap(), 1);
        }
    }
}
