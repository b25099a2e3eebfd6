//! Values that are one of a few words, and the number of instances. Command lines and ecosystem files write both in the
//! same way.

use std::fmt;
use std::str::FromStr;

use crate::unit::Fault;

/// The number of instances: PM2's `instances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// An instance for each CPU that this system may use.
    Max,
    /// This many fewer than there are CPUs, but at least one.
    Fewer(u32),
    /// Exactly this number.
    Exactly(u32),
}

/// The largest number of instances; anything above is taken for a mistake.
const MOST_INSTANCES: u32 = 1024;

impl Instances {
    /// Reads a number as PM2 does: 0 means all CPUs, and a negative number means that many fewer.
    ///
    /// # Errors
    /// When the number is out of range.
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

    /// Returns the number of instances on a system that may use `cpus` CPUs.
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
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number = text.parse().map_err(|_| {
            Fault::new(
                format!("`{text}` is not a number of instances"),
                "write a number, `max`, or `-1` for one fewer than the CPUs",
            )
        })?;
        Self::from_number(number)
    }
}

/// A value that is written as one of a few words.
pub trait Word: fmt::Display + FromStr<Err = Fault> {
    /// All words of the type.
    const WORDS: &'static [&'static str];
    /// A word of the type, in quotes.
    const EXAMPLE: &'static str;
}

/// Declares an enum that is a [`Word`].
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $crate::contract::Word for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            const EXAMPLE: &'static str = [$(concat!("\"", $word, "\"")),+][0];
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::unit::Fault;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::contract::no_word(text, <Self as $crate::contract::Word>::WORDS)),
                }
            }
        }
    };
}

pub(crate) use words;

/// Returns the fault of a text that is not one of `words`.
pub(crate) fn no_word(text: &str, words: &[&str]) -> Fault {
    Fault::new(
        format!("`{text}` is not one of `{}`", words.join("`, `")),
        "write one of them",
    )
}

words! {
    /// How the program gets the socket.
    Handover {
        /// At bind(2): the worker replaces the socket that an unmodified program binds.
        Bind = "bind",
        /// As passed descriptors, which the program finds with `sd_listen_fds(3)`.
        Fds = "fds",
        /// There is no socket.
        Nothing = "none",
    }
}

words! {
    /// The event that makes an instance READY.
    Ready {
        /// The program calls listen(2) on a declared address.
        Listen = "listen",
        /// The program itself sends `READY=1`, see `sd_notify(3)`.
        Notify = "notify",
        /// The program calls Node's `process.send('ready')`: PM2's `wait_ready`.
        Message = "message",
        /// The program is executed.
        Exec = "exec",
    }
}

words! {
    /// How an instance is kept from accepting before it is stopped.
    Way {
        /// An unreachable socket replaces the listener in the program, and open connections are finished.
        Auto = "auto",
        /// The listener is removed from the program's epoll sets, and no thread of the program is stopped.
        Epoll = "epoll",
        /// The instance is not drained: the stop signal is sent at once.
        Off = "off",
    }
}

words! {
    /// The action of a reload when an instance has failed twice.
    OnFailure {
        /// Abort: the remaining instances keep the version that they run.
        Abort = "abort",
        /// Restart the whole app at once.
        Restart = "restart",
    }
}

words! {
    /// A reload that is more or less than the replacement of all instances.
    Course {
        /// A single canary is started and kept.
        CanaryOnly = "canary-only",
        /// The instances are replaced after a canary that was kept.
        Promote = "promote",
        /// A canary that was kept is stopped.
        Abort = "abort",
    }
}

words! {
    /// The CPUs of an instance.
    Cpus {
        /// All CPUs that its unit may use.
        All = "all",
        /// A single CPU, chosen by the number of the instance.
        Spread = "spread",
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
            ("1024", 1, 1024),
            ("-1024", 1025, 1),
            ("max", 0, 1),
        ] {
            assert_eq!(
                text.parse::<Instances>().unwrap().resolve(cpus),
                count,
                "{text}"
            );
        }
        for wrong in ["", "auto", "1.5", "1025", "-1025", "-99999999999"] {
            assert!(wrong.parse::<Instances>().is_err(), "{wrong}");
        }
    }
}
