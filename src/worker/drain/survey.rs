//! What a process has open and what its threads are waiting for, read in /proc.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

use super::super::epoll::registration;
use super::super::replace::above;
use crate::sys::process;

/// One process of the instance. Its number cannot become another's while this lives.
pub(super) struct Process {
    pub(super) pid: i32,
    handle: OwnedFd,
}

/// A descriptor that is a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) fd: RawFd,
    pub(super) inode: u64,
}

/// A registration of a socket in an epoll set of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) epoll: RawFd,
    pub(super) fd: RawFd,
    pub(super) events: u32,
    pub(super) data: u64,
}

impl Process {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let handle = above(process::pidfd(pid.cast_unsigned())?);
        Ok(Self { pid, handle })
    }

    /// A copy of one of its descriptors.
    pub(super) fn descriptor(&self, fd: RawFd) -> io::Result<OwnedFd> {
        process::descriptor_of(self.handle.as_fd(), fd).map(above)
    }

    /// Whether it is a helper of the handover: it keeps the listener for binds that may come.
    pub(super) fn is_helper(&self) -> bool {
        let link = |process: &str| fs::read_link(format!("/proc/{process}/exe"));
        let name = |process: &str| fs::read_to_string(format!("/proc/{process}/comm")).ok();
        let pid = self.pid.to_string();
        match link(&pid) {
            Ok(path) => link("self").is_ok_and(|own| program(&path) == program(&own)),
            // It hides from all but root. Who takes its name to be left out keeps from its own drain alone.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => name(&pid) == name("self"),
            Err(_) => false,
        }
    }

    /// Whether a descriptor has a link that is looked for.
    pub(super) fn holds(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let links = links(self.pid).unwrap_or_default();
        links.iter().any(|(_, link)| is_it(link))
    }

    pub(super) fn sockets(&self) -> Vec<Socket> {
        sockets(self.pid).unwrap_or_default()
    }

    /// Where its epoll sets watch this socket, see `proc_pid_fdinfo(5)`.
    pub(super) fn watches(&self, socket: Socket) -> Vec<Watch> {
        let mut found = Vec::new();
        for (epoll, _) in links(self.pid)
            .unwrap_or_default()
            .into_iter()
            .filter(|(_, link)| link == "anon_inode:[eventpoll]")
        {
            let text = self.info(epoll);
            found.extend(
                text.lines()
                    .filter(|l| l.starts_with("tfd:"))
                    .filter_map(|l| {
                        let (events, data) = registration(l, socket.fd, socket.inode)?;
                        Some(Watch {
                            epoll,
                            fd: socket.fd,
                            events,
                            data,
                        })
                    }),
            );
        }
        found
    }

    pub(super) fn closes_on_exec(&self, fd: RawFd) -> bool {
        let flags = field(&self.info(fd), "flags:").and_then(|f| i32::from_str_radix(&f, 8).ok());
        flags.is_none_or(|f| f & libc::O_CLOEXEC != 0)
    }

    fn info(&self, fd: RawFd) -> String {
        fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.pid)).unwrap_or_default()
    }

    pub(super) fn threads(&self) -> Vec<Thread> {
        fs::read_dir(format!("/proc/{}/task", self.pid))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| Thread::read(e.file_name().to_str()?.parse().ok()?))
            .collect()
    }

    /// How many seccomp filters it is under.
    pub(super) fn filters(&self) -> Option<u32> {
        filters(&self.pid.to_string())
    }

    /// Why it must not be stopped, if so: another tracer has it, or its system calls are few.
    pub(super) fn untouchable(&self) -> Option<&'static str> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        if field(&status, "TracerPid:").is_some_and(|t| t != "0") {
            return Some("another process traces it");
        }
        (field(&status, "Seccomp:")? == "1").then_some("it is in seccomp's strict mode")
    }
}

/// The file's name; a package that was upgraded since leaves " (deleted)" behind it.
fn program(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    Some(name.trim_end_matches(" (deleted)"))
}

/// How many seccomp filters this process is under; none before Linux 5.9, which does not tell.
pub(super) fn own_filters() -> Option<u32> {
    filters("self")
}

fn filters(process: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    field(&status, "Seccomp_filters:")?.parse().ok()
}

/// A value of a file of `key value` lines.
pub(super) fn field(text: &str, key: &str) -> Option<String> {
    Some(
        text.lines()
            .find_map(|l| l.strip_prefix(key))?
            .trim()
            .to_owned(),
    )
}

fn links(pid: i32) -> io::Result<Vec<(RawFd, String)>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(entries
        .flatten()
        .filter_map(|e| {
            let link = fs::read_link(e.path()).ok()?.to_str()?.to_owned();
            Some((e.file_name().to_str()?.parse().ok()?, link))
        })
        .collect())
}

/// The inodes of the sockets that a process has open.
///
/// # Errors
/// When it may not be looked into, or is gone.
pub(in super::super) fn inodes(pid: i32) -> io::Result<HashSet<u64>> {
    Ok(sockets(pid)?.into_iter().map(|s| s.inode).collect())
}

fn sockets(pid: i32) -> io::Result<Vec<Socket>> {
    Ok(links(pid)?
        .into_iter()
        .filter_map(|(fd, link)| {
            let inode = link
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()?;
            Some(Socket { fd, inode })
        })
        .collect())
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) tid: i32,
    /// The system call that it waits in, and its arguments; none while it runs.
    pub(super) waits: Option<(i64, [u64; 6])>,
}

impl Thread {
    fn read(tid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        // One in the disk's sleep does not stop, and a dead one does nothing at all.
        if !matches!(state, 'S' | 'R' | 'T') {
            return None;
        }
        Some(Self {
            tid,
            waits: waits(tid),
        })
    }
}

/// The system call that a thread waits in, or that a stop interrupted, and its arguments.
pub(super) fn waits(tid: i32) -> Option<(i64, [u64; 6])> {
    let text = fs::read_to_string(format!("/proc/{tid}/syscall"));
    text.ok().and_then(|text| waiting(&text))
}

/// `202 0x7f… 0x80 0x0 0x0 0x0 0x0 0x7ffd… 0x7f…`, see `proc_pid_syscall(5)`.
fn waiting(text: &str) -> Option<(i64, [u64; 6])> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok().filter(|n| *n >= 0)?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok()?;
    }
    Some((number, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_thread_names_its_call() {
        assert_eq!(
            waiting("288 0x3 0x7ffc 0x10 0x80000 0x0 0x0 0x7ffd 0x7f00\n"),
            Some((288, [3, 0x7ffc, 16, 0x80000, 0, 0]))
        );
        assert_eq!(waiting("running\n"), None);
        assert_eq!(waiting("-1 0x7ffd 0x7f00\n"), None);
    }

    #[test]
    fn this_process_sees_its_own_sockets_and_threads() {
        let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&a);
        let own = Process::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.sockets().iter().any(|s| s.fd == fd));
        assert!(own.closes_on_exec(fd));
        assert!(!own.threads().is_empty());
    }
}
