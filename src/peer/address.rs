//! Addresses as bind(2) takes them: which listener, if any, a program's address stands for. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sys::socket::Shape;

/// A socket address of the kinds that are handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A path in the file system.
    Path(Vec<u8>),
}

impl Address {
    /// From the bytes of a `struct sockaddr`; `None` for every other kind of address.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let family = i32::from(u16::from_ne_bytes(array(bytes, 0)?));
        let port = || Some(u16::from_be_bytes(array(bytes, 2)?));
        match family {
            libc::AF_INET => Some(Self::Inet(
                (Ipv4Addr::from(array::<4>(bytes, 4)?), port()?).into(),
            )),
            libc::AF_INET6 => {
                array::<4>(bytes, 20)?;
                Some(Self::Inet(
                    (Ipv6Addr::from(array::<16>(bytes, 8)?), port()?).into(),
                ))
            }
            libc::AF_UNIX => {
                let path: Vec<u8> = bytes
                    .get(2..)?
                    .iter()
                    .copied()
                    .take_while(|b| *b != 0)
                    .collect();
                (!path.is_empty()).then_some(Self::Path(path))
            }
            _ => None,
        }
    }

    fn family(&self) -> i32 {
        match self {
            Self::Inet(SocketAddr::V4(_)) => libc::AF_INET,
            Self::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
            Self::Path(_) => libc::AF_UNIX,
        }
    }

    /// Whether it is one of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        matches!(self, Self::Inet(SocketAddr::V6(_)))
    }

    /// How `listen =` writes it.
    #[must_use]
    pub fn as_listen(&self) -> String {
        self.to_string()
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Path(path) => f.write_str(&String::from_utf8_lossy(path)),
        }
    }
}

/// What a program's address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// This listener.
    Listener(usize),
    /// The port of this listener in the other family: it would be handed garbage for addresses.
    WrongFamily(usize),
    /// None of the app's.
    Other,
}

/// Finds the listener for an address: the same port of the same family. The exact address goes
/// before a wildcard; a wildcard on either side counts as a match, since systemd's is what is meant.
#[must_use]
pub fn find(listeners: &[(Shape, Address)], shape: Shape, wanted: &Address) -> Match {
    if wanted.family() != shape.domain {
        return Match::Other;
    }
    let exact = |(s, a): &(Shape, Address)| alike(*s, shape) && a == wanted;
    let wide = |(s, a): &(Shape, Address)| alike(*s, shape) && same_place(a, wanted);
    let position = listeners.iter().position(exact);
    if let Some(index) = position.or_else(|| listeners.iter().position(wide)) {
        return Match::Listener(index);
    }
    let port = |a: &Address| match a {
        Address::Inet(address) => Some(address.port()),
        Address::Path(_) => None,
    };
    let crossed = listeners.iter().position(|(s, a)| {
        alike(*s, shape)
            && port(a).is_some()
            && port(a) == port(wanted)
            && a.family() != wanted.family()
    });
    crossed.map_or(Match::Other, Match::WrongFamily)
}

/// Whether a listener can stand in for a socket of this shape. Go asks for MPTCP, and takes TCP where
/// there is none.
fn alike(listener: Shape, own: Shape) -> bool {
    let fallback = (listener.protocol, own.protocol) == (libc::IPPROTO_TCP, libc::IPPROTO_MPTCP);
    listener.kind == own.kind && (listener.protocol == own.protocol || fallback)
}

fn same_place(listener: &Address, wanted: &Address) -> bool {
    match (listener, wanted) {
        (Address::Inet(l), Address::Inet(w)) => {
            l.is_ipv4() == w.is_ipv4()
                && l.port() == w.port()
                && (l.ip() == w.ip() || wide(l.ip()) || wide(w.ip()))
        }
        (l, w) => l == w,
    }
}

fn wide(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str) -> (Shape, Address) {
        let address: SocketAddr = text.parse().unwrap();
        let domain = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        (
            Shape {
                domain,
                kind: libc::SOCK_STREAM,
                protocol: libc::IPPROTO_TCP,
            },
            Address::Inet(address),
        )
    }

    fn look(listeners: &[&str], wanted: &str) -> Match {
        let listeners: Vec<_> = listeners.iter().map(|l| inet(l)).collect();
        let (shape, address) = inet(wanted);
        find(&listeners, shape, &address)
    }

    #[test]
    fn a_port_of_the_same_family_is_the_listeners() {
        assert_eq!(look(&["[::]:3000"], "[::]:3000"), Match::Listener(0));
        assert_eq!(
            look(&["0.0.0.0:3000"], "127.0.0.1:3000"),
            Match::Listener(0)
        );
        assert_eq!(
            look(&["127.0.0.1:3000"], "0.0.0.0:3000"),
            Match::Listener(0)
        );
        assert_eq!(look(&["127.0.0.1:3000"], "127.0.0.2:3000"), Match::Other);
        assert_eq!(look(&["0.0.0.0:3000"], "0.0.0.0:3001"), Match::Other);
    }

    #[test]
    fn the_exact_address_goes_before_the_wildcard() {
        assert_eq!(
            look(&["0.0.0.0:3000", "127.0.0.1:3000"], "127.0.0.1:3000"),
            Match::Listener(1)
        );
    }

    #[test]
    fn the_other_family_is_never_a_match() {
        assert_eq!(look(&["[::]:3000"], "0.0.0.0:3000"), Match::WrongFamily(0));
        assert_eq!(
            look(&["[::]:3000", "0.0.0.0:3000"], "0.0.0.0:3000"),
            Match::Listener(1)
        );
    }

    #[test]
    fn bytes_that_are_no_such_address_are_none() {
        for bytes in [
            &[][..],
            &[2],
            &[2, 0, 1],
            &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 65],
        ] {
            assert_eq!(Address::from_bytes(bytes), None, "{bytes:?}");
        }
        let v4 = [2, 0, 0x0b, 0xb8, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            Address::from_bytes(&v4).unwrap().to_string(),
            "127.0.0.1:3000"
        );
        assert_eq!(
            Address::from_bytes(b"\x01\0/run/a\0x").unwrap().to_string(),
            "/run/a"
        );
    }
}
