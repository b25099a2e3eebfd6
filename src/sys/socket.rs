//! Options and addresses of sockets of any kind, and the epoll sets that watch them.

#![expect(
    unsafe_code,
    reason = "socket options without a safe wrapper, any kind of address"
)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::check;

/// The arguments of socket(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// `AF_…`
    pub domain: i32,
    /// `SOCK_…`
    pub kind: i32,
    /// `IPPROTO_…`
    pub protocol: i32,
}

/// The size of the longest address, see `struct sockaddr_storage` in sockaddr(3type).
pub const LONGEST_ADDRESS: usize = size_of::<libc::sockaddr_storage>();

/// Gets as much of a socket option as there is room for, and returns the length.
fn get(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(value.len()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes, as many as there are.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    check(result)?;
    Ok(usize::try_from(length).unwrap_or(0))
}

fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = [0; size_of::<i32>()];
    get(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// The value of a socket option that is a number.
///
/// # Errors
/// The errors of getsockopt(2).
pub fn number(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    option(fd, level, name)
}

/// The value of a socket option that is eight bytes long.
///
/// # Errors
/// The errors of getsockopt(2).
pub fn bytes(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<[u8; 8]> {
    let mut value = [0; 8];
    get(fd, level, name, &mut value)?;
    Ok(value)
}

/// Sets a socket option that is a number.
///
/// # Errors
/// The errors of setsockopt(2).
pub fn set_number(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set(fd, level, name, &value)
}

pub(super) fn set<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `length` bytes, the size of the value, and all memory that it points to lives through the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, length) }).map(drop)
}

/// The arguments of socket(2) that a socket was made with.
///
/// # Errors
/// `ENOTSOCK` for a descriptor that is not a socket.
pub fn shape(fd: BorrowedFd<'_>) -> io::Result<Shape> {
    Ok(Shape {
        domain: option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?,
        kind: option(fd, libc::SOL_SOCKET, libc::SO_TYPE)?,
        protocol: option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?,
    })
}

/// The bytes of the address that a socket is bound to.
///
/// # Errors
/// The errors of getsockname(2).
pub fn name(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LONGEST_ADDRESS];
    let mut length = libc::socklen_t::try_from(bytes.len()).unwrap_or(0);
    let address = bytes.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `length` bytes, as many as there are.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), address, &raw mut length) })?;
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    Ok(bytes)
}

/// Binds a socket to a free port on the loopback address of its family.
///
/// # Errors
/// The errors of bind(2).
pub fn bind_loopback(fd: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    use nix::sys::socket::{SockaddrIn, SockaddrIn6, bind};
    use std::net::{Ipv6Addr, SocketAddrV6};
    if ipv6 {
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0);
        bind(fd.as_raw_fd(), &SockaddrIn6::from(address))?;
    } else {
        bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    }
    Ok(())
}

/// A change of a registration in an epoll set, with events and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Adds the registration.
    Add(u32, u64),
    /// Replaces the events and the data of the registration.
    Modify(u32, u64),
    /// Deletes the registration.
    Delete,
}

/// Changes an epoll set, see `epoll_ctl(2)`.
///
/// # Errors
/// The errors of `epoll_ctl(2)`.
pub fn watch(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, change: Change) -> io::Result<()> {
    let (flags, data) = (EventFlags::from_bits_retain, EventData::new_u64);
    Ok(match change {
        Change::Add(events, of_program) => epoll::add(epoll, fd, data(of_program), flags(events)),
        Change::Modify(events, of_program) => {
            epoll::modify(epoll, fd, data(of_program), flags(events))
        }
        Change::Delete => epoll::delete(epoll, fd),
    }?)
}

/// Attaches a filter that drops every packet, see `SO_ATTACH_FILTER` in socket(7).
///
/// # Errors
/// The errors of setsockopt(2).
pub fn drop_everything(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut code = libc::sock_filter {
        code: u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap_or(0),
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut code,
    };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// The bytes that a connection has received and that have not been read yet, see `SIOCINQ` in tcp(7).
///
/// # Errors
/// The errors of ioctl(2).
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let count = rustix::io::ioctl_fionread(fd)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// The `struct tcp_info` of a connection as bytes, as many as this kernel has of them, see `TCP_INFO` in tcp(7).
///
/// # Errors
/// The errors of getsockopt(2).
pub fn tcp_info(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 512];
    let length = get(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// `SIOCGSKNS`, see <linux/sockios.h>.
const NETWORK_OF: libc::Ioctl = 0x894c;

/// The network namespace that a socket belongs to.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn network(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), NETWORK_OF) };
    check(result)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}
