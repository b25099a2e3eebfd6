//! The netlink socket over which the kernel lists sockets, see `sock_diag(7)`. Reading /proc/net/tcp instead
//! takes seconds under load.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use super::answers::{Connection, HEADER, INFO, MEMORY, errno, inet, messages, unix};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST_DUMP: u16 = 0x301;
const TCP_ESTABLISHED: u32 = 1;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;
const TCP_TIME_WAIT: u32 = 6;

/// The sockets of a port to list, by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    /// Connections, until both ends have closed.
    Connected,
    /// Listeners, whose `unread` is the number of connections that wait to be accepted.
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

/// A netlink socket for queries about the network namespace that the thread was in when it opened the socket.
pub(crate) struct Diag {
    socket: OwnedFd,
}

impl Diag {
    /// Opens the socket.
    ///
    /// # Errors
    /// The errors of socket(2).
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self { socket })
    }

    /// The sockets of a TCP port. A listener of both families has connections of both, which are listed as IPv6.
    pub(super) fn tcp(&self, family: u8, port: u16, states: States) -> io::Result<Vec<Connection>> {
        let extensions = 1 << (INFO - 1) | 1 << (MEMORY - 1);
        self.inet(family, &[port], states.bits(), extensions, inet)
    }

    /// The TCP sockets of these ports in these states, a bit for each, with these `INET_DIAG_` extensions. `read` reads a `struct
    /// inet_diag_msg`. The kernel selects them, because a host may have far more connections than those of the ports.
    ///
    /// # Errors
    /// The errors of `sock_diag(7)`.
    pub(crate) fn inet<T>(
        &self,
        family: u8,
        ports: &[u16],
        states: u32,
        extensions: u8,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let (port, filter) = match ports {
            [] => return Ok(Vec::new()),
            [port] => (*port, Vec::new()),
            ports => (0, bytecode(ports)),
        };
        let length = HEADER + 56 + filter.len();
        let mut request = header(length);
        let tcp = libc::IPPROTO_TCP.to_le_bytes()[0];
        request.extend([family, tcp, extensions, 0]);
        request.extend(states.to_ne_bytes());
        request.extend(port.to_be_bytes());
        request.resize(HEADER + 56, 0);
        request.extend(filter);
        self.ask(&request, read)
    }

    /// The connections that were accepted by the unix listener at a path.
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

    fn ask<T>(&self, request: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<T>> {
        let raw = self.socket.as_raw_fd();
        send(raw, request, MsgFlags::empty())?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = recv(raw, &mut buffer, MsgFlags::empty())?;
            let mut messages = messages(buffer.get(..length).unwrap_or_default()).peekable();
            if messages.peek().is_none() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for (kind, message) in messages {
                match kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return Err(refusal(message)),
                    _ => found.extend(read(message)),
                }
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

/// The attribute `INET_DIAG_REQ_BYTECODE` that chooses the sockets of these ports, see `inet_diag_bc_run()`
/// of the kernel. Each operation is a code and two jump distances in bytes, one if it matches and one if it
/// does not; a jump to the end of the program accepts the socket, and a jump beyond the end rejects it.
fn bytecode(ports: &[u16]) -> Vec<u8> {
    const ATTRIBUTE: u16 = 1;
    const JUMP: u8 = 1;
    const PORT_IS: u8 = 11;
    const FOR_EACH: usize = 12;
    let most = usize::from(u16::MAX) / FOR_EACH - 1;
    let ports = ports.get(..most).unwrap_or(ports);
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes();
    let mut bytes = Vec::new();
    bytes.extend(short(4 + FOR_EACH * ports.len()));
    bytes.extend(ATTRIBUTE.to_ne_bytes());
    for (index, port) in ports.iter().enumerate() {
        let left = FOR_EACH * (ports.len() - index);
        let is_last = left == FOR_EACH;
        // The number of the port is in an operation of its own.
        let otherwise = if is_last { FOR_EACH + 4 } else { FOR_EACH };
        bytes.extend([PORT_IS, 8]);
        bytes.extend(short(otherwise));
        bytes.extend([0, 0]);
        bytes.extend(port.to_ne_bytes());
        bytes.extend([JUMP, 4]);
        bytes.extend(short(left - 8));
    }
    bytes
}

fn refusal(message: &[u8]) -> io::Error {
    io::Error::from_raw_os_error(errno(message).unwrap_or(libc::EPROTO))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use nix::sys::stat::fstat;

    use super::*;

    #[test]
    fn the_kernel_lists_a_connection_and_its_traffic() {
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
    fn the_kernel_chooses_the_sockets_of_several_ports() {
        let listeners: Vec<_> = (0..40)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |of: &TcpListener| of.local_addr().unwrap().port();
        let mut ports: Vec<u16> = listeners.iter().map(port).collect();
        let foreign = ports.split_off(30);
        let clients = listeners
            .iter()
            .map(|l| TcpStream::connect(l.local_addr().unwrap()));
        let _clients: Vec<_> = clients.collect();
        let inet = libc::AF_INET.to_ne_bytes()[0];
        let of = |message: &[u8]| super::super::answers::state(message).map(|(_, port)| port);
        let ask = |ports: &[u16]| {
            let diag = Diag::open().unwrap();
            let listening = States::Listening.bits() | States::Connected.bits();
            let mut found = diag.inet(inet, ports, listening, 0, of).unwrap();
            found.sort_unstable();
            found
        };
        for count in [2, 3, 30] {
            let asked = &ports[..count];
            let mut wanted = [asked, asked].concat();
            wanted.sort_unstable();
            let found = ask(asked);
            assert_eq!(found, wanted, "a listener and a connection each");
            assert!(foreign.iter().all(|port| !found.contains(port)));
        }
        assert_eq!(ask(&[]), Vec::<u16>::new());
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
}
