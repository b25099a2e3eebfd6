//! Which processes belong to the instance: those in the control group of its unit, see cgroups(7).
//!
//! systemd alone moves processes into a unit's group, and a process cannot leave it without the right to write into
//! another one. So nothing that a process says about itself has to be believed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::procfs::{Group, Tree};
use crate::unit::name::Units;

/// The control group of an instance's unit.
pub(crate) struct ControlGroup {
    group: Group,
    folder: PathBuf,
}

impl ControlGroup {
    /// The group that this process shares with the instance.
    ///
    /// systemd runs the commands of a unit inside the unit's own group, so nobody has to be believed; it
    /// must still be the instance's, or a command line typed by hand would drain a login session.
    ///
    /// # Errors
    /// When this process is in no group of that unit.
    pub(crate) fn of_own(app: &str, instance: u32) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let unit = Units::of(app).instance(instance);
        let group = Group::of_unit(&own, &unit)
            .ok_or_else(|| io::Error::other(format!("this process does not belong to `{unit}`")))?;
        let roots: &[&str] = match group.tree {
            Tree::Unified => &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
            Tree::Systemd => &["/sys/fs/cgroup/systemd"],
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

    /// Whether the process with this `/proc/PID/cgroup` is in the group, or in one below it.
    pub(crate) fn holds(&self, cgroup: &str) -> bool {
        self.group.holds(cgroup)
    }

    /// The number of every process in the group and in those below it. A process may be gone by the time that it is looked
    /// at, and its number another's: see [`super::process::Process::open`].
    pub(crate) fn numbers(&self) -> Vec<i32> {
        let mut found = Vec::new();
        collect(&self.folder, &mut found);
        found
    }

    /// A group that nothing is in.
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

    /// The group that a test runs in, as if it were that of a unit.
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
