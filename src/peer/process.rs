//! A process of the instance: proven to be one, and from then on the same.
//!
//! A number says nothing: when a process is gone another one may get its number, a process of root too, and a pidfd
//! does not keep the number. So a process is looked at only through its folder in /proc, which was opened once and is
//! empty when the process is gone, and its descriptors come by its pidfd. ptrace(2) takes a number; see [`Process::owns`].

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstat};

use super::descriptors::above;
use super::unit::Unit;
use crate::procfs;
use crate::sys::process;

/// More than any file of /proc has that is read here, but for one of a program that wants to be drained slowly.
const LONGEST: u64 = 8 << 20;

/// A process of the instance.
pub(crate) struct Process {
    pub(crate) pid: i32,
    handle: OwnedFd,
    folder: OwnedFd,
}

/// A descriptor that is a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) fd: RawFd,
    pub(crate) inode: u64,
}

/// A registration of a socket in an epoll set of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) epoll: RawFd,
    pub(crate) fd: RawFd,
    pub(crate) events: u32,
    pub(crate) data: u64,
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    pub(crate) tid: i32,
    /// The system call that it waits in, and its arguments; none while it runs.
    pub(crate) waits: Option<(i64, [u64; 6])>,
}

impl Process {
    /// The process that has this number, if it is one of the unit.
    ///
    /// # Errors
    /// `ESRCH` when it is gone, or is not one of the unit.
    pub(crate) fn open(pid: i32, unit: &Unit) -> io::Result<Self> {
        let found = Self::any(pid)?;
        // It lived all the while if it does now, and so the folder is its.
        if unit.holds(&found.text("cgroup")) && found.is_alive() {
            Ok(found)
        } else {
            Err(nix::Error::ESRCH.into())
        }
    }

    fn any(pid: i32) -> io::Result<Self> {
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

    /// A process of whatever unit.
    #[cfg(test)]
    pub(crate) fn of_test(pid: i32) -> io::Result<Self> {
        Self::any(pid)
    }

    fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO) == Ok(0)
    }

    /// Sends a signal to this process, whoever has its number by now.
    ///
    /// # Errors
    /// `ESRCH` when it is gone.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        process::signal(self.handle.as_fd(), signal)
    }

    /// Whether a thread that has been stopped is one of this process, and of the unit still. A traced thread keeps its
    /// number until it is let go, so what holds now holds for as long as it is stopped.
    pub(crate) fn owns(&self, tid: i32, unit: &Unit) -> bool {
        // Only threads of the process are found in there, see `proc_task_lookup` in `fs/proc/base.c` of the kernel.
        let group = self.text(&format!("task/{tid}/cgroup"));
        unit.holds(&group) && self.is_alive()
    }

    /// A path in the folder of the process, or of a thread of it; nothing is there when the process is gone.
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }

    /// What a file of the process says; nothing when it cannot be read.
    pub(crate) fn text(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        let file = File::open(self.path(name)).map(|f| f.take(LONGEST));
        // What could be read of a file that ends in an error counts: it names fewer descriptors, or none.
        let _ = file.and_then(|mut f| f.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The memory of the process.
    ///
    /// # Errors
    /// `EACCES` when it may not be looked into.
    pub(crate) fn memory(&self) -> io::Result<File> {
        File::open(self.path("mem"))
    }

    /// A copy of one of its descriptors.
    ///
    /// # Errors
    /// `EBADF` when it has closed it, `EPERM` when it may not be looked into.
    pub(crate) fn descriptor(&self, fd: RawFd) -> io::Result<OwnedFd> {
        process::descriptor_of(self.handle.as_fd(), fd).map(above)
    }

    /// The same of one that was seen to lead to a socket, and still does.
    ///
    /// # Errors
    /// Those of [`Process::descriptor`]; `EBADF` when it leads elsewhere by now.
    pub(crate) fn socket(&self, socket: Socket) -> io::Result<OwnedFd> {
        let fd = self.descriptor(socket.fd)?;
        if fstat(&fd)?.st_ino == socket.inode {
            Ok(fd)
        } else {
            Err(nix::Error::EBADF.into())
        }
    }

    /// Whether it is a helper of the handover: it keeps the listener for binds that may come. A program that imitates
    /// the helper's name exempts only itself, from its own drain.
    pub(crate) fn is_helper(&self) -> bool {
        let own = fs::read_link("/proc/self/exe");
        match fs::read_link(self.path("exe")) {
            Ok(path) => own.is_ok_and(|own| program(&path) == program(&own)),
            // It hides from all but root.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                fs::read_to_string("/proc/self/comm").is_ok_and(|own| self.text("comm") == own)
            }
            Err(_) => false,
        }
    }

    /// Whether a descriptor has a link that is looked for.
    pub(crate) fn holds(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.links().iter().any(|(_, link)| is_it(link))
    }

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

    /// Where its epoll sets watch this socket, see `proc_pid_fdinfo(5)`.
    pub(crate) fn watches(&self, socket: Socket) -> Vec<Watch> {
        let is_set = |link: &String| link == "anon_inode:[eventpoll]";
        let links = self.links().into_iter();
        let sets = links.filter(|(_, link)| is_set(link));
        let watches = sets.map(|(epoll, _)| self.watches_of(epoll, socket));
        watches.flatten().collect()
    }

    fn watches_of(&self, epoll: RawFd, socket: Socket) -> Vec<Watch> {
        let info = self.info(epoll);
        let lines = info.lines().filter(|l| l.starts_with("tfd:"));
        let watch = |line| {
            let (events, data) = procfs::registration(line, socket.fd, socket.inode)?;
            Some(Watch {
                epoll,
                fd: socket.fd,
                events,
                data,
            })
        };
        lines.filter_map(watch).collect()
    }

    pub(crate) fn closes_on_exec(&self, fd: RawFd) -> bool {
        procfs::flags(&self.info(fd)).is_none_or(|f| f & libc::O_CLOEXEC != 0)
    }

    fn info(&self, fd: RawFd) -> String {
        self.text(&format!("fdinfo/{fd}"))
    }

    pub(crate) fn threads(&self) -> Vec<Thread> {
        let entries = fs::read_dir(self.path("task")).into_iter().flatten();
        let tids = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok());
        tids.filter_map(|tid| self.thread(tid)).collect()
    }

    fn thread(&self, tid: i32) -> Option<Thread> {
        let (state, _) = procfs::stat(&self.text(&format!("task/{tid}/stat")))?;
        // One in the disk's sleep does not stop, and a dead one does nothing at all.
        matches!(state, 'S' | 'R' | 'T').then(|| Thread {
            tid,
            waits: self.waits(tid),
        })
    }

    /// The system call that a thread waits in, or that a stop interrupted, and its arguments.
    pub(crate) fn waits(&self, tid: i32) -> Option<(i64, [u64; 6])> {
        procfs::waiting(&self.text(&format!("task/{tid}/syscall")))
    }

    /// How many seccomp filters it is under; none before Linux 5.9, which does not tell.
    pub(crate) fn filters(&self) -> Option<u32> {
        filters(&self.text("status"))
    }

    /// Why it must not be stopped, if so: another tracer has it, or its system calls are few.
    pub(crate) fn untouchable(&self) -> Option<&'static str> {
        let status = self.text("status");
        if procfs::field(&status, "TracerPid:").is_some_and(|t| t != "0") {
            return Some("another process traces it");
        }
        (procfs::field(&status, "Seccomp:")? == "1").then_some("it is in seccomp's strict mode")
    }

    /// Its number and when it began: no other process has both.
    pub(crate) fn identity(&self) -> (i32, u64) {
        let began = procfs::stat(&self.text("stat")).map(|(_, began)| began);
        (self.pid, began.unwrap_or_default())
    }

    /// When it began, in ticks since boot, if it is a child of this parent.
    pub(crate) fn began_for(&self, parent: i32) -> Option<u64> {
        let stat = self.text("stat");
        let (_, began) = procfs::stat(&stat)?;
        (procfs::parent(&stat)? == parent).then_some(began)
    }
}

/// The file's name; a package that was upgraded since leaves " (deleted)" behind it.
fn program(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    Some(name.trim_end_matches(" (deleted)"))
}

/// How many seccomp filters this process is under.
pub(crate) fn own_filters() -> Option<u32> {
    filters_of("self")
}

fn filters_of(process: &str) -> Option<u32> {
    filters(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// Whether a worker leaves a process behind that is under the filters of the unit and no more: in a container nobody can put
/// filters aside, so the drain has to tell those of the unit, which let its calls through, from those of the program.
pub(crate) fn is_witness_needed() -> bool {
    /// There in every container, see the Container Interface of systemd.
    const CONTAINER: &str = "/run/systemd/container";
    let (own, first) = (own_filters(), filters_of("1"));
    Path::new(CONTAINER).exists() && own.is_some_and(|own| own > 0 && Some(own) != first)
}

fn filters(status: &str) -> Option<u32> {
    procfs::field(status, "Seccomp_filters:")?.parse().ok()
}

fn links(folder: &Path) -> io::Result<Vec<(RawFd, String)>> {
    let entries = fs::read_dir(folder)?;
    Ok(entries
        .flatten()
        .filter_map(|e| {
            let link = fs::read_link(e.path()).ok()?.to_str()?.to_owned();
            Some((e.file_name().to_str()?.parse().ok()?, link))
        })
        .collect())
}

/// The inodes of the sockets that a process has open: of the manager, whose number is nobody else's.
///
/// # Errors
/// When it may not be looked into, or is gone.
pub(crate) fn inodes(pid: i32) -> io::Result<HashSet<u64>> {
    let links = links(Path::new(&format!("/proc/{pid}/fd")))?;
    Ok(links
        .iter()
        .filter_map(|(_, link)| procfs::socket(link))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn this_process_sees_its_own_sockets_and_threads() {
        let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = a.as_raw_fd();
        let own = Process::of_test(own()).unwrap();
        let socket = own.sockets().into_iter().find(|s| s.fd == fd).unwrap();
        assert!(own.closes_on_exec(fd) && own.socket(socket).is_ok());
        assert!(!own.threads().is_empty());
        // Behind the back of whoever looked the number may be given to something else.
        let other = Socket { inode: 1, ..socket };
        assert!(own.socket(other).is_err());
    }

    #[test]
    fn one_of_another_unit_is_none_of_ours() {
        assert!(Process::open(own(), &Unit::of_test(Path::new("/nowhere"))).is_err());
        let unit = Unit::of_this_process();
        assert!(Process::open(own(), &unit).is_ok());
    }

    #[test]
    fn a_thread_of_another_process_is_none_of_ours() {
        let unit = Unit::of_this_process();
        let process = Process::open(own(), &unit).unwrap();
        assert!(process.owns(own(), &unit));
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(!process.owns(i32::try_from(other.id()).unwrap(), &unit));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn one_that_is_gone_has_nothing_whoever_has_its_number() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Process::of_test(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(!process.threads().is_empty() && process.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.threads().is_empty() && process.text("status").is_empty());
        assert!(!process.is_alive());
    }
}
