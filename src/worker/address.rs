//! Finds the declared socket, if any, that the address of a bind(2) stands for. Pure.

use std::net::IpAddr;

use crate::peer::address::Address;
use crate::sys::socket::Shape;

/// A socket that the `.socket` unit declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) shape: Shape,
    pub(super) address: Address,
}

/// The meaning of a program's address; the numbers are positions among the declared sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// This declared socket.
    Declared(usize),
    /// The port of this declared socket, in the other family. It must not be handed over: accept(2) would fill in addresses
    /// of a family that the program does not expect.
    WrongFamily(usize),
    /// No socket of the app.
    Other,
}

/// Finds the declared socket for an address: the same port of the same family. The exact address takes precedence
/// over a wildcard; a wildcard on either side counts as a match, since the declared address is the intended one.
pub(super) fn find(declared: &[&Declared], shape: Shape, wanted: &Address) -> Match {
    if wanted.family() != shape.domain {
        return Match::Other;
    }
    let exact = |d: &&Declared| alike(d.shape, shape) && d.address == *wanted;
    let wide = |d: &&Declared| alike(d.shape, shape) && is_same_place(&d.address, wanted);
    let position = declared.iter().position(exact);
    if let Some(index) = position.or_else(|| declared.iter().position(wide)) {
        return Match::Declared(index);
    }
    let port = |a: &Address| match a {
        Address::Inet(address) => Some(address.port()),
        Address::Path(_) => None,
    };
    let crossed = declared.iter().position(|d| {
        alike(d.shape, shape)
            && port(&d.address).is_some()
            && port(&d.address) == port(wanted)
            && d.address.family() != wanted.family()
    });
    crossed.map_or(Match::Other, Match::WrongFamily)
}

/// Whether a declared socket can stand in for one of this shape. Go asks for MPTCP, and takes TCP where
/// the kernel has no MPTCP.
fn alike(declared: Shape, own: Shape) -> bool {
    let fallback = (declared.protocol, own.protocol) == (libc::IPPROTO_TCP, libc::IPPROTO_MPTCP);
    declared.kind == own.kind && (declared.protocol == own.protocol || fallback)
}

fn is_same_place(declared: &Address, wanted: &Address) -> bool {
    match (declared, wanted) {
        (Address::Inet(d), Address::Inet(w)) => {
            d.is_ipv4() == w.is_ipv4()
                && d.port() == w.port()
                && (d.ip() == w.ip() || is_wide(d.ip()) || is_wide(w.ip()))
        }
        (d, w) => d == w,
    }
}

fn is_wide(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn inet(text: &str) -> Declared {
        let address: SocketAddr = text.parse().unwrap();
        let domain = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        Declared {
            shape: Shape {
                domain,
                kind: libc::SOCK_STREAM,
                protocol: libc::IPPROTO_TCP,
            },
            address: Address::Inet(address),
        }
    }

    fn look(declared: &[&str], wanted: &str) -> Match {
        let declared: Vec<_> = declared.iter().map(|d| inet(d)).collect();
        let wanted = inet(wanted);
        let declared: Vec<_> = declared.iter().collect();
        find(&declared, wanted.shape, &wanted.address)
    }

    #[test]
    fn a_port_of_the_same_family_is_the_declared_one() {
        assert_eq!(look(&["[::]:3000"], "[::]:3000"), Match::Declared(0));
        assert_eq!(
            look(&["0.0.0.0:3000"], "127.0.0.1:3000"),
            Match::Declared(0)
        );
        assert_eq!(
            look(&["127.0.0.1:3000"], "0.0.0.0:3000"),
            Match::Declared(0)
        );
        assert_eq!(look(&["127.0.0.1:3000"], "127.0.0.2:3000"), Match::Other);
        assert_eq!(look(&["0.0.0.0:3000"], "0.0.0.0:3001"), Match::Other);
    }

    #[test]
    fn the_exact_address_goes_before_the_wildcard() {
        assert_eq!(
            look(&["0.0.0.0:3000", "127.0.0.1:3000"], "127.0.0.1:3000"),
            Match::Declared(1)
        );
    }

    #[test]
    fn the_other_family_is_never_a_match() {
        assert_eq!(look(&["[::]:3000"], "0.0.0.0:3000"), Match::WrongFamily(0));
        assert_eq!(
            look(&["[::]:3000", "0.0.0.0:3000"], "0.0.0.0:3000"),
            Match::Declared(1)
        );
        assert_eq!(look(&["[::]:3000"], "0.0.0.0:3001"), Match::Other);
    }

    #[test]
    fn a_socket_of_another_kind_or_protocol_is_the_programs_own() {
        let declared = inet("0.0.0.0:3000");
        let look = |kind, protocol| {
            let shape = Shape {
                kind,
                protocol,
                ..declared.shape
            };
            find(&[&declared], shape, &declared.address)
        };
        let stream = libc::SOCK_STREAM;
        assert_eq!(look(stream, libc::IPPROTO_MPTCP), Match::Declared(0));
        for (kind, protocol) in [
            (stream, libc::IPPROTO_SCTP),
            (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
            (libc::SOCK_DGRAM, libc::IPPROTO_TCP),
        ] {
            assert_eq!(look(kind, protocol), Match::Other, "{kind} {protocol}");
        }
    }
}
