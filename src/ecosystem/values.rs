//! The small values of an ecosystem file, each parsed from the text that people write.
//!
//! The error of every type names the accepted values. Pure: no file is read.

use std::time::Duration;

use super::key::Written;
use crate::contract::{time, words};
use crate::unit::Fault;

pub use super::listen::{Listen, Place, SocketKind};
pub use crate::contract::{Amount, Bytes, Cpus, Handover, Instances, OnFailure, Ready, Way};

impl Written for Instances {
    fn written(&self) -> String {
        match self {
            Self::Max => "\"max\"".to_owned(),
            Self::Fewer(_) | Self::Exactly(_) => self.to_string(),
        }
    }
}

/// Parses a time span, as systemd.time(7) writes it or as PM2's bare number of milliseconds.
///
/// # Errors
/// Says what is accepted.
pub fn parse_time(text: &str) -> Result<Duration, Fault> {
    let wrong = || {
        Fault::new(
            format!("`{text}` is not a time"),
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
    let total = time::parse(text).ok_or_else(wrong)?;
    if total > LONGEST {
        Err(Fault::new(
            format!("`{text}` is too long"),
            "write at most 30 days",
        ))
    } else {
        Ok(total)
    }
}

/// The longest time. Beyond this, a mistake is more likely than an intention.
pub const LONGEST: Duration = Duration::from_hours(720);

words! {
    /// How connections are spread over the instances.
    Balance {
        /// The best for most apps: at present the same as `Shared`.
        Auto = "auto",
        /// Each instance has a listener, and a selector in the kernel gives each its share.
        Even = "even",
        /// As with `Even`, and the client's address chooses the instance.
        Source = "source",
        /// All instances accept from one listener.
        Shared = "shared",
    }
}

words! {
    /// The sandbox around the program.
    Sandbox {
        /// Restrictions that an ordinary server does not notice, for an app that does not run as root.
        Default = "default",
        /// Many more restrictions, whichever user the program runs as.
        Strict = "strict",
        /// None except those of the user's own directives.
        Off = "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let told = |text| parse_time(text).unwrap_err().message;
        assert_eq!(told("5"), "`\"5\"` has no unit");
        assert_eq!(told(""), "`` is not a time");
        for time in ["90s", "1600ms", "2min", "7us", "0"] {
            let shown = time::show(parse_time(time).unwrap_or_default());
            assert_eq!(
                parse_time(&shown).unwrap_or_default(),
                parse_time(time).unwrap_or_default()
            );
        }
    }
}
