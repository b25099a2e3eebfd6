//! One stopped thread of the program, made to run system calls of ours, see ptrace(2).
//!
//! A call that changes a process's own table of descriptors can only be made by a thread of that process. So a thread is
//! stopped, its registers are set for the call, it runs from one instruction in the vDSO ([`super::vdso`]) to the next stop,
//! and in the end it has the registers that it had. Not one byte of the program's memory is written. Signals are blocked
//! meanwhile: a handler would begin with registers of ours. A call that the thread was waiting in goes on.
//!
//! The program may be hostile, and other threads of it run. Hence nothing is passed that lies in its memory, each call is
//! compared with what was meant before the kernel makes it, and the thread is proven to be of the process after it has
//! stopped. This module must never leave a thread behind that runs with its seccomp filters suspended.

mod stops;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::ptrace::{self as trace, Options};
use nix::unistd::Pid;

use super::control_group::ControlGroup;
use super::process::{Process, Thread};
use super::registers::{self, Registers, Resume, SYSCALL};
use crate::procfs;
use crate::sys::ptrace::{self, EnteredCall, Stop};

pub(crate) use stops::let_go;
use stops::{PATIENCE, became_another, wait, wait_stopped};

/// The instruction pointer is so far behind the instruction when a call is reported.
const SYSCALL_LENGTH: u64 = SYSCALL.len() as u64;
/// The place of `rseq_cs` in `struct rseq`.
const RSEQ_CS: u64 = 8;
/// Results from here on are errors, see syscall(2).
const ERRORS: u64 = (-4095i64).cast_unsigned();
/// The options that a thread is traced with, but for the one moment of [`Tracee::call`]. Stops at system calls have to differ from
/// stops by SIGTRAP, and an exec has to be noticed, since everything that is known of the process ends with it.
const OPTIONS: Options = Options::PTRACE_O_TRACESYSGOOD.union(Options::PTRACE_O_TRACEEXEC);
/// Signals that the thread's own instruction causes, and that the kernel delivers though they are blocked: then the
/// instruction in the vDSO is not the kernel's any more.
const FAULTS: &[i32] = &[
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGTRAP,
];

/// A stopped thread.
pub(crate) struct Tracee<'a> {
    process: &'a Process,
    tid: Pid,
    thread: Thread,
    /// The registers that the thread goes on with.
    saved: Registers,
    /// The signals that the thread blocks by itself.
    mask: u64,
    /// Registers and mask of the thread are not its own at present.
    is_changed: bool,
    /// A call of ours has begun and was not seen to end. The thread's seccomp filters may be suspended.
    is_underway: bool,
    /// A signal that nothing holds back, and that came in the middle of a call.
    owed: Option<i32>,
    /// Whether the thread's seccomp filters can be suspended.
    pub(crate) unfiltered: bool,
}

impl<'a> Tracee<'a> {
    /// Stops a thread of the process.
    ///
    /// `PTRACE_SEIZE` takes a number, and the thread may end and its number go to a thread of another process at any time
    /// before it has stopped, but not after. So whose thread it is is asked twice: before, to stop as few strangers as can
    /// be, and once it has stopped, which decides. A stranger goes on as if nothing had been.
    ///
    /// # Errors
    /// `EPERM` where it may not be traced, `TimedOut` when it does not stop, `ESRCH` when it is not a thread of the process,
    /// or the process is not in the group.
    pub(crate) fn stop(
        process: &'a Process,
        group: &ControlGroup,
        thread: &Thread,
    ) -> io::Result<Self> {
        let tid = Pid::from_raw(thread.tid);
        if !process.owns(thread.tid, group) {
            return Err(Errno::ESRCH.into());
        }
        // Not PTRACE_ATTACH, which sends a SIGSTOP that others see.
        let asked = match trace::seize(tid, OPTIONS) {
            // An earlier attempt gave this thread up before it had stopped. The thread is still traced and still asked to
            // stop: asked again it would stop twice, the second time in the middle of a call.
            Err(Errno::EPERM) if process.is_traced_by_us(thread.tid) => Ok(()),
            seized => {
                seized?;
                trace::interrupt(tid)
            }
        };
        let stopped = asked
            .map_err(io::Error::from)
            .and_then(|()| wait_stopped(tid));
        match stopped.and_then(|()| Self::begin(process, tid, thread)) {
            Ok(mut tracee) if process.owns(thread.tid, group) => {
                tracee.unfiltered = tracee.can_be_unfiltered();
                Ok(tracee)
            }
            Ok(mut stranger) => {
                // The call that is to go on is the stranger's, not the one that was seen in the process.
                let own = std::fs::read_to_string(format!("/proc/{tid}/syscall"));
                let own = own.unwrap_or_default();
                stranger.thread.waits = procfs::waiting(&own);
                let _ = stranger.release();
                Err(Errno::ESRCH.into())
            }
            Err(e) => {
                // Works for a thread that has stopped. Any other stays traced: [`let_go`] releases it once it has stopped.
                let _ = trace::detach(tid, None);
                Err(e)
            }
        }
    }

    /// The thread has stopped.
    fn begin(process: &'a Process, tid: Pid, thread: &Thread) -> io::Result<Self> {
        let saved = trace::getregs(tid)?;
        if !registers::is_native(&saved) {
            return Err(io::Error::other("its code is not this machine's own"));
        }
        if thread.waits.is_none() && is_restartable(process, thread.tid) {
            return Err(io::Error::other("it is in a restartable sequence"));
        }
        Ok(Self {
            process,
            tid,
            thread: thread.clone(),
            saved,
            mask: ptrace::mask(thread.tid)?,
            is_changed: false,
            is_underway: false,
            owed: None,
            unfiltered: false,
        })
    }

    /// Whether the kernel lets this process suspend seccomp filters (`PTRACE_O_SUSPEND_SECCOMP`). In a container it does
    /// not: there the tracer is under a filter itself.
    fn can_be_unfiltered(&self) -> bool {
        let can = trace::setoptions(self.tid, OPTIONS | ptrace::without_seccomp()).is_ok();
        // The thread is stopped throughout, so it has made no call in between.
        can && trace::setoptions(self.tid, OPTIONS).is_ok()
    }

    /// Lets the thread run until it makes a call that is looked for, and takes that back; whether it came to one in
    /// time. When the thread is released it makes the call.
    ///
    /// The thread runs its own code meanwhile, with its own signals, which are passed on to it.
    ///
    /// # Errors
    /// `ESRCH` when it is gone.
    pub(crate) fn run_to(&mut self, is_it: impl Fn(i64, [u64; 6]) -> bool) -> io::Result<bool> {
        let start = Instant::now();
        let mut signal = 0;
        let (how, first) = self.resume();
        if how != Resume::AsIs {
            // The call that the stop interrupted has to go on before another one can come.
            trace::setregs(self.tid, registers::resumed(&self.saved, how, first))?;
        }
        while start.elapsed() < PATIENCE {
            ptrace::to_call(self.tid.as_raw(), signal)?;
            signal = match wait(self.tid) {
                Ok(Stop::Signal(signal)) => signal,
                Ok(Stop::Event(libc::PTRACE_EVENT_EXEC)) => {
                    self.thread.waits = None;
                    return Err(became_another());
                }
                Ok(_) => 0,
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    trace::interrupt(self.tid)?;
                    wait_stopped(self.tid)?;
                    break;
                }
                Err(e) => return Err(e),
            };
            if let Some(entry) = ptrace::entered(self.tid.as_raw())?
                && entry.architecture == ptrace::ARCHITECTURE
                && is_it(entry.number, entry.arguments)
            {
                let [first, ..] = entry.arguments;
                return self.take_back(first).map(|()| true);
            }
        }
        if signal != 0 {
            // Its handler begins, and the thread stops there.
            trace::interrupt(self.tid)?;
            ptrace::go_on(self.tid.as_raw(), signal)?;
            wait_stopped(self.tid)?;
        }
        self.saved = trace::getregs(self.tid)?;
        self.thread.waits = self.process.waits(self.tid.as_raw());
        Ok(false)
    }

    /// Has the call that was just entered fail, with no descriptor to act on, and goes back to before it.
    ///
    /// At the entry of a call the kernel has taken its number already, and no other call can be made from there. With -1 for
    /// the descriptor it fails with `EBADF` and does nothing; afterwards the instruction pointer is moved back.
    fn take_back(&mut self, first: u64) -> io::Result<()> {
        self.mask = ptrace::mask(self.tid.as_raw())?;
        self.hold_signals()?;
        let entered = trace::getregs(self.tid)?;
        trace::setregs(self.tid, registers::with_first(&entered, u64::MAX))?;
        // Only at a stop beyond the call all registers are the program's, see ptrace(2).
        trace::interrupt(self.tid)?;
        trace::cont(self.tid, None)?;
        wait_stopped(self.tid)?;
        let failed = trace::getregs(self.tid)?;
        let again = registers::resumed(&failed, Resume::Again, first);
        self.saved = registers::with_first(&again, first);
        self.thread.waits = None;
        Ok(())
    }

    /// Blocks all signals, once: a handler would begin with registers that are not the program's.
    fn hold_signals(&mut self) -> io::Result<()> {
        if !self.is_changed {
            self.is_changed = true;
            ptrace::set_mask(self.tid.as_raw(), u64::MAX)?;
        }
        Ok(())
    }

    /// Makes a system call in the thread, and no other one. The arguments are numbers: a pointer would lead to memory that
    /// the other threads of the program can write to between the check and the call.
    ///
    /// # Errors
    /// Those of the call, `ESRCH` when the thread is gone, and when the program has changed the instruction at `site`, see
    /// [`super::vdso::call_site`].
    pub(crate) fn call(&mut self, site: u64, number: i64, with: [u64; 6]) -> io::Result<u64> {
        self.finish()?;
        self.hold_signals()?;
        let calling = registers::calling(&self.saved, site, number, with);
        trace::setregs(self.tid, calling)?;
        let wanted = EnteredCall {
            number,
            arguments: with,
            instruction: site.wrapping_add(SYSCALL_LENGTH),
            architecture: ptrace::ARCHITECTURE,
        };
        self.run_to_edge()?;
        if ptrace::entered(self.tid.as_raw())? != Some(wanted) {
            // The memory of the vDSO is the program's, who may have written there. Its own call would be made with
            // arguments of ours, so none is made.
            ptrace::void(self.tid.as_raw())?;
            self.run_to_edge()?;
            return Err(io::Error::other("its vDSO makes other calls"));
        }
        // Only now, and only until the end of the call, are the filters suspended: in between the thread runs no instruction
        // of its own. It is early enough, since the kernel asks the filters after it has reported the entry to the tracer, see
        // `syscall_trace_enter` in `kernel/entry/common.c`.
        if self.unfiltered {
            trace::setoptions(self.tid, OPTIONS | ptrace::without_seccomp())?;
        }
        self.is_underway = true;
        self.run_to_edge()?;
        self.finish()?;
        match registers::result(&trace::getregs(self.tid)?) {
            error if error >= ERRORS => Err(io::Error::from_raw_os_error(
                i32::try_from(error.wrapping_neg()).unwrap_or(libc::EIO),
            )),
            result => Ok(result),
        }
    }

    /// Has a call of ours end before anything else is done, and its filters apply again.
    ///
    /// A program can make a call last, for instance a close(2) by putting a socket that lingers in the place of the one that
    /// was to be closed. Options can be set only while the thread is stopped. Released in the middle of the call, the thread
    /// would run on without its filters: the stop at the end of the call takes back the interrupt that was asked for.
    fn finish(&mut self) -> io::Result<()> {
        if !self.is_underway {
            return Ok(());
        }
        if trace::setoptions(self.tid, OPTIONS).is_err() {
            trace::interrupt(self.tid)?;
            wait(self.tid)?;
            trace::setoptions(self.tid, OPTIONS)?;
        }
        self.is_underway = false;
        Ok(())
    }

    /// Lets the thread run to the entry of a system call, or from there to its end.
    fn run_to_edge(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            trace::syscall(self.tid, None)?;
            match wait(self.tid)? {
                Stop::Syscall => return Ok(()),
                Stop::Signal(signal) if FAULTS.contains(&signal) => {
                    return Err(io::Error::other("its vDSO cannot be executed"));
                }
                Stop::Signal(signal) => self.owed = Some(signal),
                _ => {}
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Lets the thread go on as if nothing had been.
    ///
    /// In this order: the last call of ours ends; the thread is brought to a stop in which the kernel restarts interrupted
    /// calls; signals are unblocked, which takes effect when it runs; its registers come last.
    ///
    /// # Errors
    /// `ESRCH` when it is gone.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.finish()?;
        if self.is_changed {
            // The kernel restarts an interrupted call only on its way out of a stop of this kind.
            trace::interrupt(self.tid)?;
            trace::cont(self.tid, None)?;
            wait_stopped(self.tid)?;
            ptrace::set_mask(self.tid.as_raw(), self.mask)?;
        }
        let (how, first) = self.resume();
        if self.is_changed || how != Resume::AsIs {
            trace::setregs(self.tid, registers::resumed(&self.saved, how, first))?;
        }
        trace::detach(self.tid, None)?;
        match self.owed {
            // Only what cannot be blocked, SIGSTOP or SIGKILL, and that is for the whole process.
            Some(signal) => self.process.signal(signal),
            None => Ok(()),
        }
    }

    /// How the call goes on that the stop interrupted, and the first argument of the call.
    fn resume(&self) -> (Resume, u64) {
        // With a signal pending the call ends by that, with `EINTR`, as it would have without us.
        let how = if self.has_signal() {
            Resume::AsIs
        } else {
            registers::resume(self.thread.waits, registers::result(&self.saved))
        };
        (how, self.thread.waits.map_or(0, |(_, [first, ..])| first))
    }

    /// Whether a signal is pending that the thread does not block, see `proc_pid_status(5)`.
    fn has_signal(&self) -> bool {
        let status = self.process.text(&format!("task/{}/status", self.tid));
        let set = |key| {
            procfs::field(&status, key)
                .and_then(|v| u64::from_str_radix(v, 16).ok())
                .unwrap_or(0)
        };
        (set("SigPnd:") | set("ShdPnd:")) & !self.mask != 0
    }
}

/// Whether the thread may be in a sequence that has to be restarted when it is interrupted, see rseq(2). The kernel does
/// that when it preempts the thread, and would not notice that calls of ours came in between. A thread that waits in a
/// system call is in no such sequence.
fn is_restartable(process: &Process, tid: i32) -> bool {
    let Ok(Some(area)) = ptrace::rseq(tid) else {
        return false;
    };
    let mut sequence = [0; 8];
    let read = process
        .memory()
        .and_then(|m| m.read_exact_at(&mut sequence, area + RSEQ_CS));
    read.is_err() || sequence != [0; 8]
}
