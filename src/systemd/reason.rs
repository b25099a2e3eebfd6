//! Describes how a unit came to its end, by `Result=` and the status of the main process, see systemd.service(5) and
//! "Process Exit Codes" in systemd.exec(5).

mod steps;

use std::time::Duration;

use libc::{CLD_DUMPED, CLD_EXITED, CLD_KILLED};
use nix::sys::signal::Signal;

use super::{ActiveState, Unit};
use crate::contract::ERRORED;
use steps::STEPS;

/// The beginning of the reason if systemd has ended a unit that took too long.
pub const TIMED_OUT: &str = "timed out: ";

/// Returns the reason for the state of a unit, with the usual next step if there is one.
pub(super) fn reason(unit: &Unit) -> String {
    if let Some(fault) = unusable(unit) {
        return fault;
    }
    // How an earlier run ended may still be among the properties.
    if unit.is_unmet() {
        return format!("not started, because `{}` did not hold", unit.unmet);
    }
    match (unit.result.as_str(), unit.exit_code) {
        ("timeout", _) => format!("{TIMED_OUT}{}", timed_out(unit)),
        ("watchdog", _) => {
            "killed by systemd: the program did not send `WATCHDOG=1` within `WatchdogSec=`, see sd_notify(3)".into()
        }
        ("oom-kill", _) => {
            "killed for lack of memory; see `MemoryMax=`, and `journalctl -k` for the kernel's messages".into()
        }
        // The end of an earlier main process may still be among the properties.
        ("resources", _) => format!(
            "systemd could not run it because something that the unit needs is missing; `journalctl -u {}` says what",
            unit.name
        ),
        ("protocol", CLD_EXITED) => format!(
            "exited with status {} before it was READY; a program that forks into the background needs its option to stay \
             in the foreground",
            unit.exit_status
        ),
        ("protocol", _) => "ended before it was READY".into(),
        ("exit-code", CLD_EXITED) if unit.exit_status == i32::from(ERRORED) => {
            "errored: too many quick deaths in a row".into()
        }
        (_, CLD_EXITED) => exited(unit.exit_status),
        (_, CLD_KILLED) => format!("killed by {}", signal(unit.exit_status)),
        (_, CLD_DUMPED) => format!("killed by {}, with a core dump", signal(unit.exit_status)),
        ("exit-code" | "signal" | "core-dump", _) => {
            "a command of `ExecStartPre=` failed, so the program was not started".into()
        }
        ("exec-condition", _) => "a command of `ExecCondition=` prevented the start".into(),
        ("start-limit-hit", _) => "systemd's start limit was reached; see `StartLimitIntervalSec=`".into(),
        ("" | "success", _) => state(unit),
        (result, _) => format!("failed with systemd's result `{result}`"),
    }
}

/// Returns why systemd cannot use the unit at all, if so.
fn unusable(unit: &Unit) -> Option<String> {
    let name = &unit.name;
    match unit.load.as_str() {
        "masked" => Some(format!(
            "the unit is masked; `systemctl unmask {name}` undoes that"
        )),
        "not-found" => Some("the unit is gone".into()),
        "bad-setting" | "error" => Some(format!(
            "systemd cannot use the unit's files; `systemctl status {name}` says why"
        )),
        _ => None,
    }
}

/// Describes which of its times a unit has exceeded. One that has been READY since it was started was too slow to end.
fn timed_out(unit: &Unit) -> &'static str {
    match (unit.inactive_exit, unit.active_enter) {
        (Duration::ZERO, _) => "timed out before it was READY, or before it had stopped",
        (started, ready) if ready < started => "not READY within `listen_timeout`",
        _ => "it did not end within `kill_timeout`, or ran for longer than `RuntimeMaxSec=`",
    }
}

/// Describes a state in which nothing failed and no process has ended.
fn state(unit: &Unit) -> String {
    match unit.active {
        ActiveState::Activating if unit.sub.starts_with("auto-restart") => {
            "about to be started again".into()
        }
        ActiveState::Activating => "started, but not READY yet".into(),
        ActiveState::Deactivating => "being stopped".into(),
        ActiveState::Inactive => "not running".into(),
        other => other.to_string(),
    }
}

/// Returns the name of a signal, see signal(7).
fn signal(number: i32) -> String {
    // nix has no names for real-time signals.
    let name = Signal::try_from(number).map(Signal::as_str);
    name.map_or_else(|_| format!("signal {number}"), str::to_owned)
}

fn exited(status: i32) -> String {
    match STEPS.iter().find(|(number, ..)| *number == status) {
        Some((_, name, what)) => format!("exited with status {status}/{name}: {what}"),
        None if status == 127 => NOT_FOUND.into(),
        None => format!("exited with status {status}"),
    }
}

/// The status with which env(1) and shells say so.
const NOT_FOUND: &str = "exited with status 127: a program that it runs was not found in `PATH`; write the folder, as in \
                         `env = { PATH = \"/opt/node/bin:/usr/local/bin:/usr/bin:/bin\" }`";

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(result: &str, exit_code: i32, exit_status: i32) -> String {
        reason(&Unit {
            name: "web@0.service".into(),
            load: "loaded".into(),
            active: ActiveState::Failed,
            result: result.into(),
            exit_code,
            exit_status,
            ..Unit::default()
        })
    }

    #[test]
    fn the_time_that_was_exceeded_is_named() {
        let seconds = Duration::from_secs;
        let told = |inactive_exit, active_enter| {
            reason(&Unit {
                result: "timeout".into(),
                inactive_exit,
                active_enter,
                ..Unit::default()
            })
        };
        // It was READY in an earlier run.
        assert!(told(seconds(9), seconds(5)).ends_with("not READY within `listen_timeout`"));
        assert!(told(seconds(9), seconds(0)).ends_with("not READY within `listen_timeout`"));
        assert!(told(seconds(9), seconds(10)).starts_with("timed out: it did not end within"));
        // A unit that does not report READY is up at the moment at which it is started.
        assert!(told(seconds(9), seconds(9)).starts_with("timed out: it did not end within"));
        assert!(
            told(seconds(0), seconds(0))
                .ends_with("timed out before it was READY, or before it had stopped")
        );
    }

    #[test]
    fn the_status_and_the_signal_of_the_program_are_named() {
        assert_eq!(ended("exit-code", CLD_EXITED, 1), "exited with status 1");
        assert_eq!(ended("signal", CLD_KILLED, 9), "killed by SIGKILL");
        assert_eq!(ended("signal", CLD_KILLED, 40), "killed by signal 40");
        let dumped = ended("core-dump", CLD_DUMPED, 11);
        assert_eq!(dumped, "killed by SIGSEGV, with a core dump");
        let too_long = ended("timeout", CLD_KILLED, 9);
        assert!(too_long.starts_with("timed out"), "{too_long}");
    }

    #[test]
    fn a_step_before_the_program_is_named_with_what_to_look_at() {
        let said = ended("exit-code", CLD_EXITED, 203);
        assert!(said.starts_with("exited with status 203/EXEC: "), "{said}");
        assert!(ended("exit-code", CLD_EXITED, 127).contains("`PATH`"));
        for status in crate::contract::final_statuses().filter(|s| *s != ERRORED) {
            // systemd has no 223 and no 234.
            let is_known = status != 223 && status != 234;
            let said = ended("exit-code", CLD_EXITED, status.into());
            assert_eq!(said.contains(": "), is_known, "{said}");
        }
    }

    #[test]
    fn a_condition_that_did_not_hold_is_named_whatever_an_earlier_run_ended_with() {
        let unmet = |active| {
            reason(&Unit {
                active,
                unmet: "ConditionPathExists=/srv/data".into(),
                exit_code: CLD_EXITED,
                ..Unit::default()
            })
        };
        let said = "not started, because `ConditionPathExists=/srv/data` did not hold";
        assert_eq!(unmet(ActiveState::Inactive), said);
        assert_eq!(unmet(ActiveState::Failed), said);
        // The run has ended, and systemd has not come to the next start yet.
        assert_eq!(unmet(ActiveState::Activating), "exited with status 0");
    }

    #[test]
    fn a_program_that_goes_to_the_background_is_told_to_stay() {
        let said = ended("protocol", CLD_EXITED, 0);
        assert!(
            said.starts_with("exited with status 0 before it was READY; "),
            "{said}"
        );
        assert!(
            said.ends_with("needs its option to stay in the foreground"),
            "{said}"
        );
    }

    #[test]
    fn no_word_of_systemds_results_stands_alone() {
        // All results of services, see `service_result_table` in src/core/service.c of systemd.
        for result in [
            "resources",
            "protocol",
            "timeout",
            "exit-code",
            "signal",
            "core-dump",
            "watchdog",
            "start-limit-hit",
            "oom-kill",
            "exec-condition",
        ] {
            let said = ended(result, 0, 0);
            assert!(
                said.contains(' ') && !said.contains(&format!("`{result}`")),
                "{said}"
            );
        }
        assert_eq!(
            ended("new-word", 0, 0),
            "failed with systemd's result `new-word`"
        );
        for active in ["activating", "deactivating", "inactive"] {
            let unit = Unit {
                active: ActiveState::from_word(active),
                ..Unit::default()
            };
            assert!(reason(&unit).contains(' '), "{active}");
        }
        let masked = Unit {
            load: "masked".into(),
            ..Unit::default()
        };
        assert!(reason(&masked).contains("systemctl unmask"));
    }

    #[test]
    fn a_unit_that_systemd_cannot_use_or_will_start_again_is_told_so() {
        let errored = ended("exit-code", CLD_EXITED, ERRORED.into());
        assert_eq!(errored, "errored: too many quick deaths in a row");
        for (load, why) in [
            ("not-found", "the unit is gone"),
            ("bad-setting", "systemd cannot use the unit's files"),
            ("error", "systemd cannot use the unit's files"),
        ] {
            let unit = Unit {
                load: load.into(),
                ..Unit::default()
            };
            assert!(reason(&unit).starts_with(why), "{load}");
        }
        for (sub, why) in [
            ("auto-restart-queued", "about to be started again"),
            ("start", "started, but not READY yet"),
        ] {
            let unit = Unit {
                active: ActiveState::Activating,
                sub: sub.into(),
                ..Unit::default()
            };
            assert_eq!(reason(&unit), why);
        }
    }
}
