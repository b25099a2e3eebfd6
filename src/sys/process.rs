//! Processes: the helper's clone, descriptors and memory of others, privileges of our own.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// `CAP_SYS_PTRACE`, see capabilities(7).
const CAP_SYS_PTRACE: libc::c_ulong = 19;

/// `CAP_SYS_PTRACE` in a set of capabilities, of which [`CapabilitySets`] has the first 32.
const PTRACE_BIT: u32 = 1 << 19;

/// `_LINUX_CAPABILITY_VERSION_3`, see capget(2).
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct` of capget(2).
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

impl CapabilityHeader {
    fn of_this_thread() -> Self {
        Self {
            version: CAPABILITY_VERSION,
            pid: 0,
        }
    }
}

/// `struct __user_cap_data_struct` of capget(2).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

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

fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options of this module take numbers, not pointers.
    check(libc::c_long::from(unsafe {
        libc::prctl(option, a, b, 0, 0)
    }))
    .map(|_| ())
}

/// Nobody but root may look into this process, see `PR_SET_DUMPABLE` of prctl(2).
///
/// # Errors
/// Those of prctl(2).
pub fn hide() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0)
}

/// No exec grants privileges any more: what an unprivileged seccomp filter needs.
///
/// # Errors
/// Those of prctl(2).
pub fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// Lets another process read this one where Yama would not; without Yama there is nothing to let.
pub fn allow_tracer(pid: i32) {
    let _ = prctl(
        libc::PR_SET_PTRACER,
        libc::c_ulong::try_from(pid).unwrap_or(0),
        0,
    );
}

/// Takes `CAP_SYS_PTRACE` out of what an exec would pass on: the ambient set, and the inheritable one
/// that systemd raises with it.
pub fn drop_ambient_ptrace() {
    let number = |option: libc::c_int| libc::c_ulong::try_from(option).unwrap_or(0);
    let lower = number(libc::PR_CAP_AMBIENT_LOWER);
    // Not having it is as good.
    let _ = prctl(libc::PR_CAP_AMBIENT, lower, CAP_SYS_PTRACE);
    // A filter of the unit may kill who calls capset(2): a child tries first.
    if is_inheritable() && in_child(uninherit).is_ok() {
        let _ = uninherit();
    }
}

fn is_inheritable() -> bool {
    capabilities().is_ok_and(|sets| sets.iter().any(|set| set.inheritable & PTRACE_BIT != 0))
}

/// Takes `CAP_SYS_PTRACE` out of the inheritable set, and leaves the others as they are.
fn uninherit() -> io::Result<()> {
    let mut sets = capabilities()?;
    if let Some(first) = sets.first_mut() {
        first.inheritable &= !PTRACE_BIT;
    }
    let mut header = CapabilityHeader::of_this_thread();
    // SAFETY: header and sets are those of capset(2), and live on.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    check(set).map(drop)
}

/// The capabilities of this thread, 32 of them in each element, see capget(2).
fn capabilities() -> io::Result<[CapabilitySets; 2]> {
    let mut sets = [CapabilitySets::default(); 2];
    let mut header = CapabilityHeader::of_this_thread();
    // SAFETY: header and sets are those of capget(2), which fills two of the latter in version 3.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    check(got).map(|_| sets)
}

/// Sends a signal to the process of a pidfd, see `pidfd_send_signal(2)`.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: numbers, and no structure: the kernel makes the one of kill(2).
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            none,
            0,
        )
    })
    .map(drop)
}

/// The descriptor of a process. A signal by it reaches that process or nobody. Its number may become another's when the
/// process is gone.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    Ok(own(fd))
}

/// A copy of another process's descriptor.
///
/// # Errors
/// `EBADF` when it has none of that number, `EPERM` when it may not be inspected.
pub fn descriptor_of(process: BorrowedFd<'_>, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    Ok(own(fd))
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
    // SAFETY: numbers only.
    let raised = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, at_least) };
    Ok(own(check(libc::c_long::from(raised))?))
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
