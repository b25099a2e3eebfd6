//! Processes: cloning this one, descriptors and memory of others, and our own privileges.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{
    DumpableBehavior, PTracer, Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open,
    pidfd_send_signal, set_dumpable_behavior, set_ptracer,
};
use rustix::thread::{self, CapabilitySet};

use super::check;

/// The process in which [`clone_beside`] or [`clone_child`] has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The calling process.
    Caller(
        /// The PID of the new process.
        i32,
    ),
    /// The new process.
    New,
}

/// Whether this process is the init of a PID namespace, see `pid_namespaces(7)`.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Makes a copy of this process that wait(2) never returns, even to a program that waits for all its children. Usually the
/// copy is a sibling of this process. The init of a PID namespace cannot have a sibling: there the copy is a child that sends
/// no signal when it ends, which wait(2) ignores, see `__WCLONE` in wait(2).
///
/// # Errors
/// The errors of clone(2). Only for a process with one thread.
pub fn clone_beside() -> io::Result<Side> {
    if is_init() {
        clone(0)
    } else {
        clone(libc::CLONE_PARENT | libc::SIGCHLD)
    }
}

/// Makes a copy of this process that is its child.
///
/// # Errors
/// The errors of clone(2). Only for a process with one thread.
pub fn clone_child() -> io::Result<Side> {
    clone(libc::SIGCHLD)
}

/// Calls clone(2), because `RestrictNamespaces=` forbids clone3(2). The flags include the signal that the copy sends when it
/// ends.
fn clone(flags: libc::c_int) -> io::Result<Side> {
    let flags = libc::c_long::from(flags);
    // SAFETY: without CLONE_VM this is a fork. There is one thread, so no lock is held by another.
    match check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })? {
        0 => Ok(Side::New),
        pid => Ok(Side::Caller(i32::try_from(pid).unwrap_or(0))),
    }
}

/// Allows only root to inspect this process, see `PR_SET_DUMPABLE` in prctl(2).
///
/// # Errors
/// The errors of prctl(2).
pub fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Sets `no_new_privs`, see `PR_SET_NO_NEW_PRIVS` in prctl(2): without privileges no seccomp filter can be installed before.
///
/// # Errors
/// The errors of prctl(2).
pub fn no_new_privileges() -> io::Result<()> {
    Ok(thread::set_no_new_privs(true)?)
}

/// Lets another process inspect this one where Yama would forbid it, see `PR_SET_PTRACER` in prctl(2).
pub fn allow_tracer(pid: i32) {
    // Without Yama the call fails, and the permission is not needed.
    let _ = Pid::from_raw(pid).map(|pid| set_ptracer(PTracer::ProcessID(pid)));
}

/// Removes `CAP_SYS_PTRACE` from the sets that execve(2) passes on: the ambient set, and the inheritable set, to which systemd
/// adds every ambient capability.
pub fn drop_ambient_ptrace() {
    // This fails where the process does not have the capability.
    let _ = thread::configure_capability_in_ambient_set(CapabilitySet::SYS_PTRACE, false);
    // A seccomp filter of the unit may kill a process that calls capset(2), so a child tries first.
    if is_inheritable() && in_child(uninherit).is_ok() {
        let _ = uninherit();
    }
}

/// Gives up every capability but those for maps and programs of bpf(2). In a container that has none of
/// these, the one that included them before Linux 5.8 is kept.
///
/// # Errors
/// The errors of capset(2).
pub fn keep_bpf() -> io::Result<()> {
    let mut sets = thread::capabilities(None)?;
    let own = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let kept = if sets.permitted.contains(own) {
        own
    } else {
        CapabilitySet::SYS_ADMIN & sets.permitted
    };
    sets.effective = kept;
    sets.permitted = kept;
    sets.inheritable = CapabilitySet::empty();
    Ok(thread::set_capabilities(None, sets)?)
}

/// Gives up every capability but that for ports below 1024, and the way to get one back by executing a program.
///
/// # Errors
/// The errors of capset(2) and prctl(2).
pub fn keep_ports() -> io::Result<()> {
    no_new_privileges()?;
    let mut sets = thread::capabilities(None)?;
    let kept = CapabilitySet::NET_BIND_SERVICE & sets.permitted;
    sets.effective = kept;
    sets.permitted = kept;
    sets.inheritable = CapabilitySet::empty();
    Ok(thread::set_capabilities(None, sets)?)
}

/// Whether this process may trace those of other users, or could give itself `CAP_SYS_PTRACE`. True also if that is unknown.
#[must_use]
pub fn may_trace_others() -> bool {
    let Ok(sets) = thread::capabilities(None) else {
        return true;
    };
    (sets.effective | sets.permitted).contains(CapabilitySet::SYS_PTRACE)
}

fn is_inheritable() -> bool {
    let sets = thread::capabilities(None);
    sets.is_ok_and(|sets| sets.inheritable.contains(CapabilitySet::SYS_PTRACE))
}

/// Removes `CAP_SYS_PTRACE` from the inheritable set, and leaves the other sets unchanged.
fn uninherit() -> io::Result<()> {
    let mut sets = thread::capabilities(None)?;
    sets.inheritable.remove(CapabilitySet::SYS_PTRACE);
    Ok(thread::set_capabilities(None, sets)?)
}

/// Sends a signal to the process of a pidfd, see `pidfd_send_signal(2)`.
///
/// # Errors
/// `ESRCH` when the process is gone, `EINVAL` for a real-time signal.
pub fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_send_signal(process, signal)?)
}

/// A pidfd, see `pidfd_open(2)`. A signal through it reaches this process or none. A pidfd does not reserve the PID: when the
/// process is gone, another one may get the PID.
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// A copy of another process's descriptor.
///
/// # Errors
/// `EBADF` when the process has no such descriptor, `EPERM` when the process may not be inspected.
pub fn descriptor_of(process: BorrowedFd<'_>, fd: RawFd) -> io::Result<OwnedFd> {
    // The program may have called bind(2) with a negative number, which rustix does not accept.
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?)
}

fn own(fd: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) }
}

/// Fills `buffer` with memory of another process, see `process_vm_readv(2)`.
///
/// # Errors
/// `EFAULT` where nothing is mapped, `EPERM` when the process may not be inspected, `ESRCH` when it is gone.
pub fn read_memory(pid: u32, address: u64, buffer: &mut [u8]) -> io::Result<()> {
    let base = usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = buffer.len();
    let mut local = [io::IoSliceMut::new(buffer)];
    let remote = [nix::sys::uio::RemoteIoVec { base, len: length }];
    let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let read =
        nix::sys::uio::process_vm_readv(nix::unistd::Pid::from_raw(pid), &mut local, &remote)?;
    if read == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Duplicates a descriptor under a number that is at least `at_least`, above the small numbers that programs use.
///
/// # Errors
/// `EMFILE` when the limit on descriptors is below `at_least`.
pub fn raise(fd: BorrowedFd<'_>, at_least: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, at_least)?)
}

/// Duplicates `fd` under the number `target`, whose previous descriptor is closed, see dup3(2).
///
/// # Errors
/// `EBADF` when `target` is beyond the limit on descriptors.
pub fn place(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers; the caller makes sure that nothing in this process owns `target`.
    let placed = unsafe { libc::dup3(fd.as_raw_fd(), target, libc::O_CLOEXEC) };
    Ok(own(check(libc::c_long::from(placed))?))
}

/// Closes a descriptor that no value owns, because it was passed by number.
pub fn close(fd: BorrowedFd<'_>) {
    if let Ok(number) = u32::try_from(fd.as_raw_fd()) {
        close_range(number, number);
    }
}

/// Takes ownership of a descriptor that came in a message, see `SCM_RIGHTS` in unix(7).
#[must_use]
pub fn received(fd: RawFd) -> OwnedFd {
    own(fd.into())
}

/// Does something in a child process, which has a copy of the table of descriptors, and waits for its end.
///
/// # Errors
/// The errno of `act`, or that of clone(2). Only for a process with one thread.
pub fn in_child(act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let pid = match clone_child()? {
        Side::New => {
            let errno = act().map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
            end(errno);
        }
        Side::Caller(pid) => nix::unistd::Pid::from_raw(pid),
    };
    match nix::sys::wait::waitpid(pid, None)? {
        nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
        nix::sys::wait::WaitStatus::Exited(_, errno) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::ErrorKind::Other.into()),
    }
}

/// Makes this process the parent of each process below it whose own parent has ended, see `PR_SET_CHILD_SUBREAPER` in prctl(2).
///
/// # Errors
/// The errors of prctl(2).
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// Ends this process at once, without running exit handlers that were copied from its parent, see _exit(2).
pub fn end(status: i32) -> ! {
    // SAFETY: the call ends this process without running any of its code.
    unsafe { libc::_exit(status) }
}

/// Keeps the descriptors that this process has inherited, except the three standard ones, from the programs that it starts.
pub fn pass_on_nothing() {
    // SAFETY: the call changes a flag of descriptors. Before Linux 5.11 it fails.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// Makes a program that is started with this command receive every signal, even those that this process has blocked.
pub fn unblock_signals(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec the closure only makes a system call, which signal-safety(7) allows, and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            let none = nix::sys::signal::SigSet::empty();
            none.thread_set_mask().map_err(Into::into)
        })
    }
}

/// Gives this thread and its children an empty session keyring, see session-keyring(7). A program of another
/// user would inherit the keys of the session keyring.
pub fn leave_session_keyring() {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name the call reads no memory. If a kernel or a filter forbids the call, there are no keys either.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            anonymous,
        )
    };
}

/// Closes a range of descriptors, both ends included.
pub fn close_range(first: u32, last: u32) {
    if first <= last {
        // SAFETY: no value of the caller owns any of them. Before Linux 5.9 the call fails and they stay open, which only
        // costs memory.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The remaining capabilities of a thread: rights belong to threads, and the other tests keep theirs.
    fn left(give_up: fn() -> io::Result<()>) -> (CapabilitySet, CapabilitySet, bool) {
        let run = move || {
            let before = thread::capabilities(None).unwrap().permitted;
            give_up().unwrap();
            let after = thread::capabilities(None).unwrap();
            assert_eq!(after.permitted, after.effective);
            assert_eq!(after.inheritable, CapabilitySet::empty());
            (before, after.permitted, thread::no_new_privs().unwrap())
        };
        std::thread::spawn(run).join().unwrap()
    }

    #[test]
    fn of_roots_rights_a_command_keeps_those_that_it_needs() {
        let (before, ports, no_new_privileges) = left(keep_ports);
        assert_eq!(ports, before & CapabilitySet::NET_BIND_SERVICE);
        assert!(no_new_privileges);
        let (before, bpf, _) = left(keep_bpf);
        let own = CapabilitySet::BPF | CapabilitySet::PERFMON;
        let instead = before & CapabilitySet::SYS_ADMIN;
        let is_own = before.contains(own);
        assert_eq!(bpf, if is_own { own } else { instead });
    }
}
