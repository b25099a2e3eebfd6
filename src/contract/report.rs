//! The lines that a worker writes during a rehearsal, one for each event.
//!
//! A hostile program can write such lines too. The reader therefore ignores every line that is not exactly of one of
//! these forms, and reads no more than [`LONGEST`] bytes of a line and [`MOST`] lines.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The longest line in bytes. The path of a unix socket has at most 107.
pub const LONGEST: usize = 256;

/// The largest number of lines in one rehearsal.
pub const MOST: usize = 128;

/// The protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `SOCK_STREAM` of an internet family.
    Tcp,
    /// `SOCK_DGRAM` of an internet family.
    Udp,
    /// `SOCK_STREAM` of `AF_UNIX`.
    UnixStream,
    /// `SOCK_DGRAM` of `AF_UNIX`.
    UnixDatagram,
}

const TRANSPORTS: &[(Transport, &str)] = &[
    (Transport::Tcp, "tcp"),
    (Transport::Udp, "udp"),
    (Transport::UnixStream, "unix"),
    (Transport::UnixDatagram, "unixgram"),
];

/// The address that a program binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// Port 0 asks for any free port.
    Inet(SocketAddr),
    /// An absolute path.
    Path(String),
}

/// A socket of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The protocol.
    pub transport: Transport,
    /// The address.
    pub spot: Spot,
    /// Whether the program has called listen(2); never for datagrams.
    pub listens: bool,
    /// Whether `IPV6_V6ONLY` is set.
    pub only_ipv6: bool,
    /// Whether `SO_REUSEPORT` is set.
    pub reuses_port: bool,
}

/// A line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The worker is about to become the program.
    Begun,
    /// The program binds a socket, or listens on one.
    Found(Found),
    /// The program has sent PM2's message `ready`.
    Ready,
    /// The program binds an address of a kind that cannot be written into `listen`.
    Strange,
    /// The program binds a unix socket at this absolute path, where its user may not make one.
    Unmade(String),
    /// The unit has ended; the text says how.
    Ended(String),
}

impl Report {
    /// The line of this report. A path with a newline could end the line and begin another with any report:
    /// such a path is reported as strange.
    #[must_use]
    pub fn line(&self) -> String {
        let line = self.to_string();
        let is_itself = line.parse().as_ref() == Ok(self);
        if is_itself {
            line
        } else {
            Self::Strange.to_string()
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun => f.write_str("begun"),
            Self::Found(found) => write!(f, "found {found}"),
            Self::Ready => f.write_str("ready"),
            Self::Strange => f.write_str("strange"),
            Self::Unmade(path) => write!(f, "unmade {path}"),
            Self::Ended(how) => write!(f, "ended {how}"),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = TRANSPORTS.iter().find(|(kind, _)| *kind == self.transport);
        f.write_str(named.map_or("", |(_, name)| name))?;
        for flag in [self.listens, self.only_ipv6, self.reuses_port] {
            f.write_str(if flag { " 1" } else { " 0" })?;
        }
        match &self.spot {
            Spot::Inet(address) => write!(f, " {address}"),
            Spot::Path(path) => write!(f, " {path}"),
        }
    }
}

/// The error of a line that no worker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReport;

impl FromStr for Report {
    type Err = NoReport;

    fn from_str(line: &str) -> Result<Self, NoReport> {
        if line.len() > LONGEST || line.contains(char::is_control) {
            return Err(NoReport);
        }
        match line.split_once(' ') {
            None if line == "begun" => Ok(Self::Begun),
            None if line == "ready" => Ok(Self::Ready),
            None if line == "strange" => Ok(Self::Strange),
            Some(("found", rest)) => found(rest).map(Self::Found).ok_or(NoReport),
            Some(("unmade", path)) if path.starts_with('/') => Ok(Self::Unmade(path.to_owned())),
            Some(("ended", how)) => Ok(Self::Ended(how.to_owned())),
            _ => Err(NoReport),
        }
    }
}

fn found(text: &str) -> Option<Found> {
    // A path may contain blanks.
    let mut words = text.splitn(5, ' ');
    let name = words.next()?;
    let (transport, _) = TRANSPORTS.iter().find(|(_, known)| *known == name)?;
    let mut flag = || match words.next()? {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    };
    let (listens, only_ipv6, reuses_port) = (flag()?, flag()?, flag()?);
    let spot = words.next()?;
    let spot = match transport {
        Transport::Tcp | Transport::Udp => Spot::Inet(spot.parse().ok()?),
        Transport::UnixStream | Transport::UnixDatagram => {
            Spot::Path(spot.starts_with('/').then(|| spot.to_owned())?)
        }
    };
    Some(Found {
        transport: *transport,
        spot,
        listens,
        only_ipv6,
        reuses_port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let found = |transport, spot: &str, listens| {
            let spot = match spot.parse() {
                Ok(address) => Spot::Inet(address),
                Err(_) => Spot::Path(spot.to_owned()),
            };
            Report::Found(Found {
                transport,
                spot,
                listens,
                only_ipv6: listens,
                reuses_port: !listens,
            })
        };
        for report in [
            Report::Begun,
            Report::Ready,
            Report::Strange,
            Report::Ended("exited with status 1".into()),
            Report::Unmade("/run/a b/c".into()),
            found(Transport::Tcp, "[::]:3000", true),
            found(Transport::Udp, "127.0.0.1:53", false),
            found(Transport::UnixStream, "/run/a b/c", true),
            found(Transport::UnixDatagram, "/run/d", false),
        ] {
            assert_eq!(report.line().parse(), Ok(report));
        }
    }

    #[test]
    fn a_path_makes_no_line_of_its_own() {
        for path in [
            "/srv/a\nfound unix 1 0 0 /run/dbus/system_bus_socket",
            "/srv/\u{1b}[2J",
            &format!("/{}", "a".repeat(LONGEST)),
        ] {
            let found = Found {
                transport: Transport::UnixStream,
                spot: Spot::Path(path.to_owned()),
                listens: true,
                only_ipv6: false,
                reuses_port: false,
            };
            assert_eq!(Report::Found(found).line(), "strange", "{path}");
            let unmade = Report::Unmade(path.to_owned());
            assert_eq!(unmade.line(), "strange", "{path}");
        }
    }

    #[test]
    fn what_a_program_may_write_itself_is_no_line_unless_it_is_exactly_one() {
        let long = format!("found unix 1 0 0 /{}", "a".repeat(LONGEST));
        for line in [
            "",
            "begun ",
            "Listening on port 3000",
            "found",
            "found tcp 1 0 0",
            "found tcp 1 0 0 localhost:3000",
            "found tcp 1 0 2 127.0.0.1:3000",
            "found unix 1 0 0 relative",
            "unmade relative",
            "found unix 1 0 0 /run/\u{1b}[2J",
            "found sctp 1 0 0 127.0.0.1:3000",
            &long,
        ] {
            assert_eq!(line.parse::<Report>(), Err(NoReport), "{line}");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_longest() {
        let line = |length: usize| format!("{:a<length$}", "found unix 1 0 0 /");
        assert!(line(LONGEST).parse::<Report>().is_ok());
        assert!(line(LONGEST + 1).parse::<Report>().is_err());
    }
}
