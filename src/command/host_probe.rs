//! The files and accounts of a host, against which an ecosystem file is resolved.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ecosystem::resolve::{Account, FileStatus, Ids, Probe};
use crate::layout::Scope;
use crate::plan;

/// This host, or one that is being put together in a folder of it.
pub(super) struct HostProbe {
    /// The folder that will be `/` of the other host.
    pub(super) root: Option<PathBuf>,
    /// The manager whose apps are resolved.
    pub(super) scope: Scope,
}

impl HostProbe {
    /// Looks below the root first, then on this host: a package's dependencies are installed where it is built.
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

    fn names(&self, dir: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect()
    }

    fn search_path(&self) -> Vec<PathBuf> {
        std::env::var_os("PATH")
            .map(|p| std::env::split_paths(&p).collect())
            .unwrap_or_default()
    }

    fn has_user(&self, user: &str) -> bool {
        // A package creates its accounts when it is installed.
        self.root.is_some() || user.parse::<u32>().is_ok() || is_listed("passwd", user)
    }

    fn has_group(&self, group: &str) -> bool {
        self.root.is_some() || group.parse::<u32>().is_ok() || is_listed("group", group)
    }

    fn is_system(&self) -> bool {
        self.scope == Scope::System
    }

    fn status(&self, path: &Path) -> Option<FileStatus> {
        // While a package is built, its files do not have their owners yet.
        self.root.is_none().then(|| plan::status(path))?
    }

    fn name(&self, account: Account) -> String {
        // The name is only shown, so the files are enough: no other source of accounts is asked.
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

    fn ids(&self, user: &str, group: Option<&str>) -> Option<Ids> {
        if self.root.is_some() {
            return None;
        }
        let numbers = |text: String| text.split_whitespace().map(|n| n.parse().ok()).collect();
        let mut groups: Vec<u32> = answer("/usr/bin/id", &["-G", "--", user]).and_then(numbers)?;
        if let Some(group) = group {
            let entry = answer("/usr/bin/getent", &["group", "--", group])?;
            groups.push(entry.split(':').nth(2)?.parse().ok()?);
        }
        let user = answer("/usr/bin/id", &["-u", "--", user])?;
        let user = user.trim().parse().ok()?;
        Some(Ids { user, groups })
    }
}

/// Whether a database of nsswitch.conf(5) has an entry. getent(1) is asked because the modules of the database are loaded
/// at run time, which a statically linked program must not do.
fn is_listed(database: &str, name: &str) -> bool {
    const NOT_FOUND: i32 = 2;
    let asked = Command::new("/usr/bin/getent")
        .env_clear()
        .args([database, "--", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Without an answer the account is assumed to exist; systemd checks it at the start.
    asked.map_or(true, |status| status.code() != Some(NOT_FOUND))
}

/// The output of a command that succeeds.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
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
mod tests {
    use super::*;

    #[test]
    fn an_account_is_in_its_own_groups_and_in_that_of_the_app() {
        let probe = HostProbe {
            root: None,
            scope: Scope::System,
        };
        let groups = |group| probe.ids("root", group).unwrap().groups;
        let text = std::fs::read_to_string("/etc/group").unwrap();
        let line = text.lines().find(|line| line.starts_with("daemon:"));
        let daemon = line.unwrap().split(':').nth(2).unwrap().parse().unwrap();
        assert_eq!(
            groups(Some("daemon")),
            [groups(None), vec![daemon]].concat()
        );
        assert!(probe.ids("rsgen-no-such-user", None).is_none());
    }
}
