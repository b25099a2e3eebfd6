//! Connections as the kernel lists them, see `sock_diag(7)`: /proc/net/tcp takes seconds under load.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST_DUMP: u16 = 0x301;
/// `struct nlmsghdr`
const HEADER: usize = 16;
/// `struct inet_diag_msg`
const INET_MESSAGE: usize = 72;
/// `struct unix_diag_msg`
const UNIX_MESSAGE: usize = 16;
/// `INET_DIAG_INFO`, a `struct tcp_info`
const INFO: u16 = 2;
/// `UNIX_DIAG_NAME`
const NAME: u16 = 0;
const TCP_ESTABLISHED: u32 = 1;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;
const TCP_TIME_WAIT: u32 = 6;

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connection {
    /// The socket's, as descriptors in /proc name it; 0 when no descriptor leads to it.
    pub(super) inode: u64,
    /// What was seen of it; none where the kernel does not tell.
    pub(super) traffic: Option<Traffic>,
}

/// Bytes that went over it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Traffic {
    /// Not read yet by the program.
    pub(super) unread: u32,
    /// Not acknowledged yet by the peer.
    pub(super) unsent: u32,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Since it received something the last time.
    pub(super) since_received: Duration,
    /// Since it sent something the last time, or was accepted.
    pub(super) since_sent: Duration,
}

/// Which sockets of a port are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    /// Connections, until both ends have closed.
    Connected,
    /// Listeners: of these `unread` is the number of connections that wait to be accepted.
    Listening,
}

impl States {
    fn bits(self) -> u32 {
        match self {
            Self::Connected => 0xfff & !(1 << TCP_CLOSE | 1 << TCP_LISTEN | 1 << TCP_TIME_WAIT),
            Self::Listening => 1 << TCP_LISTEN,
        }
    }
}

/// Asks the kernel, about the network that this thread was in when it was opened.
pub(super) struct Diag {
    socket: OwnedFd,
}

impl Diag {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self { socket })
    }

    /// The sockets of a TCP port. A port of both families has connections of both, listed as IPv6.
    pub(super) fn tcp(&self, family: u8, port: u16, states: States) -> io::Result<Vec<Connection>> {
        let mut request = header(HEADER + 56);
        request.extend([family, 6, 1 << (INFO - 1), 0]);
        request.extend(states.bits().to_ne_bytes());
        request.extend(port.to_be_bytes());
        request.resize(HEADER + 56, 0);
        self.ask(&request, inet)
    }

    /// The connections of a listener in the file system.
    pub(super) fn unix(&self, path: &[u8]) -> io::Result<Vec<Connection>> {
        let mut request = header(HEADER + 24);
        request.extend([libc::AF_UNIX.to_ne_bytes()[0], 0, 0, 0]);
        request.extend(u32::to_ne_bytes(1 << TCP_ESTABLISHED));
        // udiag_ino, then UDIAG_SHOW_NAME
        request.extend([0; 4]);
        request.extend(u32::to_ne_bytes(1));
        request.resize(HEADER + 24, 0);
        self.ask(&request, |message| unix(message, path))
    }

    fn ask(
        &self,
        request: &[u8],
        read: impl Fn(&[u8]) -> Option<Connection>,
    ) -> io::Result<Vec<Connection>> {
        let raw = self.socket.as_raw_fd();
        send(raw, request, MsgFlags::empty())?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = recv(raw, &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            if rest.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some((kind, message, next)) = split(rest) {
                match kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return Err(refusal(message)),
                    _ => found.extend(read(message)),
                }
                rest = next;
            }
        }
    }
}

fn header(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes
}

fn refusal(message: &[u8]) -> io::Error {
    let errno = array(message, 0).map_or(libc::EPROTO, i32::from_ne_bytes);
    io::Error::from_raw_os_error(errno.wrapping_neg())
}

/// One message of netlink(7): its kind, what is in it, and what stands behind it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
    let kind = u16::from_ne_bytes(array(bytes, 4)?);
    let message = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, message, next))
}

/// An attribute of it, see rtnetlink(7).
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

/// A `struct inet_diag_msg` and its `struct tcp_info`.
fn inet(message: &[u8]) -> Option<Connection> {
    let inode = u64::from(number(message, 68)?);
    let queues = (number(message, 56)?, number(message, 60)?);
    let info = attribute(message.get(INET_MESSAGE..)?, INFO);
    Some(Connection {
        inode,
        traffic: info.and_then(|i| traffic(queues, i)),
    })
}

fn traffic((unread, unsent): (u32, u32), info: &[u8]) -> Option<Traffic> {
    let since = |at| Some(Duration::from_millis(number(info, at)?.into()));
    let bytes = |at| array(info, at).map(u64::from_ne_bytes);
    Some(Traffic {
        unread,
        unsent,
        since_sent: since(44)?,
        since_received: since(52)?,
        // tcpi_bytes_received, tcpi_bytes_sent; the latter since Linux 4.19.
        received: bytes(128)?,
        sent: bytes(200)?,
    })
}

/// A `struct unix_diag_msg`: an accepted socket has its listener's name.
fn unix(message: &[u8], path: &[u8]) -> Option<Connection> {
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
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use nix::sys::stat::fstat;

    use super::*;

    #[test]
    fn the_kernel_tells_of_a_connection_and_its_traffic() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"ask").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        server.write_all(b"answer").unwrap();
        client.write_all(b"more").unwrap();

        let inet = libc::AF_INET.to_ne_bytes()[0];
        let found = Diag::open()
            .unwrap()
            .tcp(inet, port, States::Connected)
            .unwrap();
        let inode = fstat(&server).unwrap().st_ino;
        let [connection] = found.as_slice() else {
            panic!("one connection: {found:?}");
        };
        assert_eq!(connection.inode, inode);
        let traffic = connection.traffic.unwrap();
        assert_eq!((traffic.received, traffic.sent, traffic.unread), (7, 6, 4));
        assert!(traffic.since_sent < Duration::from_mins(1), "{traffic:?}");
    }

    #[test]
    fn connections_that_wait_to_be_accepted_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _clients = [TcpStream::connect(address), TcpStream::connect(address)];
        let inet = libc::AF_INET.to_ne_bytes()[0];
        let found = Diag::open()
            .unwrap()
            .tcp(inet, address.port(), States::Listening);
        assert_eq!(found.unwrap()[0].traffic.unwrap().unread, 2);
    }

    #[test]
    fn a_connection_has_the_name_of_its_listener_in_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        let inode = fstat(&server).unwrap().st_ino;
        let found = Diag::open()
            .unwrap()
            .unix(path.as_os_str().as_encoded_bytes())
            .unwrap();
        assert_eq!(
            found,
            [Connection {
                inode,
                traffic: None
            }]
        );
    }

    #[test]
    fn a_message_cut_short_is_none() {
        assert_eq!(split(&[1, 0, 0]), None);
        assert_eq!(split(&[200; 20]), None);
        assert_eq!(inet(&[0; 71]), None);
        assert_eq!(attribute(&[0; 8], 2), None);
    }
}
