//! Parses the answers of `sock_diag(7)`: bytes in, connections out. Pure.
//!
//! An incomplete message is ignored. No length in a message is trusted: none can lead beyond the end of the
//! bytes or back to their beginning.

use std::net::SocketAddrV4;
use std::time::Duration;

/// `struct nlmsghdr`
pub(super) const HEADER: usize = 16;
/// `INET_DIAG_INFO`, a `struct tcp_info`
pub(super) const INFO: u16 = 2;
/// `INET_DIAG_SKMEMINFO`, an array of 32-bit numbers
pub const MEMORY: u16 = 7;
/// The index of `SK_MEMINFO_DROPS` in that array
const DROPS: usize = 8 * 4;
/// `struct inet_diag_msg`
const INET_MESSAGE: usize = 72;
/// `INET_DIAG_CGROUP_ID`, since Linux 5.8
const CONTROL_GROUP: u16 = 21;
/// `struct unix_diag_msg`
const UNIX_MESSAGE: usize = 16;
/// `UNIX_DIAG_NAME`
const NAME: u16 = 0;

/// A connection as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The inode of the socket, as links in /proc/PID/fd name it; 0 when no descriptor leads to the socket.
    pub inode: u64,
    /// The traffic so far; `None` where the kernel does not report it.
    pub traffic: Option<Traffic>,
}

/// The bytes that a connection carried, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes that the program has not read yet.
    pub unread: u32,
    /// Bytes that the peer has not acknowledged yet.
    pub unsent: u32,
    /// Bytes received in all.
    pub received: u64,
    /// Bytes sent in all, including those that had to be sent again.
    pub sent: u64,
    /// The time since the last bytes were received.
    pub since_received: Duration,
    /// The time since the last bytes were sent, or since the connection was accepted.
    pub since_sent: Duration,
    /// The time since the peer last acknowledged anything, with or without bytes of its own.
    pub since_acknowledged: Duration,
    /// Bytes that the peer has acknowledged in all.
    pub acknowledged: u64,
    /// Segments that were received in all, without those that a socket filter has dropped.
    pub segments: u32,
    /// The received segments that had data.
    pub data_segments: u32,
    /// Segments that were dropped, by a socket filter or for another reason.
    pub drops: u32,
}

/// The messages of netlink(7) in a datagram, each with its kind, up to the first that is not complete.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, message, next) = split(bytes)?;
        bytes = next;
        Some((kind, message))
    })
}

/// The errno in a message of the kind `NLMSG_ERROR`.
#[must_use]
pub fn errno(message: &[u8]) -> Option<i32> {
    array(message, 0).map(|n| i32::from_ne_bytes(n).wrapping_neg())
}

/// Splits off the first message of netlink(7): its kind, its content, and the bytes after it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
    let kind = u16::from_ne_bytes(array(bytes, 4)?);
    let message = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, message, next))
}

/// An attribute of a message, see "Routing attributes" in rtnetlink(7).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(array(bytes, 0)?));
        if u16::from_ne_bytes(array(bytes, 2)?) == wanted {
            return bytes.get(4..length);
        }
        bytes = bytes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

/// Reads a `struct inet_diag_msg` and the `struct tcp_info` after it.
#[must_use]
pub fn inet(message: &[u8]) -> Option<Connection> {
    let inode = u64::from(number(message, 68)?);
    let queues = (number(message, 56)?, number(message, 60)?);
    let attributes = message.get(INET_MESSAGE..)?;
    let drops = attribute(attributes, MEMORY).and_then(|memory| number(memory, DROPS));
    let traffic = attribute(attributes, INFO).and_then(|info| traffic(queues, info));
    Some(Connection {
        inode,
        traffic: traffic.map(|t| Traffic {
            drops: drops.unwrap_or_default(),
            ..t
        }),
    })
}

/// Reads the number of unread bytes, which for a listener is the number of waiting connections, and the inode.
#[must_use]
pub fn queue(message: &[u8]) -> Option<(u32, u64)> {
    Some((number(message, 56)?, number(message, 68)?.into()))
}

/// Reads the state and the own port of a TCP socket from a `struct inet_diag_msg`.
#[must_use]
pub fn state(message: &[u8]) -> Option<(u8, u16)> {
    Some((*message.get(1)?, u16::from_be_bytes(array(message, 4)?)))
}

/// Reads how many connections a listener has dropped since it was opened, or how many segments a connection has dropped.
#[must_use]
pub fn drops(message: &[u8]) -> Option<u32> {
    number(attribute(message.get(INET_MESSAGE..)?, MEMORY)?, DROPS)
}

/// Reads the port and the IPv4 address of the other end from a `struct inet_diag_msg`, and the cookie of the socket,
/// which no other socket has. For an IPv6 socket, the address is the last four bytes, which hold a mapped IPv4 address.
#[must_use]
pub fn other_end(message: &[u8]) -> Option<(SocketAddrV4, u64)> {
    let is_ipv6 = message.first().map(|family| i32::from(*family)) == Some(libc::AF_INET6);
    let ip: [u8; 4] = array(message, if is_ipv6 { 36 } else { 24 })?;
    let port = u16::from_be_bytes(array(message, 6)?);
    let cookie = array(message, 44).map(u64::from_ne_bytes)?;
    Some((SocketAddrV4::new(ip.into(), port), cookie))
}

/// Reads the control group of a TCP socket from a `struct inet_diag_msg`: that of its listener, if it was accepted.
#[must_use]
pub fn control_group(message: &[u8]) -> Option<u64> {
    let id = attribute(message.get(INET_MESSAGE..)?, CONTROL_GROUP)?;
    array(id, 0).map(u64::from_ne_bytes)
}

/// Reads a `struct tcp_info`. `unread` and `unsent` are the bytes in the queues.
#[must_use]
pub fn traffic((unread, unsent): (u32, u32), info: &[u8]) -> Option<Traffic> {
    let since = |at| Some(Duration::from_millis(number(info, at)?.into()));
    let bytes = |at| array(info, at).map(u64::from_ne_bytes);
    Some(Traffic {
        unread,
        unsent,
        since_sent: since(44)?,
        since_received: since(52)?,
        since_acknowledged: since(56)?,
        acknowledged: bytes(120)?,
        segments: number(info, 140)?,
        data_segments: number(info, 152)?,
        drops: 0,
        // tcpi_bytes_received and, since Linux 4.19, tcpi_bytes_sent.
        received: bytes(128)?,
        sent: bytes(200)?,
    })
}

/// Reads a `struct unix_diag_msg`, if the socket was accepted at `path`: an accepted socket has the name of its listener.
#[must_use]
pub fn unix(message: &[u8], path: &[u8]) -> Option<Connection> {
    let inode = u64::from(number(message, 4)?);
    let name = attribute(message.get(UNIX_MESSAGE..)?, NAME)?;
    let name = name.split(|b| *b == 0).next()?;
    (name == path).then_some(Connection {
        inode,
        traffic: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_cut_short_is_ignored() {
        assert_eq!(split(&[1, 0, 0]), None);
        assert_eq!(split(&[200; 20]), None);
        assert_eq!(inet(&[0; 71]), None);
        assert_eq!(attribute(&[0; 8], 2), None);
    }

    #[test]
    fn a_message_shorter_than_its_header_is_the_last() {
        for length in [0_u8, 1, 15] {
            let mut bytes = [0; 64];
            bytes[0] = length;
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
        assert_eq!(
            messages(&[&[16, 0, 0, 0][..], &[0; 12]].concat()).count(),
            1
        );
    }
}
