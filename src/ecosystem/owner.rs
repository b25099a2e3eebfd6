//! Chooses the user of an app that names none: the owner of its program, who could start the program anyway.
//!
//! The owner is chosen only if nobody but root and that owner can change the code that is run. Otherwise a user
//! could create a link to somebody else's file, have the app installed, and then replace the link by a program.

use std::path::{Path, PathBuf};

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::{Account, Probe};
use super::way::{self, Spot};

/// The folders of the system's own programs. The effect of such a program depends on its arguments and on the
/// working directory, so its owner is irrelevant.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// The user ID that the kernel shows for owners that the user namespace or the server of a file system does not map.
const UNMAPPED: u32 = 65_534;

const ROOT: &str = "root";

/// The owner of an app's program.
enum Owner {
    Root,
    User(String),
    /// No owner can be chosen, for this reason; the second text is the next step.
    Nobody(String, String),
}

/// How the script was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Named,
    AtPath,
}

/// Chooses the user of a system app that names none, and reports what the administrator should know about the choice.
/// Everything else about the app has been resolved.
pub(super) fn settle(
    app: &mut App,
    script: Script,
    probe: &dyn Probe,
    faults: &mut Vec<Diagnostic>,
) {
    if !probe.is_system() || app.user.is_some() || app.is_dynamic() {
        return;
    }
    let file = decisive(app, script, probe);
    let owner = probe.has_owners().then(|| of(app, &file, probe)).flatten();
    let (name, shown) = (&app.name, file.display());
    let installed = probe.installed_user(name);
    let fault = match (owner, installed) {
        (Some(Owner::User(user)), Some(before)) if before == ROOT => Some(
            Diagnostic::warning(
                app.user_span.clone(),
                format!("`{name}` still runs as root, although `{shown}` belongs to `{user}`"),
            )
            .help(format!(
                "write `user = \"{user}\"` and give that user the files that `{name}` created as root, or write `user \
                 = \"root\"`"
            )),
        ),
        (Some(Owner::User(user)), installed) => {
            let before = installed.filter(|before| *before != user);
            let fault = before.map(|before| {
                let message = format!(
                    "`{name}` will run as `{user}`, the owner of `{shown}`, and no longer as `{before}`"
                );
                let help = format!(
                    "give `{user}` the files that `{name}` created as `{before}`, or write `user = \"{before}\"`"
                );
                Diagnostic::warning(app.user_span.clone(), message).help(help)
            });
            app.user = Some(user);
            app.user_is_owner_of = Some(file.to_string_lossy().into_owned());
            fault
        }
        (Some(Owner::Nobody(..)), Some(before)) if before == ROOT => Some(as_root(app, ", as which it was installed")),
        (Some(Owner::Nobody(why, help)), _) => Some(
            Diagnostic::error(
                app.user_span.clone(),
                format!("`{name}` has no `user`, and {why}"),
            )
            .help(help),
        ),
        (Some(Owner::Root), _) => Some(as_root(app, &format!(", the owner of `{shown}`"))),
        (None, _) => Some(as_root(app, "")),
    };
    faults.extend(fault);
}

fn as_root(app: &App, why: &str) -> Diagnostic {
    let message = format!("`{}` runs as root{why}", app.name);
    Diagnostic::warning(app.user_span.clone(), message).help(
        "an attacker who takes over the program controls the machine: write `user = \"www-data\"`, or another account that may \
         do no more than the program needs; `user = \"root\"` is for programs that need it",
    )
}

/// Returns the file or folder whose owner counts: the script, or the working directory if the script is a program of
/// the system, such as an interpreter.
fn decisive(app: &App, script: Script, probe: &dyn Probe) -> PathBuf {
    let path = Path::new(&app.program.script);
    let is_systems = |path: &Path| SYSTEM.iter().any(|folder| path.starts_with(folder));
    let leads_there = || {
        let end = way::end(path, &|path| probe.status(path));
        end.is_some_and(|(end, _)| is_systems(&end))
    };
    if script == Script::Named || !path.is_absolute() || is_systems(path) || leads_there() {
        return folder(app);
    }
    path.to_owned()
}

fn folder(app: &App) -> PathBuf {
    app.program.cwd.as_deref().unwrap_or("/").into()
}

/// Returns the owner of a file of the app; `None` if the file cannot be looked up.
fn of(app: &App, file: &Path, probe: &dyn Probe) -> Option<Owner> {
    let (_, found) = way::end(file, &|path| probe.status(path))?;
    let shown = file.display();
    let user = match found.owner {
        0 => ROOT.to_owned(),
        number => match probe.user(number).filter(|_| number != UNMAPPED) {
            Some(user) => user,
            None => {
                return Some(Owner::Nobody(
                    format!(
                        "`{shown}` belongs to the user ID {number}, which is not an account of this system"
                    ),
                    "write `user`, or give the file to the account that the app should run as"
                        .to_owned(),
                ));
            }
        },
    };
    if let Some(spot) = decided_by_others(app, found.owner, probe) {
        let help = if found.owner == 0 {
            "write `user = \"www-data\"`, or another account; with `user = \"root\"` anybody who may write there is \
             root".to_owned()
        } else {
            format!(
                "write `user = \"{user}\"` if everybody who may write there may act as `{user}`; otherwise another account"
            )
        };
        let told = spot.told(probe);
        let why = format!("`{shown}` belongs to `{user}`, but {told}");
        return Some(Owner::Nobody(why, help));
    }
    Some(if found.owner == 0 {
        Owner::Root
    } else {
        Owner::User(user)
    })
}

/// Returns a place where a user other than root and this owner can change the code that is run.
fn decided_by_others(app: &App, owner: u32, probe: &dyn Probe) -> Option<Spot> {
    let program = &app.program;
    let paths = [
        Some(program.script.as_str()),
        program.interpreter.as_deref(),
        // Used by the first line of the script, `#!/usr/bin/env NAME`.
        app.first_in_path.as_deref(),
        program.cwd.as_deref(),
    ];
    let mut paths = paths.into_iter().flatten().map(Path::new);
    let is_own = |group| probe.is_own_group(Account::User(owner), group);
    paths.find_map(|path| {
        path.is_absolute()
            .then(|| way::spot_of_others(path, owner, &is_own, &|path| probe.status(path)))?
    })
}

#[cfg(test)]
mod tests;
