//! What ptrace(2) has beyond nix: the signal mask of a stopped thread, and seccomp put aside.

#![expect(unsafe_code, reason = "requests of ptrace(2) without a safe wrapper")]

use std::io;
use std::ptr;

use nix::sys::ptrace::Options;

/// A kernel's `sigset_t` has 64 signals.
const MASK_BYTES: usize = 8;

/// The thread's seccomp filters do not apply while it is traced, see `PTRACE_O_SUSPEND_SECCOMP` in
/// ptrace(2). It needs `CAP_SYS_ADMIN` and a tracer that is under no filter itself.
#[must_use]
pub fn without_seccomp() -> Options {
    Options::from_bits_retain(libc::PTRACE_O_SUSPEND_SECCOMP)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The signals that a stopped thread blocks.
///
/// # Errors
/// `ESRCH` when it is not stopped, or gone.
pub fn mask(tid: i32) -> io::Result<u64> {
    let mut mask: u64 = 0;
    // SAFETY: the kernel writes `MASK_BYTES`, the size of `mask`.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_GETSIGMASK,
            tid,
            ptr::without_provenance_mut::<libc::c_void>(MASK_BYTES),
            (&raw mut mask).cast::<libc::c_void>(),
        )
    };
    check(result).map(|()| mask)
}

/// Sets them.
///
/// # Errors
/// `ESRCH` when it is not stopped, or gone.
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
}

/// Where a stopped thread has its `struct rseq`, see `PTRACE_GET_RSEQ_CONFIGURATION` in ptrace(2); `None`
/// when it has none.
///
/// # Errors
/// `EIO` before Linux 5.13, `ESRCH` when it is not stopped, or gone.
pub fn rseq(tid: i32) -> io::Result<Option<u64>> {
    // `struct ptrace_rseq_configuration`: the address, then four numbers.
    let mut configuration = [0_u64; 3];
    // SAFETY: the kernel writes at most as many bytes as it is told, the size of `configuration`.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_GET_RSEQ_CONFIGURATION,
            tid,
            ptr::without_provenance_mut::<libc::c_void>(size_of_val(&configuration)),
            (&raw mut configuration).cast::<libc::c_void>(),
        )
    };
    check(result)?;
    let [address, ..] = configuration;
    Ok((address != 0).then_some(address))
}

/// Registers of no thread.
#[cfg(test)]
#[must_use]
pub(crate) fn blank() -> libc::user_regs_struct {
    // SAFETY: they are plain numbers.
    unsafe { std::mem::zeroed() }
}
