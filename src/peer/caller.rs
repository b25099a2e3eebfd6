//! The process that called, and what can be read of it in /proc.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use super::descriptors::above;
use crate::procfs;
use crate::sys::process;

/// A process of the program.
pub(crate) struct Caller {
    pub(crate) pid: u32,
    process: OwnedFd,
}

impl Caller {
    /// The one that has this thread.
    pub(crate) fn of(thread: u32) -> io::Result<Self> {
        // The notification names a thread; a pidfd is of a whole process.
        let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
        let pid = procfs::field(&status, "Tgid:").and_then(|pid| pid.parse().ok());
        let pid = pid.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            pid,
            process: process::pidfd(pid)?,
        })
    }

    /// A copy of its descriptor.
    pub(crate) fn descriptor(&self, fd: RawFd) -> io::Result<OwnedFd> {
        process::descriptor_of(self.process.as_fd(), fd).map(above)
    }

    /// The numbers of its descriptors whose link in /proc reads so.
    pub(crate) fn numbers(&self, link: &str) -> Vec<RawFd> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|e| fs::read_link(e.path()).is_ok_and(|l| l.as_os_str() == link))
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// A path of the program's as others can look it up.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/cwd", self.pid)).join(path)
    }

    /// What /proc says of a descriptor.
    pub(crate) fn info(&self, fd: RawFd) -> String {
        fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.pid)).unwrap_or_default()
    }

    /// Whether exec closes the descriptor.
    pub(crate) fn closes_on_exec(&self, fd: RawFd) -> bool {
        procfs::flags(&self.info(fd)).is_none_or(|f| f & libc::O_CLOEXEC != 0)
    }
}
