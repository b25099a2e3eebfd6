//! Decides which ends of a command are not failures.

use super::listed;
use crate::ecosystem::App;

/// Returns the value of `SuccessExitStatus=`, with which exiting on the stop signal is not a failure.
pub(super) fn success(app: &App) -> String {
    let statuses = [130, 143].into_iter();
    let statuses = listed(statuses.chain(app.lifecycle.stop_exit_codes.iter()));
    if !ends_its_start_well(app) {
        return statuses;
    }
    format!("{statuses} {}", app.lifecycle.kill_signal)
}

/// Directives with which a command that the stop signal ends has to count as failed: it may be a command of the app that something else has ended
/// before its work was done; or a command of the app follows it, which must not run in a stop; or our command cannot ask systemd whether this is a
/// stop, because systemd cannot be reached from another root directory. Ours handle the signal as soon as they run, so this is about the time before
/// that.
const KEEP_IT_A_FAILURE: [&str; 6] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStartPost",
    "RootDirectory",
    "RootImage",
    "RootMStack",
];

/// Whether a command of the start that a stop ends by its signal succeeds. systemd then continues with the next command, and
/// only our commands detect the stop. The kernel kills with SIGKILL, and a program that aborts ends by SIGABRT.
fn ends_its_start_well(app: &App) -> bool {
    let keeps = |name: &&str| app.assigned(name).is_named();
    let is_of_a_stop = !matches!(&*app.lifecycle.kill_signal, "SIGKILL" | "SIGABRT");
    app.is_even() && is_of_a_stop && !KEEP_IT_A_FAILURE.iter().any(keeps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn a_command_of_the_start_ends_well_by_the_stop_signal_where_all_of_them_are_ours() {
        let value = |lines: &str| {
            let keys = "user = \"www\"\nlisten = 1\n";
            let text = format!("[[apps]]\nscript = \"x\"\n{keys}{lines}\n");
            let (mut apps, report) = parse("eco.toml", &text);
            assert!(!report.has_errors(), "{}", report.render(false));
            success(&apps.remove(0))
        };
        let even = "balance = \"even\"\n";
        assert_eq!(value(even), "130 143 SIGINT");
        for lines in [
            "balance = \"shared\"",
            "balance = \"even\"\nkill_signal = \"SIGKILL\"",
            "balance = \"even\"\nkill_signal = \"SIGABRT\"",
        ] {
            assert_eq!(value(lines), "130 143", "{lines}");
        }
        for directive in KEEP_IT_A_FAILURE {
            let lines = format!("{even}service.{directive} = \"/x\"");
            assert_eq!(value(&lines), "130 143", "{directive}");
        }
    }
}
