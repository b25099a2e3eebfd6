//! The small values of an ecosystem file, each read from the text that people write.
//!
//! Every type here says in its error what it accepts. Pure: no file is looked at.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// How many instances: PM2's `instances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// One for each CPU that this system may use.
    Max,
    /// One for each CPU but so many, never under one.
    Fewer(u32),
    /// So many.
    Exactly(u32),
}

/// More is a typing error on every machine there is.
const MOST_INSTANCES: u32 = 1024;

impl Instances {
    /// From a number as PM2 reads it: 0 is all CPUs, negative is that many fewer.
    ///
    /// # Errors
    /// When the number is beyond what makes sense.
    pub fn from_number(number: i64) -> Result<Self, String> {
        match u32::try_from(number.unsigned_abs()) {
            Ok(n) if n > MOST_INSTANCES => Err(format!(
                "`{number}` instances is out of range (at most {MOST_INSTANCES})"
            )),
            Ok(0) => Ok(Self::Max),
            Ok(n) if number < 0 => Ok(Self::Fewer(n)),
            Ok(n) => Ok(Self::Exactly(n)),
            Err(_) => Err(format!(
                "`{number}` instances is out of range (at most {MOST_INSTANCES})"
            )),
        }
    }

    /// The number on a system that may use so many CPUs.
    #[must_use]
    pub fn resolve(self, cpus: u32) -> u32 {
        match self {
            Self::Max => cpus.max(1),
            Self::Fewer(n) => cpus.saturating_sub(n).max(1),
            Self::Exactly(n) => n,
        }
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Fewer(n) => write!(f, "-{n}"),
            Self::Exactly(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for Instances {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number = text.parse().map_err(|_| {
            format!("`{text}` is no number of instances: write a number, `max`, or `-1` for one fewer than the CPUs")
        })?;
        Self::from_number(number)
    }
}

/// A span of time, as systemd.time(7) writes it or as PM2's bare number of milliseconds.
///
/// # Errors
/// Says what is accepted.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is no time: write it as systemd does (`1600ms`, `5s`, `2min`) or as a bare number of milliseconds"
        )
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "`\"{text}\"` has no unit: PM2 means milliseconds, systemd seconds; write `{text}` without quotes, or `\"{text}ms\"`, `\"{text}s\"`"
        ));
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let micros = micros_of(unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = number.checked_mul(micros).ok_or_else(wrong)?;
        total = total
            .checked_add(Duration::from_micros(part))
            .ok_or_else(wrong)?;
        rest = next.trim_start();
    }
    if total > LONGEST {
        Err(format!("`{text}` is too long: at most 30 days"))
    } else {
        Ok(total)
    }
}

/// Beyond this systemd's own arithmetic is of no use to anybody.
pub const LONGEST: Duration = Duration::from_hours(720);

fn micros_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "us" | "usec" => 1,
        "ms" | "msec" => 1_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000,
        "h" | "hr" | "hour" | "hours" => 3_600_000_000,
        "d" | "day" | "days" => 86_400_000_000,
        _ => return None,
    })
}

/// A time as units show it: the largest unit that keeps it whole.
#[must_use]
pub fn show_time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0 => "0".into(),
        m if m % 60_000_000 == 0 => format!("{}min", m / 60_000_000),
        m if m % 1_000_000 == 0 => format!("{}s", m / 1_000_000),
        m if m % 1_000 == 0 => format!("{}ms", m / 1_000),
        m => format!("{m}us"),
    }
}

/// The kind of socket an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketKind {
    /// `ListenStream=`
    Stream,
    /// `ListenDatagram=`
    Datagram,
}

/// Where a socket listens, see systemd.socket(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port alone: every address, of both families where the system has both.
    Port(u16),
    /// An address and a port.
    Address(SocketAddr),
    /// A path in the file system.
    Path(String),
}

/// One address of `listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Stream or datagram.
    pub kind: SocketKind,
    /// Where.
    pub place: Place,
}

impl Listen {
    /// The address as `ListenStream=` and `ListenDatagram=` write it.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.place {
            Place::Port(port) => port.to_string(),
            Place::Address(address) => address.to_string(),
            Place::Path(path) => path.clone(),
        }
    }

    /// Whether two sockets at these addresses cannot both exist.
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

    // `None` as the address stands for a port alone.
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
        // A dual-stack [::] takes the port of every IPv4 address, too.
        (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4() => {
            (a.is_ipv6() && wide(a)) || (b.is_ipv6() && wide(b))
        }
        (Some(a), Some(b)) => a == b || wide(a) || wide(b),
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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
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
            return Err(format!(
                "`{text}` asks for any free port: an address that is shared must be a known one"
            ));
        }
        Ok(Self { kind, place })
    }
}

fn checked_socket_path(path: &str) -> Result<String, String> {
    // sun_path of unix(7) holds 108 bytes with its end.
    if path.len() > 107 {
        return Err(format!(
            "the socket path is {} bytes long; unix(7) allows 107",
            path.len()
        ));
    }
    if path.ends_with('/')
        || path
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err(format!(
            "`{}` cannot be the path of a socket",
            path.escape_debug()
        ));
    }
    Ok(path.to_owned())
}

fn not_an_address(text: &str, rest: &str) -> String {
    let port = rest.rsplit(':').next().and_then(|p| p.parse::<u16>().ok());
    match (rest.rsplit_once(':'), port) {
        (Some(("localhost", _)), Some(port)) => {
            format!(
                "`{text}` is a name, not an address: write `127.0.0.1:{port}` or `[::1]:{port}`"
            )
        }
        (Some(("" | "*", _)), Some(port)) => {
            format!("`{text}` has no address: write `{port}` for every address")
        }
        _ => format!(
            "`{text}` is no address: write `3000`, `127.0.0.1:3000`, `[::1]:3000`, `/run/app.sock` or `udp:5353`"
        ),
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every word it is written with.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is none of `{}`", Self::WORDS.join("`, `"))),
                }
            }
        }
    };
}

words! {
    /// How the program gets the socket.
    Handover {
        /// The program is unmodified: the worker hands the socket over at `bind`.
        Bind = "bind",
        /// The program speaks the protocol of `sd_listen_fds(3)`.
        Fds = "fds",
    }
}

words! {
    /// What makes an instance READY.
    Ready {
        /// The program's `listen` on a declared address.
        Listen = "listen",
        /// The program's own `sd_notify(3)`.
        Notify = "notify",
        /// Node's `process.send('ready')`: PM2's `wait_ready`.
        Message = "message",
        /// Started is ready.
        Exec = "exec",
    }
}

words! {
    /// What a reload does after an instance failed twice.
    OnFailure {
        /// Stop there; the rest keep the version they run.
        Abort = "abort",
        /// Restart the whole app at once.
        Restart = "restart",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_read_as_pm2_reads_them_and_never_fall_under_one() {
        for (text, cpus, count) in [
            ("max", 4, 4),
            ("0", 4, 4),
            ("-1", 4, 3),
            ("-8", 4, 1),
            ("3", 1, 3),
            ("max", 0, 1),
        ] {
            assert_eq!(
                text.parse::<Instances>().unwrap().resolve(cpus),
                count,
                "{text}"
            );
        }
        for wrong in ["", "auto", "1.5", "5000", "-99999999999"] {
            assert!(wrong.parse::<Instances>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_systemds_or_a_number_of_milliseconds() {
        assert_eq!(parse_time("1600ms"), Ok(Duration::from_millis(1600)));
        assert_eq!(parse_time("1min 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("2 h"), Ok(Duration::from_hours(2)));
        for wrong in [
            "",
            "5",
            "5 parsecs",
            "s",
            "-1s",
            "99999999999999999999s",
            "40d",
        ] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        for time in ["90s", "1600ms", "2min", "7us", "0"] {
            let shown = show_time(parse_time(time).unwrap_or_default());
            assert_eq!(
                parse_time(&shown).unwrap_or_default(),
                parse_time(time).unwrap_or_default()
            );
        }
    }

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
}
