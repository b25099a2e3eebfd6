//! Time spans in the syntax of systemd.time(7), for units and ecosystem files.

use std::time::Duration;

/// Parses a time span: one or several parts, each with a number and a unit; or 0, which needs no unit.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let part = Duration::from_micros(number.checked_mul(micros_of(unit)?)?);
        total = total.checked_add(part)?;
        rest = next.trim_start();
    }
    Some(total)
}

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

/// Writes a time span as a whole number of the largest possible unit, up to minutes.
#[must_use]
pub fn show(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0 => "0".into(),
        m if m % 60_000_000 == 0 => format!("{}min", m / 60_000_000),
        m if m % 1_000_000 == 0 => format!("{}s", m / 1_000_000),
        m if m % 1_000 == 0 => format!("{}ms", m / 1_000),
        m => format!("{m}us"),
    }
}

/// Writes a time span for people, with its two largest units: `1d 2h`.
#[must_use]
pub fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        ("d", seconds / 86_400),
        ("h", seconds / 3_600 % 24),
        ("min", seconds / 60 % 60),
        ("s", seconds % 60),
    ];
    let from = units.iter().skip_while(|(_, number)| *number == 0).take(2);
    let said = from.filter(|(_, number)| *number > 0);
    let said: Vec<String> = said
        .map(|(unit, number)| format!("{number}{unit}"))
        .collect();
    if said.is_empty() {
        "0s".into()
    } else {
        said.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_for_people_has_its_two_largest_units() {
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (3_600, "1h"),
            (3_661, "1h 1min"),
            (86_405, "1d"),
            (93_700, "1d 2h"),
        ] {
            assert_eq!(rough(Duration::from_secs(seconds)), shown);
        }
    }
}
