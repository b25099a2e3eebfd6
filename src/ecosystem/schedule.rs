//! The keys for calendar times, at which a job is started or a long-running app is reloaded.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use super::app::Directives;
use super::calendar;
use super::diagnostic::Diagnostic;
use super::key::{Form, Taken, Wanted, keys, of};
use super::port::listens_nowhere;
use super::read::Fields;
use super::tables::read_directives;
use crate::unit::directive::Section;

keys! {
    /// Runs and reloads at set times.
    pub struct Times {
        in Schedule {
            /// When a job is started: a time in systemd's syntax, `"daily"` or `"Mon..Fri 06:30"`, one in cron's syntax,
            /// `"30 6 * * 1-5"`, or a list of both.
            ///
            /// The program ends by itself, and is started again at the next time; one run at a time. The app needs no
            /// `listen`. See [jobs](ecosystem.md#jobs).
            schedule: Vec<String> = of(Form::Texts, "\"daily\"", read_schedule).or_none();

            /// The longest time of a run of a job, not 0.
            ///
            /// After this time the run is stopped as `rsgen stop` would do, and has failed.
            run_timeout: Option<Duration> = of(Form::Time, "\"1h\"", read_run_timeout).or_none();

            /// When the app is reloaded by itself: a time in systemd's syntax, `"daily"` or `"Sun 04:00"`, in
            /// cron's syntax, `"0 4 * * *"`, or a list of both.
            ///
            /// The reload is the same as that of `systemctl reload`: instance by instance, with the units as they are.
            /// A stopped app stays stopped. See [a schedule](ecosystem.md#schedule).
            reload_schedule: Vec<String> = of(Form::Texts, "\"04:00\"", read_times).or_none()
                .replaces(&["cron_restart", "cron"], "reload_schedule = \"0 4 * * *\"", "instance by instance, losing no request; `schedule` for a program that ends by itself");
        }
        in Directives {
            /// `[apps.timer]`: directives of systemd.timer(5) for the timer of the schedule.
            timer: Directives = of(Form::Directives, "{ RandomizedDelaySec = \"10min\" }", |f, key| Some(read_timer(f, key)))
                .or_none();
        }
    }
}

/// The key that makes an app a job.
const JOB: &str = "schedule";
/// The key that reloads a long-running app.
const RELOAD: &str = "reload_schedule";

/// Keys about restarts, readiness and reloads, which do not apply to a job.
const OF_LASTING_APPS: &[&str] = &[
    RELOAD,
    "ready",
    "listen_timeout",
    "drain_timeout",
    "preload",
    "drain_signal",
    "shutdown_with_message",
    "restart_delay",
    "min_uptime",
    "max_restarts",
    "exp_backoff_restart_delay",
    "surge",
    "parallel",
    "settle",
    "on_failure",
    "max_failures",
    "stop_exit_codes",
    "watch",
    "ignore_watch",
    "watch_delay",
    "max_memory_restart",
    "max_uptime",
];

/// Returns whether the file makes the app a job.
pub(super) fn is_job(f: &Fields<'_, '_>) -> bool {
    f.peek(JOB).is_some()
}

/// Returns the place of the schedule's times in the text.
pub(super) fn schedule_place(f: &mut Fields<'_, '_>) -> Range<usize> {
    f.place(if is_job(f) { JOB } else { RELOAD })
}

fn read_schedule(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Vec<String>> {
    f.peek(wanted.key)?;
    if f.peek("listen").is_some() && !listens_nowhere(f) {
        f.faults.push(
            Diagnostic::error(
                f.place(wanted.key),
                "`schedule` is for a program that ends by itself, and this one listens",
            )
            .help(
                "leave `listen` out, or write `reload_schedule` to reload the app at these times",
            ),
        );
    }
    let is_restarted = f.peek("autorestart").and_then(DeValue::as_bool) == Some(true);
    let lasting = OF_LASTING_APPS.iter().filter(|key| f.peek(key).is_some());
    let lasting = lasting.chain(is_restarted.then_some(&"autorestart"));
    for key in lasting.copied().collect::<Vec<_>>() {
        f.faults.push(
            Diagnostic::error(
                f.place(key),
                format!("`{key}` is for a long-running app, and `schedule` makes this one a job"),
            )
            .help("leave it out: a job is started only at its times, and has neither READY nor reloads"),
        );
    }
    read_times(f, wanted)
}

fn read_run_timeout(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<Duration>> {
    let time = f.positive_time(wanted)?;
    if !is_job(f) {
        f.faults.push(
            Diagnostic::error(
                f.place(wanted.key),
                "`run_timeout` is for a job, and this app is a long-running one",
            )
            .help("add `schedule`, or leave it out"),
        );
    }
    Some(Some(time))
}

/// The largest number of times, more than anybody needs.
const MOST_TIMES: usize = 64;

/// Reads calendar times, each as `OnCalendar=` accepts it.
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

/// Reads `[apps.timer]`.
fn read_timer(f: &mut Fields<'_, '_>, wanted: Wanted) -> Directives {
    let directives = read_directives(f, wanted, Section::Timer);
    let has_schedule = [JOB, RELOAD].iter().any(|key| f.peek(key).is_some());
    if !directives.is_empty() && !has_schedule {
        f.faults.push(
            Diagnostic::error(
                f.place(wanted.key),
                "`timer` is for a schedule, and this app has none",
            )
            .help("add `schedule` or `reload_schedule`, or leave it out"),
        );
    }
    directives
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::read;

    #[test]
    fn a_job_needs_no_port_and_has_one_process() {
        for lines in [
            "schedule = \"daily\"",
            "schedule = \"@daily\"\nlisten = []",
            "schedule = [\"daily\", \"daily\"]\nautorestart = false\ndrain = \"off\"",
        ] {
            let (app, faults) = read(lines);
            assert_eq!(faults, Vec::<String>::new(), "{lines}");
            let app = app.unwrap();
            assert!(app.is_job() && app.sockets().is_empty());
            assert_eq!(app.schedule(), ["daily"]);
            assert_eq!(app.instances.resolve(8), 1);
        }
        let (app, _) = read("listen = []\nreload_schedule = \"daily\"");
        assert!(app.is_some_and(|app| !app.is_job() && app.schedule() == ["daily"]));
    }

    #[test]
    fn what_is_of_no_use_to_a_job_is_refused() {
        for (lines, fault) in [
            ("listen = 3000", "`schedule` is for a program that ends"),
            (
                "reload_schedule = \"daily\"",
                "`reload_schedule` is for a long-running app",
            ),
            ("ready = \"exec\"", "`ready` is for a long-running app"),
            (
                "max_restarts = 3",
                "`max_restarts` is for a long-running app",
            ),
            (
                "autorestart = true",
                "`autorestart` is for a long-running app",
            ),
            ("settle = 0", "`settle` is for a long-running app"),
            (
                "handover = \"fds\"",
                "`handover` is for a program that listens",
            ),
        ] {
            let (_, faults) = read(&format!("schedule = \"daily\"\n{lines}"));
            let is_it = faults.len() == 1 && faults[0].starts_with(fault);
            assert!(is_it, "{lines}: {faults:?}");
        }
        for (lines, fault) in [
            ("run_timeout = \"1h\"", "`run_timeout` is for a job"),
            ("timer.Persistent = true", "`timer` is for a schedule"),
        ] {
            let (_, faults) = read(&format!("listen = []\n{lines}"));
            let is_it = faults.len() == 1 && faults[0].starts_with(fault);
            assert!(is_it, "{lines}: {faults:?}");
        }
        let (_, faults) = read("schedule = []");
        assert_eq!(faults, ["`schedule` is a list of 0 times"]);
    }

    #[test]
    fn a_list_has_as_many_times_as_anybody_writes() {
        let times = |count: usize| {
            let times: Vec<String> = (0..count)
                .map(|number| format!("\"{:02}:{:02}\"", number / 60, number % 60))
                .collect();
            read(&format!("schedule = [{}]", times.join(", "))).1
        };
        assert_eq!(times(64), Vec::<String>::new());
        assert_eq!(times(65), ["`schedule` is a list of 65 times"]);
    }
}
