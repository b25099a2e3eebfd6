//! The controllers of control groups that a manager can limit its units with, see cgroups(7).

use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::getuid;
use serde::Serialize;

use crate::ecosystem::{App, controllers};
use crate::layout::Scope;
use crate::unit::name::manager_of;

/// Where the control groups of a host are mounted.
pub(super) const TREE: &str = "/sys/fs/cgroup";

/// Limits that have no effect, because a controller is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Unlimited {
    /// The controller.
    pub(super) controller: &'static str,
    /// The directives that need it.
    pub(super) directives: Vec<String>,
}

impl Unlimited {
    /// What is to be shown about them.
    pub(super) fn told(&self) -> String {
        format!(
            "{} without effect, as systemd has no `{}` controller here",
            self.directives.join(", "),
            self.controller
        )
    }
}

/// Returns the limits of an app that have no effect under the manager of this scope, below `tree` as for [`has`].
pub(super) fn unlimited(tree: &Path, app: &App, scope: Scope) -> Vec<Unlimited> {
    let has = |controller: &str| has(tree, scope, controller);
    let without = controllers::without_effect(app, has).into_iter();
    without
        .map(|(controller, directives)| Unlimited {
            controller,
            directives,
        })
        .collect()
}

/// Returns whether a manager of this scope has the controller, below `tree`, where the control groups are mounted; `None` where that
/// cannot be told.
pub(super) fn has(tree: &Path, scope: Scope, controller: &str) -> Option<bool> {
    let uid = getuid();
    let group = match scope {
        Scope::System => tree.to_owned(),
        Scope::User => {
            let slice = tree.join(format!("user.slice/user-{uid}.slice"));
            slice.join(manager_of(uid.as_raw()))
        }
    };
    // The unified hierarchy: what the group of the manager lists is what it may pass on.
    if let Ok(listed) = std::fs::read_to_string(group.join("cgroup.controllers")) {
        return Some(listed.split_whitespace().any(|listed| listed == controller));
    }
    // The older hierarchies, one for each controller, of which systemd gives none to a user.
    if !tree.join("systemd").is_dir() {
        return None;
    }
    if scope == Scope::User {
        return Some(false);
    }
    // In a container, they are often missing or cannot be written to.
    let older = if controller == "io" {
        "blkio"
    } else {
        controller
    };
    let mounted = statvfs(&tree.join(older)).ok();
    Some(mounted.is_some_and(|mounted| !mounted.flags().contains(FsFlags::ST_RDONLY)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_unified_hierarchy_lists_them_for_each_manager() {
        let tree = tempfile::tempdir().unwrap();
        let uid = getuid();
        let own = tree
            .path()
            .join(format!("user.slice/user-{uid}.slice"))
            .join(manager_of(uid.as_raw()));
        fs::create_dir_all(&own).unwrap();
        let has = |scope, name| has(tree.path(), scope, name);
        assert_eq!(has(Scope::System, "memory"), None, "nothing is mounted");
        fs::write(tree.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        fs::write(own.join("cgroup.controllers"), "pids\n").unwrap();
        assert_eq!(has(Scope::System, "memory"), Some(true));
        assert_eq!(has(Scope::System, "mem"), Some(false));
        assert_eq!(has(Scope::User, "memory"), Some(false));
        assert_eq!(has(Scope::User, "pids"), Some(true));
    }

    #[test]
    fn the_older_ones_have_a_folder_each_and_nothing_for_users() {
        let tree = tempfile::tempdir().unwrap();
        for folder in ["systemd", "memory", "blkio"] {
            fs::create_dir(tree.path().join(folder)).unwrap();
        }
        let has = |scope, name| has(tree.path(), scope, name);
        assert_eq!(has(Scope::System, "memory"), Some(true));
        assert_eq!(has(Scope::System, "io"), Some(true));
        assert_eq!(has(Scope::System, "cpu"), Some(false));
        assert_eq!(has(Scope::User, "memory"), Some(false));
    }

    #[test]
    fn limits_without_effect_are_named_with_the_controller_that_is_missing() {
        let tree = tempfile::tempdir().unwrap();
        for folder in ["systemd", "cpu"] {
            fs::create_dir(tree.path().join(folder)).unwrap();
        }
        let text = "[[apps]]\nname = \"web\"\nscript = \"/bin/web\"\nlisten = 1\n[apps.service]\n\
            MemoryMax = \"1G\"\nMemoryHigh = \"900M\"\nCPUQuota = \"50%\"\n";
        let (apps, report) = crate::ecosystem::parse("", text);
        assert!(!report.has_errors(), "{}", report.render(false));
        let all = unlimited(tree.path(), &apps[0], Scope::System);
        let told: Vec<String> = all.iter().map(Unlimited::told).collect();
        let wanted =
            "MemoryHigh, MemoryMax without effect, as systemd has no `memory` controller here";
        assert_eq!(told, [wanted]);
    }
}
