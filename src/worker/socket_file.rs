//! Files of unix sockets: whether two paths mean the same file, and whether the file is still there.
//!
//! Many programs unlink their socket's file before bind, or at their end. systemd never makes the file again, and everything
//! seems well, except that no client finds the socket.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::peer::address::Address;
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

/// The line about a file that was removed, with its remedy.
pub(super) fn advice(path: &Path, app: &str) -> String {
    format!(
        "`{0}` was removed, as programs do before bind or at their end, and no client can reach it; write `handover = \"fds\"` if the program takes sockets from systemd, as gunicorn does, or `service.BindPaths = \"{0}\"` if it goes on where it cannot remove the file; then `systemctl restart {1}`",
        path.display(),
        Units::of(app).whole()
    )
}
