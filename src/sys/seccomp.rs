//! User notification of seccomp(2): a filter that reports bind(2), listen(2) and a few other calls to a supervisor, and the
//! supervisor's side, see `seccomp_unotify(2)`. The descriptor of the supervisor is called the listener of the filter.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

pub mod files;

use std::io;
use std::mem::{offset_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_USER_NOTIF, seccomp_data, seccomp_notif, seccomp_notif_addfd, seccomp_notif_resp,
    sock_filter,
};

use files::FileCall;

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// The first system call number of the x32 ABI, which has the same architecture as x86-64; arm64 has no such high numbers.
const X32: u32 = 0x4000_0000;

/// A call of the filtered program that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number by which the call is answered.
    pub id: u64,
    /// The number of the calling thread, in the supervisor's PID namespace.
    pub thread: u32,
    /// The kind of the call.
    pub kind: Kind,
    /// The first argument: for the calls about sockets a descriptor.
    pub fd: RawFd,
    /// The second argument, for `bind` the address of the sockaddr; for `getsockopt` the address of the value.
    pub address: u64,
    /// The third argument: for `bind` the length of the sockaddr, for `getsockname` the address of that length; for
    /// `getsockopt` the address of the length of the value.
    pub length: u64,
}

/// The calls that the filter reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// bind(2)
    Bind,
    /// listen(2)
    Listen,
    /// getsockname(2)
    Name,
    /// getsockopt(2) of `SO_ACCEPTCONN`, which says whether a socket listens.
    Listens,
    /// A call about a file, with its own arguments.
    File(FileCall),
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

/// The program of the filter, which reports these calls, whatever their arguments are, and two others depending on their arguments.
///
/// - bind(2), unless the address is shorter than `shortest`: getaddrinfo(3) binds a netlink socket, with an address of 12 bytes,
///   at every look-up.
/// - getsockopt(2), if it asks for `SO_ACCEPTCONN`.
fn program(shortest: u32, calls: &[libc::c_long]) -> Vec<sock_filter> {
    let load = BPF_LD | BPF_W | BPF_ABS;
    let equals = BPF_JMP | BPF_JEQ | BPF_K;
    let at_least = BPF_JMP | BPF_JGE | BPF_K;
    let at = |offset: usize| u32::try_from(offset).unwrap_or(0);
    // The low halves of the arguments; both architectures are little-endian.
    let [second, third] = [8, 16].map(|argument| at(offset_of!(seccomp_data, args)) + argument);
    let option = |option: i32| u32::try_from(option).unwrap_or(u32::MAX);
    let count = u8::try_from(calls.len()).unwrap_or(u8::MAX);
    // The distances lead to the last two statements, of which the first allows the call and the second reports it.
    let mut program = vec![
        statement(load, at(offset_of!(seccomp_data, arch))),
        jump(equals, ARCH, 0, count.saturating_add(10)),
        statement(load, at(offset_of!(seccomp_data, nr))),
        jump(at_least, X32, count.saturating_add(8), 0),
    ];
    let left = (0..count).rev();
    let reported = calls.iter().zip(left);
    program.extend(
        reported.map(|(call, left)| jump(equals, number(*call), left.saturating_add(9), 0)),
    );
    program.extend([
        jump(equals, number(libc::SYS_bind), 0, 2),
        statement(load, third),
        jump(at_least, shortest, 6, 5),
        jump(equals, number(libc::SYS_getsockopt), 0, 4),
        statement(load, second),
        jump(equals, option(libc::SOL_SOCKET), 0, 2),
        statement(load, third),
        jump(equals, option(libc::SO_ACCEPTCONN), 1, 0),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    ]);
    program
}

/// The program of a filter that reports these calls, whatever their arguments are.
fn program_reporting(calls: &[libc::c_long]) -> Vec<sock_filter> {
    let load = BPF_LD | BPF_W | BPF_ABS;
    let at = |offset: usize| u32::try_from(offset).unwrap_or(0);
    let equals = BPF_JMP | BPF_JEQ | BPF_K;
    // After the comparisons the call is allowed; one step further it is reported.
    let count = u8::try_from(calls.len()).unwrap_or(u8::MAX);
    let mut program = vec![
        statement(load, at(offset_of!(seccomp_data, arch))),
        jump(equals, ARCH, 0, count.saturating_add(2)),
        statement(load, at(offset_of!(seccomp_data, nr))),
        jump(BPF_JMP | BPF_JGE | BPF_K, X32, count, 0),
    ];
    let left = (1..=count).rev();
    program.extend(
        calls
            .iter()
            .zip(left)
            .map(|(call, left)| jump(equals, number(*call), left, 0)),
    );
    program.push(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    program.push(statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
    program
}

/// Installs the filter of a rehearsal, see [`install`]: it reports getsockname(2) and the calls about files as well.
///
/// # Errors
/// The errors of [`install`].
pub fn install_for_rehearsal() -> io::Result<OwnedFd> {
    let sockets = [libc::SYS_listen, libc::SYS_bind, libc::SYS_getsockname];
    install_program(program_reporting(&[&sockets, &*files::calls()].concat()))
}

/// Installs the filter of an app that has a unix socket, see [`install`]: it reports the calls about files as well.
///
/// # Errors
/// The errors of [`install`].
pub fn install_with_files() -> io::Result<OwnedFd> {
    let calls = [&[libc::SYS_listen], &*files::calls()].concat();
    install_program(program(0, &calls))
}

/// Installs the filter on the calling thread, which passes it on through fork(2) and execve(2); returns the listener.
///
/// # Errors
/// `EBUSY` when another filter of the thread has a listener, `EACCES` without `no_new_privs`, `EINVAL` before Linux 5.0.
pub fn install(shortest: u32) -> io::Result<OwnedFd> {
    install_program(program(shortest, &[libc::SYS_listen]))
}

fn install_program(mut code: Vec<sock_filter>) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(code.len()).unwrap_or(0),
        filter: code.as_mut_ptr(),
    };
    // Go preempts its threads with signals, which interrupt a bind without WAIT_KILLABLE_RECV (since Linux 5.19).
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    seccomp(flags, &program).or_else(|e| match e.raw_os_error() {
        Some(libc::EINVAL) => seccomp(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, &program),
        _ => Err(e),
    })
}

/// Checks that this process may use seccomp(2), and that the kernel has user notifications.
///
/// # Errors
/// `EOPNOTSUPP` before Linux 5.0, `ENOSYS` or `EPERM` when a filter forbids seccomp(2).
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
    // SAFETY: each request of this module gets the structure that it is defined for.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The descriptor that an argument of a call means: the kernel uses only the low half as well.
fn descriptor(argument: u64) -> RawFd {
    let low = u32::try_from(argument & 0xffff_ffff).unwrap_or(u32::MAX);
    RawFd::from_ne_bytes(low.to_ne_bytes())
}

/// Receives the next call; `None` when the calling thread is gone already.
///
/// # Errors
/// The errors of the listener.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Option<Call>> {
    // SAFETY: the structure is plain numbers, and the kernel requires it to be all zeroes.
    let mut notification: seccomp_notif = unsafe { zeroed() };
    match ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut notification) {
        Ok(_) => {}
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => return Ok(None),
        Err(e) => return Err(e),
    }
    let [fd, second, third, fourth, fifth, _] = notification.data.args;
    let call = libc::c_long::from(notification.data.nr);
    let kind = match call {
        libc::SYS_listen => Kind::Listen,
        libc::SYS_getsockname => Kind::Name,
        libc::SYS_getsockopt => Kind::Listens,
        _ => files::decode(call, notification.data.args).map_or(Kind::Bind, Kind::File),
    };
    let (address, length) = match kind {
        Kind::Listens => (fourth, fifth),
        Kind::Name => (second, third),
        Kind::Bind | Kind::Listen | Kind::File(_) => (second, third & 0xffff_ffff),
    };
    Ok(Some(Call {
        id: notification.id,
        thread: notification.pid,
        kind,
        fd: descriptor(fd),
        address,
        length,
    }))
}

/// Whether the calling thread still waits. If it does, everything read from its process before did not come
/// from another process with the same PID.
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

/// Lets the kernel carry out the call as if it had not been reported.
///
/// # Errors
/// `ENOENT` when the calling thread is gone.
pub fn go_on(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    send(listener, id, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE)
}

/// Makes the call fail with this errno, or return 0 if it is 0.
///
/// # Errors
/// `ENOENT` when the calling thread is gone.
pub fn answer(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    send(listener, id, errno, 0)
}

/// Replaces the descriptor `target` of the calling process by a copy of `source`.
///
/// # Errors
/// `EBADF` or `EMFILE` when the calling process cannot have this descriptor, `ENOENT` when the calling thread is gone.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The action of the kernel for a call with these numbers.
    fn result(program: &[sock_filter], arch: u32, call: libc::c_long, args: [u32; 3]) -> u32 {
        let [first, second, third] = args;
        let data = [number(call), arch, 0, 0, first, 0, second, 0, third];
        let (mut at, mut value) = (0, 0);
        loop {
            let step = program[at];
            let code = u32::from(step.code);
            let is_met = match code & 0xf0 {
                _ if code == BPF_RET | BPF_K => return step.k,
                _ if code == BPF_LD | BPF_W | BPF_ABS => {
                    value = data[usize::try_from(step.k / 4).unwrap()];
                    at += 1;
                    continue;
                }
                BPF_JEQ => value == step.k,
                BPF_JGE => value >= step.k,
                _ => unreachable!("{code}"),
            };
            at += 1 + usize::from(if is_met { step.jt } else { step.jf });
        }
    }

    #[test]
    fn only_the_calls_that_the_helper_answers_are_reported() {
        let [level, option] = [libc::SOL_SOCKET, libc::SO_ACCEPTCONN].map(i32::cast_unsigned);
        let files = files::calls();
        for calls in [vec![], vec![libc::SYS_listen], files.clone()] {
            let program = program(16, &calls);
            let is_reported = |arch, call, args| {
                let result = result(&program, arch, call, args);
                assert!([SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF].contains(&result));
                result == SECCOMP_RET_USER_NOTIF
            };
            let of_this_machine = |call, args| is_reported(ARCH, call, args);
            assert!(of_this_machine(libc::SYS_bind, [3, 0, 16]));
            assert!(!of_this_machine(libc::SYS_bind, [3, 0, 12]));
            assert!(of_this_machine(libc::SYS_getsockopt, [3, level, option]));
            assert!(!of_this_machine(libc::SYS_getsockopt, [3, level, 4]));
            assert!(!of_this_machine(libc::SYS_getsockopt, [3, 6, option]));
            for call in [&[libc::SYS_listen, libc::SYS_read], &*files].concat() {
                assert_eq!(
                    of_this_machine(call, [3, level, option]),
                    calls.contains(&call)
                );
                assert!(!is_reported(ARCH, call + libc::c_long::from(X32), [0; 3]));
                assert!(!is_reported(!ARCH, call, [0; 3]));
            }
        }
    }
}
