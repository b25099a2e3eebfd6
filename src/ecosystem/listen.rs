//! Addresses that instances share, as systemd.socket(5) writes them, and which of them collide. Pure.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Serialize;

use crate::unit::Fault;

/// The kind of socket that an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketKind {
    /// `ListenStream=`
    Stream,
    /// `ListenDatagram=`
    Datagram,
}

/// The place where a socket listens, see systemd.socket(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port alone: every address, of both families if the system has both.
    Port(u16),
    /// An address and a port.
    Address(SocketAddr),
    /// A path in the file system.
    Path(String),
}

/// An address of `listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Stream or datagram.
    pub kind: SocketKind,
    /// The address proper.
    pub place: Place,
}

impl Listen {
    /// Returns the address as `ListenStream=` and `ListenDatagram=` write it.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.place {
            Place::Port(port) => port.to_string(),
            Place::Address(address) => address.to_string(),
            Place::Path(path) => path.clone(),
        }
    }

    /// Returns whether sockets at these two addresses cannot exist at the same time.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        match (self.ip(), other.ip()) {
            (Some((a, port)), Some((b, other_port))) => {
                self.kind == other.kind && port == other_port && overlap(a, b)
            }
            (None, None) => self.place == other.place,
            _ => false,
        }
    }

    // A port alone has `None` instead of an address.
    fn ip(&self) -> Option<(Option<IpAddr>, u16)> {
        match &self.place {
            Place::Port(port) => Some((None, *port)),
            Place::Address(address) => Some((Some(address.ip()), address.port())),
            Place::Path(_) => None,
        }
    }
}

fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let wide = |ip: IpAddr| ip.is_unspecified();
    match (a, b) {
        (None, _) | (_, None) => true,
        // A dual-stack [::] occupies the port of every IPv4 address too.
        (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4() => {
            (a.is_ipv6() && wide(a)) || (b.is_ipv6() && wide(b))
        }
        (Some(a), Some(b)) => a == b || wide(a) || wide(b),
    }
}

/// The first owner of each address. A file may contain very many addresses, so an address is looked up instead of being
/// compared with all others.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<Spot, usize>);

/// The part that two colliding addresses have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Spot {
    Path(String),
    Port(SocketKind, u16, Reach),
}

/// The addresses of a port that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reach {
    /// Addresses that were written as a port alone.
    PortAlone,
    /// `0.0.0.0` or `[::]`.
    Unspecified { is_ipv4: bool },
    /// This address only.
    Exactly(IpAddr),
    /// Every address of one family.
    Family { is_ipv4: bool },
    /// Every address.
    Any,
}

impl Owners {
    /// Records an address. Owners have to come in ascending order.
    pub(super) fn take(&mut self, listen: &Listen, owner: usize) {
        let spots = listen.spots(|address| match address {
            None => vec![Reach::PortAlone, Reach::Any],
            Some(ip) => {
                let is_ipv4 = ip.is_ipv4();
                let own = if ip.is_unspecified() {
                    Reach::Unspecified { is_ipv4 }
                } else {
                    Reach::Exactly(ip)
                };
                vec![own, Reach::Family { is_ipv4 }, Reach::Any]
            }
        });
        for spot in spots {
            self.0.entry(spot).or_insert(owner);
        }
    }

    /// Returns the first owner of an address that collides with this one, see [`Listen::collides`].
    pub(super) fn by(&self, listen: &Listen) -> Option<usize> {
        self.first(&listen.spots(|address| {
            let mut reaches = reaches_of_family(address);
            match address {
                Some(ip) if ip.is_ipv6() && ip.is_unspecified() => reaches.push(Reach::Any),
                // A dual-stack [::] occupies the port of every IPv4 address too.
                Some(IpAddr::V4(_)) => reaches.push(Reach::Unspecified { is_ipv4: false }),
                _ => {}
            }
            reaches
        }))
    }

    /// Does the same as [`Owners::by`], except that `0.0.0.0` and `[::]` of one port do not collide: they become two
    /// sockets, one for each family.
    pub(super) fn by_family(&self, listen: &Listen) -> Option<usize> {
        self.first(&listen.spots(reaches_of_family))
    }

    fn first(&self, spots: &[Spot]) -> Option<usize> {
        spots.iter().filter_map(|s| self.0.get(s)).min().copied()
    }
}

/// Returns the reaches that collide with an address of the same family.
fn reaches_of_family(address: Option<IpAddr>) -> Vec<Reach> {
    let Some(ip) = address else {
        return vec![Reach::Any];
    };
    let is_ipv4 = ip.is_ipv4();
    if ip.is_unspecified() {
        return vec![Reach::PortAlone, Reach::Family { is_ipv4 }];
    }
    let wide = Reach::Unspecified { is_ipv4 };
    vec![Reach::PortAlone, wide, Reach::Exactly(ip)]
}

impl Listen {
    fn spots(&self, reaches: impl FnOnce(Option<IpAddr>) -> Vec<Reach>) -> Vec<Spot> {
        match (&self.place, self.ip()) {
            (_, Some((ip, port))) => {
                let of = |reach| Spot::Port(self.kind, port, reach);
                reaches(ip).into_iter().map(of).collect()
            }
            (Place::Path(path), None) => vec![Spot::Path(path.clone())],
            (_, None) => Vec::new(),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == SocketKind::Datagram {
            f.write_str("udp:")?;
        }
        f.write_str(&self.address())
    }
}

impl FromStr for Listen {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (kind, rest) = match text.split_once(':') {
            Some(("udp", rest)) => (SocketKind::Datagram, rest),
            Some(("tcp", rest)) => (SocketKind::Stream, rest),
            _ => (SocketKind::Stream, text),
        };
        let place = if rest.starts_with('/') {
            Place::Path(checked_socket_path(rest)?)
        } else if let Ok(port) = rest.parse::<u16>() {
            Place::Port(port)
        } else if let Ok(address) = rest.parse::<SocketAddr>() {
            Place::Address(address)
        } else {
            return Err(not_an_address(text, rest));
        };
        let port = match &place {
            Place::Port(port) => Some(*port),
            Place::Address(address) => Some(address.port()),
            Place::Path(_) => None,
        };
        if port == Some(0) {
            return Err(Fault::new(
                format!("`{text}` asks for any free port"),
                "write a port: an address that is shared must be a known one",
            ));
        }
        Ok(Self { kind, place })
    }
}

fn checked_socket_path(path: &str) -> Result<String, Fault> {
    // sun_path of unix(7) has 108 bytes, including the terminator.
    if path.len() > 107 {
        return Err(Fault::new(
            format!("the socket path is {} bytes long", path.len()),
            "choose a shorter one: unix(7) allows 107",
        ));
    }
    if path.ends_with('/')
        || path
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err(Fault::new(
            format!("`{path}` cannot be the path of a socket"),
            "name a file, without blanks, backslashes or control characters",
        ));
    }
    Ok(path.to_owned())
}

fn not_an_address(text: &str, rest: &str) -> Fault {
    let port = rest.rsplit(':').next().and_then(|p| p.parse::<u16>().ok());
    match (rest.rsplit_once(':'), port) {
        _ if text.contains("://") => Fault::new(
            format!("`{text}` is a URL, not an address"),
            "write the port alone, as in `3000`, or the address that the program binds, as in `127.0.0.1:3000`",
        ),
        (Some(("localhost", _)), Some(port)) => Fault::new(
            format!("`{text}` is a name, not an address"),
            format!("write `127.0.0.1:{port}` or `[::1]:{port}`"),
        ),
        (Some(("" | "*", _)), Some(port)) => Fault::new(
            format!("`{text}` has no address"),
            format!("write `{port}` for every address"),
        ),
        // Digits that do not fit a u16.
        _ if is_number(rest.rsplit(':').next().unwrap_or_default()) => Fault::new(
            format!("`{text}` has no valid port"),
            "ports go from 1 to 65535",
        ),
        _ => Fault::new(
            format!("`{text}` is not an address"),
            "write `3000`, `127.0.0.1:3000`, `[::1]:3000`, `/run/app.sock` or `udp:5353`",
        ),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_systemd_socket() {
        for (text, directive) in [
            ("3000", "3000"),
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]:3000", "[::1]:3000"),
            ("/run/app.sock", "/run/app.sock"),
            ("udp:5353", "5353"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.address(), directive);
            assert_eq!(listen.to_string(), text);
        }
        for wrong in [
            "",
            "0",
            "70000",
            "localhost:3000",
            ":3000",
            "a b",
            "/run/a b",
            "/run/",
            "udp:",
        ] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_beyond_the_last_is_said_to_be_one() {
        for text in ["70000", "127.0.0.1:65536", "udp:99999"] {
            let why = text.parse::<Listen>().unwrap_err();
            assert!(why.help.contains("ports go from 1 to 65535"), "{why}");
        }
    }

    #[test]
    fn addresses_collide_when_the_kernel_would_refuse_the_second() {
        let collide = |a: &str, b: &str| a.parse::<Listen>().unwrap().collides(&b.parse().unwrap());
        assert!(collide("3000", "127.0.0.1:3000"));
        assert!(collide("0.0.0.0:3000", "127.0.0.1:3000"));
        assert!(collide("[::]:3000", "0.0.0.0:3000"));
        assert!(collide("/run/a", "/run/a"));
        assert!(!collide("127.0.0.1:3000", "127.0.0.2:3000"));
        assert!(!collide("3000", "udp:3000"));
        assert!(!collide("0.0.0.0:3000", "[::1]:3000"));
        assert!(!collide("3000", "3001"));
    }

    #[test]
    fn who_has_an_address_is_found_as_by_comparing_it_with_each() {
        const ALL: &[&str] = &[
            "3000",
            "3001",
            "udp:3000",
            "0.0.0.0:3000",
            "[::]:3000",
            "udp:[::]:3000",
            "127.0.0.1:3000",
            "127.0.0.2:3000",
            "127.0.0.1:3001",
            "[::1]:3000",
            "[::2]:3000",
            "/run/a",
            "udp:/run/a",
            "/run/b",
        ];
        let all: Vec<Listen> = ALL.iter().map(|text| text.parse().unwrap()).collect();
        let ipv4 = |l: &Listen| matches!(&l.place, Place::Address(a) if a.is_ipv4());
        let ipv6 = |l: &Listen| matches!(&l.place, Place::Address(a) if a.is_ipv6());
        let crosses = |a: &Listen, b: &Listen| ipv4(a) && ipv6(b) || ipv6(a) && ipv4(b);
        let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
        for (first, second) in pairs {
            let mut taken = Owners::default();
            taken.take(first, 0);
            taken.take(second, 1);
            let owners = [first, second];
            for new in &all {
                let found = owners.iter().position(|old| old.collides(new));
                assert_eq!(taken.by(new), found, "{new} after {first}, {second}");
                let mut same = owners.iter();
                let found = same.position(|old| old.collides(new) && !crosses(old, new));
                assert_eq!(taken.by_family(new), found, "{new} after {first}, {second}");
            }
        }
    }
}
