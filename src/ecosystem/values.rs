//! The small values of an ecosystem file, each read from the text that people write.
//!
//! Every type here says in its error what it accepts. Pure: no file is looked at.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::diagnostic::nearest;
use super::key::Written;
use crate::unit::Fault;

pub use super::listen::{Listen, Place, SocketKind};

/// How many instances: PM2's `instances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// An instance for each CPU that this system may use.
    Max,
    /// So many fewer than the CPUs, but at least one.
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
    pub fn from_number(number: i64) -> Result<Self, Fault> {
        match u32::try_from(number.unsigned_abs()) {
            Ok(0) => Ok(Self::Max),
            Ok(n) if n <= MOST_INSTANCES && number < 0 => Ok(Self::Fewer(n)),
            Ok(n) if n <= MOST_INSTANCES => Ok(Self::Exactly(n)),
            _ => Err(Fault::new(
                format!("`{number}` instances is out of range"),
                format!("write a number up to {MOST_INSTANCES}"),
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

impl Written for Instances {
    fn written(&self) -> String {
        match self {
            Self::Max => "\"max\"".to_owned(),
            Self::Fewer(_) | Self::Exactly(_) => self.to_string(),
        }
    }
}

impl FromStr for Instances {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number = text.parse().map_err(|_| {
            Fault::new(
                format!("`{text}` is no number of instances"),
                "write a number, `max`, or `-1` for one fewer than the CPUs",
            )
        })?;
        Self::from_number(number)
    }
}

/// A span of time, as systemd.time(7) writes it or as PM2's bare number of milliseconds.
///
/// # Errors
/// Says what is accepted.
pub fn parse_time(text: &str) -> Result<Duration, Fault> {
    let wrong = || {
        Fault::new(
            format!("`{text}` is no time"),
            "write it as systemd does (`1600ms`, `5s`, `2min`) or as a bare number of milliseconds",
        )
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::new(
            format!("`\"{text}\"` has no unit"),
            format!(
                "PM2 means milliseconds, systemd seconds; write `{text}` without quotes, or `\"{text}ms\"`, `\"{text}s\"`"
            ),
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
        Err(Fault::new(
            format!("`{text}` is too long"),
            "write at most 30 days",
        ))
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

/// A value that is one of a few words.
pub(super) trait Word {
    /// All of them.
    const WORDS: &'static [&'static str];
    /// An example of a value, as TOML.
    const EXAMPLE: &'static str;
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Word for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            const EXAMPLE: &'static str = [$(concat!("\"", $word, "\"")),+][0];
        }

        impl Written for $name {
            fn written(&self) -> String {
                format!("\"{self}\"")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $name {
            type Err = Fault;

            fn from_str(text: &str) -> Result<Self, Fault> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(no_word(text, Self::WORDS)),
                }
            }
        }
    };
}

fn no_word(text: &str, words: &[&str]) -> Fault {
    let help = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write one of these words".to_owned(),
    };
    Fault::new(
        format!("`{text}` is none of `{}`", words.join("`, `")),
        help,
    )
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
    /// The event that makes an instance READY.
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
    /// How an instance is kept from accepting before it is stopped.
    Drain {
        /// A dead socket takes the listener's place in the program, and its connections finish.
        Auto = "auto",
        /// The same without stopping a thread of the program: its epoll sets forget the listener.
        Epoll = "epoll",
        /// Not at all: the stop signal comes at once.
        Off = "off",
    }
}

words! {
    /// The sandbox around the program.
    Sandbox {
        /// Restrictions that no ordinary server notices, for an app that does not run as root.
        Default = "default",
        /// Much more, whoever it runs as.
        Strict = "strict",
        /// None but that of the user's own directives.
        Off = "off",
    }
}

words! {
    /// The reaction of a reload to an instance that failed twice.
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
}
