//! The processes of the instance, as its control group lists them, see cgroups(7).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of the control group that this process shares with the instance.
///
/// systemd runs the commands of a unit inside the unit's own group, so nobody has to be believed; it
/// must still be the instance's, or a command line typed by hand would drain a login session.
///
/// # Errors
/// When this process is in no group of that unit.
pub(super) fn folder(app: &str, instance: u32) -> io::Result<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let unit = format!("{app}@{instance}.service");
    let (tree, path) = place(&own, &unit)
        .ok_or_else(|| io::Error::other(format!("this process does not belong to `{unit}`")))?;
    let roots: &[&str] = match tree {
        Tree::Unified => &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
        Tree::Systemd => &["/sys/fs/cgroup/systemd"],
    };
    roots
        .iter()
        .map(|root| Path::new(root).join(path.trim_start_matches('/')))
        .find(|folder| folder.join("cgroup.procs").exists())
        .ok_or_else(|| {
            io::Error::other(format!(
                "the control group `{path}` is not in /sys/fs/cgroup"
            ))
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    Unified,
    Systemd,
}

/// The unit's own path; a delegated unit runs its commands in a group below it.
fn place<'a>(own: &'a str, unit: &str) -> Option<(Tree, &'a str)> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, tree, path) = (fields.next()?, fields.next()?, fields.next()?);
        let tree = match tree {
            "" => Tree::Unified,
            "name=systemd" => Tree::Systemd,
            _ => return None,
        };
        let path = path.strip_suffix("/.control").unwrap_or(path);
        (path.rsplit('/').next()? == unit).then_some((tree, path))
    })
}

/// Every process in the group and in those below it.
pub(super) fn processes(folder: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    found
}

fn collect(folder: &Path, found: &mut Vec<i32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process of another PID namespace.
    found.extend(
        text.lines()
            .filter_map(|l| l.parse::<i32>().ok())
            .filter(|p| *p > 0),
    );
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_the_instances() {
        let own = "1:name=systemd:/system.slice/x.service\n0::/system.slice/system-web.slice/web@3.service\n";
        let path = "/system.slice/system-web.slice/web@3.service";
        assert_eq!(place(own, "web@3.service"), Some((Tree::Unified, path)));
        let delegated = format!("0::{path}/.control\n");
        assert_eq!(
            place(&delegated, "web@3.service"),
            Some((Tree::Unified, path))
        );
    }

    #[test]
    fn no_other_group_is_taken_for_it() {
        for own in [
            "0::/system.slice/xweb@3.service\n",
            "0::/system.slice/web@3.service/child\n",
            "0::/\n",
            "4:memory:/web@3.service\n",
        ] {
            assert_eq!(place(own, "web@3.service"), None, "{own}");
        }
    }
}
