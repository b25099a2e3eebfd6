//! A stopped thread of the program, which is made to run our system calls, see ptrace(2).
//!
//! Only a thread of a process can change the process's table of descriptors. So a thread is stopped, its registers are
//! set for a call, it runs from one instruction in the vDSO ([`super::vdso`]) to the next stop, and finally it gets its
//! own registers back. No byte of the program's memory is written. Signals are blocked meanwhile, because a signal
//! handler would be entered with our registers. A system call that the thread was waiting in continues afterwards.
//!
//! The program may be hostile, and its other threads keep running. Hence no argument is a pointer into its memory,
//! each call is compared with the intended one before the kernel makes it, and the owner of the thread is checked
//! after it has stopped. This module must never leave a thread running with its seccomp filters suspended.

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

pub(crate) use stops::detach_late;
use stops::{PATIENCE, became_another, wait, wait_stopped};

/// The distance from the instruction to the instruction pointer when the kernel reports a call.
const SYSCALL_LENGTH: u64 = SYSCALL.len() as u64;
/// The offset of `rseq_cs` in `struct rseq`.
const RSEQ_CS: u64 = 8;
/// Results from here on are errors, see syscall(2).
const ERRORS: u64 = (-4095i64).cast_unsigned();
/// The options of the tracee, except while [`Tracee::call`] suspends its filters. A stop at a system call must differ from
/// one by SIGTRAP, and an exec must be noticed, because after an exec nothing that is known about the process is valid.
const OPTIONS: Options = Options::PTRACE_O_TRACESYSGOOD.union(Options::PTRACE_O_TRACEEXEC);
/// The signals that an instruction itself causes, which the kernel delivers even if they are blocked. One of them means that
/// the program has changed the instruction in its vDSO.
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
    /// The registers with which the thread continues after the release.
    saved: Registers,
    /// The thread's own signal mask.
    mask: u64,
    /// Whether the thread has our registers and signal mask at present.
    is_changed: bool,
    /// Whether one of our calls has begun and was not seen to end, so that the thread's seccomp filters may be suspended.
    is_underway: bool,
    /// A signal that cannot be blocked and came in the middle of a call.
    owed: Option<i32>,
    /// Whether the thread's seccomp filters can be suspended.
    pub(crate) unfiltered: bool,
}

impl<'a> Tracee<'a> {
    /// Stops a thread of the process.
    ///
    /// `PTRACE_SEIZE` takes a number. Before the thread has stopped it may end, and a thread of another process may get its
    /// number; afterwards that is impossible. So the owner of the thread is checked twice: before, in order to stop as few
    /// threads of other processes as possible, and after the stop, which decides. A thread of another process is released and
    /// notices nothing.
    ///
    /// # Errors
    /// `EPERM` when the thread may not be traced, `TimedOut` when it does not stop, `ESRCH` when it does not belong to the
    /// process, or the process is not in the control group.
    pub(crate) fn stop(
        process: &'a Process,
        group: &ControlGroup,
        thread: &Thread,
    ) -> io::Result<Self> {
        let tid = Pid::from_raw(thread.tid);
        if !process.owns(thread.tid, group) {
            return Err(Errno::ESRCH.into());
        }
        // Not PTRACE_ATTACH, which sends a SIGSTOP that the program's parent could notice.
        let asked = match trace::seize(tid, OPTIONS) {
            // An earlier attempt gave up on this thread before it had stopped. The thread is still traced, and its stop
            // is still requested: after a second request it would stop twice, the second time in the middle of a call.
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
                // The call to continue is that of the stopped thread, not the one that `thread` waited in.
                let own = std::fs::read_to_string(format!("/proc/{tid}/syscall"));
                let own = own.unwrap_or_default();
                stranger.thread.waits = procfs::waiting(&own);
                let _ = stranger.release();
                Err(Errno::ESRCH.into())
            }
            Err(e) => {
                // This detaches a thread that has stopped. Any other is detached by `detach_late`, or when this process ends.
                let _ = trace::detach(tid, None);
                Err(e)
            }
        }
    }

    /// The thread has stopped.
    fn begin(process: &'a Process, tid: Pid, thread: &Thread) -> io::Result<Self> {
        let saved = trace::getregs(tid)?;
        if !registers::is_native(&saved) {
            return Err(io::Error::other("it runs code of another architecture"));
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

    /// Whether the kernel lets this process suspend the thread's seccomp filters (`PTRACE_O_SUSPEND_SECCOMP`). In a container
    /// it does not, because a filter applies to the tracer itself.
    fn can_be_unfiltered(&self) -> bool {
        let can = trace::setoptions(self.tid, OPTIONS | ptrace::without_seccomp()).is_ok();
        // Trying is safe: the thread is stopped, so it makes no call before the option is taken back.
        can && trace::setoptions(self.tid, OPTIONS).is_ok()
    }

    /// Lets the thread run until it makes a call for which `is_it` holds, and undoes the call; returns
    /// whether the thread made one in time. The thread repeats the call when it is released.
    ///
    /// Meanwhile the thread runs its own code, and its signals are delivered.
    ///
    /// # Errors
    /// `ESRCH` when the thread is gone.
    pub(crate) fn run_to(&mut self, is_it: impl Fn(i64, [u64; 6]) -> bool) -> io::Result<bool> {
        let start = Instant::now();
        let mut signal = 0;
        let (how, first) = self.resume();
        if how != Resume::AsIs {
            // First the call that the stop has interrupted has to continue.
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
            // The last signal was not delivered yet. The thread stops at the beginning of its handler.
            trace::interrupt(self.tid)?;
            ptrace::go_on(self.tid.as_raw(), signal)?;
            wait_stopped(self.tid)?;
        }
        self.saved = trace::getregs(self.tid)?;
        self.thread.waits = self.process.waits(self.tid.as_raw());
        Ok(false)
    }

    /// Makes the call that was just entered fail, and moves the thread back to before the call.
    ///
    /// At the entry of a call the kernel has already read its number, so no other call can be made from there. With -1
    /// as its descriptor, the call does nothing and fails with `EBADF`; then the instruction pointer is moved back.
    fn take_back(&mut self, first: u64) -> io::Result<()> {
        self.mask = ptrace::mask(self.tid.as_raw())?;
        self.hold_signals()?;
        let entered = trace::getregs(self.tid)?;
        trace::setregs(self.tid, registers::with_first(&entered, u64::MAX))?;
        // Only at a stop after the call are all registers those of the program, see ptrace(2).
        trace::interrupt(self.tid)?;
        trace::cont(self.tid, None)?;
        wait_stopped(self.tid)?;
        let failed = trace::getregs(self.tid)?;
        let again = registers::resumed(&failed, Resume::Again, first);
        self.saved = registers::with_first(&again, first);
        self.thread.waits = None;
        Ok(())
    }

    /// Blocks all signals, because a signal handler would be entered with our registers. This is done once,
    /// or the saved mask of the thread would be lost.
    fn hold_signals(&mut self) -> io::Result<()> {
        if !self.is_changed {
            self.is_changed = true;
            ptrace::set_mask(self.tid.as_raw(), u64::MAX)?;
        }
        Ok(())
    }

    /// Makes exactly this system call in the thread. All arguments must be numbers: memory behind a pointer could be changed by
    /// other threads of the program between the check and the call.
    ///
    /// # Errors
    /// The errors of the call, `ESRCH` when the thread is gone, and when the program has changed the instruction at `site`, see
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
            // The program has changed the instruction. Its call would run with our arguments, and perhaps without filters, so
            // no call is made at all.
            ptrace::skip(self.tid.as_raw())?;
            self.run_to_edge()?;
            return Err(io::Error::other("its vDSO makes other system calls"));
        }
        // The filters are suspended only now, after the check, and only until the end of the call: in between the thread runs
        // no instruction of its own. This is early enough, because the kernel runs the filters after it has reported the entry
        // of the call to the tracer, see `syscall_trace_enter` in `kernel/entry/common.c`.
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

    /// Makes sure that our last call has ended and that the thread's filters apply again.
    ///
    /// A program can prolong a call, for instance a close(2), by replacing the socket that is to be closed by one
    /// with `SO_LINGER`. The options can be set only while the thread is stopped, so the thread is interrupted
    /// first. A thread that was released in the middle of the call would run on without its filters.
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

    /// Lets the thread run to the entry of its next system call, or from the entry to the end of the call.
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

    /// Releases the thread, which continues as if it had never been stopped.
    ///
    /// The order matters. Our last call ends first, so that the filters apply again. Then the thread is brought to a stop at
    /// which the kernel restarts interrupted calls. Its signal mask is restored there, because it takes effect when the thread
    /// runs again, and the registers last, since every run to another stop would change them.
    ///
    /// # Errors
    /// `ESRCH` when the thread is gone.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.finish()?;
        if self.is_changed {
            // The kernel restarts an interrupted call only when the thread leaves a stop of this kind (`PTRACE_EVENT_STOP`).
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
            // Only SIGSTOP and SIGKILL cannot be blocked, and both are for the whole process.
            Some(signal) => self.process.signal(signal),
            None => Ok(()),
        }
    }

    /// The way in which the interrupted call continues, and the first argument of the call.
    fn resume(&self) -> (Resume, u64) {
        // A pending signal ends the call with `EINTR`, as it would have done without the stop.
        let how = if self.has_signal() {
            Resume::AsIs
        } else {
            registers::resume(self.thread.waits, registers::result(&self.saved))
        };
        (how, self.thread.waits.map_or(0, |(_, [first, ..])| first))
    }

    /// Whether a signal is pending that the thread does not block by itself, see `proc_pid_status(5)`.
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

/// Whether the thread may be in a restartable sequence, see rseq(2). The kernel restarts such a sequence when
/// it preempts the thread, but cannot know that our calls ran in the middle of one. A thread that waits in a
/// system call is not in such a sequence.
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
