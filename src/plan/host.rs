//! The facts of a machine that units are fitted to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::ecosystem::resolve::FileStatus;
use crate::procfs;

/// A machine that units are made for.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// CPUs that this system may use: affinity and quota counted.
    pub cpus: u32,
    /// Whether the Yama module restricts ptrace(2).
    pub yama: bool,
    /// Looks up what there is at a path, a link for itself. Of a host that is being put together nothing is known.
    pub status: fn(&Path) -> Option<FileStatus>,
}

impl Host {
    /// The machine as the calling process sees it: its affinity and the quota of its control groups count.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let scope = fs::read_to_string(procfs::YAMA_SCOPE).unwrap_or_default();
        Self {
            cpus: u32::try_from(cpus).unwrap_or(1),
            yama: procfs::yama_scope(&scope) > 0,
            status,
        }
    }

    /// The machine as a generator sees it. systemd waits for its generators, so a generator must neither wait for a server nor for
    /// systemd to mount something, and looks only at local file systems.
    #[must_use]
    pub fn of_a_generator() -> Self {
        Self {
            status: local,
            ..Self::of_this_machine()
        }
    }
}

/// Looks up what there is at a path of this machine.
#[must_use]
pub fn status(path: &Path) -> Option<FileStatus> {
    let found = path.symlink_metadata().ok()?;
    Some(FileStatus {
        owner: found.uid(),
        group: found.gid(),
        mode: found.mode() & 0o7777,
        link: fs::read_link(path).ok(),
    })
}

/// Kinds of file systems that the kernel answers for alone.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay",
    "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// The same as [`status`] for local file systems only. The caller asks for each folder on the way first, and stops at the first
/// one without an answer.
fn local(path: &Path) -> Option<FileStatus> {
    static MOUNTS: OnceLock<BTreeMap<PathBuf, String>> = OnceLock::new();
    let read = || mounts(&fs::read("/proc/self/mountinfo").unwrap_or_default());
    let kind = MOUNTS.get_or_init(read).get(path);
    kind.is_none_or(|kind| LOCAL.contains(&kind.as_str()))
        .then(|| status(path))?
}

/// The mount points, each with the type of the file system that was mounted there last, see `/proc/PID/mountinfo` in proc(5).
fn mounts(mountinfo: &[u8]) -> BTreeMap<PathBuf, String> {
    let lines = mountinfo.split(|b| *b == b'\n');
    let mounts = lines.filter_map(|line| {
        let mut words = line.split(|b| *b == b' ');
        let place = unescaped(words.nth(4)?);
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        Some((place.into(), String::from_utf8_lossy(kind).into_owned()))
    });
    mounts.collect()
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(word: &[u8]) -> OsString {
    let mut bytes = Vec::new();
    let mut left = word;
    while let Some((first, rest)) = left.split_first() {
        let escaped = (*first == b'\\').then(|| octal(rest)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        let behind = rest.get(3..).filter(|_| escaped.is_some());
        left = behind.unwrap_or(rest);
    }
    OsString::from_vec(bytes)
}

fn octal(text: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(text.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_at_a_place_is_the_one_that_is_seen() {
        let text = b"21 1 0:20 / / rw shared:1 - ext4 /dev/vda rw\n\
            22 21 0:21 / /srv/a\\040b rw,relatime shared:2 master:1 - autofs systemd-1 rw\n\
            23 21 0:22 / /srv/a\\040b rw - nfs4 host:/x rw\n\
            nonsense\n";
        let found = mounts(text);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(place, kind)| (place.to_str().unwrap(), kind.as_str()))
            .collect();
        assert_eq!(found, [("/", "ext4"), ("/srv/a b", "nfs4")]);
    }

    #[test]
    fn a_generator_looks_at_what_the_kernel_answers_for_alone() {
        assert!(local(Path::new("/proc")).is_none());
        assert!(status(Path::new("/proc")).is_some() && local(Path::new("/etc")).is_some());
    }
}
