//! The files and accounts of a host, which an ecosystem file is resolved against.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::{controllers, limits};
use crate::ecosystem;
use crate::ecosystem::resolve::{Account, FileStatus, Ids, Probe};
use crate::generate::{files, sources};
use crate::layout::{Layout, Scope};
use crate::plan;
use crate::sys::entry;

/// This host, or one whose files are being put together in a folder here. One instance serves a whole command, so that
/// each account is looked up only once.
pub(super) struct HostProbe {
    /// The folder that will be `/` of the other host; `None` for this host.
    root: Option<PathBuf>,
    /// Whether the files already have the owners that they will have where the app runs.
    has_owners: bool,
    /// The folders of the host, for the manager of the apps that are resolved.
    layout: Layout,
    /// Whether a database has an entry.
    listed: Answers<(&'static str, String), bool>,
    /// The user ID and group IDs of each user.
    users: Answers<String, Option<Ids>>,
    /// The name of each existing user, in a form that a unit accepts.
    accounts: Answers<u32, Option<String>>,
    /// The home of each user.
    homes: Answers<String, Option<PathBuf>>,
    /// The group ID of each group.
    groups: Answers<String, Option<u32>>,
    /// The name of each account.
    names: Answers<Account, String>,
    /// The symbolic links in each folder.
    links: Answers<PathBuf, Vec<(PathBuf, PathBuf)>>,
}

/// The largest number of entries of a folder that are checked for links.
const MOST: usize = 1000;

/// The answers so far. Most of them cost a process, and a file may name the same account in every app.
struct Answers<K, V>(RefCell<HashMap<K, V>>);

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn new() -> Self {
        Self(RefCell::new(HashMap::new()))
    }

    fn get(&self, key: K, ask: impl FnOnce(&K) -> V) -> V {
        if let Some(known) = self.0.borrow().get(&key) {
            return known.clone();
        }
        let answer = ask(&key);
        self.0.borrow_mut().insert(key, answer.clone());
        answer
    }
}

impl HostProbe {
    pub(super) fn new(root: Option<PathBuf>, layout: &Layout) -> Self {
        Self {
            has_owners: root.is_none(),
            root,
            layout: layout.clone(),
            listed: Answers::new(),
            users: Answers::new(),
            accounts: Answers::new(),
            homes: Answers::new(),
            groups: Answers::new(),
            names: Answers::new(),
            links: Answers::new(),
        }
    }

    /// Returns the same host for units that are made for a package, whose files belong to the user who builds the package.
    pub(super) fn for_a_package(self) -> Self {
        Self {
            has_owners: false,
            ..self
        }
    }

    fn is_listed(&self, database: &'static str, name: &str) -> bool {
        let entry = (database, name.to_owned());
        self.listed
            .get(entry, |(database, name)| is_listed(database, name))
    }

    /// Looks below the root first, then on this host, since the dependencies of a package are installed where it is
    /// built.
    fn any(&self, path: &Path, is: fn(&Path) -> bool) -> bool {
        let below = |root: &PathBuf| is(&root.join(path.strip_prefix("/").unwrap_or(path)));
        self.root.as_ref().is_some_and(below) || is(path)
    }
}

impl Probe for HostProbe {
    fn is_file(&self, path: &Path) -> bool {
        self.any(path, Path::is_file)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.any(path, Path::is_dir)
    }

    fn has_run_bit(&self, path: &Path) -> bool {
        let mode = path.metadata().map(|found| found.mode());
        self.root.is_some() || mode.map_or(true, |mode| mode & 0o111 != 0)
    }

    fn names_interpreter(&self, path: &Path) -> bool {
        let mut start = [0; 2];
        let read = files::open(path).and_then(|mut file| file.read_exact(&mut start));
        // A file that cannot be read may still be executable.
        self.root.is_some() || read.is_err() || start == *b"#!"
    }

    fn names(&self, dir: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect()
    }

    fn links(&self, dir: &Path) -> Vec<(PathBuf, PathBuf)> {
        self.links.get(dir.to_owned(), |dir| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let links = entries
                .take(MOST)
                .filter(|e| e.file_type().is_ok_and(|t| t.is_symlink()));
            let links = links.map(|entry| entry.path());
            links
                .filter_map(|link| Some((link.read_link().ok()?, link)))
                .map(|(target, link)| (link, target))
                .collect()
        })
    }

    fn search_path(&self) -> Vec<PathBuf> {
        std::env::var_os("PATH")
            .map(|p| std::env::split_paths(&p).collect())
            .unwrap_or_default()
    }

    fn has_user(&self, user: &str) -> bool {
        // The accounts of a package are created when it is installed.
        self.root.is_some() || user.parse::<u32>().is_ok() || self.is_listed("passwd", user)
    }

    fn has_group(&self, group: &str) -> bool {
        self.root.is_some() || group.parse::<u32>().is_ok() || self.is_listed("group", group)
    }

    fn is_system(&self) -> bool {
        self.layout.scope == Scope::System
    }

    fn status(&self, path: &Path) -> Option<FileStatus> {
        // While a package is built, its files do not have their final owners.
        self.root.is_none().then(|| plan::status(path))?
    }

    fn access_list(&self, path: &Path) -> Option<Vec<u8>> {
        self.root.is_none().then(|| plan::access_list(path))?
    }

    fn has_owners(&self) -> bool {
        self.has_owners
    }

    fn user(&self, number: u32) -> Option<String> {
        self.accounts.get(number, |number| user(*number))
    }

    fn is_own_group(&self, user: Account, group: u32) -> bool {
        let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
        is_private(&text, &self.name(user), group)
    }

    fn installed_user(&self, app: &str) -> Option<String> {
        // The user comes from the pinned units first: somebody may just have removed `user` from the file.
        if let Some(user) = files::pinned_user(&self.layout, app) {
            return Some(user);
        }
        let source = sources::find(&self.layout, app)?;
        let (_, installed) = sources::load(&self.layout, &source).ok()?;
        let user = installed.is_root().then_some("root");
        user.or(installed.account().0).map(str::to_owned)
    }

    fn home(&self, user: Option<&str>) -> Option<PathBuf> {
        if !self.has_owners {
            return None;
        }
        // A command keeps few variables, and this is not among them.
        let sudo_uid = || entry::value("SUDO_UID").and_then(|uid| uid.into_string().ok());
        let by_sudo = || invoker(sudo_uid(), geteuid().is_root());
        match user.map(str::to_owned).or_else(by_sudo) {
            Some(user) => self.homes.get(user, |user| home(user)),
            None => std::env::var_os("HOME").map(PathBuf::from),
        }
    }

    fn text(&self, path: &Path) -> Option<String> {
        self.has_owners.then(|| files::read(path).ok())?
    }

    fn first_line(&self, path: &Path) -> Option<String> {
        self.has_owners.then(|| files::first_line(path).ok())?
    }

    fn has_controller(&self, name: &str) -> Option<bool> {
        let is_here = self.root.is_none() && self.has_owners;
        let tree = Path::new(controllers::TREE);
        is_here.then(|| controllers::has(tree, self.layout.scope, name))?
    }

    fn node_version(&self) -> Option<String> {
        if !self.has_owners {
            return None;
        }
        let nodes = ["/usr/local/bin/node", "/usr/bin/node"];
        let node = nodes.into_iter().find(|node| Path::new(node).is_file())?;
        // Only root's programs are run as root.
        let found = Path::new(node).metadata().ok()?;
        let is_roots = found.uid() == 0 && found.mode() & 0o022 == 0;
        is_roots.then(|| answer(node, &["--version"]))?
    }

    fn name(&self, account: Account) -> String {
        self.names.get(account, |account| name(*account))
    }

    fn ids(&self, user: &str, group: Option<&str>) -> Option<Ids> {
        if self.root.is_some() {
            return None;
        }
        let mut ids = self.users.get(user.to_owned(), |user| ids(user))?;
        if let Some(group) = group {
            let number = self.groups.get(group.to_owned(), |group| number(group))?;
            ids.groups.push(number);
        }
        Some(ids)
    }

    fn has_drop_in(&self, app: &str, directives: &[&str]) -> bool {
        let is_here = self.root.is_none() && self.has_owners;
        is_here && limits::has_drop_in(&self.layout, app, directives)
    }
}

fn name(account: Account) -> String {
    // The name is only shown, so /etc/passwd and /etc/group suffice; other databases are not asked.
    let (file, number) = match account {
        Account::User(number) => ("/etc/passwd", number.to_string()),
        Account::Group(number) => ("/etc/group", number.to_string()),
    };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// Returns the user ID of the user who called sudo(8), from `SUDO_UID`. Only root's environment is believed.
fn invoker(sudo_uid: Option<String>, is_root: bool) -> Option<String> {
    sudo_uid.filter(|uid| is_root && uid.parse::<u32>().is_ok())
}

fn home(user: &str) -> Option<PathBuf> {
    let entry = answer("/usr/bin/getent", &["passwd", "--", user])?;
    let home = entry.trim_end().split(':').nth(5)?;
    home.starts_with('/').then(|| home.into())
}

/// Returns a user's name, or the number if systemd would not accept the name, for instance because of a blank.
pub(super) fn user(number: u32) -> Option<String> {
    let number = number.to_string();
    let entry = answer("/usr/bin/getent", &["passwd", "--", &number])?;
    let name = entry.split(':').next()?.to_owned();
    Some(if ecosystem::is_account(&name) {
        name
    } else {
        number
    })
}

/// Returns whether a group has the name of its user and no other members, like the user private groups of useradd(8).
fn is_private(groups: &str, user: &str, group: u32) -> bool {
    let number = group.to_string();
    groups.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        matches!(fields[..], [name, _, found, members]
            if name == user && found == number && (members.is_empty() || members == user))
    })
}

fn ids(user: &str) -> Option<Ids> {
    let groups = answer("/usr/bin/id", &["-G", "--", user])?;
    let groups = groups.split_whitespace().map(|n| n.parse().ok());
    let groups = groups.collect::<Option<_>>()?;
    let user = answer("/usr/bin/id", &["-u", "--", user])?;
    let user = user.trim().parse().ok()?;
    Some(Ids { user, groups })
}

fn number(group: &str) -> Option<u32> {
    let entry = answer("/usr/bin/getent", &["group", "--", group])?;
    entry.split(':').nth(2)?.parse().ok()
}

/// Returns whether a database of nsswitch.conf(5) has an entry. getent(1) is asked because the modules of the database
/// are loaded at run time, which a statically linked program must not do.
fn is_listed(database: &str, name: &str) -> bool {
    const NOT_FOUND: i32 = 2;
    let asked = Command::new("/usr/bin/getent")
        .env_clear()
        .args([database, "--", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Without an answer the account is assumed to exist; systemd checks again when it starts the app.
    asked.map_or(true, |status| status.code() != Some(NOT_FOUND))
}

/// Returns the output of a command; `None` if the command fails.
pub(super) fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let done = Command::new(program)
        .env_clear()
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let done = done.ok().filter(|done| done.status.success())?;
    String::from_utf8(done.stdout).ok()
}

#[cfg(test)]
mod tests;
