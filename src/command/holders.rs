//! Which sockets the processes of an app have. Only the links in /proc/PID/fd tell that, and an app may have as many processes, groups
//! of them and descriptors as it likes: a look ends after so many.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::accepting;
use crate::procfs;
use crate::systemd::Unit;

/// So many descriptors are looked at in one app; a look at all of them takes about a tenth of a second.
const DESCRIPTORS: usize = 1 << 16;
/// So many are looked at in addition for each socket that is looked for: who has many connections has as many descriptors, and some more
/// for those that it has itself opened meanwhile.
const FOR_EACH: usize = 4;
/// A process or a group costs as much as so many descriptors.
const PROCESS: usize = 8;

/// A look at the processes of one app.
pub(super) struct Look {
    /// How many more descriptors are looked at.
    left: usize,
}

/// The look has ended before everything was seen, or the caller may not see it.
struct Unknown;

impl Look {
    /// A look for this number of sockets.
    pub(super) fn for_some(sockets: usize) -> Self {
        let more = sockets.saturating_mul(FOR_EACH);
        Self {
            left: DESCRIPTORS.saturating_add(more),
        }
    }

    /// How many of these sockets the processes of a control group have, whose folder this is; `None` to a caller who may not see that,
    /// and where the app has more descriptors than are looked at.
    pub(super) fn held(&mut self, folder: &Path, sockets: &HashSet<u64>) -> Option<usize> {
        let mut found = HashSet::new();
        for pid in self.processes(folder).ok()? {
            self.add(pid, sockets, &mut found).ok()?;
        }
        Some(found.len())
    }

    /// Adds those of these sockets that a process has.
    fn add(
        &mut self,
        pid: u32,
        sockets: &HashSet<u64>,
        found: &mut HashSet<u64>,
    ) -> Result<(), Unknown> {
        let folder = format!("/proc/{pid}/fd");
        // Since Linux 6.2 the size of the folder is the number of descriptors. Before that it is 0.
        let size = fs::metadata(&folder).map_or(0, |folder| folder.len());
        if usize::try_from(size).map_or(true, |size| size > self.left) {
            self.left = 0;
            return Err(Unknown);
        }
        let links = match fs::read_dir(&folder) {
            Ok(links) => links,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Err(Unknown),
            Err(_) => return Ok(()),
        };
        for link in links.flatten() {
            if found.len() == sockets.len() {
                return Ok(());
            }
            self.spend(1)?;
            let target = fs::read_link(link.path()).ok();
            let inode = target.and_then(|target| inode(&target));
            found.extend(inode.filter(|inode| sockets.contains(inode)));
        }
        Ok(())
    }

    /// The processes in a group and below it.
    fn processes(&mut self, folder: &Path) -> Result<Vec<u32>, Unknown> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            self.spend(PROCESS)?;
            let own = own(&folder);
            self.spend(own.len().saturating_mul(PROCESS))?;
            found.extend(own);
            folders.extend(below(&folder));
        }
        Ok(found)
    }

    fn spend(&mut self, cost: usize) -> Result<(), Unknown> {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(Unknown)
    }
}

/// The processes in a group and below it, in any number.
pub(super) fn processes(folder: &Path) -> impl Iterator<Item = u32> {
    let mut folders = vec![folder.to_owned()];
    let next = move || {
        let folder = folders.pop()?;
        folders.extend(below(&folder));
        Some(own(&folder))
    };
    std::iter::from_fn(next).flatten()
}

/// The processes of a group. Those of another PID namespace are 0.
pub(super) fn own(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let numbers = text.lines().filter_map(|line| line.parse().ok());
    numbers.filter(|pid| *pid != 0).collect()
}

/// The groups in a group.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// The control group of a service with this main process, which may be in one below it. Of one that is up, systemd was not asked for it.
pub(super) fn group(pid: u32, unit: &Unit) -> Option<String> {
    if !unit.control_group.is_empty() {
        return Some(unit.control_group.clone());
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups
        .lines()
        .find_map(|line| procfs::up_to(line.splitn(3, ':').nth(2)?, &unit.name))
        .map(str::to_owned)
}

/// The folder of a control group.
pub(super) fn folder(group: &str) -> Option<PathBuf> {
    let group = group.trim_start_matches('/');
    let mut folders = accepting::ROOTS
        .iter()
        .map(|root| Path::new(root).join(group));
    folders.find(|folder| folder.is_dir())
}

/// The inode of `socket:[INODE]`.
pub(super) fn inode(target: &Path) -> Option<u64> {
    let text = target.to_str()?.strip_prefix("socket:[")?;
    text.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process;

    use nix::sys::stat::fstat;

    use super::*;

    /// The folder of a group with this process, and below it one with the same.
    fn group() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        for folder in [folder.path(), &below] {
            let text = format!("0\n{}\n", process::id());
            fs::write(folder.join("cgroup.procs"), text).unwrap();
        }
        folder
    }

    fn sockets(count: usize) -> (Vec<TcpListener>, HashSet<u64>) {
        let one = || TcpListener::bind("127.0.0.1:0").unwrap();
        let all: Vec<TcpListener> = (0..count).map(|_| one()).collect();
        let inodes = all.iter().map(|one| fstat(one).unwrap().st_ino).collect();
        (all, inodes)
    }

    #[test]
    fn a_look_at_an_app_ends_where_it_has_more_than_anybody_wants_to_see() {
        let group = group();
        let (_open, mut wanted) = sockets(3);
        wanted.insert(u64::MAX);
        let held = |left: usize| {
            let mut look = Look { left };
            (look.held(group.path(), &wanted), look.left)
        };
        assert_eq!(held(DESCRIPTORS).0, Some(3), "each counts once");
        // The groups alone, and the processes as well.
        for left in [0, PROCESS, 2 * PROCESS, 4 * PROCESS, 4 * PROCESS + 3] {
            assert_eq!(held(left), (None, 0), "{left}");
        }
        // A look at one instance leaves less for the other instances of the app.
        let mut look = Look { left: DESCRIPTORS };
        look.held(group.path(), &wanted);
        assert!(look.left < DESCRIPTORS);
        // Those who have many connections have many descriptors.
        assert_eq!(Look::for_some(10).left, DESCRIPTORS + 40);
        assert_eq!(Look::for_some(usize::MAX).left, usize::MAX);
    }

    #[test]
    fn a_look_ends_with_the_last_socket_that_it_looks_for() {
        let group = group();
        let (_open, wanted) = sockets(1);
        let mut look = Look { left: DESCRIPTORS };
        assert_eq!(look.held(group.path(), &wanted), Some(1));
        let none = HashSet::new();
        let left = look.left;
        assert_eq!(look.held(group.path(), &none), Some(0));
        assert_eq!(left - look.left, 4 * PROCESS, "no descriptor");
        let pids: Vec<u32> = processes(group.path()).collect();
        assert_eq!(pids, [process::id(); 2]);
    }
}
