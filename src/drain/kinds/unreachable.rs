//! Turns a fresh socket of the program into an unreachable one.
//!
//! A thread of the program makes the socket, so that it belongs to the program's network namespace and counts
//! against the program's limits. Everything else is done in this process, through a copy of the descriptor,
//! so that no seccomp filter of the program applies and no address has to be written into its memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{Backlog, SockaddrStorage, UnixAddr, bind, getpeername};

use crate::state::{Folder, Name};
use crate::sys::socket::{self, Shape};

/// The lowest TTL that a packet must have. Packets are sent with 64 unless a program asks for more, see `IP_TTL` in ip(7).
const NEAREST: i32 = 255;

/// Binds `fresh` to an address where nobody can reach it. `folder` must be one that no other user can write to.
///
/// # Errors
/// When the kernel forbids a step, or a unix socket cannot be made in the folder; `EBADF` when the socket is not fresh.
pub(super) fn isolate(fresh: &OwnedFd, shape: Shape, folder: &Path) -> io::Result<()> {
    // Another thread of the program may have put another socket under the number meanwhile. That socket may
    // be shared with other processes, which would then be cut off as well.
    if socket::shape(fresh.as_fd())? != shape || is_in_use(fresh)? {
        return Err(nix::Error::EBADF.into());
    }
    if matches!(shape.domain, libc::AF_INET | libc::AF_INET6) {
        let ipv6 = shape.domain == libc::AF_INET6;
        // Before bind(2), because packets can arrive from then on. Some kernels let only root attach a filter.
        socket::drop_everything(fresh.as_fd()).or_else(|_| require_ttl(fresh, ipv6))?;
        // In a network namespace whose loopback is down this fails; then listen(2) chooses an address.
        let _ = socket::bind_loopback(fresh.as_fd(), ipv6);
        Ok(())
    } else {
        bind_nowhere(fresh, folder)
    }
}

/// Makes an isolated socket listen. Otherwise accept(2) would fail with `EINVAL`, on which many programs end.
///
/// # Errors
/// The errors of listen(2).
pub(super) fn listen(isolated: &OwnedFd) -> io::Result<()> {
    Ok(nix::sys::socket::listen(isolated, Backlog::new(1)?)?)
}

/// Whether a socket has an address or a peer already, or listens.
fn is_in_use(fresh: &OwnedFd) -> io::Result<bool> {
    let listens = socket::number(fresh.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 1;
    let has_peer = getpeername::<SockaddrStorage>(fresh.as_raw_fd()).is_ok();
    // The address of an unbound socket has port 0, or an empty path.
    let name = socket::name(fresh.as_fd())?;
    let is_bound = name.get(2..4).is_some_and(|port| port != [0, 0]);
    Ok(listens || has_peer || is_bound)
}

/// Drops packets with a TTL below [`NEAREST`], which in practice are all packets, see `IP_MINTTL` in
/// `include/uapi/linux/in.h` of the kernel.
fn require_ttl(fresh: &OwnedFd, ipv6: bool) -> io::Result<()> {
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    socket::set_number(fresh.as_fd(), level, name, NEAREST)
}

/// Binds a unix socket to a path, and removes the path before the socket listens. A socket filter would not keep connections
/// from a unix socket, and an abstract name can be connected to by every user.
fn bind_nowhere(fresh: &OwnedFd, folder: &Path) -> io::Result<()> {
    let folder = Folder::make(folder)?;
    let name = Name::Dead(std::process::id());
    // A drain that was killed may have left a file.
    folder.remove(&name.to_string())?;
    // The path through /proc/self/fd, because the address of a unix socket has room for 107 bytes only.
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
    fn nobody_reaches_an_isolated_socket() {
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
    fn nobody_reaches_it_where_only_root_may_attach_a_filter() {
        for (family, ipv6) in [(AddressFamily::Inet, false), (AddressFamily::Inet6, true)] {
            let fresh = unbound(family);
            require_ttl(&fresh, ipv6).unwrap();
            socket::bind_loopback(fresh.as_fd(), ipv6).unwrap();
            super::listen(&fresh).unwrap();
            assert_unreachable(&fresh);
        }
    }

    #[test]
    fn no_path_and_no_name_leads_to_an_isolated_unix_socket() {
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
