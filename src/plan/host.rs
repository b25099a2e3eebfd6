//! The facts about a host on which units depend.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{self as inode, Mode, OFlags};
use rustix::io::Errno;

use crate::ecosystem::resolve::{Beyond, FileStatus};
use crate::procfs;

/// The host that units are made for.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The CPUs that this system may use, by affinity and quota.
    pub cpus: u32,
    /// Whether the Yama module restricts ptrace(2).
    pub yama: bool,
    /// Looks up the inode at a path, without following a link at its end. Nothing is known about a host that is being
    /// put together.
    pub status: fn(&Path) -> Option<FileStatus>,
}

impl Host {
    /// Returns this host as the calling process sees it, with the process's affinity and the quotas of its control
    /// groups.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let scope = fs::read_to_string(procfs::YAMA_SCOPE).unwrap_or_default();
        Self {
            cpus: u32::try_from(cpus).unwrap_or(1),
            yama: is_ptrace_restricted(&scope),
            status,
        }
    }

    /// Returns this host for a generator. systemd waits for its generators, so a generator must wait neither for a
    /// server nor for systemd to mount something: it looks at local file systems only.
    #[must_use]
    pub fn of_a_generator() -> Self {
        Self {
            status: local,
            ..Self::of_this_machine()
        }
    }
}

fn is_ptrace_restricted(scope: &str) -> bool {
    procfs::yama_scope(scope) > 0
}

/// Looks up the inode at a path of this host. The inode is opened and everything is read through the descriptor, so
/// that the facts belong together even if a file system is mounted or unmounted in between.
///
/// The kernel's own file systems answer root's questions about every inode. So an error other than "does not exist"
/// comes from a server, for instance that of a file system in user space, which may refuse even root.
#[must_use]
pub fn status(path: &Path) -> Option<FileStatus> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match inode::open(path, flags, Mode::empty()).and_then(|inode| examine(inode.as_fd())) {
        Ok(found) => Some(found),
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Err(_) => rustix::process::geteuid()
            .is_root()
            .then_some(FileStatus::of_a_server()),
    }
}

/// `FUSE_SUPER_MAGIC`, see statfs(2).
const FUSE: u64 = 0x6573_5546;

/// File systems whose servers have their own rules on who may do what: FUSE, NFS, CIFS, SMB2, 9P, and AFS of two makes.
const SERVED: [u64; 7] = [
    FUSE,
    0x6969,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x5346_414f,
    0x6b41_4653,
];

fn examine(found: BorrowedFd<'_>) -> rustix::io::Result<FileStatus> {
    let kind = u64::try_from(inode::fstatfs(found)?.f_type).unwrap_or_default();
    // The descriptor keeps the mount, so a mount that is missing from the list was detached in the meantime.
    let mounts = || {
        let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", found.as_raw_fd()));
        let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
        (fdinfo.unwrap_or_default(), mountinfo)
    };
    if is_of_a_user(kind, mounts) {
        return Ok(FileStatus::of_a_server());
    }
    let stat = inode::fstat(found)?;
    // An empty path stands for the descriptor itself, see readlinkat(2).
    let link = inode::readlinkat(found, "", Vec::new()).ok();
    Ok(FileStatus {
        owner: stat.st_uid,
        group: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        beyond: if link.is_none() && has_acl(found) {
            Beyond::Acl
        } else if SERVED.contains(&kind) {
            Beyond::Elsewhere
        } else {
            Beyond::Nothing
        },
        link: link.map(|target| PathBuf::from(OsString::from_vec(target.into_bytes()))),
    })
}

/// Returns whether an inode has an access control list, see acl(5); true if that cannot be determined.
fn has_acl(found: BorrowedFd<'_>) -> bool {
    let length = read_list(found, &mut []);
    !matches!(length, Err(Errno::NODATA | Errno::NOTSUP))
}

/// Reads the list into the buffer, or only its length if the buffer is empty.
fn read_list(found: BorrowedFd<'_>, list: &mut [u8]) -> rustix::io::Result<usize> {
    // getxattr(2) does not accept a descriptor of `O_PATH`, but it accepts the descriptor's path in /proc.
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    inode::getxattr(path, "system.posix_acl_access", list)
}

/// Returns the access control list of an inode, in the format of `linux/posix_acl_xattr.h`; `None` if there is none that can be read.
#[must_use]
pub fn access_list(path: &Path) -> Option<Vec<u8>> {
    /// The length of the longest attribute, `XATTR_SIZE_MAX` of `linux/limits.h`.
    const LONGEST: usize = 65_536;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = inode::open(path, flags, Mode::empty()).ok()?;
    let mut list = vec![0; LONGEST];
    let length = read_list(found.as_fd(), &mut list).ok()?;
    list.truncate(length);
    Some(list)
}

/// Types of file systems for which the kernel needs no server.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay",
    "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// Returns whether an inode belongs to a file system in user space that somebody other than root mounted. `mounts`
/// reads the `fdinfo` of the inode's descriptor, and `mountinfo`, see proc(5).
fn is_of_a_user(kind: u64, mounts: impl FnOnce() -> (String, Vec<u8>)) -> bool {
    if kind != FUSE {
        return false;
    }
    let (fdinfo, mountinfo) = mounts();
    let id = procfs::field(&fdinfo, "mnt_id:").and_then(|id| id.parse().ok());
    let is_known_as_roots = |mount: &Mount| Some(mount.id) == id && mount.is_roots;
    !self::mounts(&mountinfo).iter().any(is_known_as_roots)
}

/// Does the same as [`status`], but for local file systems only. The caller asks for each folder on the way first and
/// stops at the first one without an answer.
fn local(path: &Path) -> Option<FileStatus> {
    static MOUNTS: OnceLock<BTreeMap<PathBuf, Mount>> = OnceLock::new();
    let read = || {
        let all = mounts(&fs::read("/proc/self/mountinfo").unwrap_or_default());
        all.into_iter().map(|m| (m.place.clone(), m)).collect()
    };
    local_below(MOUNTS.get_or_init(read).get(path), path)
}

/// Looks up a path on a local file system. `mount` is the file system that is mounted at the path itself, if there is one.
fn local_below(mount: Option<&Mount>, path: &Path) -> Option<FileStatus> {
    match mount {
        Some(mount) if !mount.is_roots => Some(FileStatus::of_a_server()),
        Some(mount) if !LOCAL.contains(&mount.kind.as_str()) => None,
        _ => status(path),
    }
}

/// A mount.
struct Mount {
    id: u32,
    place: PathBuf,
    kind: String,
    /// Whether the mount has no `user_id=` of a user other than root, see mount.fuse3(8).
    is_roots: bool,
}

/// Returns the mounts, oldest first, see `/proc/PID/mountinfo` in proc(5).
fn mounts(mountinfo: &[u8]) -> Vec<Mount> {
    let lines = mountinfo.split(|b| *b == b'\n');
    let mounts = lines.filter_map(|line| {
        let mut words = line.split(|b| *b == b' ');
        let id = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let place = unescaped(words.nth(3)?).into();
        let mut words = words.skip_while(|word| *word != b"-").skip(1);
        let kind = String::from_utf8_lossy(words.next()?).into_owned();
        let mut options = words.nth(1).unwrap_or_default().split(|b| *b == b',');
        let is_roots = !options.any(|o| o.starts_with(b"user_id=") && o != b"user_id=0");
        Some(Mount {
            id,
            place,
            kind,
            is_roots,
        })
    });
    mounts.collect()
}

/// Decodes blanks and backslashes, which the kernel writes as three octal digits.
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

    const MOUNTINFO: &[u8] = b"21 1 0:20 / / rw shared:1 - ext4 /dev/vda rw\n\
            22 21 0:21 / /srv/a\\040b rw,relatime shared:2 master:1 - autofs systemd-1 rw\n\
            23 21 0:22 / /srv/a\\040b rw - nfs4 host:/x rw\n\
            24 21 0:23 / /srv/web rw,nosuid - fuse.evil evil rw,user_id=33,group_id=33\n\
            25 21 0:24 / /srv/pool rw - fuse.mergerfs a:b rw,user_id=0,group_id=0\n\
            nonsense\n";

    #[test]
    fn a_mount_tells_its_place_its_kind_and_whose_it_is() {
        let found = mounts(MOUNTINFO);
        let found: Vec<_> = found
            .iter()
            .map(|m| (m.id, m.place.to_str().unwrap(), m.kind.as_str(), m.is_roots))
            .collect();
        let all = [
            (21, "/", "ext4", true),
            (22, "/srv/a b", "autofs", true),
            (23, "/srv/a b", "nfs4", true),
            (24, "/srv/web", "fuse.evil", false),
            (25, "/srv/pool", "fuse.mergerfs", true),
        ];
        assert_eq!(found, all);
    }

    #[test]
    fn an_access_control_list_is_seen_and_its_mask_is_in_the_bits_of_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(status(&file).unwrap().beyond, Beyond::Nothing);
        assert_eq!(access_list(&file), None);
        // Version 2 of the format: the owner, user 33, the group, the mask and others, see linux/posix_acl_xattr.h.
        let none = u32::MAX;
        let entries = [
            (1_u16, 6_u16, none),
            (2, 6, 33),
            (4, 4, none),
            (16, 6, none),
            (32, 4, none),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(bits.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let flags = inode::XattrFlags::empty();
        inode::setxattr(&file, "system.posix_acl_access", &list, flags).unwrap();
        let found = status(&file).unwrap();
        assert_eq!((found.beyond, found.mode), (Beyond::Acl, 0o664));
        assert_eq!(access_list(&file), Some(list));
    }

    #[test]
    fn a_link_is_told_for_itself_and_nothing_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/nowhere", &link).unwrap();
        assert_eq!(status(&link).unwrap().link, Some("/nowhere".into()));
        assert!(status(&folder.path().join("nothing")).is_none());
        assert!(status(&link.join("below")).is_none());
    }

    #[test]
    fn a_generator_looks_at_what_the_kernel_answers_for_alone() {
        assert!(local(Path::new("/proc")).is_none());
        assert!(status(Path::new("/proc")).is_some() && local(Path::new("/etc")).is_some());
    }

    #[test]
    fn a_generator_asks_nobody_who_serves_a_mount() {
        let folder = tempfile::tempdir().unwrap();
        let answers = mounts(MOUNTINFO).into_iter().map(|mount| {
            let found = local_below(Some(&mount), folder.path());
            found.map(|found| found.beyond == FileStatus::of_a_server().beyond)
        });
        let (known, unknown, of_a_user) = (Some(false), None, Some(true));
        let all = [known, unknown, unknown, of_a_user, unknown];
        assert_eq!(answers.collect::<Vec<_>>(), all);
        assert!(local_below(None, folder.path()).is_some());
    }

    #[test]
    fn only_a_file_system_in_user_space_that_root_has_not_mounted_is_of_a_user() {
        let is_of_a_user = |kind, id: u32| {
            let fdinfo = format!("pos:\t0\nflags:\t012100000\nmnt_id:\t{id}\nino:\t2\n");
            super::is_of_a_user(kind, || (fdinfo, MOUNTINFO.to_vec()))
        };
        assert!(is_of_a_user(FUSE, 24), "user 33 has mounted it");
        assert!(!is_of_a_user(FUSE, 25), "root has mounted it");
        assert!(is_of_a_user(FUSE, 99), "detached since");
        assert!(!is_of_a_user(0xef53, 24), "ext4");
    }

    #[test]
    fn without_yama_or_with_its_scope_of_zero_ptrace_is_not_restricted() {
        for (scope, is_restricted) in [("", false), ("0\n", false), ("1\n", true), ("2\n", true)] {
            assert_eq!(is_ptrace_restricted(scope), is_restricted, "{scope:?}");
        }
    }
}
