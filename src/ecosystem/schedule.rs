//! The keys that say when an app is reloaded by itself.

use super::app::Directives;
use super::calendar;
use super::diagnostic::Diagnostic;
use super::key::{Form, Wanted, keys, of};
use super::read::Fields;
use super::tables::read_directives;
use crate::unit::directive::Section;

keys! {
    /// What happens at set times.
    pub struct Schedule {
        in Schedule {
            /// When the app is reloaded by itself: a time as systemd writes it, `"daily"` or `"Sun 04:00"`, one as
            /// cron writes it, `"0 4 * * *"`, or a list of both.
            ///
            /// The reload is the same as by `systemctl reload`: instance by instance, with the units as they are. An
            /// app that is stopped stays so. See [a schedule](ecosystem.md#schedule).
            reload_schedule: Vec<String> = of(Form::Texts, "\"04:00\"", read_times).or_none()
                .replaces(&["cron_restart", "cron"], "reload_schedule = \"0 4 * * *\"", "instance by instance, losing no request; PM2 restarts all at once");
        }
        in Directives {
            /// `[apps.timer]`: directives of systemd.timer(5) for the timer of the schedule.
            timer: Directives = of(Form::Directives, "{ RandomizedDelaySec = \"10min\" }", |f, key| Some(read_timer(f, key)))
                .or_none();
        }
    }
}

/// More times than anybody writes.
const MOST_TIMES: usize = 64;

/// Reads times of a calendar, each as `OnCalendar=` takes it.
fn read_times(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Vec<String>> {
    let mut times = Vec::new();
    let given = f.list(wanted)?;
    if given.is_empty() || given.len() > MOST_TIMES {
        let key = wanted.key;
        f.faults.push(
            Diagnostic::error(
                f.place(key),
                format!("`{key}` is a list of {} times", given.len()),
            )
            .help(format!(
                "write 1 to {MOST_TIMES} times, or leave the key out"
            )),
        );
        return None;
    }
    for found in given {
        for time in f.note(&found.span, calendar::parse(&found.value))? {
            if !times.contains(&time) {
                times.push(time);
            }
        }
    }
    Some(times)
}

/// `[apps.timer]`.
fn read_timer(f: &mut Fields<'_, '_>, wanted: Wanted) -> Directives {
    let directives = read_directives(f, wanted, Section::Timer);
    if !directives.is_empty() && f.peek("reload_schedule").is_none() {
        f.faults.push(
            Diagnostic::error(
                f.place(wanted.key),
                "`timer` is for a schedule, and this app has none",
            )
            .help("add `reload_schedule`, or leave it out"),
        );
    }
    directives
}
