//! Connections from a chosen address of this host, within a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};

/// The reserved ports that programs connect from, as bindresvport(3) has them.
const RESERVED: RangeInclusive<u16> = 600..=1023;

/// Connects from an address of this host: from a port below 1024, if this process may bind one, otherwise from any.
///
/// # Errors
/// The errors of connect(2), and `TimedOut`.
pub fn open(from: Ipv4Addr, to: SocketAddrV4, end: Instant) -> io::Result<TcpStream> {
    let stream = begin(from, to)?;
    loop {
        let mut watched = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        let wait = PollTimeout::try_from(left(end)?.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, wait) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(e) => return Err(e.into()),
        }
    }
    if let Some(e) = stream.take_error()? {
        return Err(e);
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn begin(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    for port in RESERVED {
        match begin_at(SocketAddrV4::new(from, port), to) {
            Err(Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) => {}
            Err(Errno::EACCES | Errno::EPERM) => break,
            begun => return Ok(begun?),
        }
    }
    Ok(begin_at(SocketAddrV4::new(from, 0), to)?)
}

fn begin_at(from: SocketAddrV4, to: SocketAddrV4) -> nix::Result<TcpStream> {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    if from.port() == 0 {
        // The port is chosen when the other end is known, so that as many ports are available as usual.
        setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
    } else {
        // The port may have been that of a connection a moment ago.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrIn::from(from))?;
    match connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(e) => Err(e),
    }
}

/// The time until the deadline, at least a millisecond.
///
/// # Errors
/// `TimedOut` when none is left.
pub fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left.max(Duration::from_millis(1)))
}
