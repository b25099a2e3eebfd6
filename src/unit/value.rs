//! Finds values that systemd would ignore: it only logs a warning about such a line and continues without it.
//!
//! Only directives with a simple type of value are checked; those of free form are accepted. A value that any systemd
//! of the list accepts is never refused: where versions differ or a rule depends on the host, the value is accepted. A
//! spec compares the table with the systemd of every machine.

mod grammar;
mod table;

use super::Fault;
use grammar::{
    cpus, integer, is_mode, is_nanoseconds, is_output, is_percentage, is_signal, is_size, is_time,
    part_of_whole,
};
use table::{Bound, Kind, TABLE, U32};

fn kind(directive: &str) -> Option<Kind> {
    let has = |names: &str| names.split(' ').any(|name| name == directive);
    TABLE
        .iter()
        .find_map(|(kind, names)| has(names).then_some(*kind))
}

/// Returns every directive whose values are checked.
pub fn checked() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|(_, names)| names.split(' '))
}

/// Checks that systemd uses a value. Accepted without a check are empty values, which undo earlier assignments, and
/// values with a specifier, which only systemd can expand.
///
/// # Errors
/// When systemd would ignore the value.
pub fn check(directive: &str, value: &str) -> Result<(), Fault> {
    let value = value.trim_matches([' ', '\t']);
    match kind(directive) {
        Some(kind) if !value.is_empty() && !has_specifier(value) && !kind.takes(value) => {
            Err(Fault::new(
                format!("systemd ignores `{directive}={value}`"),
                kind.remedy(value),
            ))
        }
        _ => Ok(()),
    }
}

fn has_specifier(value: &str) -> bool {
    let mut behind = value.split('%').skip(1);
    behind.any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

impl Kind {
    fn takes(self, value: &str) -> bool {
        let within = |low, high| integer(value).is_some_and(|n| (low..=high).contains(&n));
        match self {
            Self::Boolean(words) => super::boolean(value).is_some() || words.contains(&value),
            Self::Word(words, range) => {
                words.contains(&value) || range.is_some_and(|(low, high)| within(low, high))
            }
            Self::Number(low, high) => within(low, high),
            Self::Size => is_size(value),
            Self::Memory => {
                value == "infinity" || part_of_whole(value).unwrap_or_else(|| is_size(value))
            }
            Self::Tasks => {
                value == "infinity" || part_of_whole(value).unwrap_or_else(|| within(0, i64::MAX))
            }
            Self::Percentage => is_percentage(value),
            Self::Time => is_time(value),
            Self::Nanoseconds => is_nanoseconds(value),
            Self::Mode => is_mode(value),
            Self::Signal => is_signal(value),
            Self::Cpus => cpus(value),
            Self::Weight => value == "idle" || within(1, 10_000),
            Self::Output => is_output(value),
            Self::Limit(bound) => {
                let (soft, hard) = value.split_once(':').unwrap_or((value, value));
                bound.takes(soft) && bound.takes(hard)
            }
        }
    }

    fn remedy(self, value: &str) -> String {
        match self {
            Self::Boolean([]) => "write `yes` or `no`".into(),
            Self::Boolean(words) => format!("write `yes`, `no`, `{}`", words.join("`, `")),
            Self::Word(words, _) => format!("write one of `{}`", words.join("`, `")),
            Self::Number(0, U32) => "write a whole number".into(),
            Self::Number(low, high) => format!("write a whole number from {low} to {high}"),
            Self::Size | Self::Limit(Bound::Bytes) => bytes(value),
            Self::Memory => format!("{}, a share such as `50%`, or `infinity`", bytes(value)),
            Self::Tasks => "write a number, a share such as `50%`, or `infinity`".into(),
            Self::Percentage => match integer(value).or_else(|| value.parse().ok().map(|_: f64| 0)) {
                Some(_) => "write a percentage of one CPU: `150%` is one and a half".into(),
                None => "write a percentage of one CPU, such as `50%`".into(),
            },
            Self::Time | Self::Limit(Bound::Time) => {
                "write a time span such as `30s`, `5min` or `1h 30min`, or `infinity`".into()
            }
            Self::Nanoseconds => "write a time span such as `50us`, or nanoseconds".into(),
            Self::Mode => "write permission bits as an octal number, such as `0750`".into(),
            Self::Signal => "write the name of a signal, such as `SIGTERM`; see signal(7)".into(),
            Self::Cpus => "write numbers and ranges, such as `0 2-3`".into(),
            Self::Weight => "write a weight from 1 to 10000".into(),
            Self::Output => {
                "write `journal`, `null`, `inherit`, or an absolute path such as `append:/var/log/app.log`".into()
            }
            Self::Limit(Bound::Count) => "write a number or `infinity`, or a soft and a hard limit such as `1024:4096`".into(),
            Self::Limit(Bound::Nice) => "write a nice level such as `+5` or `-5`, or a limit from 1 to 40".into(),
        }
    }
}

/// Returns the remedy for a number of bytes, with the corrected value where the intention is clear.
fn bytes(value: &str) -> String {
    let meant = value
        .trim_end_matches(['b', 'B'])
        .trim_end_matches('i')
        .to_ascii_uppercase();
    if meant != value && is_size(&meant) {
        format!(
            "write `{meant}`: systemd's suffixes are K, M, G and T, which stand for powers of 1024"
        )
    } else {
        "write a number of bytes, with a suffix if you like, such as `300M` or `1.5G`".into()
    }
}

impl Bound {
    fn takes(self, value: &str) -> bool {
        value.is_empty()
            || value == "infinity"
            || match self {
                Self::Bytes => is_size(value),
                Self::Count => integer(value).is_some_and(|n| n >= 0),
                Self::Time => is_time(value),
                Self::Nice => integer(value).is_some(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(directive: &str, values: &str) -> String {
        let values = values.split(" | ");
        let refused = values.filter(|value| check(directive, value).is_err());
        refused.collect::<Vec<_>>().join(" | ")
    }

    /// A directive of each type, values that systemd accepts, and values that systemd ignores.
    const VALUES: &[(&str, &str, &str)] = &[
        ("PrivateDevices", "yes | FALSE | 1 | on", "maybe | 2 | yes!"),
        ("ProtectSystem", "yes | full | strict", "Full | all"),
        ("KillMode", "mixed | process", "any | Mixed"),
        ("OOMPolicy", "continue | kill", "ignore"),
        ("SyslogLevel", "err | 7", "error | 8"),
        ("FailureAction", "none | reboot-force", "restart"),
        ("Nice", "0 | -20 | +19 | 0x10", "low | 20 | -21 | 1.5 | 08"),
        ("OOMScoreAdjust", "-1000 | 1000", "1001 | high"),
        (
            "MemoryMax",
            "300M | 1.5G | 3G 10M | 1 G | 50% | 0.5% | infinity | 1048576",
            "300MB | 300m | 1GiB | 10M 3G | 150% | -1 | lots",
        ),
        ("ReceiveBuffer", "64K | 100", "64KB | 50% | infinity"),
        ("TasksMax", "512 | 10% | infinity", "many | -1 | 101%"),
        ("CPUQuota", "150% | 12.5% | 5‰", "1.5 | 150 | % | a%"),
        (
            "WatchdogSec",
            "5 | 5s | 1h 30min | 1h30 | .5s | 500ms | 2us | infinity",
            "5 parsecs | soon | -1 | 12.34.56 | s",
        ),
        ("TimerSlackNSec", "50us | 100ns | 1", "fast"),
        ("UMask", "0022 | 22 | 7777", "8 | rw | 10000"),
        (
            "FinalKillSignal",
            "SIGTERM | TERM | 15 | RTMIN+3 | SIGRTMAX-1",
            "sigterm | SIGFOO | 0 | 65",
        ),
        ("CPUAffinity", "0 | 0-3 | 0,2 4-5 | numa", "a | 0-b | first"),
        ("CPUWeight", "1 | 10000 | idle", "0 | 10001 | 50%"),
        (
            "StandardError",
            "journal | append:/a | fd:x",
            "append:a | file | /a",
        ),
        (
            "LimitNOFILE",
            "1024 | 1024:4096 | infinity | infinity:infinity",
            "many | 1K | 1:x",
        ),
        ("LimitCORE", "0 | 1G | 1M:2G", "1GB"),
        ("LimitCPU", "60 | 5min", "5 parsecs"),
        ("LimitNICE", "+5 | -5 | 30", "low"),
    ];

    #[test]
    fn every_type_takes_its_own_values_and_no_others() {
        for (directive, good, bad) in VALUES {
            assert_eq!(refused(directive, good), "", "{directive}");
            assert_eq!(refused(directive, bad), *bad, "{directive}");
        }
    }

    #[test]
    fn what_only_systemd_can_know_is_let_through() {
        for directive in checked() {
            for value in ["", " ", "%i", "50%i", "x%hy"] {
                assert!(check(directive, value).is_ok(), "{directive}={value}");
            }
        }
        for free in ["ExecStartPre", "Environment", "BindPaths", "X-Mine"] {
            assert!(check(free, "anything at all").is_ok(), "{free}");
        }
    }

    #[test]
    fn a_remedy_corrects_what_was_meant() {
        let help = |directive: &str, value: &str| check(directive, value).unwrap_err().help;
        assert!(help("MemoryMax", "300MB").starts_with("write `300M`: "));
        assert!(help("MemoryMax", "2gib").starts_with("write `2G`: "));
        assert!(help("CPUQuota", "1.5").contains("`150%` is one and a half"));
        for directive in checked() {
            let told = help(directive, "nothing at all");
            assert!(told.starts_with("write "), "{told}");
        }
    }

    #[test]
    fn every_directive_of_the_table_is_one_of_systemds_and_is_there_once() {
        use crate::unit::directive::{Section, find};
        let sections = [Section::Unit, Section::Service, Section::Socket];
        let mut names: Vec<&str> = checked().collect();
        for name in &names {
            let is_known = sections.iter().any(|s| find(*s, name).is_some());
            assert!(is_known, "{name}");
        }
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn sizes_become_smaller_and_what_is_none_is_not_corrected() {
        assert_eq!(
            refused("MemoryMax", "1G 1G | 1G 10M | 1M 1G"),
            "1G 1G | 1M 1G"
        );
        assert_eq!(refused("Nice", "0 | 00 | -0 | 07"), "");
        let help = check("MemoryMax", "lots").unwrap_err().help;
        assert!(help.starts_with("write a number of bytes"), "{help}");
    }
}
