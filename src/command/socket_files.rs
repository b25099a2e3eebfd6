//! The files of unix sockets. systemd leaves them when it stops a socket unit, unless the unit has `RemoveOnStop=`.
//!
//! The units of an app do not have it: after a stop the file stays as programs and clients know it. Once the app is uninstalled
//! nobody else would remove the file.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::layout::{Layout, Scope};
use crate::plan::diff::{Change, Content};

/// Removes the files of the sockets of which these changes have removed the units, once the units are stopped. A file is left
/// where somebody listens on it, or where others than root decide which file the path leads to.
pub(super) fn remove(layout: &Layout, removed: &[Change]) {
    for change in removed {
        let is_socket = change.path.extension().is_some_and(|e| e == "socket");
        let Some(Content::File(text)) = change.old.as_ref().filter(|_| is_socket) else {
            continue;
        };
        for path in text.lines().filter_map(path) {
            let is_ours_alone = layout.scope == Scope::User || is_of_root(path);
            if is_ours_alone && is_left(path) {
                // The app is gone whether its file is or not.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// The path that a line of a socket unit has systemd listen on.
fn path(line: &str) -> Option<&Path> {
    let (directive, value) = line.split_once('=')?;
    let is_path = directive.starts_with("Listen") && value.starts_with('/');
    is_path.then_some(Path::new(value))
}

/// Whether this is a socket on which nobody listens.
fn is_left(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && [SockType::Stream, SockType::Datagram]
            .into_iter()
            .all(|kind| is_refused(path, kind))
}

/// Whether a socket of this kind cannot be connected to. The call never waits, not even for a listener that accepts nothing.
fn is_refused(path: &Path, kind: SockType) -> bool {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let connected = socket(AddressFamily::Unix, kind, flags, None)
        .and_then(|ours| connect(ours.as_raw_fd(), &UnixAddr::new(path)?));
    connected == Err(Errno::ECONNREFUSED)
}

/// Whether only root decides which file this is. Whoever can replace a folder above it can have root remove another file of
/// this name.
fn is_of_root(path: &Path) -> bool {
    let Some(folder) = path.parent() else {
        return false;
    };
    let is_real = fs::canonicalize(folder).is_ok_and(|real| real == folder);
    let is_fixed = |above: &Path| {
        above
            .metadata()
            .is_ok_and(|m| m.uid() == 0 && m.mode() & 0o022 == 0)
    };
    is_real && folder.ancestors().skip(1).all(is_fixed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

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
    fn a_folder_that_others_can_replace_is_left_alone() {
        let is_fixed = |owner, mode| {
            let root = tempfile::tempdir_in("/run").unwrap();
            let above = root.path().join("above");
            fs::create_dir_all(above.join("sockets")).unwrap();
            std::os::unix::fs::chown(&above, Some(owner), None).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(&above, mode).unwrap();
            is_of_root(&above.join("sockets/web.sock"))
        };
        assert!(is_fixed(0, 0o755));
        assert!(!is_fixed(65_534, 0o755));
        assert!(!is_fixed(0, 0o777));
        let port = "ListenStream=3000";
        assert_eq!(path(port).or(path("ListenStream=@web")), None);
    }
}
