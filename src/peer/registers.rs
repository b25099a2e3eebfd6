//! The registers of a stopped thread that matter to a system call; one module for each architecture. Pure.
//!
//! The calling conventions are those of syscall(2). No manual page describes how the kernel restarts a call that a stop has
//! interrupted, see `arch_do_signal_or_restart` in `arch/x86/kernel/signal.c` and `do_signal` in
//! `arch/arm64/kernel/signal.c`. For most calls (`-ERESTARTSYS` and the like) the kernel moves the instruction pointer back
//! when the thread continues. Some calls return `EINTR` instead, see BUGS in ptrace(2) and "Interruption of system calls and
//! library functions by stop signals" in signal(7). Without a tracer, a program without signal handlers never gets this
//! error, and many programs end on it. So these calls are made once more, or return as if their time-out had expired.

/// System calls that return `EINTR` when a tracer stops the thread, although no signal handler has run.
const INTERRUPTIBLE: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_rt_sigtimedwait,
];

/// The epoll calls whose fourth argument is a time-out in milliseconds.
const TIMED: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
];

const EINTR: u64 = (-4i64).cast_unsigned();

/// The way in which a call that a tracer has interrupted continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Nothing has to be changed: the call has ended, or the kernel restarts it.
    AsIs,
    /// The call is made once more, with the same arguments.
    Again,
    /// The call returns 0, as if its time-out had expired: made once more, it would wait for the whole time again.
    Nothing,
}

/// Chooses how a call continues that waited with these arguments and now has this result.
pub(crate) fn resume(waited: Option<(i64, [u64; 6])>, result: u64) -> Resume {
    let Some((number, arguments)) = waited.filter(|(n, _)| INTERRUPTIBLE.contains(n)) else {
        return Resume::AsIs;
    };
    if result != EINTR {
        return Resume::AsIs;
    }
    let [_, _, _, time, ..] = arguments;
    // The time-out is the low half of the register; a negative one means no time-out, see epoll_wait(2).
    if TIMED.contains(&number) && time & 0x8000_0000 == 0 {
        Resume::Nothing
    } else {
        Resume::Again
    }
}

/// How much a thread in this call would notice of a stop; the thread with the least is stopped.
///
/// 0: the kernel restarts the call, and the thread notices nothing. 1: the call is made once more. 2: a call with a time-out
/// ends early. 3: the thread runs, and may be in a restartable sequence (rseq(2)), in which it must not be stopped. 4:
/// `io_uring_enter(2)` returns early, which nothing here could hide.
pub(crate) fn cost(waits: Option<(i64, [u64; 6])>) -> u32 {
    match waits {
        Some((number, _)) if number == libc::SYS_io_uring_enter => 4,
        Some((number, [_, _, _, time, ..])) if INTERRUPTIBLE.contains(&number) => {
            if TIMED.contains(&number) && time & 0x8000_0000 != 0 {
                1
            } else {
                2
            }
        }
        Some(_) => 0,
        None => 3,
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::Resume;

    /// `syscall`
    pub(crate) const SYSCALL: &[u8] = &[0x0f, 0x05];
    /// The value of `orig_rax` for a thread that is in no system call, so that the kernel restarts none.
    const NO_CALL: u64 = u64::MAX;

    pub(crate) type Registers = libc::user_regs_struct;

    pub(crate) fn result(of: &Registers) -> u64 {
        of.rax
    }

    /// The registers with which the thread makes this call at the instruction at `site`.
    pub(crate) fn calling(of: &Registers, site: u64, number: i64, with: [u64; 6]) -> Registers {
        let mut new = *of;
        [new.rdi, new.rsi, new.rdx, new.r10, new.r8, new.r9] = with;
        new.rax = number.cast_unsigned();
        new.orig_rax = NO_CALL;
        new.rip = site;
        new
    }

    /// The registers with which the thread goes on.
    pub(crate) fn resumed(of: &Registers, how: Resume, _first: u64) -> Registers {
        let mut new = *of;
        match how {
            Resume::AsIs => {}
            Resume::Again => {
                new.rax = of.orig_rax;
                new.rip = of.rip.wrapping_sub(2);
                new.orig_rax = NO_CALL;
            }
            Resume::Nothing => new.rax = 0,
        }
        new
    }

    /// The registers with another first argument.
    pub(crate) fn with_first(of: &Registers, argument: u64) -> Registers {
        let mut new = *of;
        new.rdi = argument;
        new
    }

    /// Whether the thread runs 64-bit code: 32-bit code numbers its calls differently.
    pub(crate) fn is_native(of: &Registers) -> bool {
        of.cs == 0x33
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::Resume;

    /// `svc 0`
    pub(crate) const SYSCALL: &[u8] = &[0x01, 0x00, 0x00, 0xd4];
    /// The register with the number of the call.
    const NUMBER: usize = 8;
    /// The bit of `pstate` that is set in 32-bit code.
    const PSR_MODE32: u64 = 0x10;

    pub(crate) type Registers = libc::user_regs_struct;

    pub(crate) fn result(of: &Registers) -> u64 {
        let [first, ..] = of.regs;
        first
    }

    /// The registers with which the thread makes this call at the instruction at `site`.
    pub(crate) fn calling(of: &Registers, site: u64, number: i64, with: [u64; 6]) -> Registers {
        let mut new = *of;
        for (register, value) in new.regs.iter_mut().zip(with) {
            *register = value;
        }
        if let Some(register) = new.regs.get_mut(NUMBER) {
            *register = number.cast_unsigned();
        }
        new.pc = site;
        new
    }

    /// The registers with which the thread continues. `first` is the first argument, which the result has overwritten.
    pub(crate) fn resumed(of: &Registers, how: Resume, first: u64) -> Registers {
        let mut new = *of;
        let value = match how {
            Resume::AsIs => return new,
            Resume::Again => {
                new.pc = of.pc.wrapping_sub(4);
                first
            }
            Resume::Nothing => 0,
        };
        if let Some(register) = new.regs.first_mut() {
            *register = value;
        }
        new
    }

    /// The registers with another first argument.
    pub(crate) fn with_first(of: &Registers, argument: u64) -> Registers {
        let mut new = *of;
        if let Some(register) = new.regs.first_mut() {
            *register = argument;
        }
        new
    }

    /// Whether the thread runs 64-bit code: 32-bit code numbers its calls differently.
    pub(crate) fn is_native(of: &Registers) -> bool {
        of.pstate & PSR_MODE32 == 0
    }
}

pub(crate) use machine::{Registers, SYSCALL, calling, is_native, result, resumed, with_first};

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: u64 = 0xffff_ffff;

    #[expect(clippy::unnecessary_wraps, reason = "a thread may wait for nothing")]
    fn epoll(time: u64) -> Option<(i64, [u64; 6])> {
        Some((libc::SYS_epoll_pwait, [5, 0x7000, 1024, time, 0, 0]))
    }

    #[test]
    fn a_call_that_would_return_eintr_is_made_again() {
        assert_eq!(resume(epoll(FOREVER), EINTR), Resume::Again);
        assert_eq!(resume(epoll(u64::MAX), EINTR), Resume::Again);
        let accept = Some((libc::SYS_accept4, [3, 0, 0, 0, 0, 0]));
        assert_eq!(resume(accept, EINTR), Resume::Again);
    }

    #[test]
    fn a_call_with_a_time_out_returns_as_if_that_had_expired() {
        assert_eq!(resume(epoll(30_000), EINTR), Resume::Nothing);
    }

    #[test]
    fn every_other_call_is_left_to_the_kernel() {
        let futex = Some((libc::SYS_futex, [0; 6]));
        assert_eq!(resume(futex, EINTR), Resume::AsIs);
        assert_eq!(resume(epoll(FOREVER), 1), Resume::AsIs);
        assert_eq!(resume(None, EINTR), Resume::AsIs);
    }

    #[test]
    fn a_thread_that_notices_nothing_is_preferred() {
        let futex = Some((libc::SYS_futex, [0; 6]));
        assert!(cost(futex) < cost(epoll(FOREVER)));
        assert!(cost(epoll(FOREVER)) < cost(epoll(30_000)));
        assert!(cost(epoll(30_000)) < cost(None));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn registers_of_x86_64() {
        let mut own = crate::sys::ptrace::blank();
        (own.rax, own.orig_rax, own.rip) = (EINTR, 232, 0x1002);
        let again = resumed(&own, Resume::Again, 0);
        assert_eq!((again.rax, again.rip), (232, 0x1000));
        let nothing = resumed(&own, Resume::Nothing, 0);
        assert_eq!((nothing.rax, nothing.rip), (0, 0x1002));
        let with = with_first(&again, 9);
        assert_eq!((with.rdi, with.rip), (9, 0x1000));
        let call = calling(&own, 0x7000, 33, [1, 2, 3, 4, 5, 6]);
        assert_eq!((call.rax, call.rip, call.rdi, call.r10), (33, 0x7000, 1, 4));
    }

    #[cfg(target_arch = "aarch64")]
    #[test]
    fn registers_of_aarch64() {
        let mut own = crate::sys::ptrace::blank();
        (own.regs[0], own.pc) = (EINTR, 0x1004);
        let again = resumed(&own, Resume::Again, 7);
        assert_eq!((again.regs[0], again.pc), (7, 0x1000));
        let nothing = resumed(&own, Resume::Nothing, 7);
        assert_eq!((nothing.regs[0], nothing.pc), (0, 0x1004));
        let with = with_first(&again, 9);
        assert_eq!((with.regs[0], with.pc), (9, 0x1000));
        let call = calling(&own, 0x7000, 33, [1, 2, 3, 4, 5, 6]);
        assert_eq!((call.regs[8], call.pc, call.regs[5]), (33, 0x7000, 6));
    }
}
