//! Files of unix sockets: whether two paths mean the same file, whether the file is still there, and what a program may do
//! to it.
//!
//! Many programs unlink their socket's file before bind and at their end, and set its mode or owner after
//! bind. systemd creates the file once, as root: if such a call removed it, no client would find the socket;
//! if the call failed, the program would end.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::exchange::inode;
use crate::peer::address::Address;
use crate::peer::process::Process;
use crate::procfs;
use crate::sys::seccomp::files::{Act, Object};
use crate::unit::name::Units;

/// Folders that `PrivateTmp=` and `ProtectHome=` hide, so that a missing file there means nothing.
const HIDDEN: &[&str] = &["/tmp", "/var/tmp", "/home", "/root", "/run/user"];

/// Returns the path of a socket in the file system.
pub(super) fn path(address: &Address) -> Option<&Path> {
    match address {
        Address::Path(bytes) => Some(Path::new(OsStr::from_bytes(bytes))),
        Address::Inet(_) => None,
    }
}

/// Returns the path of a file that need not exist, with the links of its folder resolved.
pub(super) fn absolute(path: &Path) -> Option<PathBuf> {
    let folder = std::fs::canonicalize(path.parent()?).ok()?;
    Some(folder.join(path.file_name()?))
}

/// Returns whether two paths name the same entry of the same folder, whether it exists or not.
pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    let folder = |path: &Path| {
        let found = path.parent()?.metadata().ok()?;
        Some((found.dev(), found.ino()))
    };
    a.file_name() == b.file_name() && folder(a).is_some_and(|f| Some(f) == folder(b))
}

/// Returns the file's identity, if it is a socket.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = path.symlink_metadata().ok()?;
    found
        .file_type()
        .is_socket()
        .then(|| (found.dev(), found.ino()))
}

/// Returns whether a socket file was removed, as far as the worker can see.
pub(super) fn is_gone(path: &Path) -> bool {
    let hidden = HIDDEN.iter().any(|folder| path.starts_with(folder));
    !hidden && identity(path).is_none() && path.parent().is_some_and(Path::exists)
}

/// `PATH_MAX`
const LONGEST: usize = 4096;
/// The size of a page: memory is mapped up to a multiple of it.
const PAGE: u64 = 4096;

/// The path at an address of the caller's memory.
pub(super) fn read_path(caller: &Process, address: u64) -> Option<PathBuf> {
    let mut path = Vec::new();
    let mut next = address;
    while path.len() < LONGEST {
        // Up to the end of the page: the path may end there, and the next page may not be mapped.
        let mut bytes = vec![0; usize::try_from(PAGE - next % PAGE).ok()?];
        caller.read_memory(next, &mut bytes).ok()?;
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            path.extend_from_slice(bytes.get(..end)?);
            return (path.len() < LONGEST).then(|| OsStr::from_bytes(&path).into());
        }
        next = next.checked_add(u64::try_from(bytes.len()).ok()?)?;
        path.append(&mut bytes);
    }
    None
}

/// A path of the caller as this process finds it: relative to one of the caller's descriptors, or to its working directory.
pub(super) fn resolve(caller: &Process, folder: RawFd, path: &Path) -> Option<PathBuf> {
    if path.is_absolute() || folder == libc::AT_FDCWD {
        return Some(caller.resolve(path));
    }
    let folder = caller.descriptor(folder).ok()?;
    let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
    // While the descriptor is open.
    let folder = std::fs::canonicalize(folder).ok()?;
    Some(folder.join(path))
}

/// As [`resolve`], but from the root of the caller, which chroot(2) may have changed. The path is for display, not for comparison.
pub(super) fn find(caller: &Process, folder: RawFd, path: &Path) -> Option<PathBuf> {
    match path.strip_prefix("/") {
        Ok(below) => Some(caller.path("root").join(below)),
        Err(_) => resolve(caller, folder, path),
    }
}

/// The file or socket of a call.
pub(super) enum Named {
    /// By a path, which begins at this descriptor of the caller if it is relative.
    Path { folder: RawFd, path: PathBuf },
    /// By a descriptor that leads to this inode.
    Socket(u64),
}

impl Named {
    pub(super) fn by(object: &Object, caller: &Process) -> Option<Self> {
        Some(match *object {
            Object::Path { folder, address } => Self::Path {
                folder,
                path: read_path(caller, address)?,
            },
            Object::Descriptor(fd) => {
                Self::Socket(inode(caller.descriptor(fd).ok()?.as_fd()).ok()?)
            }
        })
    }
}

/// The facts that decide about a call of a program on the file of a declared socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// The owner and the mode of the file; `None` if the program cannot see the file.
    known: Option<(u32, u32)>,
}

/// The rights of a program that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    user: u32,
    capabilities: u64,
}

impl Rights {
    /// The rights of a process; none if they cannot be read.
    pub(super) fn of(caller: &Process) -> Self {
        let status = caller.text("status");
        let users = procfs::field(&status, "Uid:").unwrap_or_default();
        // The fourth is the one for files, see `proc_pid_status(5)`.
        let user = users.split_whitespace().nth(3);
        let capabilities = procfs::field(&status, "CapEff:").unwrap_or_default();
        Self {
            user: user.and_then(|u| u.parse().ok()).unwrap_or(u32::MAX),
            capabilities: u64::from_str_radix(capabilities, 16).unwrap_or(0),
        }
    }

    fn has(self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }
}

/// `CAP_CHOWN`, see capabilities(7).
const CHOWN: u32 = 0;
/// `CAP_FOWNER`
const FOWNER: u32 = 3;
/// The permission to write to the file is the permission to connect, see unix(7).
const WRITE: u32 = 0o222;

impl Facts {
    /// The facts about the file of a socket, which had this identity at the start; `None` when it is another file now.
    pub(super) fn of(path: &Path, at_start: Option<(u64, u64)>) -> Option<Self> {
        let now = path.symlink_metadata().ok();
        let known = now.as_ref().map(|now| (now.uid(), now.mode() & 0o7777));
        let is_same = now.map(|now| (now.dev(), now.ino())) == at_start;
        is_same.then_some(Self { known })
    }

    /// The facts about a file that cannot be seen.
    pub(super) fn unknown() -> Self {
        Self { known: None }
    }

    /// Whether the kernel would let the program change the mode or the owner.
    fn is_theirs(self, rights: Rights, capability: u32) -> bool {
        let is_owner = self.known.is_some_and(|(owner, _)| owner == rights.user);
        is_owner || rights.has(capability)
    }

    /// Whether the file stays as it is and the call returns 0.
    pub(super) fn is_kept(self, rights: Rights, act: Act) -> bool {
        match act {
            Act::Remove => true,
            Act::RemoveFolder => false,
            Act::Owner => !self.is_theirs(rights, CHOWN),
            Act::Mode(mode) => {
                // A program that wants to keep others out must not believe that it has.
                let excludes = self.known.is_some_and(|(_, now)| now & WRITE & !mode != 0);
                !excludes && !self.is_theirs(rights, FOWNER)
            }
        }
    }

    /// The line about a program that sets a mode by which others could connect, or could not, and may not set it.
    pub(super) fn differs(self, rights: Rights, mode: u32, path: &Path) -> Option<String> {
        let (_, now) = self.known?;
        let is_other = now & WRITE != mode & WRITE && !self.is_theirs(rights, FOWNER);
        is_other.then(|| {
            format!(
                "the program tries to set the mode {mode:04o} of `{}`, a file of systemd with mode {now:04o}; write `socket.SocketMode = \"{mode:04o}\"`, and `SocketUser` and `SocketGroup` for the owner",
                path.display()
            )
        })
    }
}

/// The line about a file that was removed, with its remedy.
pub(super) fn advice(path: &Path, app: &str) -> String {
    format!(
        "`{}` was removed, and no client can reach it; see that nothing removes it, then `systemctl restart {}`; a program that does so by io_uring needs `handover = \"fds\"`",
        path.display(),
        Units::of(app).whole()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTS: Facts = Facts {
        known: Some((0, 0o666)),
    };
    const WWW: Rights = Rights {
        user: 33,
        capabilities: 0,
    };
    const ROOT: Rights = Rights {
        user: 0,
        capabilities: u64::MAX,
    };

    #[test]
    fn nobody_removes_the_file_of_a_declared_socket() {
        for rights in [WWW, ROOT] {
            assert!(ROOTS.is_kept(rights, Act::Remove));
            assert!(!ROOTS.is_kept(rights, Act::RemoveFolder));
        }
    }

    #[test]
    fn whose_file_it_is_changes_its_mode_and_owner_and_others_are_told_that_they_have() {
        let own = Facts {
            known: Some((33, 0o660)),
        };
        for act in [Act::Mode(0o666), Act::Mode(0o777), Act::Owner] {
            assert!(ROOTS.is_kept(WWW, act), "{act:?}");
            assert!(!ROOTS.is_kept(ROOT, act), "{act:?}");
        }
        assert!(!own.is_kept(WWW, Act::Mode(0o600)));
        assert_eq!(own.differs(WWW, 0o600, Path::new("/run/a")), None);
        // For instance, `PrivateTmp=` hides the file from the program.
        assert!(Facts::unknown().is_kept(WWW, Act::Mode(0o600)));
    }

    /// The file of a declared socket belongs to root.
    #[test]
    fn who_has_the_capability_for_it_changes_the_file_of_another_user() {
        for (capability, owner, mode) in [(CHOWN, false, true), (FOWNER, true, false)] {
            let rights = Rights {
                capabilities: 1 << capability,
                ..WWW
            };
            assert_eq!(ROOTS.is_kept(rights, Act::Owner), owner);
            assert_eq!(ROOTS.is_kept(rights, Act::Mode(0o777)), mode);
        }
    }

    #[test]
    fn a_program_that_keeps_others_out_is_not_told_that_it_has() {
        let told = |mode| ROOTS.differs(WWW, mode, Path::new("/run/web.sock"));
        assert!(!ROOTS.is_kept(WWW, Act::Mode(0o660)));
        assert_eq!(
            told(0o660).unwrap(),
            "the program tries to set the mode 0660 of `/run/web.sock`, a file of systemd with mode 0666; write `socket.SocketMode = \"0660\"`, and `SocketUser` and `SocketGroup` for the owner"
        );
        assert_eq!(told(0o777), None);
        let narrow = Facts {
            known: Some((0, 0o600)),
        };
        assert!(narrow.is_kept(WWW, Act::Mode(0o666)));
        assert!(narrow.is_kept(WWW, Act::Mode(0o600)));
        assert!(narrow.differs(WWW, 0o666, Path::new("/run/a")).is_some());
    }
}
