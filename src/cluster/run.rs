//! A single run of a unit, and the fields by which the journal finds its lines.

use nix::unistd::geteuid;

use super::ended::process;
use crate::brake::{Deaths, Process};
use crate::journal::field;
use crate::layout::Scope;
use crate::systemd::Unit;
use crate::unit::name::{Member, parse};

/// One run of a unit.
#[derive(Debug)]
pub(super) struct Run {
    /// The invocation ID; empty if unknown.
    pub(super) invocation: String,
    /// The main process of the run.
    pub(super) process: Option<Process>,
}

impl Run {
    /// The last run of a unit.
    pub(super) fn of(unit: &Unit) -> Self {
        Self {
            invocation: unit.invocation.clone(),
            process: process(unit),
        }
    }

    /// A run of which nothing but the invocation ID is known.
    pub(super) fn known_by(invocation: &str) -> Self {
        Self {
            invocation: invocation.to_owned(),
            process: None,
        }
    }

    /// The run that died last.
    pub(super) fn that_died(deaths: Deaths) -> Self {
        Self {
            invocation: deaths.invocation,
            process: deaths.process,
        }
    }
}

/// Returns the fields that an entry has to match, all of them or all those after the `+`, see systemd.journal-fields(7).
///
/// The invocation ID alone would not do: for a process of a user's own manager, journald reads the ID from a folder
/// that the user can write to. The unit is that of the control group, and is `user@UID.service` for everything that
/// such a manager runs.
///
/// A command of the cluster unit sends its last entry and is gone before journald can see its control group, so each of its entries names the
/// unit and the run as well. Any process may write those fields, but only root with the number of root. Of a program nothing is
/// believed that another process says.
pub(super) fn matches(scope: Scope, unit: &str, invocation: &str) -> Vec<String> {
    let own = format!("_UID={}", geteuid());
    let of_the_run = format!("_SYSTEMD_INVOCATION_ID={invocation}");
    let (mut matches, author) = match scope {
        Scope::System => (
            vec![of_the_run, format!("_SYSTEMD_UNIT={unit}")],
            "_UID=0".to_owned(),
        ),
        Scope::User => {
            let of_the_unit = format!("_SYSTEMD_USER_UNIT={unit}");
            (vec![of_the_run, of_the_unit, own.clone()], own)
        }
    };
    if let Some((_, Member::Cluster)) = parse(unit) {
        let told = format!("{}={invocation}", field::invocation(scope));
        let about = format!("{}={unit}", field::about(scope));
        matches.extend(["+".to_owned(), told, about, author]);
    }
    matches
}

/// Returns the fields that the entries of a cluster unit have, of whatever run. The same authors are believed as those of one run.
pub(super) fn matches_of_any_run(scope: Scope, unit: &str) -> Vec<String> {
    let own = format!("_UID={}", geteuid());
    let about = format!("{}={unit}", field::about(scope));
    match scope {
        Scope::System => vec![
            format!("_SYSTEMD_UNIT={unit}"),
            "+".into(),
            about,
            "_UID=0".into(),
        ],
        Scope::User => vec![
            format!("_SYSTEMD_USER_UNIT={unit}"),
            own.clone(),
            "+".into(),
            about,
            own,
        ],
    }
}

/// Returns the fields that the entries of a main process have. Its user, which the kernel has told journald, is the user of the unit, so
/// that no other user can speak for the process once the PID is free. Where that is root, the unit is known: journald takes it
/// from root as the process begins to write.
pub(super) fn matches_of_process(scope: Scope, unit: &str, process: Process) -> Vec<String> {
    let whose = match (scope, process.uid) {
        (Scope::User, _) => format!("_UID={}", geteuid()),
        (Scope::System, Some(uid)) => format!("_UID={uid}"),
        (Scope::System, None) => format!("_SYSTEMD_UNIT={unit}"),
    };
    vec![format!("_PID={}", process.pid), whose]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_unit_is_matched_in_the_field_that_is_its_own_managers() {
        let system = matches(Scope::System, "web.service", "ab");
        let seen = "_SYSTEMD_INVOCATION_ID=ab _SYSTEMD_UNIT=web.service";
        let told = "INVOCATION_ID=ab OBJECT_SYSTEMD_UNIT=web.service _UID=0";
        assert_eq!(system.join(" "), format!("{seen} + {told}"));
        // A program speaks for itself.
        let instance = matches(Scope::System, "web@0.service", "ab").join(" ");
        assert_eq!(instance, seen.replace("web.", "web@0."));
        let own = format!("_UID={}", geteuid());
        let user = matches(Scope::User, "web.service", "ab");
        let seen = format!("_SYSTEMD_INVOCATION_ID=ab _SYSTEMD_USER_UNIT=web.service {own}");
        let told = format!("USER_INVOCATION_ID=ab OBJECT_SYSTEMD_USER_UNIT=web.service {own}");
        assert_eq!(user.join(" "), format!("{seen} + {told}"));
        let any = |scope| matches_of_any_run(scope, "web.service").join(" ");
        let system = "_SYSTEMD_UNIT=web.service + OBJECT_SYSTEMD_UNIT=web.service _UID=0";
        assert_eq!(any(Scope::System), system);
        let user = format!(
            "_SYSTEMD_USER_UNIT=web.service {own} + OBJECT_SYSTEMD_USER_UNIT=web.service {own}"
        );
        assert_eq!(any(Scope::User), user);
    }

    #[test]
    fn a_process_is_matched_with_what_nobody_else_can_write_for_it() {
        let process = |uid| Process {
            pid: 7,
            began: Duration::ZERO,
            ended: Duration::ZERO,
            uid,
        };
        let asked = |scope, uid| matches_of_process(scope, "web@0.service", process(uid));
        assert_eq!(asked(Scope::System, Some(33)), ["_PID=7", "_UID=33"]);
        let of_root = ["_PID=7", "_SYSTEMD_UNIT=web@0.service"];
        assert_eq!(asked(Scope::System, None), of_root);
        let own = format!("_UID={}", geteuid());
        assert_eq!(asked(Scope::User, None), ["_PID=7", &own]);
    }
}
