//! A number of instances, or a percentage of them. Command lines and ecosystem files write both in the same way.

use std::fmt;
use std::str::FromStr;

use crate::unit::Fault;

/// How many of an app's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Exactly this number.
    Exactly(u32),
    /// This percentage of the instances, rounded up. There is always at least one instance in it.
    Percent(u32),
}

impl Amount {
    /// The bounds of a percentage.
    const PERCENT: std::ops::RangeInclusive<u32> = 1..=100;

    /// Returns the number for an app with this many instances.
    #[must_use]
    pub fn of(self, instances: u32) -> u32 {
        match self {
            Self::Exactly(number) => number,
            Self::Percent(percent) => {
                let part = (u64::from(instances) * u64::from(percent)).div_ceil(100);
                u32::try_from(part).unwrap_or(u32::MAX).max(1)
            }
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(number) => write!(f, "{number}"),
            // In a unit the sign is doubled, as every value that is not a specifier.
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Amount {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let is_plain = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = |digits: &str| Some(digits).filter(is_plain)?.parse().ok();
        match text.strip_suffix('%') {
            Some(digits) => match number(digits) {
                Some(percent) if Self::PERCENT.contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(Fault::new(
                    format!("`{text}` is not a percentage of the instances"),
                    "write a whole number from 1 to 100 before the `%`",
                )),
            },
            None => number(text).map(Self::Exactly).ok_or_else(|| {
                Fault::new(
                    format!("`{text}` is neither a number nor a percentage"),
                    "write a number of instances, or a percentage of them as in `\"25%\"`",
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_up_and_at_least_one() {
        for (text, instances, number) in [
            ("25%", 4, 1),
            ("25%", 5, 2),
            ("25%", 1, 1),
            ("1%", 1024, 11),
            ("100%", 7, 7),
            ("100%", u32::MAX, u32::MAX),
            ("50%", 0, 1),
            ("0", 4, 0),
            ("3", 2, 3),
        ] {
            let amount: Amount = text.parse().unwrap();
            assert_eq!(amount.of(instances), number, "{text} of {instances}");
            assert_eq!(amount.to_string(), text);
        }
        for wrong in [
            "",
            "%",
            "0%",
            "101%",
            "2.5%",
            "-1",
            "+1",
            "-5%",
            "a",
            "5 %",
            "99999999999",
        ] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }
}
