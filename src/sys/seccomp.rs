//! seccomp(2) user notification: a filter that sends `bind` and `listen` to a listener, and the
//! listener's side, see `seccomp_unotify(2)`.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::mem::{offset_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_USER_NOTIF, seccomp_data, seccomp_notif, seccomp_notif_addfd, seccomp_notif_resp,
    sock_filter,
};

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// System calls of x32 share the architecture and begin here; arm64 has none so high.
const X32: u32 = 0x4000_0000;

/// A call of the filtered program that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number by which the call is answered.
    pub id: u64,
    /// The calling thread, in the listener's PID namespace.
    pub thread: u32,
    /// Which of the two calls it is.
    pub kind: Kind,
    /// The first argument: a descriptor.
    pub fd: RawFd,
    /// The second argument, for `bind` the address of the sockaddr.
    pub address: u64,
    /// The third argument, for `bind` the length of the sockaddr.
    pub length: u64,
}

/// The calls about which the filter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// bind(2)
    Bind,
    /// listen(2)
    Listen,
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// The program of the filter. Short addresses are let through when `shortest` says so: getaddrinfo(3)
/// binds a netlink socket with 12 bytes at every look-up.
fn program(shortest: u32) -> Vec<sock_filter> {
    let load = BPF_LD | BPF_W | BPF_ABS;
    let at = |offset: usize| u32::try_from(offset).unwrap_or(0);
    // The low half of the third argument; both machines are little-endian.
    let third = at(offset_of!(seccomp_data, args)) + 16;
    vec![
        statement(load, at(offset_of!(seccomp_data, arch))),
        jump(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 7),
        statement(load, at(offset_of!(seccomp_data, nr))),
        jump(BPF_JMP | BPF_JGE | BPF_K, X32, 5, 0),
        jump(BPF_JMP | BPF_JEQ | BPF_K, number(libc::SYS_listen), 3, 0),
        jump(BPF_JMP | BPF_JEQ | BPF_K, number(libc::SYS_bind), 0, 3),
        statement(load, third),
        jump(BPF_JMP | BPF_JGE | BPF_K, shortest, 0, 1),
        statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    ]
}

/// Installs the filter on the calling thread and all that it becomes; returns the listener.
///
/// # Errors
/// `EBUSY` when a filter above has a listener already, `EACCES` without `no_new_privs`, `EINVAL` on a
/// kernel before 5.0.
pub fn install(shortest: u32) -> io::Result<OwnedFd> {
    let mut code = program(shortest);
    let program = libc::sock_fprog {
        len: u16::try_from(code.len()).unwrap_or(0),
        filter: code.as_mut_ptr(),
    };
    // Go preempts its threads with signals: without WAIT_KILLABLE_RECV (5.19) they interrupt a bind.
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    seccomp(flags, &program).or_else(|e| match e.raw_os_error() {
        Some(libc::EINVAL) => seccomp(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, &program),
        _ => Err(e),
    })
}

/// Whether this process may use seccomp(2), and has it with user notifications.
///
/// # Errors
/// `EOPNOTSUPP` on a kernel before 5.0, `ENOSYS` or `EPERM` under a filter.
pub fn probe() -> io::Result<()> {
    let action = SECCOMP_RET_USER_NOTIF;
    // SAFETY: `action` is the number that this operation reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn seccomp(flags: libc::c_ulong, program: &libc::sock_fprog) -> io::Result<OwnedFd> {
    // SAFETY: `program` points to a filter that lives through the call, which copies it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(program),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) })
}

fn ioctl<T>(listener: BorrowedFd<'_>, request: libc::Ioctl, argument: &mut T) -> io::Result<i32> {
    // SAFETY: each request of this module is given the structure that it is defined for.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Takes the next call. `None` when the caller is gone already.
///
/// # Errors
/// Those of the listener.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Option<Call>> {
    // SAFETY: all zeroes is what the kernel asks for.
    let mut notification: seccomp_notif = unsafe { zeroed() };
    match ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut notification) {
        Ok(_) => {}
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => return Ok(None),
        Err(e) => return Err(e),
    }
    let [fd, address, length, ..] = notification.data.args;
    let listen = i64::from(notification.data.nr) == libc::SYS_listen;
    // The kernel, too, takes the low half only.
    let fd = RawFd::from_ne_bytes(
        u32::try_from(fd & 0xffff_ffff)
            .unwrap_or(u32::MAX)
            .to_ne_bytes(),
    );
    Ok(Some(Call {
        id: notification.id,
        thread: notification.pid,
        kind: if listen { Kind::Listen } else { Kind::Bind },
        fd,
        address,
        length: length & 0xffff_ffff,
    }))
}

/// Whether the caller still waits: what was read of it before this is then its own.
#[must_use]
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    let mut id = id;
    ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id).is_ok()
}

fn send(listener: BorrowedFd<'_>, id: u64, error: i32, flags: libc::c_ulong) -> io::Result<()> {
    let flags = u32::try_from(flags).unwrap_or(0);
    let mut answer = seccomp_notif_resp {
        id,
        val: 0,
        error: -error,
        flags,
    };
    ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer).map(|_| ())
}

/// The call goes on in the kernel as if nothing had happened.
///
/// # Errors
/// `ENOENT` when the caller is gone.
pub fn go_on(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    send(listener, id, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE)
}

/// The call returns 0, or fails with this errno.
///
/// # Errors
/// `ENOENT` when the caller is gone.
pub fn answer(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    send(listener, id, errno, 0)
}

/// Puts a copy of `source` in the place of the caller's descriptor `target`.
///
/// # Errors
/// `EBADF`, `EMFILE` for the caller's table, `ENOENT` when the caller is gone.
pub fn replace(
    listener: BorrowedFd<'_>,
    id: u64,
    source: BorrowedFd<'_>,
    target: RawFd,
    close_on_exec: bool,
) -> io::Result<()> {
    let mut request = seccomp_notif_addfd {
        id,
        flags: u32::try_from(libc::SECCOMP_ADDFD_FLAG_SETFD).unwrap_or(0),
        srcfd: u32::try_from(source.as_raw_fd()).unwrap_or(u32::MAX),
        newfd: u32::try_from(target).unwrap_or(u32::MAX),
        newfd_flags: if close_on_exec {
            u32::try_from(libc::O_CLOEXEC).unwrap_or(0)
        } else {
            0
        },
    };
    ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &mut request).map(|_| ())
}
