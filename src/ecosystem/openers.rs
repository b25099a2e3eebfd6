//! Directives that may let the user of an app go, read or run where the modes of the files do not: they bring other folders or groups, or
//! more rights, or are commands of root's before the program. Whoever refuses an app for its files asks here first.

use super::app::App;
use super::resolve::Probe;

/// Directives that bring a file to where the user may, change who the user is, or let the user everywhere.
const OPENERS: [&str; 12] = [
    "AmbientCapabilities",
    "BindPaths",
    "BindReadOnlyPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "MountImages",
    "PAMName",
    "RootDirectory",
    "RootImage",
    "RootMStack",
    "SupplementaryGroups",
    "TemporaryFileSystem",
];

/// Commands before the program, which may change the modes where they run as root.
const FIRST: [&str; 2] = ["ExecCondition", "ExecStartPre"];

/// Directives that an ecosystem file has keys for, and that a drop-in may set all the same.
const OF_DROP_IN: [&str; 5] = [
    "DynamicUser",
    "ExecStart",
    "Group",
    "User",
    "WorkingDirectory",
];

/// Returns the doubt where the unit, or a drop-in of it, may let the user in all the same.
pub(super) fn doubt(app: &App, probe: &dyn Probe) -> Option<&'static str> {
    if OPENERS.iter().any(|opener| app.assigned(opener).is_named())
        || FIRST.iter().any(|name| is_roots(app, name))
    {
        return Some("unless `[apps.service]` allows it");
    }
    let all = [&OPENERS[..], &FIRST, &OF_DROP_IN].concat();
    let is_by_drop_in = probe.has_drop_in(&app.name, &all);
    is_by_drop_in.then_some("unless a drop-in of its unit allows it")
}

/// Whether one of these commands runs as root, see "Command lines" in systemd.service(5).
fn is_roots(app: &App, directive: &str) -> bool {
    let is_one = |command: &&str| {
        let end = command.find(|c| !"@-:+!|".contains(c));
        end.is_some_and(|end| command.get(..end).is_some_and(|p| p.contains('+')))
    };
    app.assigned(directive).list().iter().any(is_one)
}
