//! An amount of memory, as systemd writes it. Command lines and ecosystem files write it in the same way.

use std::fmt;
use std::str::FromStr;

use crate::unit::Fault;

/// An amount of memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// The suffixes, from the largest on, see `MemoryMax=` in systemd.resource-control(5): with the base of 1024.
const SUFFIXES: &[(char, u64)] = &[
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
];

impl Bytes {
    /// Returns whether the amount is too small for any program, so that a suffix is probably missing.
    #[must_use]
    pub fn is_too_little(self) -> bool {
        self.0 < 1 << 20
    }

    /// Returns half as much again.
    #[must_use]
    pub fn and_a_half(self) -> Self {
        Self(self.0.saturating_add(self.0 / 2))
    }

    /// Returns the amount for people, with a tenth of its unit: `312.4M`.
    #[must_use]
    pub fn rough(self) -> String {
        let suffix = SUFFIXES.iter().find(|(_, size)| self.0 >= *size);
        let Some((suffix, size)) = suffix else {
            return format!("{}B", self.0);
        };
        let tenths = u128::from(self.0) * 10 / u128::from(*size);
        format!("{}.{}{suffix}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, size): &&(char, u64)| self.0 != 0 && self.0.is_multiple_of(*size);
        match SUFFIXES.iter().find(whole) {
            Some((suffix, size)) => write!(f, "{}{suffix}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Bytes {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let suffix = SUFFIXES
            .iter()
            .find_map(|(suffix, size)| Some((text.strip_suffix(*suffix)?, *size)));
        let (digits, size) = suffix.unwrap_or((text, 1));
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = Some(digits).filter(|_| is_plain);
        let number = number.and_then(|digits| digits.parse::<u64>().ok());
        number
            .and_then(|number| number.checked_mul(size))
            .map(Self)
            .ok_or_else(|| {
                Fault::new(
                    format!("`{text}` is not an amount of memory"),
                    "write a whole number with `K`, `M` or `G`, as in `\"300M\"`",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_mebibyte_is_a_number_without_its_unit() {
        let is_too_little = |text: &str| text.parse::<Bytes>().unwrap().is_too_little();
        assert_eq!(
            ["300", "1023K", "1M"].map(is_too_little),
            [true, true, false]
        );
    }

    #[test]
    fn an_amount_is_shown_as_it_was_written() {
        for text in ["300M", "1G", "157286401", "512K", "2T", "0", "1025K"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        assert_eq!("1024K".parse::<Bytes>().unwrap().to_string(), "1M");
        for text in [
            "",
            "M",
            "1.5G",
            "-1M",
            "1KM",
            "300MB",
            "300m",
            "99999999999T",
        ] {
            let fault = text.parse::<Bytes>().unwrap_err();
            assert!(
                fault.message.contains("is not an amount of memory"),
                "{text}"
            );
        }
    }

    #[test]
    fn for_people_it_has_a_tenth() {
        for (bytes, shown) in [
            (17, "17B"),
            (327_575_961, "312.4M"),
            (1 << 30, "1.0G"),
            (u64::MAX, "16777215.9T"),
        ] {
            assert_eq!(Bytes(bytes).rough(), shown);
        }
        assert_eq!(Bytes(300 << 20).and_a_half(), Bytes(450 << 20));
    }
}
