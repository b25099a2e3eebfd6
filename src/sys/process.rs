//! Processes: the helper's clone, descriptors and memory of others, privileges of our own.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::{
    DumpableBehavior, PTracer, Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open,
    pidfd_send_signal, set_dumpable_behavior, set_ptracer,
};
use rustix::thread::{self, CapabilitySet};

use super::check;

/// Which side of [`clone_beside`] or [`clone_child`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The process that called.
    Caller(
        /// The new one's PID.
        i32,
    ),
    /// The new one.
    New,
}

/// Whether this process is the init of a PID namespace, see `pid_namespaces(7)`.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Makes a copy of this process that a program which waits for all its children never meets. Most are its sibling.
/// The init of a PID namespace may have none: there the copy is a child whose end sends no signal, and which wait(2)
/// therefore leaves out, see `__WCLONE` there.
///
/// # Errors
/// Those of clone(2). Only for a process with one thread.
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
/// Those of clone(2). Only for a process with one thread.
pub fn clone_child() -> io::Result<Side> {
    clone(libc::SIGCHLD)
}

/// Plain clone(2), because `RestrictNamespaces=` forbids clone3. The flags hold the signal that the copy's end sends.
fn clone(flags: libc::c_int) -> io::Result<Side> {
    let flags = libc::c_long::from(flags);
    // SAFETY: without CLONE_VM this is a fork. There is one thread, so no lock is held by another.
    match check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })? {
        0 => Ok(Side::New),
        pid => Ok(Side::Caller(i32::try_from(pid).unwrap_or(0))),
    }
}

/// Nobody but root may look into this process, see `PR_SET_DUMPABLE` of prctl(2).
///
/// # Errors
/// Those of prctl(2).
pub fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// No exec grants privileges any more: what an unprivileged seccomp filter needs.
///
/// # Errors
/// Those of prctl(2).
pub fn no_new_privileges() -> io::Result<()> {
    Ok(thread::set_no_new_privs(true)?)
}

/// Lets another process inspect this one where Yama would not, see `PR_SET_PTRACER` of prctl(2); without Yama that needs no
/// permission.
pub fn allow_tracer(pid: i32) {
    let _ = Pid::from_raw(pid).map(|pid| set_ptracer(PTracer::ProcessID(pid)));
}

/// Takes `CAP_SYS_PTRACE` out of what an exec would pass on: the ambient set, and the inheritable one
/// that systemd raises with it.
pub fn drop_ambient_ptrace() {
    // Not having it is as good.
    let _ = thread::configure_capability_in_ambient_set(CapabilitySet::SYS_PTRACE, false);
    // A filter of the unit may kill who calls capset(2): a child tries first.
    if is_inheritable() && in_child(uninherit).is_ok() {
        let _ = uninherit();
    }
}

/// Whether this process may trace those of others, or could give itself `CAP_SYS_PTRACE`. Yes where the kernel does not tell.
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

/// Takes `CAP_SYS_PTRACE` out of the inheritable set, and leaves the others as they are.
fn uninherit() -> io::Result<()> {
    let mut sets = thread::capabilities(None)?;
    sets.inheritable.remove(CapabilitySet::SYS_PTRACE);
    Ok(thread::set_capabilities(None, sets)?)
}

/// Sends a signal to the process of a pidfd, see `pidfd_send_signal(2)`.
///
/// # Errors
/// `ESRCH` when it is gone, `EINVAL` for a real-time signal.
pub fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_send_signal(process, signal)?)
}

/// The descriptor of a process. A signal by it reaches that process or nobody. Its number may become another's when the
/// process is gone.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// A copy of another process's descriptor.
///
/// # Errors
/// `EBADF` when it has none of that number, `EPERM` when it may not be inspected.
pub fn descriptor_of(process: BorrowedFd<'_>, fd: RawFd) -> io::Result<OwnedFd> {
    // The number is whatever the program called bind(2) with, and rustix takes no negative one.
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?)
}

fn own(fd: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) }
}

/// Reads another process's memory into `buffer`; all of it or an error.
///
/// # Errors
/// `EFAULT`, `EPERM`, `ESRCH`.
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

/// Moves a descriptor out of the way of the small numbers that programs use.
///
/// # Errors
/// `EMFILE` when the limit on descriptors is below `at_least`.
pub fn raise(fd: BorrowedFd<'_>, at_least: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, at_least)?)
}

/// Makes `target` a copy of `fd`, whatever it was.
///
/// # Errors
/// `EBADF` when `target` is beyond the limit on descriptors.
pub fn place(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers only; the caller sees to it that nothing of its own is at `target`.
    let placed = unsafe { libc::dup3(fd.as_raw_fd(), target, libc::O_CLOEXEC) };
    Ok(own(check(libc::c_long::from(placed))?))
}

/// Closes a descriptor that nothing owns: one that came by number.
pub fn close(fd: BorrowedFd<'_>) {
    if let Ok(number) = u32::try_from(fd.as_raw_fd()) {
        close_range(number, number);
    }
}

/// Takes over a descriptor that came in a message, see `SCM_RIGHTS` in unix(7).
#[must_use]
pub fn received(fd: RawFd) -> OwnedFd {
    own(fd.into())
}

/// Does something in a child, whose table of descriptors is a copy, and waits for it.
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

/// Ends this process at once, running nothing that was copied from its parent, see _exit(2).
pub fn end(status: i32) -> ! {
    // SAFETY: ends this process without running anything.
    unsafe { libc::_exit(status) }
}

/// Closes a range of descriptors, both ends included.
pub fn close_range(first: u32, last: u32) {
    if first <= last {
        // SAFETY: the caller owns none of them any more. Before 5.9 they stay open, which costs memory only.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}
