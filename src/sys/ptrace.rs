//! Requests of ptrace(2) that nix does not have: the signal mask of a stopped thread, suspending seccomp filters, and stops at
//! real-time signals, which nix reports as errors.

#![expect(unsafe_code, reason = "requests of ptrace(2) without a safe wrapper")]

use std::io;
use std::ptr;

use nix::sys::ptrace::Options;
use rustix::process::{Pid, WaitOptions, wait, waitpid};

use super::check;

/// The size of the kernel's `sigset_t`, which has 64 signals.
const MASK_BYTES: usize = 8;

/// `PTRACE_GET_RSEQ_CONFIGURATION`, which libc has only for x86-64.
const GET_RSEQ: libc::c_uint = 0x420f;
/// `PTRACE_GET_SYSCALL_INFO`, which libc has only for x86-64.
const GET_SYSCALL_INFO: libc::c_uint = 0x420e;

/// The option that suspends the thread's seccomp filters while it is traced, see `PTRACE_O_SUSPEND_SECCOMP` in ptrace(2). The
/// tracer needs `CAP_SYS_ADMIN`, and no filter may apply to the tracer itself.
#[must_use]
pub fn without_seccomp() -> Options {
    Options::from_bits_retain(libc::PTRACE_O_SUSPEND_SECCOMP)
}

/// A state change of a traced thread, see "Stopped states" in ptrace(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A signal is about to be delivered.
    Signal(i32),
    /// The thread enters or leaves a system call; with `PTRACE_O_TRACESYSGOOD`.
    Syscall,
    /// A `PTRACE_EVENT_` stop.
    Event(i32),
    /// The thread has ended.
    Gone,
}

impl Stop {
    fn of(status: i32) -> Self {
        if !libc::WIFSTOPPED(status) {
            return Self::Gone;
        }
        match (libc::WSTOPSIG(status), status >> 16) {
            (signal, 0) if signal == libc::SIGTRAP | 0x80 => Self::Syscall,
            (signal, 0) => Self::Signal(signal),
            (_, event) => Self::Event(event),
        }
    }
}

/// The next stop of a traced thread, or with `None` of any thread that this process traces, and the thread's number. The result
/// is `None` when no thread has stopped.
///
/// # Errors
/// `ECHILD` when there is nothing to wait for.
pub fn stopped(tid: Option<i32>) -> io::Result<Option<(i32, Stop)>> {
    let flags = WaitOptions::NOHANG | WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned());
    let found = match tid {
        None => wait(flags)?,
        Some(tid) => {
            let tid = Pid::from_raw(tid).ok_or(io::ErrorKind::InvalidInput)?;
            waitpid(Some(tid), flags)?
        }
    };
    Ok(found.map(|(tid, status)| (tid.as_raw_pid(), Stop::of(status.as_raw()))))
}

/// Lets a thread run to its next stop. After [`Stop::Signal`] this signal is delivered; 0 means none.
///
/// # Errors
/// `ESRCH` when the thread is not stopped, or gone.
pub fn go_on(tid: i32, signal: i32) -> io::Result<()> {
    send(libc::PTRACE_CONT, tid, signal)
}

/// Lets a thread run as [`go_on`] does, but at most to the entry or the end of its next system call.
///
/// # Errors
/// `ESRCH` when the thread is not stopped, or gone.
pub fn to_call(tid: i32, signal: i32) -> io::Result<()> {
    send(libc::PTRACE_SYSCALL, tid, signal)
}

/// A system call as the kernel is about to make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnteredCall {
    /// `SYS_…`
    pub number: i64,
    /// All six arguments, used or not.
    pub arguments: [u64; 6],
    /// The instruction pointer, which is after the instruction that made the call.
    pub instruction: u64,
    /// `AUDIT_ARCH_…`, because the meaning of a number depends on the architecture.
    pub architecture: u32,
}

/// The system call at whose entry a thread is stopped; `None` at any other stop. See `PTRACE_GET_SYSCALL_INFO` in ptrace(2).
///
/// # Errors
/// `EIO` before Linux 5.3, `ESRCH` when the thread is not stopped, or gone.
pub fn entered(tid: i32) -> io::Result<Option<EnteredCall>> {
    const ENTRY: u64 = 1;
    // `struct ptrace_syscall_info`: the kind in the first byte and the architecture in the second half, then the
    // instruction and the stack, the number, the arguments.
    let [kind, instruction, _, number, arguments @ ..] = fetch::<10>(GET_SYSCALL_INFO, tid)?;
    let call = EnteredCall {
        number: number.cast_signed(),
        arguments,
        instruction,
        architecture: u32::try_from(kind >> 32).unwrap_or(0),
    };
    Ok((kind & 0xff == ENTRY).then_some(call))
}

/// Makes the kernel skip the call that a thread has just entered, see "Syscall-stops" in ptrace(2) and `NT_ARM_SYSTEM_CALL` in
/// `include/uapi/linux/elf.h` of the kernel.
///
/// # Errors
/// `ESRCH` when the thread is not stopped, or gone.
pub fn skip(tid: i32) -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    {
        let mut registers = nix::sys::ptrace::getregs(nix::unistd::Pid::from_raw(tid))?;
        registers.orig_rax = u64::MAX;
        nix::sys::ptrace::setregs(nix::unistd::Pid::from_raw(tid), registers)?;
        Ok(())
    }
    #[cfg(target_arch = "aarch64")]
    {
        const NT_ARM_SYSTEM_CALL: usize = 0x404;
        let mut none: libc::c_int = -1;
        let mut vector = libc::iovec {
            iov_base: (&raw mut none).cast(),
            iov_len: size_of_val(&none),
        };
        // SAFETY: the kernel reads the vector and the number that it points to, and both live through the call.
        check(unsafe {
            libc::ptrace(
                libc::PTRACE_SETREGSET,
                tid,
                ptr::without_provenance_mut::<libc::c_void>(NT_ARM_SYSTEM_CALL),
                (&raw mut vector).cast::<libc::c_void>(),
            )
        })
        .map(drop)
    }
}

/// The architecture of this program's own system calls, `AUDIT_ARCH_…`.
pub const ARCHITECTURE: u32 = if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    0xc000_003e
};

/// Detaches from a thread, which continues untraced; the signal is as in [`go_on`].
///
/// # Errors
/// `ESRCH` when the thread is not stopped, or gone.
pub fn detach(tid: i32, signal: i32) -> io::Result<()> {
    send(libc::PTRACE_DETACH, tid, signal)
}

fn send(request: libc::c_uint, tid: i32, signal: i32) -> io::Result<()> {
    let signal = usize::try_from(signal).unwrap_or(0);
    // SAFETY: for these requests both arguments are numbers, and the kernel accesses none of our memory.
    check(unsafe {
        libc::ptrace(
            request,
            tid,
            ptr::null_mut::<libc::c_void>(),
            ptr::without_provenance_mut::<libc::c_void>(signal),
        )
    })
    .map(drop)
}

/// Gets a structure that the kernel fills, as its 64-bit words.
fn fetch<const N: usize>(request: libc::c_uint, tid: i32) -> io::Result<[u64; N]> {
    let mut words = [0; N];
    // SAFETY: the kernel writes at most as many bytes as the argument says, the size of `words`.
    check(unsafe {
        libc::ptrace(
            request,
            tid,
            ptr::without_provenance_mut::<libc::c_void>(size_of_val(&words)),
            (&raw mut words).cast::<libc::c_void>(),
        )
    })?;
    Ok(words)
}

/// The signal mask of a stopped thread.
///
/// # Errors
/// `ESRCH` when the thread is not stopped, or gone.
pub fn mask(tid: i32) -> io::Result<u64> {
    // The kernel requires the exact size of its `sigset_t`, which is that of one word.
    let [mask] = fetch(libc::PTRACE_GETSIGMASK, tid)?;
    Ok(mask)
}

/// Sets the signal mask of a stopped thread.
///
/// # Errors
/// `ESRCH` when the thread is not stopped, or gone.
pub fn set_mask(tid: i32, mask: u64) -> io::Result<()> {
    // SAFETY: the kernel reads `MASK_BYTES`, the size of `mask`, which lives through the call.
    check(unsafe {
        libc::ptrace(
            libc::PTRACE_SETSIGMASK,
            tid,
            ptr::without_provenance_mut::<libc::c_void>(MASK_BYTES),
            (&raw const mask).cast_mut().cast::<libc::c_void>(),
        )
    })
    .map(drop)
}

/// The address of the `struct rseq` of a stopped thread, see `PTRACE_GET_RSEQ_CONFIGURATION` in ptrace(2); `None` when the
/// thread has none.
///
/// # Errors
/// `EIO` before Linux 5.13, `ESRCH` when the thread is not stopped, or gone.
pub fn rseq(tid: i32) -> io::Result<Option<u64>> {
    // `struct ptrace_rseq_configuration`: the address, then four numbers.
    let [address, ..] = fetch::<3>(GET_RSEQ, tid)?;
    Ok((address != 0).then_some(address))
}

/// Registers that are all zero.
#[cfg(test)]
#[must_use]
pub(crate) fn blank() -> libc::user_regs_struct {
    // SAFETY: the registers are plain numbers.
    unsafe { std::mem::zeroed() }
}
