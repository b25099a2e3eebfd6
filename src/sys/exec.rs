//! Executing another program, and the descriptors that systemd has passed.

#![expect(
    unsafe_code,
    reason = "execve with an environment of its own, descriptors by number"
)]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Executes a program with this environment; returns only if that failed. A name without `/` is looked up in `$PATH` of this
/// environment, as by execvp(3).
#[must_use]
pub fn exec(words: &[OsString], environment: &[(OsString, OsString)]) -> io::Error {
    let Some(program) = words.first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let arguments: Option<Vec<CString>> = words
        .iter()
        .map(|w| CString::new(w.as_bytes()).ok())
        .collect();
    let variables: Option<Vec<CString>> = environment.iter().map(|(k, v)| variable(k, v)).collect();
    let (Some(arguments), Some(variables)) = (arguments, variables) else {
        return io::ErrorKind::InvalidInput.into();
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for path in candidates(program, environment) {
        let Ok(path) = CString::new(path.into_os_string().into_vec()) else {
            continue;
        };
        let Err(errno) = nix::unistd::execve(&path, &arguments, &variables);
        let error = io::Error::from(errno);
        // `EACCES` for one file explains more than `ENOENT` for a later folder of `$PATH`.
        if error.kind() != io::ErrorKind::NotFound || last.kind() == io::ErrorKind::NotFound {
            last = error;
        }
    }
    last
}

fn variable(key: &OsStr, value: &OsStr) -> Option<CString> {
    let mut bytes = key.as_bytes().to_vec();
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    CString::new(bytes).ok()
}

fn candidates(program: &OsStr, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    let path = environment
        .iter()
        .find(|(k, _)| k == "PATH")
        .map(|(_, v)| v.clone());
    let path = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .collect()
}

/// The descriptor that systemd has passed under this number.
///
/// # Errors
/// `EBADF` when there is none.
pub fn passed(fd: RawFd) -> io::Result<BorrowedFd<'static>> {
    // SAFETY: the call takes a number and changes nothing.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and nothing in this process closes what systemd has passed.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Sets whether execve(2) closes a descriptor.
///
/// # Errors
/// The errors of fcntl(2).
pub fn set_close_on_exec(fd: BorrowedFd<'_>, close: bool) -> io::Result<()> {
    let flags = if close {
        nix::fcntl::FdFlag::FD_CLOEXEC
    } else {
        nix::fcntl::FdFlag::empty()
    };
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(flags))?;
    Ok(())
}
