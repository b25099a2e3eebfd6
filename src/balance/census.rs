//! The listeners at some ports of this host, and the connections that programs have accepted from them, see `sock_diag(7)`.

use std::collections::BTreeSet;
use std::io;

use super::connections;

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The control group that the listener was opened in; 0 if the kernel does not report it.
    pub group: u64,
    /// The port.
    pub port: u16,
    /// The connections that wait to be accepted.
    pub waiting: u32,
    /// The connections that were dropped because too many waited, since the listener was opened.
    pub dropped: Option<u32>,
}

/// A connection that a program has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The control group of the listener.
    pub group: u64,
    /// The port.
    pub port: u16,
    /// The inode, as links in /proc/PID/fd name it.
    pub inode: u64,
}

/// The listeners and connections at some ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Every listener.
    pub listeners: Vec<Listener>,
    /// Every accepted connection.
    pub accepted: Vec<Accepted>,
}

/// Looks at these ports.
///
/// # Errors
/// The errors of `sock_diag(7)`.
pub fn at(ports: &BTreeSet<u16>) -> io::Result<Census> {
    let mut census = Census::default();
    if ports.is_empty() {
        return Ok(census);
    }
    for found in connections::all(ports)? {
        let (group, port, inode) = (found.group, found.port, found.inode);
        if found.is_listener {
            census.listeners.push(Listener {
                group,
                port,
                waiting: found.unread,
                dropped: found.drops,
            });
        } else if inode != 0 {
            census.accepted.push(Accepted { group, port, inode });
        }
    }
    Ok(census)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use nix::sys::stat::fstat;

    use super::*;

    #[test]
    fn what_waits_is_told_from_what_was_accepted_and_from_other_ports() {
        let listeners = ["127.0.0.1:0", "[::]:0"].map(|at| TcpListener::bind(at).unwrap());
        let ports = listeners.each_ref().map(|l| l.local_addr().unwrap().port());
        let connect = |port| TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _clients = [ports[0], ports[0], ports[1]].map(connect);
        let (first, _) = listeners[0].accept().unwrap();
        for asked in [BTreeSet::from(ports), BTreeSet::from([ports[0]])] {
            let mut found = at(&asked).unwrap();
            found.listeners.sort_by_key(|l| l.port != ports[0]);
            let waiting = found.listeners.iter().map(|l| (l.port, l.waiting));
            let expected = [(ports[0], 1), (ports[1], 1)];
            assert_eq!(waiting.collect::<Vec<_>>(), expected[..asked.len()]);
            let accepted = found.accepted.iter().map(|a| (a.port, a.inode));
            let inode = fstat(&first).unwrap().st_ino;
            assert_eq!(accepted.collect::<Vec<_>>(), [(ports[0], inode)]);
        }
        assert_eq!(at(&BTreeSet::new()).unwrap(), Census::default());
    }

    #[test]
    fn a_connection_that_finds_the_queue_full_counts_as_dropped() {
        let listener = socket2();
        let port = listener.local_addr().unwrap().port();
        let address = listener.local_addr().unwrap();
        let short = std::time::Duration::from_millis(300);
        let clients: Vec<_> = (0..4)
            .map(|_| TcpStream::connect_timeout(&address, short))
            .collect();
        let found = at(&BTreeSet::from([port])).unwrap();
        assert!(
            found.listeners[0].dropped.unwrap() > 0,
            "{found:?} {clients:?}"
        );
    }

    /// A listener with a backlog of one, in which Linux allows two connections to wait.
    fn socket2() -> TcpListener {
        use nix::sys::socket::{
            AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket,
        };
        use std::os::fd::AsRawFd;
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        listen(&socket, Backlog::new(1).unwrap()).unwrap();
        socket.into()
    }
}
