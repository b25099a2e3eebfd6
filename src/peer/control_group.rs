//! The control group of an instance's unit, see cgroups(7), which distinguishes the processes of the instance from all others.
//!
//! Only systemd moves processes into a unit's group, and a process cannot leave the group without permission to write to
//! another one. So nothing that a process says about itself has to be trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::procfs::{Group, Tree};
use crate::unit::name::Units;

/// The folder in which the trees are mounted, see `Tree`.
const UNIFIED: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const LEGACY: &[&str] = &["/sys/fs/cgroup/systemd"];

/// The control group of an instance's unit.
pub(crate) struct ControlGroup {
    group: Group,
    folder: PathBuf,
}

impl ControlGroup {
    /// The control group of this process, if it is that of the instance's unit.
    ///
    /// systemd runs the commands of a unit in the unit's control group, so the right processes are found without trusting an
    /// argument. The group is compared with the unit nevertheless: a drain that is started by hand would otherwise drain the
    /// login session.
    ///
    /// # Errors
    /// When this process is not in the control group of that unit.
    pub(crate) fn of_own(app: &str, instance: u32) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let unit = Units::of(app).instance(instance);
        let group = Group::of_unit(&own, &unit)
            .ok_or_else(|| io::Error::other(format!("this process does not belong to `{unit}`")))?;
        let roots = match group.tree {
            Tree::Unified => UNIFIED,
            Tree::Systemd => LEGACY,
        };
        let folder = roots
            .iter()
            .map(|root| Path::new(root).join(group.path.trim_start_matches('/')))
            .find(|folder| folder.join("cgroup.procs").exists())
            .ok_or_else(|| {
                let path = &group.path;
                io::Error::other(format!(
                    "the control group `{path}` is not in /sys/fs/cgroup"
                ))
            })?;
        Ok(Self { group, folder })
    }

    /// Whether the process with this `/proc/PID/cgroup` is in the group or below it.
    pub(crate) fn holds(&self, cgroup: &str) -> bool {
        self.group.holds(cgroup)
    }

    /// The PID of every process in the group and below it, and an error if some group could not be read, so that there may be
    /// more. By the time that a process is inspected it may have ended, and its PID may be that of another process, see
    /// [`super::process::Process::open`].
    pub(crate) fn numbers(&self) -> (Vec<i32>, io::Result<()>) {
        let mut found = Vec::new();
        let done = collect(&self.folder, &mut found);
        (found, done)
    }

    /// An empty group.
    #[cfg(test)]
    pub(crate) fn of_test(folder: &Path) -> Self {
        Self {
            group: Group {
                tree: Tree::Unified,
                path: "/nowhere/web@0.service".into(),
            },
            folder: folder.into(),
        }
    }

    /// The group that the test runs in, instead of a unit's.
    #[cfg(test)]
    pub(crate) fn of_this_process() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let place = own
            .lines()
            .find(|l| l.starts_with("0::") || l.contains("name=systemd"));
        let (tree, path) = place
            .unwrap()
            .split_once(':')
            .unwrap()
            .1
            .split_once(':')
            .unwrap();
        let tree = if tree.is_empty() {
            Tree::Unified
        } else {
            Tree::Systemd
        };
        let path = path.trim_end_matches('/').to_owned();
        Self {
            group: Group { tree, path },
            folder: PathBuf::new(),
        }
    }
}

/// The PID of every process of a unit, by its property `ControlGroup`, and an error if there may be more;
/// `None` if the group is in neither tree.
pub(super) fn of_unit(group: &str) -> Option<(Vec<i32>, io::Result<()>)> {
    let path = group.trim_start_matches('/');
    // All processes of a system are in the root.
    if path.is_empty() {
        return None;
    }
    let folder = [UNIFIED, LEGACY]
        .concat()
        .into_iter()
        .map(|root| Path::new(root).join(path))
        .find(|folder| folder.join("cgroup.procs").exists())?;
    let mut found = Vec::new();
    let done = collect(&folder, &mut found);
    Some((found, done))
}

/// Whether an error from a file in /proc or of a control group means that the process or the group is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ESRCH | libc::ENOENT | libc::ENODEV)
    )
}

/// Collects the PIDs of a group and those below it. A group that cannot be read does not end the search; one
/// that is gone is not an error.
fn collect(folder: &Path, found: &mut Vec<i32>) -> io::Result<()> {
    let listed = fs::read_to_string(folder.join("cgroup.procs")).map(|text| {
        let numbers = text.lines().filter_map(|l| l.parse::<i32>().ok());
        // 0 stands for a process of another PID namespace.
        found.extend(numbers.filter(|p| *p > 0));
    });
    let below = fs::read_dir(folder).map(|entries| {
        let entries = entries.flatten();
        entries
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
            .map(|e| e.path())
            .collect::<Vec<PathBuf>>()
    });
    let mut done = unless_gone(listed);
    match below {
        Ok(folders) => {
            for folder in folders {
                done = done.and(collect(&folder, found));
            }
        }
        Err(e) => done = done.and(unless_gone(Err(e))),
    }
    done
}

fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if is_gone(&e) || is_threaded(&e) => Ok(()),
        done => done,
    }
}

/// Whether the error is that of a threaded group; its processes are listed in the group above, see cgroups(7).
fn is_threaded(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EOPNOTSUPP)
}
