//! Makes an app independent of the folder and the shell that it was installed from.
//!
//! Relative paths become absolute, relative to the file's folder; programs are searched for, and accounts are checked.
//! Links are kept, so that a release that is chosen by a link is looked up at each start.

use std::path::{Component, Path, PathBuf};

use super::app::App;
use super::diagnostic::{Diagnostic, nearest};
use super::owner::{self, Script};
use super::search::{self, Search};
use super::{controllers, entrance, executable, reach, release, rollout, sessions};

/// The inode at a path, see inode(7). For a link it is the inode of the link itself.
#[derive(Debug, Clone)]
pub struct FileStatus {
    /// The user ID of the owner.
    pub owner: u32,
    /// The ID of the group.
    pub group: u32,
    /// The permission bits.
    pub mode: u32,
    /// The target, if the inode is a link.
    pub link: Option<PathBuf>,
    /// The other facts on which access depends, beside owner, group and mode.
    pub beyond: Beyond,
}

/// The other facts that determine who may write to an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Beyond {
    /// Nothing.
    #[default]
    Nothing,
    /// An access control list, see acl(5). The bits of the group then limit every entry of the list.
    Acl,
    /// Perhaps the server of the file system, for instance on another host. Owner and mode are those that it reports.
    Elsewhere,
    /// The server of the file system: the file system is in user space, or not even root can look the inode up.
    Server,
}

impl FileStatus {
    /// Returns an inode whose owner and mode only the server of its file system knows.
    #[must_use]
    pub const fn of_a_server() -> Self {
        Self {
            owner: 0,
            group: 0,
            mode: 0,
            link: None,
            beyond: Beyond::Server,
        }
    }
}

/// The ID of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// A user ID.
    User(u32),
    /// A group ID.
    Group(u32),
}

/// The IDs that a program runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The user ID.
    pub user: u32,
    /// The IDs of all groups.
    pub groups: Vec<u32>,
}

/// The facts about a host that are needed to resolve an app. No method has a default, so that a host cannot forget one; the
/// fakes of tests leave out what they do not need, see `FakeHost`.
pub trait Probe {
    /// Returns whether a file exists.
    fn is_file(&self, path: &Path) -> bool;
    /// Returns whether a folder exists.
    fn is_dir(&self, path: &Path) -> bool;
    /// Returns whether anybody may execute a file; always true for a host that is being put together.
    fn has_run_bit(&self, path: &Path) -> bool;
    /// Returns whether a file begins with `#!`, see execve(2).
    fn names_interpreter(&self, path: &Path) -> bool;
    /// Returns the names in a folder.
    fn names(&self, dir: &Path) -> Vec<String>;
    /// Returns the symbolic links in a folder, with their targets as they are written.
    fn links(&self, dir: &Path) -> Vec<(PathBuf, PathBuf)>;
    /// Returns the caller's `$PATH`.
    fn search_path(&self) -> Vec<PathBuf>;
    /// Returns whether a user exists, by name or ID.
    fn has_user(&self, user: &str) -> bool;
    /// Returns whether a group exists, by name or ID.
    fn has_group(&self, group: &str) -> bool;
    /// Returns whether the apps belong to the system manager, so that root reads their files and starts their programs.
    fn is_system(&self) -> bool;
    /// Returns the inode at a path; `None` also for a host that is being put together, where nothing is known.
    fn status(&self, path: &Path) -> Option<FileStatus>;
    /// Returns the access control list of an inode, in the kernel's format.
    fn access_list(&self, path: &Path) -> Option<Vec<u8>>;
    /// Returns whether the files already have the owners that they will have where the app runs.
    fn has_owners(&self) -> bool;
    /// Returns the name of a user, or the ID if systemd does not accept the name; `None` for a user that does not
    /// exist.
    fn user(&self, number: u32) -> Option<String>;
    /// Returns whether a group has only this user, see "user private groups" in useradd(8).
    fn is_own_group(&self, user: Account, group: u32) -> bool;
    /// Returns the user that the installed app of this name runs as, if there is one.
    fn installed_user(&self, app: &str) -> Option<String>;
    /// Returns the home of a user, by name or ID. Without a user it is the home of the caller, or of the user
    /// who called sudo(8).
    fn home(&self, user: Option<&str>) -> Option<PathBuf>;
    /// Returns the text of a regular file.
    fn text(&self, path: &Path) -> Option<String>;
    /// Returns the first line of a file, up to the length that execve(2) reads.
    fn first_line(&self, path: &Path) -> Option<String>;
    /// Returns the output of `node --version`, for the Node that is installed for all users.
    fn node_version(&self) -> Option<String>;
    /// Returns whether the manager of the apps has this cgroup controller, see cgroups(7); `None` if that is not known.
    fn has_controller(&self, name: &str) -> Option<bool>;
    /// The name of an account, or its number.
    fn name(&self, account: Account) -> String;
    /// Returns the IDs of a program that runs as this user, and as this group if it is not the user's own.
    fn ids(&self, user: &str, group: Option<&str>) -> Option<Ids>;
    /// Returns whether a drop-in for the instances of an app, in any of systemd's folders, assigns one of these directives.
    fn has_drop_in(&self, app: &str, directives: &[&str]) -> bool;
}

/// Resolves an app of a file in `folder`. Names that cannot be resolved are added to `faults`.
pub fn resolve(app: &mut App, folder: &Path, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let cwd = normal(&folder.join(app.program.cwd.as_deref().unwrap_or("")));
    let has_cwd = probe.is_dir(&cwd);
    if !has_cwd {
        faults.push(
            Diagnostic::error(
                app.cwd_span.clone(),
                format!("the working directory `{}` does not exist", cwd.display()),
            )
            .help(if app.program.cwd.as_deref().is_some_and(is_of_a_shell) {
                NO_SHELL
            } else {
                "create it, or change `cwd`"
            }),
        );
    }
    let search = Search::new(app, &cwd, probe);
    let before = faults.len();
    let script = resolve_script(app, &search, faults);
    if !has_cwd && !app.program.script.starts_with('/') {
        // A file that is missing because its folder is missing is not a separate fault.
        faults.truncate(before);
    }
    search::resolve_interpreter(app, &search, faults);
    search::extend_path(app, script, &search, faults);
    for file in &mut app.env_file {
        *file = show(&normal(&cwd.join(&*file)));
    }
    for watched in &mut app.watched.watch {
        let path = normal(&cwd.join(&*watched));
        *watched = show(&path);
        if !probe.is_file(&path) && !probe.is_dir(&path) {
            let fault = format!("`watch` names `{watched}`, which does not exist");
            let help = "create it, or write its path from `cwd`";
            faults.push(Diagnostic::warning(app.watched.watch_span.clone(), fault).help(help));
        }
    }
    app.program.cwd = Some(show(&cwd));
    owner::settle(app, script, probe, faults);
    check_accounts(app, probe, faults);
    if !entrance::refuse(app, probe, faults) {
        search::refuse_closed(app, probe, faults);
    }
    reach::warn(app, probe, faults);
    release::warn(app, probe, faults);
    sessions::warn(app, &cwd, probe, faults);
    controllers::warn(app, probe, faults);
    rollout::warn(app, faults);
}

fn resolve_script(app: &mut App, search: &Search<'_>, faults: &mut Vec<Diagnostic>) -> Script {
    let Search { probe, cwd, .. } = *search;
    let script = app.program.script.clone();
    let path = normal(&cwd.join(&script));
    if probe.is_file(&path) {
        app.program.script = show(&path);
        executable::check(app, &path, search, faults);
        return Script::AtPath;
    }
    let found = (!script.contains('/') && app.program.interpreter.is_none())
        .then(|| search.find(&script))
        .flatten();
    if let Some(found) = found {
        app.program.script = found;
        return Script::Named;
    }
    faults.push(absent(app, &path, search));
    Script::AtPath
}

const NO_SHELL: &str = "write the whole path: no shell replaces `~` and `$HOME` here";

/// Returns whether a path begins with what a shell would replace.
fn is_of_a_shell(path: &str) -> bool {
    path == "~" || path.starts_with("~/") || path.starts_with('$')
}

/// The fault of a missing script. A script that is written like a command is looked for in `PATH` too.
fn absent(app: &App, path: &Path, search: &Search<'_>) -> Diagnostic {
    let script = &app.program.script;
    if let Some((program, behind)) = script.split_once(char::is_whitespace)
        && !script.starts_with('/')
    {
        let fault = format!("the script `{script}` does not exist");
        return Diagnostic::error(app.script_span.clone(), fault).help(format!(
            "for a program with arguments, write `script = \"{program}\"` and `args = \"{}\"`",
            behind.trim()
        ));
    }
    let is_command = !script.contains(['/', '.']) && app.program.interpreter.is_none();
    if !is_command && search.probe.is_dir(path) {
        let fault = format!("the script `{}` is a folder", path.display());
        return Diagnostic::error(app.script_span.clone(), fault)
            .help("write the path of the file in it that is to be started");
    }
    let what = if is_command {
        let folder = search.cwd.display();
        format!("the script `{script}` is neither in `{folder}` nor in `PATH`")
    } else {
        format!("the script `{}` does not exist", path.display())
    };
    let fault = Diagnostic::error(app.script_span.clone(), what);
    if is_of_a_shell(script) {
        return fault.help(NO_SHELL);
    }
    let names = search.probe.names(path.parent().unwrap_or(search.cwd));
    let wanted = path.file_name().and_then(|n| n.to_str());
    match nearest(wanted.unwrap_or_default(), names.iter().map(String::as_str)) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None if is_command => fault.help(format!(
            "install `{script}`; where a version manager has it, write the path that `command -v {script}` shows there"
        )),
        None => fault.help("write its path from the ecosystem file's folder, or from `cwd`"),
    }
}

fn check_accounts(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let dynamic = app.is_dynamic();
    if let Some(user) = app.user.as_ref().filter(|u| !dynamic && !probe.has_user(u)) {
        faults.push(
            Diagnostic::error(app.user_span.clone(), format!("there is no user `{user}`"))
                .help("create it with `adduser --system`, or change `user`"),
        );
    }
    if let Some(group) = app
        .group
        .as_ref()
        .filter(|g| !dynamic && !probe.has_group(g))
    {
        faults.push(
            Diagnostic::error(
                app.group_span.clone(),
                format!("there is no group `{group}`"),
            )
            .help("create it with `addgroup --system`, or change `group`"),
        );
    }
}

/// Removes `.` and `..`, which systemd refuses, without following links.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

// Lossy conversion loses nothing here: ecosystem files are UTF-8, and `folder` has been checked.
pub(super) fn show(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
