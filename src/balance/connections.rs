//! How many connections each instance has, and how many wait at its listener, see `sock_diag(7)`.
//!
//! An accepted connection keeps the control group of its listener, and systemd makes the listeners of different
//! instances in different groups. So the connections of an instance are distinguished without a look at its processes.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

use nix::sys::stat::fstat;

use crate::drain::answers;
use crate::drain::diag::Diag;
use crate::peer::address::Address;
use crate::sys::socket as option;

/// The states of connections that the program has or may still accept: established, and closed by the client.
const CONNECTED: u32 = 1 << 1 | 1 << 8;
const LISTENING: u32 = 1 << 10;

/// A listener, by the facts with which the kernel lists it and its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The control group that its connections have.
    pub(super) group: u64,
    inode: u64,
    port: u16,
    family: u8,
}

impl Place {
    pub(super) const LENGTH: usize = 24;

    /// The place of a listener of TCP.
    ///
    /// # Errors
    /// When it is not a TCP socket, or the kernel does not list it.
    pub(super) fn of(listener: BorrowedFd<'_>) -> io::Result<Self> {
        let inode = fstat(listener)?.st_ino;
        let address = Address::from_bytes(&option::name(listener)?);
        let Some(Address::Inet(address)) = address else {
            return Err(io::Error::other("it is bound to no port"));
        };
        let family = option::shape(listener)?.domain;
        let mut place = Self {
            group: 0,
            inode,
            port: address.port(),
            family: u8::try_from(family).unwrap_or(0),
        };
        place.group = place.own()?.map_or(0, |found| found.group);
        Ok(place)
    }

    pub(super) fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let fields = self.group.to_ne_bytes().into_iter();
        let fields = fields.chain(self.inode.to_ne_bytes());
        let fields = fields.chain(self.port.to_ne_bytes()).chain([self.family]);
        bytes
            .iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads what [`Place::bytes`] makes; `None` for an instance that never joined.
    pub(super) fn read(bytes: [u8; Self::LENGTH]) -> Option<Self> {
        let [g @ .., _, _, _, _, _] = bytes;
        let (group, rest) = g.split_first_chunk::<8>()?;
        let (inode, rest) = rest.split_first_chunk::<8>()?;
        let [low, high, family] = *rest.first_chunk::<3>()?;
        let port = u16::from_ne_bytes([low, high]);
        (port != 0).then_some(Self {
            group: u64::from_ne_bytes(*group),
            inode: u64::from_ne_bytes(*inode),
            port,
            family,
        })
    }

    /// The control groups of all connections to the port, one entry for each connection.
    ///
    /// # Errors
    /// The errors of `sock_diag(7)`.
    pub(super) fn connections(self) -> io::Result<Vec<u64>> {
        let found = self.list(CONNECTED)?;
        Ok(found.into_iter().map(|socket| socket.group).collect())
    }

    /// The number of connections that wait to be accepted at this listener; 0 for one that is closed.
    ///
    /// # Errors
    /// The errors of `sock_diag(7)`.
    pub(super) fn waiting(self) -> io::Result<u32> {
        Ok(self.own()?.map_or(0, |found| found.unread))
    }

    fn own(self) -> io::Result<Option<Found>> {
        let listeners = self.list(LISTENING)?;
        Ok(listeners.into_iter().find(|l| l.inode == self.inode))
    }

    fn list(self, states: u32) -> io::Result<Vec<Found>> {
        list(self.family, &[self.port], states)
    }
}

/// The TCP sockets of this family at these ports of this host, in these states.
fn list(family: u8, ports: &[u16], states: u32) -> io::Result<Vec<Found>> {
    let extensions = 1 << (answers::MEMORY - 1);
    Diag::open()?.inet(family, ports, states, extensions, Found::read)
}

/// The listeners and the connections at this port, of both families.
///
/// # Errors
/// The errors of `sock_diag(7)`.
pub(super) fn at(port: u16) -> io::Result<(Vec<Found>, Vec<Found>)> {
    let (mut listeners, mut connections) = (Vec::new(), Vec::new());
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or(0);
        listeners.extend(list(family, &[port], LISTENING)?);
        connections.extend(list(family, &[port], CONNECTED)?);
    }
    Ok((listeners, connections))
}

/// The listeners and the connections at these ports, of both families.
///
/// # Errors
/// The errors of `sock_diag(7)`.
pub(super) fn all(ports: &BTreeSet<u16>) -> io::Result<Vec<Found>> {
    let ports: Vec<u16> = ports.iter().copied().collect();
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or(0);
        found.extend(list(family, &ports, CONNECTED | LISTENING)?);
    }
    Ok(found)
}

/// A socket as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) group: u64,
    /// 0 for a connection that has not been accepted.
    pub(super) inode: u64,
    /// The bytes that were not read yet, or the connections that wait at a listener.
    pub(super) unread: u32,
    /// The own port.
    pub(super) port: u16,
    pub(super) is_listener: bool,
    /// How many connections a listener has dropped, if the kernel reports it.
    pub(super) drops: Option<u32>,
    /// The other end, as [`answers::other_end`] returns it.
    pub(super) from: SocketAddrV4,
    /// A number that no other socket has.
    pub(super) cookie: u64,
}

impl Found {
    fn read(message: &[u8]) -> Option<Self> {
        let (unread, inode) = answers::queue(message)?;
        let (from, cookie) = answers::other_end(message)?;
        let (state, port) = answers::state(message)?;
        Some(Self {
            port,
            is_listener: 1_u32.checked_shl(state.into()) == Some(LISTENING),
            drops: answers::drops(message),
            group: answers::control_group(message).unwrap_or(0),
            inode,
            unread,
            from,
            cookie,
        })
    }
}
