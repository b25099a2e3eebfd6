//! Limits that need a cgroup controller which the manager of the app may not have, see cgroups(7). systemd
//! then continues without the limit, and does not log this at any level that is shown.

use std::collections::BTreeMap;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::Probe;

/// The controllers, each with the beginnings of the directives that need it, see systemd.resource-control(5).
const NEEDS: &[(&str, &[&str])] = &[
    ("memory", &["Memory", "StartupMemory", "DefaultMemory"]),
    ("cpu", &["CPUQuota", "CPUWeight", "CPUShares", "StartupCPU"]),
    (
        "io",
        &["IOWeight", "IODevice", "IORead", "IOWrite", "StartupIO"],
    ),
    ("pids", &["TasksMax"]),
    (
        "cpuset",
        &["AllowedCPUs", "AllowedMemoryNodes", "StartupAllowed"],
    ),
];

/// Directives that begin alike and limit nothing through a controller.
const OTHERS: &[&str] = &[
    "MemoryAccounting",
    "MemoryDenyWriteExecute",
    "MemoryKSM",
    "MemoryTHP",
    "MemoryPressureWatch",
    "MemoryPressureThresholdSec",
];

/// Returns the controller that a directive needs in order to have its effect.
fn needed(directive: &str, value: &str) -> Option<&'static str> {
    // Both mean that there is no limit.
    if OTHERS.contains(&directive) || ["", "infinity"].contains(&value) {
        return None;
    }
    let begins = |beginnings: &[&str]| beginnings.iter().any(|b| directive.starts_with(b));
    let mut needs = NEEDS.iter();
    needs.find_map(|(controller, beginnings)| begins(beginnings).then_some(*controller))
}

/// Returns the directives of an app that have no effect, by the controller that they need and that is missing according to `has`.
pub fn without_effect(
    app: &App,
    has: impl Fn(&str) -> Option<bool>,
) -> BTreeMap<&'static str, Vec<String>> {
    let mut without: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (directive, value) in &app.service {
        if let Some(controller) = needed(directive, value)
            && has(controller) == Some(false)
        {
            let named = without.entry(controller).or_default();
            if !named.contains(directive) {
                named.push(directive.clone());
            }
        }
    }
    without
}

/// Returns the faults of an app's limits that have no effect on this host: the first directive without effect, the fault, and the
/// remedy.
#[must_use]
fn faults(app: &App, probe: &dyn Probe) -> Vec<(String, String, &'static str)> {
    let without = without_effect(app, |controller| probe.has_controller(controller));
    let help = if probe.is_system() {
        "see `Controllers` in cgroups(7): boot the host with the unified hierarchy, \
         `systemd.unified_cgroup_hierarchy=1`, and give the container the controller"
    } else {
        "a drop-in of `user@UID.service`, the manager, with `Delegate=memory pids cpu io cpuset` gives it to users where the host has the unified \
         hierarchy; or install the app without --user"
    };
    let told = without.into_iter().map(|(controller, directives)| {
        let quoted: Vec<String> = directives.iter().map(|d| format!("`{d}`")).collect();
        let message = format!(
            "{} {} no effect here: this systemd has no `{controller}` cgroup controller, so nothing is limited",
            quoted.join(", "),
            if directives.len() == 1 { "has" } else { "have" },
        );
        (directives.into_iter().next().unwrap_or_default(), message, help)
    });
    told.collect()
}

pub(super) fn warn(app: &App, probe: &dyn Probe, told: &mut Vec<Diagnostic>) {
    let warning = |(directive, message, help): (String, String, &str)| {
        // A limit that the app has through a key of its own has no line in the table.
        let span = app.service_spans.get(&directive).unwrap_or(&app.span);
        Diagnostic::warning(span.clone(), message).help(help)
    };
    told.extend(faults(app, probe).into_iter().map(warning));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ecosystem::fake_host::FakeHost;
    use crate::ecosystem::parse;
    use crate::ecosystem::resolve::{Account, FileStatus};

    /// A host with these controllers; `None` if they are not known.
    struct Host(Option<&'static [&'static str]>, bool);

    impl FakeHost for Host {
        fn is_system(&self) -> bool {
            self.1
        }

        fn status(&self, _: &Path) -> Option<FileStatus> {
            None
        }

        fn user(&self, _: u32) -> Option<String> {
            None
        }

        fn name(&self, _: Account) -> String {
            String::new()
        }

        fn has_controller(&self, name: &str) -> Option<bool> {
            self.0.map(|all| all.contains(&name))
        }
    }

    fn told(host: &Host, lines: &str) -> Vec<String> {
        let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 3000\n{lines}\n");
        let (apps, report) = parse("eco.toml", &text);
        assert!(!report.has_errors(), "{:?}", report.diagnostics);
        let mut faults = Vec::new();
        warn(&apps[0], host, &mut faults);
        let line = |fault: Diagnostic| format!("{}; {}", fault.message, fault.help.unwrap());
        faults.into_iter().map(line).collect()
    }

    #[test]
    fn a_limit_without_its_controller_is_told_once_for_each_controller() {
        let lines = "service.MemoryMax = \"300M\"\nservice.MemoryHigh = \"200M\"\nservice.CPUQuota = \"50%\"";
        let all = told(&Host(Some(&["pids"]), true), lines);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(
            all[0].starts_with(
                "`CPUQuota` has no effect here: this systemd has no `cpu` cgroup controller"
            ),
            "{all:?}"
        );
        assert!(
            all[1].starts_with("`MemoryHigh`, `MemoryMax` have no effect here"),
            "{all:?}"
        );
        assert!(all[1].contains("unified_cgroup_hierarchy"), "{all:?}");
        let of_user = told(&Host(Some(&[]), false), "service.TasksMax = 5");
        assert!(of_user[0].contains("`Delegate="), "{of_user:?}");
    }

    #[test]
    fn nothing_is_told_where_the_controller_is_there_or_unknown_or_not_needed() {
        let limited = "service.MemoryMax = \"300M\"";
        assert_eq!(told(&Host(Some(&["memory"]), true), limited), [""; 0]);
        assert_eq!(told(&Host(None, true), limited), [""; 0]);
        for free in [
            "service.MemoryMax = \"infinity\"",
            "service.MemoryDenyWriteExecute = true",
            "service.LimitNOFILE = 4096",
            "service.Nice = 5",
            "",
        ] {
            assert_eq!(told(&Host(Some(&[]), true), free), [""; 0], "{free}");
        }
    }
}
