//! Hints whose commands can be pasted as they are, because they name the manager that the hint is about.

use crate::ecosystem::Report;
use crate::layout::Scope;
use crate::output::Failure;
use crate::systemd::Unit;
use crate::unit::name::{Member, Units, parse};

/// Programs whose commands need `--user` for an app of the user's own manager.
const PROGRAMS: &[&str] = &["rsgen", "systemctl", "journalctl", "watch rsgen"];

/// Returns a hint at an app's lines in the journal: the app's own, and systemd's about its units, such as that an
/// instance was killed. `-t` would omit systemd's.
pub(super) fn journal(app: &str) -> String {
    let instances = Units::of(app).instances_typed();
    format!("see `journalctl -u {app} -u {instances} -n 50`")
}

/// Returns the same hint for one of the app's units.
pub(super) fn journal_of(unit: &str) -> String {
    let unit = match parse(unit) {
        Some((app, Member::Instance(number))) => format!("{app}@{number}"),
        _ => unit.to_owned(),
    };
    format!("see `systemctl status {unit}` and `journalctl -u {unit} -n 50`")
}

/// Returns the hint for a unit that a condition has kept from its start: its journal has nothing to say.
pub(super) fn unmet(unit: &Unit, app: &str) -> Option<String> {
    unit.is_unmet().then(|| unmet_by(&unit.name, app))
}

/// Returns the same hint for a unit of this name.
pub(super) fn unmet_by(unit: &str, app: &str) -> String {
    format!(
        "make sure that it holds, or remove it from `[apps.unit]` in the app's file, and run `rsgen reload {app}`; `systemctl cat {unit}` \
         shows where it is written"
    )
}

/// Adapts the commands in a text to this manager.
pub(super) fn for_manager(scope: Scope, text: &str) -> String {
    let mut text = text.to_owned();
    if scope == Scope::User {
        for program in PROGRAMS {
            let given = format!("`{program} ");
            text = text.replace(&format!("{given}--user "), &given);
            text = text.replace(&given, &format!("{given}--user "));
        }
    }
    text
}

/// Adapts the commands in a failure to this manager.
pub(super) fn failure_for_manager(scope: Scope, mut failure: Failure) -> Failure {
    let change = |help: &mut Option<String>| {
        *help = help.take().map(|help| for_manager(scope, &help));
    };
    change(&mut failure.help);
    failure.message = for_manager(scope, &failure.message);
    failure.report = failure
        .report
        .map(|report| Box::new(report_for_manager(scope, &report)));
    failure
}

/// Adapts the commands in the remedies of a file's faults to this manager.
pub(super) fn report_for_manager(scope: Scope, report: &Report) -> Report {
    let mut report = report.clone();
    for diagnostic in &mut report.diagnostics {
        let help = diagnostic.help.take();
        diagnostic.help = help.map(|help| for_manager(scope, &help));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_for_a_users_manager_says_so_once() {
        let text =
            "run `rsgen reload web`, see `journalctl -u web` and `systemctl --user status web`";
        assert_eq!(for_manager(Scope::System, text), text);
        assert_eq!(
            for_manager(Scope::User, text),
            "run `rsgen --user reload web`, see `journalctl --user -u web` and `systemctl --user status web`"
        );
    }

    #[test]
    fn the_remedies_of_a_failure_are_changed() {
        let message = "it failed; `journalctl -u web@0.service` says why";
        let failure = Failure::failed(message).help(journal("web"));
        let failure = failure_for_manager(Scope::User, failure);
        assert!(failure.message.contains("`journalctl --user -u web@0"));
        let help = failure.help;
        let wanted = "see `journalctl --user -u web -u 'web@*' -n 50`";
        assert_eq!(help.as_deref(), Some(wanted));
        assert_eq!(
            journal_of("web@1.service"),
            "see `systemctl status web@1` and `journalctl -u web@1 -n 50`"
        );
    }
}
