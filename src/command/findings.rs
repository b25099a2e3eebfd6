//! What a rehearsal has found, and the `listen` that results from it. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::contract::report::{Found, Spot, Transport};
use crate::ecosystem::values::{Listen, Place, SocketKind};
use crate::visible::Visible;

/// The largest number of addresses that are written into a file. A program that binds more of them most likely chooses
/// them at random.
const MOST: usize = 16;

/// The first port of the range from which the kernel chooses free ports, see `ip_local_port_range` in ip(7). Servers
/// have lower ports.
const EPHEMERAL: u16 = 32768;

/// The result of a rehearsal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// The addresses that the instances can share.
    pub(super) listen: Vec<Listen>,
    /// Remarks about other addresses, and about properties that a rehearsal cannot write into the file.
    pub(super) notes: Vec<String>,
}

/// Why a rehearsal has no result.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// The program binds nothing.
    Nothing,
    /// The program binds only addresses that instances cannot share; the notes name them.
    NoneToShare(Vec<String>),
    /// The program binds more addresses than a file can describe.
    TooMany,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("binds no address"),
            Self::NoneToShare(notes) => f.write_str(&notes.join("; ")),
            Self::TooMany => write!(f, "binds more than {MOST} addresses"),
        }
    }
}

/// Decides which sockets of a program are addresses of the app, in the order in which they were bound. A stream socket
/// counts only if the program listens on it, since a client may bind one too; when the program has ended early, it may
/// not have come to listen.
pub(super) fn judge(found: &[Found], has_ended: bool) -> Result<Findings, Unclear> {
    let is_stream = |f: &Found| matches!(f.transport, Transport::Tcp | Transport::UnixStream);
    let listens = found.iter().any(|f| f.listens);
    let counts = |f: &&Found| !is_stream(f) || f.listens || has_ended && !listens;
    let mut findings = Findings::default();
    for socket in found.iter().filter(counts) {
        let note = match address(socket) {
            Ok(listen) => findings.take(listen, socket),
            Err(note) => note,
        };
        if let Some(note) = note.filter(|note| !findings.notes.contains(note)) {
            findings.notes.push(note);
        }
        if findings.listen.len() > MOST {
            return Err(Unclear::TooMany);
        }
    }
    match (findings.listen.is_empty(), findings.notes.is_empty()) {
        (true, true) => Err(Unclear::Nothing),
        (true, false) => Err(Unclear::NoneToShare(findings.notes)),
        _ => Ok(findings),
    }
}

/// Returns the address of a socket as `listen` has it, or a note on why the socket has none.
fn address(socket: &Found) -> Result<Listen, Option<String>> {
    let kind = match socket.transport {
        Transport::Tcp | Transport::UnixStream => SocketKind::Stream,
        Transport::Udp | Transport::UnixDatagram => SocketKind::Datagram,
    };
    match &socket.spot {
        Spot::Inet(address) if address.port() == 0 => Err(match kind {
            SocketKind::Stream => Some(format!(
                "listens on a free port chosen by the kernel ({}), which differs in each instance",
                address.ip()
            )),
            // A client's socket.
            SocketKind::Datagram => None,
        }),
        Spot::Inet(address) if kind == SocketKind::Datagram && address.port() >= EPHEMERAL => {
            Err(None)
        }
        Spot::Inet(address) => Ok(Listen {
            kind,
            place: Place::Address(without_scope(*address)),
        }),
        Spot::Path(path) => {
            let text = match kind {
                SocketKind::Stream => path.clone(),
                SocketKind::Datagram => format!("udp:{path}"),
            };
            text.parse().map_err(|fault: crate::unit::Fault| {
                let path = Visible::line(path);
                Some(format!("binds `{}`: {}", path.as_str(), fault.message))
            })
        }
    }
}

fn without_scope(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

impl Findings {
    /// Returns whether one of the ports may have been chosen at random: by the kernel, of which the program asked for any, or by the
    /// program itself.
    pub(super) fn may_change(&self) -> bool {
        self.listen.iter().any(is_high)
    }

    /// Leaves out the ports that another rehearsal has not found again.
    ///
    /// # Errors
    /// When nothing is left.
    pub(super) fn confirmed_by(mut self, again: &Self) -> Result<Self, Unclear> {
        let is_gone = |l: &Listen| is_high(l) && !again.listen.contains(l);
        let gone = self.listen.iter().filter(|l| is_gone(l));
        let gone = gone.map(|listen| {
            format!(
                "listens on {listen}, but on another port at the next start; instances cannot share a changing port"
            )
        });
        self.notes.extend(gone);
        self.listen.retain(|l| !is_gone(l));
        if self.listen.is_empty() {
            return Err(Unclear::NoneToShare(self.notes));
        }
        Ok(self)
    }

    /// Adds an address, unless one that is already there covers it. Returns a note if the user should know something
    /// about it.
    fn take(&mut self, listen: Listen, socket: &Found) -> Option<String> {
        let ip = |l: &Listen| match l.place {
            Place::Address(address) => Some(address.ip()),
            Place::Port(_) | Place::Path(_) => None,
        };
        let is_other_family =
            |l: &Listen| ip(l).map(|ip| ip.is_ipv4()) != ip(&listen).map(|ip| ip.is_ipv4());
        // One socket for each family, of which that of IPv6 leaves IPv4 alone: the unit says so by itself.
        let leaves_alone = |l: &Listen| is_other_family(l) && is_split(l, &listen);
        let is_wider = |l: &Listen| is_wide(&listen) && !is_wide(l) && !is_other_family(l);
        let covers = |l: &Listen| l.collides(&listen) && !leaves_alone(l) && !is_wider(l);
        if self.listen.iter().any(covers) {
            return None;
        }
        self.listen.retain(|l| !(listen.collides(l) && is_wider(l)));
        let note = (socket.only_ipv6 && is_wide(&listen) && socket.transport == Transport::Tcp)
            .then(|| {
                format!(
                    "{listen} is for IPv6 only (`IPV6_V6ONLY`): unless an IPv4 address has the same port, write \
                     `socket.BindIPv6Only = \"ipv6-only\"`"
                )
            });
        self.listen.push(listen);
        note
    }
}

/// Returns whether the port is of the range from which the kernel chooses.
fn is_high(listen: &Listen) -> bool {
    let port = match &listen.place {
        Place::Address(address) => Some(address.port()),
        Place::Port(port) => Some(*port),
        Place::Path(_) => None,
    };
    port.is_some_and(|port| port >= EPHEMERAL)
}

/// Returns whether two addresses are the unspecified addresses of the two families.
fn is_split(a: &Listen, b: &Listen) -> bool {
    is_wide(a) && is_wide(b)
}

fn is_wide(listen: &Listen) -> bool {
    matches!(&listen.place, Place::Address(a) if matches!(a.ip(), IpAddr::V4(ip) if ip.is_unspecified())
        || matches!(a.ip(), IpAddr::V6(ip) if ip.is_unspecified()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> Found {
        Found {
            transport: Transport::Tcp,
            spot: Spot::Inet(address.parse().unwrap()),
            listens: true,
            only_ipv6: false,
            reuses_port: false,
        }
    }

    fn of(found: &[Found]) -> Vec<String> {
        let findings = judge(found, false).unwrap();
        findings.listen.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_addresses_are_those_that_the_program_binds() {
        assert_eq!(of(&[tcp("[::]:3000")]), ["[::]:3000"]);
        assert_eq!(
            of(&[
                tcp("127.0.0.1:3000"),
                tcp("[::1]:3000"),
                tcp("0.0.0.0:9100")
            ]),
            ["127.0.0.1:3000", "[::1]:3000", "0.0.0.0:9100"]
        );
        let only = Found {
            only_ipv6: true,
            ..tcp("[::]:3000")
        };
        assert_eq!(
            of(&[tcp("0.0.0.0:3000"), only]),
            ["0.0.0.0:3000", "[::]:3000"]
        );
        let dns = Found {
            transport: Transport::Udp,
            listens: false,
            ..tcp("0.0.0.0:53")
        };
        assert_eq!(
            of(&[dns.clone(), tcp("[::]:53")]),
            ["udp:0.0.0.0:53", "[::]:53"]
        );
        let path = Found {
            transport: Transport::UnixStream,
            spot: Spot::Path("/run/web.sock".into()),
            ..dns
        };
        let listening = Found {
            listens: true,
            ..path
        };
        assert_eq!(of(&[listening]), ["/run/web.sock"]);
    }

    #[test]
    fn the_sockets_of_clients_count_for_nothing() {
        let unused = Found {
            listens: false,
            ..tcp("10.0.0.1:3000")
        };
        let query = |address| Found {
            transport: Transport::Udp,
            listens: false,
            ..tcp(address)
        };
        let all = [unused.clone(), query("0.0.0.0:0"), query("0.0.0.0:40000")];
        assert_eq!(judge(&all, false), Err(Unclear::Nothing));
        // A program may end between bind and listen, because something else fails.
        assert_eq!(judge(&[unused], true).unwrap().listen.len(), 1);
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let unclear = judge(&[tcp("0.0.0.0:0")], false).unwrap_err();
        assert!(
            unclear
                .to_string()
                .contains("free port chosen by the kernel")
        );
        let path = Found {
            transport: Transport::UnixStream,
            spot: Spot::Path("/run/a b".into()),
            ..tcp("0.0.0.0:0")
        };
        let unclear = judge(&[path], false).unwrap_err().to_string();
        assert!(unclear.contains("`/run/a b`"), "{unclear}");
        let many: Vec<Found> = (1..=17)
            .map(|port| tcp(&format!("127.0.0.1:{port}")))
            .collect();
        assert_eq!(judge(&many, false), Err(Unclear::TooMany));
    }

    #[test]
    fn a_port_that_changes_with_each_start_is_no_address_of_the_app() {
        let found = |addresses: &[&str]| {
            let found: Vec<Found> = addresses.iter().map(|address| tcp(address)).collect();
            judge(&found, false).unwrap()
        };
        assert!(!found(&["0.0.0.0:3000"]).may_change());
        let fixed = found(&["0.0.0.0:50051"]);
        assert!(fixed.may_change());
        let again = fixed.confirmed_by(&found(&["0.0.0.0:50051"])).unwrap();
        assert_eq!((again.listen.len(), again.notes.len()), (1, 0));
        let chosen = found(&["0.0.0.0:3000", "0.0.0.0:45123"]);
        let other = found(&["0.0.0.0:3000", "0.0.0.0:39000"]);
        let left = chosen.confirmed_by(&other).unwrap();
        assert_eq!(left.listen, ["0.0.0.0:3000".parse().unwrap()]);
        assert!(left.notes[0].starts_with("listens on 0.0.0.0:45123, but on another port"));
        let chosen = found(&["0.0.0.0:45123"]);
        let unclear = chosen.confirmed_by(&other).unwrap_err().to_string();
        assert!(
            unclear.contains("instances cannot share a changing port"),
            "{unclear}"
        );
        // A lower port is bound later in one run than in another.
        let late = found(&["0.0.0.0:3000", "0.0.0.0:45123"]);
        let early = found(&["0.0.0.0:45123"]);
        assert_eq!(late.confirmed_by(&early).unwrap().listen.len(), 2);
    }

    #[test]
    fn an_address_that_another_covers_is_left_out() {
        for (bound, expected) in [
            (&["0.0.0.0:1", "0.0.0.0:1"][..], &["0.0.0.0:1"][..]),
            (&["[::]:1", "127.0.0.1:1"], &["[::]:1"]),
            (&["127.0.0.1:1", "0.0.0.0:1"], &["0.0.0.0:1"]),
            (&["0.0.0.0:1", "127.0.0.1:1"], &["0.0.0.0:1"]),
            // The order is that in which the program has bound them first.
            (
                &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"],
                &["127.0.0.1:1", "127.0.0.1:2"],
            ),
            (&["127.0.0.1:1", "0.0.0.0:2"], &["127.0.0.1:1", "0.0.0.0:2"]),
        ] {
            let found: Vec<Found> = bound.iter().map(|address| tcp(address)).collect();
            assert_eq!(of(&found), expected, "{bound:?}");
        }
        let most: Vec<Found> = (1..=16)
            .map(|port| tcp(&format!("127.0.0.1:{port}")))
            .collect();
        assert_eq!(of(&most).len(), 16);
    }

    #[test]
    fn an_address_for_ipv6_alone_is_told() {
        let is_told = |found: Found| !judge(&[found], false).unwrap().notes.is_empty();
        let only = |address| Found {
            only_ipv6: true,
            ..tcp(address)
        };
        assert!(is_told(only("[::]:1")));
        assert!(!is_told(only("[::1]:1")) && !is_told(tcp("[::]:1")));
        let datagrams = Found {
            transport: Transport::Udp,
            listens: false,
            ..only("[::]:1")
        };
        assert!(!is_told(datagrams));
    }
}
