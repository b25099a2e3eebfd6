//! Another process, identified so that no other process is ever mistaken for it.
//!
//! A PID is not enough: when a process has ended, its PID may be reused for another one, even one of root, and a
//! pidfd (`pidfd_open(2)`) does not prevent that. So everything about a process is read through its folder in
//! /proc, which is opened once and is empty when the process is gone, and its descriptors are copied through its
//! pidfd. ptrace(2) accepts only a number; [`Process::owns`] checks the owner of the thread once it has stopped.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstat};

use super::control_group::ControlGroup;
use super::descriptors::above;
use super::filters;
use crate::procfs;
use crate::sys::process;

/// The largest number of bytes that are read of a file in /proc. The program may have made a longer file to
/// delay its drain.
const LONGEST: u64 = 8 << 20;

/// A process that is not this one.
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// The pidfd.
    handle: OwnedFd,
    /// The folder of the process in /proc.
    folder: OwnedFd,
}

/// The memory of a program, for writing.
pub(crate) struct Memory(File);

impl Memory {
    /// Writes these bytes.
    ///
    /// # Errors
    /// `EIO` where there is no memory.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, address)
    }
}

/// A descriptor of the process that leads to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) fd: RawFd,
    pub(crate) inode: u64,
}

/// A thread of the process, and the call that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    pub(crate) tid: i32,
    /// The system call that the thread waits in, and its arguments; `None` while it runs.
    pub(crate) waits: Option<(i64, [u64; 6])>,
}

impl Process {
    /// The process that has this PID, if it is in the control group.
    ///
    /// # Errors
    /// `ESRCH` or `ENOENT` when the process is gone or not in the group; others when it cannot be inspected.
    pub(crate) fn open(pid: i32, group: &ControlGroup) -> io::Result<Self> {
        let found = Self::of_number(pid)?;
        // The pidfd and the folder were opened by PID, one after the other, and another process may have got the PID in
        // between. That the process of the pidfd still lives proves that it had its PID all the time, so the folder is its own.
        let cgroup = found.read("cgroup")?;
        if group.holds(&cgroup) && found.is_alive() {
            Ok(found)
        } else {
            Err(nix::Error::ESRCH.into())
        }
    }

    /// The process that a thread belongs to, whatever unit it is in. Only for a thread that waits in a call which the helper
    /// has to answer: as long as it waits, no other thread can have its number.
    ///
    /// # Errors
    /// `ESRCH` or `ENOENT` when the thread is gone, `EPERM` or `EACCES` when the process may not be inspected.
    pub(crate) fn of_thread(thread: u32) -> io::Result<Self> {
        // pidfd_open(2) takes the number of a process, not that of any thread.
        let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
        let pid = procfs::field(&status, "Tgid:").and_then(|pid| pid.parse().ok());
        Self::of_number(pid.ok_or(io::ErrorKind::NotFound)?)
    }

    fn of_number(pid: i32) -> io::Result<Self> {
        let handle = above(process::pidfd(pid.cast_unsigned())?);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let path = format!("/proc/{pid}");
        let folder = above(open(path.as_str(), flags, Mode::empty())?);
        Ok(Self {
            pid,
            handle,
            folder,
        })
    }

    /// The process that has this PID, whatever unit it is in.
    #[cfg(test)]
    pub(crate) fn of_test(pid: i32) -> io::Result<Self> {
        Self::of_number(pid)
    }

    /// Whether the process has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO) == Ok(0)
    }

    /// Sends a signal to this process, never to another one that has its PID by now.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        process::signal(self.handle.as_fd(), signal)
    }

    /// Whether a thread belongs to this process and is in the control group. A stopped thread keeps its number until it is
    /// detached, so for a stopped thread the answer stays true.
    pub(crate) fn owns(&self, tid: i32, group: &ControlGroup) -> bool {
        // The folder `task` has only threads of this process, see `proc_task_lookup` in `fs/proc/base.c` of the kernel.
        let text = self.text(&format!("task/{tid}/cgroup"));
        group.holds(&text) && self.is_alive()
    }

    /// A path in the /proc folder of the process. When the process is gone the folder is empty.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }

    /// The text of a file in the /proc folder of the process.
    ///
    /// # Errors
    /// `ESRCH` or `ENOENT` when the process is gone.
    fn read(&self, name: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        let mut file = File::open(self.path(name))?.take(LONGEST);
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text of a file in the /proc folder of the process; empty when it cannot be read.
    pub(crate) fn text(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        let file = File::open(self.path(name)).map(|f| f.take(LONGEST));
        // If reading ends in an error, the part before it counts.
        let _ = file.and_then(|mut f| f.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Opens the memory of the process for reading, see `proc_pid_mem(5)`.
    ///
    /// # Errors
    /// `EACCES` when the process may not be inspected.
    pub(crate) fn memory(&self) -> io::Result<File> {
        File::open(self.path("mem"))
    }

    /// Reads `buffer.len()` bytes of the memory of the process.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped, `EPERM` when the process may not be inspected, `ESRCH` when it is gone.
    pub(crate) fn read_memory(&self, address: u64, buffer: &mut [u8]) -> io::Result<()> {
        process::read_memory(self.pid.cast_unsigned(), address, buffer)
    }

    /// Opens the memory of the program that the process runs now. After an exec the file is still that of the program before,
    /// see `proc_pid_mem(5)`.
    ///
    /// # Errors
    /// `EACCES` when it may not be inspected, `ENOENT` or `ESRCH` when it is gone.
    pub(crate) fn writable_memory(&self) -> io::Result<Memory> {
        let file = File::options().write(true).open(self.path("mem"))?;
        Ok(Memory(file))
    }

    /// Resolves a path as the process would: relative to its working directory, unless the path is absolute.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.path("cwd").join(path)
    }

    /// A copy of one of the descriptors of the process.
    ///
    /// # Errors
    /// `EBADF` when the process has closed the descriptor, `EPERM` when the process may not be inspected.
    pub(crate) fn descriptor(&self, fd: RawFd) -> io::Result<OwnedFd> {
        process::descriptor_of(self.handle.as_fd(), fd).map(above)
    }

    /// A copy of a descriptor that leads to a socket, if it still leads to the same one.
    ///
    /// # Errors
    /// The errors of [`Process::descriptor`]; `EBADF` when the descriptor leads to something else by now.
    pub(crate) fn socket(&self, socket: Socket) -> io::Result<OwnedFd> {
        let fd = self.descriptor(socket.fd)?;
        if fstat(&fd)?.st_ino == socket.inode {
            Ok(fd)
        } else {
            Err(nix::Error::EBADF.into())
        }
    }

    /// Whether the process is the helper of a handover, which has to keep the listener for later binds. A program that imitates
    /// the name of the helper only exempts itself from its own drain.
    pub(crate) fn is_helper(&self) -> bool {
        let own = fs::read_link("/proc/self/exe");
        match fs::read_link(self.path("exe")) {
            Ok(path) => own.is_ok_and(|own| program(&path) == program(&own)),
            // A helper hides from everybody but root, see `sys::process::hide`; its name can still be read.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                fs::read_to_string("/proc/self/comm").is_ok_and(|own| self.text("comm") == own)
            }
            Err(_) => false,
        }
    }

    /// Whether `is_it` holds for the link in /proc/PID/fd of any descriptor of the process.
    pub(crate) fn holds(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.links().iter().any(|(_, link)| is_it(link))
    }

    /// The descriptors of the process that lead to sockets.
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        let links = self.links().into_iter();
        links
            .filter_map(|(fd, link)| {
                let inode = procfs::socket(&link)?;
                Some(Socket { fd, inode })
            })
            .collect()
    }

    fn links(&self) -> Vec<(RawFd, String)> {
        links(&self.path("fd")).unwrap_or_default()
    }

    /// The descriptor numbers of the process's epoll sets.
    pub(super) fn epoll_sets(&self) -> Vec<RawFd> {
        let is_set = |link: &str| link == "anon_inode:[eventpoll]";
        let links = self.links().into_iter();
        let sets = links.filter(|(_, link)| is_set(link));
        sets.map(|(set, _)| set).collect()
    }

    /// Whether execve(2) closes a descriptor of the process.
    pub(crate) fn closes_on_exec(&self, fd: RawFd) -> bool {
        procfs::flags(&self.info(fd)).is_none_or(|f| f & libc::O_CLOEXEC != 0)
    }

    /// The information of the kernel on a descriptor of the process, see `proc_pid_fdinfo(5)`.
    pub(super) fn info(&self, fd: RawFd) -> String {
        self.text(&format!("fdinfo/{fd}"))
    }

    /// The threads of the process that a tracer can stop.
    pub(crate) fn threads(&self) -> Vec<Thread> {
        let entries = fs::read_dir(self.path("task")).into_iter().flatten();
        let tids = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok());
        tids.filter_map(|tid| self.thread(tid)).collect()
    }

    fn thread(&self, tid: i32) -> Option<Thread> {
        let (state, _) = procfs::stat(&self.text(&format!("task/{tid}/stat")))?;
        // A thread in uninterruptible sleep (`D`) does not stop for a tracer, and a zombie runs nothing.
        matches!(state, 'S' | 'R' | 'T').then(|| Thread {
            tid,
            waits: self.waits(tid),
        })
    }

    /// The system call that a thread waits in, or that a stop interrupted, and its arguments.
    pub(crate) fn waits(&self, tid: i32) -> Option<(i64, [u64; 6])> {
        procfs::waiting(&self.text(&format!("task/{tid}/syscall")))
    }

    /// The number of seccomp filters that apply to the process; `None` before Linux 5.9, which does not report it.
    pub(crate) fn filters(&self) -> Option<u32> {
        filters::count(&self.text("status"))
    }

    /// The reason why the process must not be stopped, if there is one. A process can have one tracer at a time, and in
    /// seccomp's strict mode any system call but four kills it, see seccomp(2).
    pub(crate) fn untouchable(&self) -> Option<&'static str> {
        let status = self.text("status");
        if procfs::field(&status, "TracerPid:").is_some_and(|t| t != "0" && !is_this_thread(t)) {
            return Some("another process traces it");
        }
        (procfs::field(&status, "Seccomp:")? == "1").then_some("it is in seccomp's strict mode")
    }

    /// Whether the calling thread traces that thread, see ptrace(2).
    pub(super) fn is_traced_by_us(&self, tid: i32) -> bool {
        let status = self.text(&format!("task/{tid}/status"));
        procfs::field(&status, "TracerPid:").is_some_and(is_this_thread)
    }

    /// The PID and the start time of the process, which no other process shares.
    pub(crate) fn identity(&self) -> (i32, u64) {
        let began = procfs::stat(&self.text("stat")).map(|(_, began)| began);
        (self.pid, began.unwrap_or_default())
    }

    /// The start time of the process in ticks since boot, if `is_parent` holds for the PID of its parent.
    pub(crate) fn began_for(&self, is_parent: impl Fn(i32) -> bool) -> Option<u64> {
        let stat = self.text("stat");
        let (_, began) = procfs::stat(&stat)?;
        is_parent(procfs::parent(&stat)?).then_some(began)
    }
}

/// A tracer is a thread, see `proc_pid_status(5)` and ptrace(2).
fn is_this_thread(tid: &str) -> bool {
    tid.parse() == Ok(nix::unistd::gettid().as_raw())
}

/// The name of a program's file. When a package was upgraded since the start, the kernel appends " (deleted)".
fn program(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    Some(name.trim_end_matches(" (deleted)"))
}

/// The descriptors in a folder `/proc/PID/fd`, each with its number and its link.
pub(super) fn links(folder: &Path) -> io::Result<Vec<(RawFd, String)>> {
    let entries = fs::read_dir(folder)?;
    Ok(entries
        .flatten()
        .filter_map(|e| {
            let link = fs::read_link(e.path()).ok()?.to_str()?.to_owned();
            Some((e.file_name().to_str()?.parse().ok()?, link))
        })
        .collect())
}

#[cfg(test)]
mod tests;
