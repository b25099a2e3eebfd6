//! The time of the machine's time zone.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

/// A time of day in the machine's time zone, see localtime(5), and its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// The year.
    pub year: i32,
    /// The month, from 1.
    pub month: i32,
    /// The day of the month, from 1.
    pub day: i32,
    /// The hour, from 0.
    pub hour: i32,
    /// The minute.
    pub minute: i32,
    /// The second, 60 for a leap second.
    pub second: i32,
}

/// Returns the local time for a number of seconds since 1970; `None` for a year that is out of range.
#[must_use]
pub fn local(seconds: i64) -> Option<Local> {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call, and localtime_r(3) writes the whole of `parts` unless it returns null.
    let parts = unsafe {
        if libc::localtime_r(&raw const seconds, parts.as_mut_ptr()).is_null() {
            return None;
        }
        parts.assume_init()
    };
    Some(Local {
        year: parts.tm_year.checked_add(1900)?,
        month: parts.tm_mon + 1,
        day: parts.tm_mday,
        hour: parts.tm_hour,
        minute: parts.tm_min,
        second: parts.tm_sec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_parts_that_the_clock_of_the_machine_shows() {
        let shown = std::process::Command::new("date")
            .args(["--date=@1700000000", "+%Y %-m %-d %-H %-M %-S"])
            .env_remove("TZ")
            .output()
            .unwrap();
        let local = local(1_700_000_000).unwrap();
        let parts = [
            local.year,
            local.month,
            local.day,
            local.hour,
            local.minute,
            local.second,
        ];
        let parts: Vec<String> = parts.iter().map(i32::to_string).collect();
        assert_eq!(
            parts.join(" "),
            String::from_utf8_lossy(&shown.stdout).trim()
        );
        assert_eq!(super::local(i64::MAX), None);
    }
}
