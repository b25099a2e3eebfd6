//! The files of unix sockets. systemd leaves them when it stops a socket unit, unless the unit has `RemoveOnStop=`.
//!
//! The units of an app do not have it: after a stop the file stays as programs and clients know it. Once the app is uninstalled
//! nobody else would remove the file.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::layout::{Layout, Scope};
use crate::plan::diff::{Change, Content};

/// Removes the files of the sockets of which these changes have removed the units, once the units are stopped. A file is left
/// if somebody listens on it, or if users other than root decide which file the path leads to.
pub(super) fn remove(layout: &Layout, removed: &[Change]) {
    for change in removed {
        let is_socket = change.path.extension().is_some_and(|e| e == "socket");
        let Some(Content::File(text)) = change.old.as_ref().filter(|_| is_socket) else {
            continue;
        };
        for path in text.lines().filter_map(path) {
            // The app is gone whether its file is or not.
            let _ = remove_left(&path, layout.scope);
        }
    }
}

/// The path that a line of a socket unit has systemd listen on. A `%` is doubled there.
fn path(line: &str) -> Option<PathBuf> {
    let (directive, value) = line.split_once('=')?;
    let is_path = directive.starts_with("Listen") && value.starts_with('/');
    is_path.then(|| value.replace("%%", "%").into())
}

/// Removes the file if it is a socket on which nobody listens. The folder may belong to the app, and its program may put something
/// else in the file's place at any time: hence the file that is looked at is the one that is connected to, and only a file of that
/// very folder is removed.
fn remove_left(path: &Path, scope: Scope) -> nix::Result<()> {
    let (folder, name) = path.parent().zip(path.file_name()).ok_or(Errno::EINVAL)?;
    let folder = walk_to(folder, scope)?;
    let file = openat(&folder, name, look(), Mode::empty())?;
    let found = fstat(&file)?;
    if is(&found, SFlag::S_IFSOCK) && is_left(file.as_fd()) {
        unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir)?;
    }
    Ok(())
}

fn look() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

fn is(found: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == kind
}

/// Opens a folder without following a link. For an app of the system only root may decide which folder this is: whoever can
/// replace a folder above it can have root remove another file of this name.
fn walk_to(folder: &Path, scope: Scope) -> nix::Result<OwnedFd> {
    let mut at = open("/", look() | OFlag::O_DIRECTORY, Mode::empty())?;
    for part in folder.components() {
        let name: &OsStr = match part {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            _ => return Err(Errno::EINVAL),
        };
        if scope == Scope::System && !is_roots_alone(&fstat(&at)?) {
            return Err(Errno::EPERM);
        }
        at = openat(&at, name, look() | OFlag::O_DIRECTORY, Mode::empty())?;
    }
    Ok(at)
}

fn is_roots_alone(found: &FileStat) -> bool {
    found.st_uid == 0 && found.st_mode & 0o022 == 0
}

/// Whether nobody listens on a socket, of which this is the file.
fn is_left(file: BorrowedFd<'_>) -> bool {
    [SockType::Stream, SockType::Datagram]
        .into_iter()
        .all(|kind| is_refused(file, kind))
}

/// Whether a socket of this kind cannot be connected to. The call never waits, not even for a listener that accepts nothing.
fn is_refused(file: BorrowedFd<'_>, kind: SockType) -> bool {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let connected = socket(AddressFamily::Unix, kind, flags, None)
        .and_then(|ours| connect(ours.as_raw_fd(), &UnixAddr::new(path.as_str())?));
    connected == Err(Errno::ECONNREFUSED)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use nix::sys::socket::{Backlog, bind, listen};

    use super::*;

    #[test]
    fn only_a_socket_that_nobody_listens_on_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::user(root.path(), root.path());
        let at = |name: &str| root.path().join(name);
        let serves = UnixListener::bind(at("serves")).unwrap();
        let datagrams = UnixDatagram::bind(at("datagrams")).unwrap();
        drop(UnixListener::bind(at("left")).unwrap());
        fs::write(at("file"), "").unwrap();
        let names = ["serves", "datagrams", "left", "file"];
        let lines = names.map(|name| format!("ListenStream={}\n", at(name).display()));
        let unit = |name: &str| Change {
            path: at(name),
            old: Some(Content::File(lines.concat())),
            new: None,
        };
        remove(&layout, &[unit("web.service")]);
        assert!(at("left").exists(), "no socket unit");
        remove(&layout, &[unit("web.socket")]);
        assert_eq!(names.map(|n| at(n).exists()), [true, true, false, true]);
        drop((serves, datagrams));
    }

    #[test]
    fn the_file_behind_a_link_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::user(root.path(), root.path());
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        drop(UnixListener::bind(at("real/100%.sock")).unwrap());
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("real/100%.sock"), at("sock")).unwrap();
        let unit = |name: &str| {
            let line = format!("ListenStream={}\n", at(name).display());
            let change = Change {
                path: at("web.socket"),
                old: Some(Content::File(line)),
                new: None,
            };
            remove(&layout, &[change]);
            at("real/100%.sock").exists()
        };
        assert!(unit("link/100%%.sock"));
        assert!(unit("sock") && at("sock").is_symlink());
        assert!(!unit("real/100%%.sock"), "a `%` is doubled in a unit");
    }

    #[test]
    fn a_folder_that_others_can_replace_is_left_alone() {
        let is_fixed = |owner, mode| {
            let root = tempfile::tempdir_in("/run").unwrap();
            let above = root.path().join("above");
            let own = above.join("sockets");
            fs::create_dir_all(&own).unwrap();
            std::os::unix::fs::chown(&above, Some(owner), None).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(&above, mode).unwrap();
            // The last folder may be the app's.
            std::os::unix::fs::chown(&own, Some(65_534), None).unwrap();
            walk_to(&own, Scope::System).is_ok()
        };
        assert!(is_fixed(0, 0o755));
        assert!(!is_fixed(65_534, 0o755));
        assert!(!is_fixed(0, 0o777));
        let port = "ListenStream=3000";
        assert_eq!(path(port).or(path("ListenStream=@web")), None);
    }

    /// The caller may be root, and the program may be stopped.
    #[test]
    fn a_listener_whose_queue_is_full_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("full");
        let new = || {
            socket(
                AddressFamily::Unix,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
        };
        let listener = new().unwrap();
        let address = UnixAddr::new(&path).unwrap();
        bind(listener.as_raw_fd(), &address).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let waits = new().unwrap();
        connect(waits.as_raw_fd(), &address).unwrap();
        let file = fs::File::from(open(&path, look(), Mode::empty()).unwrap());
        assert!(!is_refused(file.as_fd(), SockType::Stream));
        drop(listener);
        assert!(is_refused(file.as_fd(), SockType::Stream));
    }
}
