//! Makes an app independent of the folder and the shell it was installed from.
//!
//! Relative paths become absolute against the file's folder, programs are looked for, accounts are
//! checked. Links stay links: a release that is switched by a link is found anew at each start.

use std::path::{Component, Path, PathBuf};

use super::app::App;
use super::diagnostic::{Diagnostic, nearest};
use super::owner::{self, Script};
use super::search::{self, Search};
use super::{executable, reach, release, sessions};

/// The inode at a path, see inode(7); of a link, the inode of the link itself.
#[derive(Debug, Clone)]
pub struct FileStatus {
    /// The number of its owner.
    pub owner: u32,
    /// The number of its group.
    pub group: u32,
    /// The permission bits.
    pub mode: u32,
    /// The target, if the inode is a link.
    pub link: Option<PathBuf>,
    /// Whether owner, group and mode say all.
    pub beyond: Beyond,
}

/// What else decides who may write to an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Beyond {
    /// Nothing.
    #[default]
    Nothing,
    /// An access control list, see acl(5). The bits of the group then limit every entry of the list.
    Acl,
    /// Whoever answers for the file system: it is one in user space, or not even root gets an answer from it.
    Server,
}

impl FileStatus {
    /// An inode whose owner and mode only the server of its file system knows.
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

/// The number of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// A user's number.
    User(u32),
    /// A group's number.
    Group(u32),
}

/// The numbers that a program has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The number of the user.
    pub user: u32,
    /// The numbers of all groups.
    pub groups: Vec<u32>,
}

/// The facts about a host that resolving an app needs; tests have a fake.
pub trait Probe {
    /// Whether a file is there.
    fn is_file(&self, path: &Path) -> bool;
    /// Whether a folder is there.
    fn is_dir(&self, path: &Path) -> bool;
    /// Whether a file may be executed by anybody; a host that is being put together does not tell.
    fn has_run_bit(&self, _path: &Path) -> bool {
        true
    }
    /// Whether a file begins with `#!`, see execve(2).
    fn names_interpreter(&self, _path: &Path) -> bool {
        true
    }
    /// The names in a folder.
    fn names(&self, dir: &Path) -> Vec<String>;
    /// The symbolic links in a folder, with the texts that they hold.
    fn links(&self, _dir: &Path) -> Vec<(PathBuf, PathBuf)> {
        Vec::new()
    }
    /// The caller's `$PATH`.
    fn search_path(&self) -> Vec<PathBuf>;
    /// Whether there is such a user, by name or number.
    fn has_user(&self, user: &str) -> bool;
    /// Whether there is such a group, by name or number.
    fn has_group(&self, group: &str) -> bool;
    /// Whether the apps are the system's: root reads their files and starts their programs.
    fn is_system(&self) -> bool;
    /// The inode at a path; `None` also for a host that is being put together, of which nothing is known.
    fn status(&self, path: &Path) -> Option<FileStatus>;
    /// Whether the owners of files are those that they will have where the app runs.
    fn has_owners(&self) -> bool {
        true
    }
    /// The name of a user, or the number where systemd takes no such name; `None` for one that does not exist.
    fn user(&self, number: u32) -> Option<String>;
    /// Whether only this user is in a group, see "user private groups" in useradd(8).
    fn is_own_group(&self, _user: Account, _group: u32) -> bool {
        false
    }
    /// The user that the installed app of this name runs as, if there is one.
    fn installed_user(&self, _app: &str) -> Option<String> {
        None
    }
    /// The home of a user, by name or number; of the caller, or of the user who has called sudo(8), if there is none.
    fn home(&self, _user: Option<&str>) -> Option<PathBuf> {
        None
    }
    /// The text of a file, if it is a regular one.
    fn text(&self, _path: &Path) -> Option<String> {
        None
    }
    /// The first line of a file, as far as execve(2) reads it.
    fn first_line(&self, _path: &Path) -> Option<String> {
        None
    }
    /// What `node --version` says, of the Node that is installed for all users.
    fn node_version(&self) -> Option<String> {
        None
    }
    /// The name of an account, or its number.
    fn name(&self, account: Account) -> String;
    /// The numbers of a program of this user, and of this group if it is not the user's own.
    fn ids(&self, _user: &str, _group: Option<&str>) -> Option<Ids> {
        None
    }
}

/// Resolves an app of a file in `folder`; what cannot be resolved is added to `faults`.
pub fn resolve(app: &mut App, folder: &Path, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let cwd = normal(&folder.join(app.program.cwd.as_deref().unwrap_or("")));
    if !probe.is_dir(&cwd) {
        faults.push(
            Diagnostic::error(
                app.cwd_span.clone(),
                format!("the working directory `{}` does not exist", cwd.display()),
            )
            .help("create it, or change `cwd`"),
        );
    }
    let search = Search::new(app, &cwd, probe);
    let script = resolve_script(app, &search, faults);
    search::resolve_interpreter(app, &search, faults);
    search::extend_path(app, script, &search, faults);
    for file in &mut app.env_file {
        *file = show(&normal(&cwd.join(&*file)));
    }
    for watched in &mut app.watched.watch {
        let path = normal(&cwd.join(&*watched));
        *watched = show(&path);
        if !probe.is_file(&path) && !probe.is_dir(&path) {
            let fault = format!("`watch` names `{watched}`, which is not there");
            let help = "create it, or write its path from `cwd`";
            faults.push(Diagnostic::warning(app.watched.watch_span.clone(), fault).help(help));
        }
    }
    app.program.cwd = Some(show(&cwd));
    owner::settle(app, script, probe, faults);
    check_accounts(app, probe, faults);
    search::refuse_closed(app, probe, faults);
    reach::warn(app, probe, faults);
    release::warn(app, probe, faults);
    sessions::warn(app, &cwd, probe, faults);
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
    let fault = Diagnostic::error(
        app.script_span.clone(),
        format!("the script `{}` does not exist", path.display()),
    );
    let names = probe.names(path.parent().unwrap_or(cwd));
    let wanted = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    faults.push(match nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault.help("write its path from the ecosystem file's folder, or from `cwd`"),
    });
    Script::AtPath
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

/// Without `.` and `..`, which systemd refuses, and without following links.
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

// Ecosystem files are UTF-8 and `folder` was checked to be: nothing is lost here.
pub(super) fn show(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
