//! Socket addresses, as bind(2) takes and getsockname(2) returns them. Pure.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address of the kinds that a `.socket` unit can declare and a program can bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A path in the file system.
    Path(Vec<u8>),
}

impl Address {
    /// The address in the bytes of a `struct sockaddr`; `None` for every other kind of address.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
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

    /// The address family, `AF_…`.
    pub(crate) fn family(&self) -> i32 {
        match self {
            Self::Inet(SocketAddr::V4(_)) => libc::AF_INET,
            Self::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
            Self::Path(_) => libc::AF_UNIX,
        }
    }

    /// Whether this is an IPv6 address.
    pub(crate) fn is_ipv6(&self) -> bool {
        matches!(self, Self::Inet(SocketAddr::V6(_)))
    }

    /// The address as an ecosystem file has it in `listen`.
    pub(crate) fn as_listen(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_such_an_address_are_refused() {
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
