//! Parsers for sizes, time spans, signals and the like, after systemd's (`src/basic/parse-util.c`, `time-util.c`,
//! `signal-util.c`).
//!
//! Each function accepts at least what systemd accepts.

/// Parses an integer like `safe_atoi()` and its relatives: a sign, then digits in the base that a prefix selects, as in
/// C.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |prefixes: [&str; 2]| prefixes.iter().find_map(|p| digits.strip_prefix(p));
    let (digits, radix) = if let Some(hex) = prefixed(["0x", "0X"]) {
        (hex, 16)
    } else if let Some(binary) = prefixed(["0b", "0B"]) {
        (binary, 2)
    } else if let Some(octal) = prefixed(["0o", "0O"]) {
        (octal, 8)
    } else if digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    if !digits.starts_with(|c: char| c.is_digit(radix))
        || !digits.chars().all(|c| c.is_digit(radix))
    {
        return None;
    }
    // A number that does not fit is larger than every bound.
    let number = i64::from_str_radix(digits, radix).unwrap_or(i64::MAX);
    Some(if is_negative { -number } else { number })
}

/// Skips the digits at the beginning and a fraction, and returns the rest.
fn number(text: &str) -> Option<&str> {
    let whole = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = match whole.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => whole,
    };
    (rest.len() < text.len()).then_some(rest)
}

/// Parses like `parse_size()`: parts whose suffixes become smaller, such as `3G 10M`.
pub(super) fn is_size(text: &str) -> bool {
    const SUFFIXES: [&str; 8] = ["E", "P", "T", "G", "M", "K", "B", ""];
    let mut rest = text.trim_start();
    let mut left = SUFFIXES.as_slice();
    loop {
        let rest_of_number = rest.strip_prefix('+').unwrap_or(rest);
        let Some(behind) = number(rest_of_number).filter(|_| !rest_of_number.starts_with('.'))
        else {
            return false;
        };
        let behind = behind.trim_start();
        let found = left.iter().position(|suffix| behind.starts_with(suffix));
        let Some((at, suffix)) = found.and_then(|at| Some((at, left.get(at)?))) else {
            return false;
        };
        rest = behind.get(suffix.len()..).unwrap_or_default().trim_start();
        left = left.get(at + 1..).unwrap_or_default();
        if rest.is_empty() {
            return true;
        }
    }
}

const UNITS: [&str; 27] = [
    "seconds", "second", "sec", "s", "minutes", "minute", "min", "months", "month", "M", "msec",
    "ms", "m", "hours", "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w", "years",
    "year", "y", "usec",
];
const SMALL_UNITS: [&str; 5] = ["us", "µs", "μs", "nsec", "ns"];

/// Parses like `parse_sec()`: numbers, each with a unit or in seconds.
pub(super) fn is_time(text: &str) -> bool {
    let units: Vec<&str> = UNITS
        .iter()
        .chain(SMALL_UNITS.iter().take(3))
        .copied()
        .collect();
    is_span(text, &units)
}

/// Parses like `parse_nsec()`.
pub(super) fn is_nanoseconds(text: &str) -> bool {
    let units: Vec<&str> = UNITS.iter().chain(&SMALL_UNITS).copied().collect();
    is_span(text, &units)
}

fn is_span(text: &str, units: &[&str]) -> bool {
    let mut rest = text.trim();
    if rest == "infinity" {
        return true;
    }
    loop {
        let digits = rest.strip_prefix('+').unwrap_or(rest);
        let Some(behind) = number(digits) else {
            return false;
        };
        let spaced = behind.trim_start();
        let unit = units.iter().find(|unit| spaced.starts_with(**unit));
        let after = unit
            .and_then(|unit| spaced.get(unit.len()..))
            .unwrap_or(spaced);
        // Without a unit, something has to separate a number from the next one.
        if after == behind && !behind.is_empty() {
            return false;
        }
        rest = after.trim_start();
        if rest.is_empty() {
            return true;
        }
    }
}

/// Parses a share with its sign. Returns `None` for a text without a sign, otherwise whether the share is at most 100
/// %.
pub(super) fn part_of_whole(text: &str) -> Option<bool> {
    let (body, whole) = share(text)?;
    let number: Option<f64> = body.parse().ok();
    Some(number.is_some_and(|number| (0.0..=whole).contains(&number)))
}

/// Parses like `parse_permyriad_unbounded()`.
pub(super) fn is_percentage(text: &str) -> bool {
    let is_number = |body: &str| number(body).is_some_and(str::is_empty);
    share(text).is_some_and(|(body, _)| is_number(body.strip_prefix('+').unwrap_or(body)))
}

/// Returns the number before a percent, permille or permyriad sign, and the number that stands for the whole.
fn share(text: &str) -> Option<(&str, f64)> {
    let signs = [("%", 100.0), ("‰", 1000.0), ("‱", 10_000.0)];
    signs
        .iter()
        .find_map(|(sign, whole)| Some((text.strip_suffix(sign)?, *whole)))
}

/// Parses like `parse_mode()`.
pub(super) fn is_mode(text: &str) -> bool {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).is_ok_and(|mode| mode <= 0o7777)
}

/// Parses like `signal_from_string()`.
pub(super) fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 36] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
        "RTMIN", "RTMAX",
    ];
    if let Some(number) = integer(text) {
        return (1..=64).contains(&number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let real_time = name
        .strip_prefix("RTMIN+")
        .or_else(|| name.strip_prefix("RTMAX-"));
    NAMES.contains(&name)
        || real_time
            .and_then(integer)
            .is_some_and(|n| (0..=32).contains(&n))
}

/// Parses like `parse_cpu_set()`, or one of the words that stand for all CPUs.
pub(super) fn cpus(text: &str) -> bool {
    let is_number = |text: &str| integer(text).is_some_and(|n| n >= 0);
    let is_range = |word: &str| {
        let (low, high) = word.split_once('-').unwrap_or((word, word));
        is_number(low) && is_number(high)
    };
    let words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    ["numa", "all"].contains(&text) || words.map(|w| w.trim_matches(['"', '\''])).all(is_range)
}

/// Parses like `config_parse_exec_output()`.
pub(super) fn is_output(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "inherit",
        "null",
        "tty",
        "journal",
        "journal+console",
        "kmsg",
        "kmsg+console",
        "syslog",
        "syslog+console",
        "socket",
        "fd",
        "console",
    ];
    let path = ["file:", "append:", "truncate:"]
        .iter()
        .find_map(|kind| text.strip_prefix(kind));
    WORDS.contains(&text)
        || text.starts_with("fd:")
        || path.is_some_and(|path| path.starts_with('/'))
}
