//! One stopped thread of the program, made to run system calls of ours, see ptrace(2).
//!
//! The calls are made at a `syscall` instruction that is in the program's memory already, so not one
//! byte of it is written. Signals wait meanwhile. When the thread goes on its registers are what they
//! were, and a call that it was waiting in goes on, too.

use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self as trace, Options};
use nix::unistd::Pid;

use super::process::{Process, Thread};
use super::registers::{self, GATE, Registers, Resume};
use super::unit::Unit;
use crate::procfs;
use crate::sys::ptrace::{self, Entry, Stop};

/// A thread that does not stop in this time is let alone.
const PATIENCE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_micros(50);
/// Of the instruction of a system call.
const GATE_LENGTH: u64 = if cfg!(target_arch = "aarch64") { 4 } else { 2 };
/// The place of `rseq_cs` in `struct rseq`.
const RSEQ_CS: u64 = 8;
/// `PTRACE_EVENT_STOP`
const STOPPED: i32 = 128;
/// Results from here on are errors, see syscall(2).
const ERRORS: u64 = (-4095i64).cast_unsigned();
/// What a thread is traced with, but for the one moment of [`Tracee::call`].
const OPTIONS: Options = Options::PTRACE_O_TRACESYSGOOD.union(Options::PTRACE_O_TRACEEXEC);
/// Signals that no mask holds back when the thread's own instruction causes them. Of ours: then the gate is none.
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
    saved: Registers,
    mask: u64,
    called: bool,
    /// A call of ours has begun and was not seen to end. Its filters may be put aside.
    is_underway: bool,
    /// A signal that nothing holds back, and that came in the middle of a call.
    owed: Option<i32>,
    /// Its seccomp filters can be put aside.
    pub(crate) unfiltered: bool,
}

impl<'a> Tracee<'a> {
    /// Stops a thread of the process. A thread that turns out to be another's, of a process that got its number, goes on
    /// as if nothing had been.
    ///
    /// # Errors
    /// `EPERM` where it may not be traced, `TimedOut` when it does not stop, `ESRCH` when it is not of the unit.
    pub(crate) fn stop(process: &'a Process, unit: &Unit, thread: &Thread) -> io::Result<Self> {
        let tid = Pid::from_raw(thread.tid);
        if !process.owns(thread.tid, unit) {
            return Err(Errno::ESRCH.into());
        }
        trace::seize(tid, OPTIONS)?;
        match Self::begin(process, tid, thread) {
            Ok(mut tracee) if process.owns(thread.tid, unit) => {
                tracee.unfiltered = tracee.can_be_unfiltered();
                Ok(tracee)
            }
            Ok(mut stranger) => {
                let own = std::fs::read_to_string(format!("/proc/{tid}/syscall"));
                let own = own.unwrap_or_default();
                stranger.thread.waits = procfs::waiting(&own);
                let _ = stranger.release();
                Err(Errno::ESRCH.into())
            }
            Err(e) => {
                // Works for one that has stopped; any other goes on when this process ends.
                let _ = trace::detach(tid, None);
                Err(e)
            }
        }
    }

    fn begin(process: &'a Process, tid: Pid, thread: &Thread) -> io::Result<Self> {
        trace::interrupt(tid)?;
        wait_stopped(tid)?;
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
            called: false,
            is_underway: false,
            owed: None,
            unfiltered: false,
        })
    }

    /// Whether the kernel lets this process put filters aside. In a container it does not: there the tracer is under a
    /// filter itself.
    fn can_be_unfiltered(&self) -> bool {
        let can = trace::setoptions(self.tid, OPTIONS | ptrace::without_seccomp()).is_ok();
        // The thread has not moved in between.
        can && trace::setoptions(self.tid, OPTIONS).is_ok()
    }

    /// Lets the thread run until it makes a call that is looked for, and takes that back; whether it came to one in
    /// time. When the thread goes on it makes the call.
    ///
    /// # Errors
    /// `ESRCH` when it is gone.
    pub(crate) fn run_to(&mut self, is_it: impl Fn(i64, [u64; 6]) -> bool) -> io::Result<bool> {
        let start = Instant::now();
        let mut signal = 0;
        let (how, first) = self.resume();
        if how != Resume::AsIs {
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

    /// A signal would begin its handler with registers that are not the program's.
    fn hold_signals(&mut self) -> io::Result<()> {
        if !self.called {
            self.called = true;
            ptrace::set_mask(self.tid.as_raw(), u64::MAX)?;
        }
        Ok(())
    }

    /// Makes a system call in the thread, and no other one. The arguments are numbers: nothing that they mean can be
    /// changed by the other threads of the program.
    ///
    /// # Errors
    /// Those of the call, `ESRCH` when the thread is gone, and whatever was made of the gate since it was looked for.
    pub(crate) fn call(&mut self, gate: u64, number: i64, with: [u64; 6]) -> io::Result<u64> {
        self.finish()?;
        self.hold_signals()?;
        let calling = registers::calling(&self.saved, gate, number, with);
        trace::setregs(self.tid, calling)?;
        let wanted = Entry {
            number,
            arguments: with,
            instruction: gate.wrapping_add(GATE_LENGTH),
            architecture: ptrace::ARCHITECTURE,
        };
        self.run_to_edge()?;
        if ptrace::entered(self.tid.as_raw())? != Some(wanted) {
            // The memory of the gate is the program's, who may have written to it. Its own call would be made with
            // arguments of ours, so none is made.
            ptrace::void(self.tid.as_raw())?;
            self.run_to_edge()?;
            return Err(io::Error::other("its vDSO makes other calls"));
        }
        // From the stop at the entry of the call to the one at its end the thread runs no instruction of its own, and
        // the filters are asked after the former, see `syscall_trace_enter` in `kernel/entry/common.c`.
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

    /// Sees to the end of a call, which a program can make last: a descriptor that lingers is in the place of the one that
    /// is closed. The stop there takes an interrupt back: let on without a look it would run, its filters put aside.
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

    /// Lets the thread run to the beginning of a system call, or from there to its end.
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
    /// # Errors
    /// `ESRCH` when it is gone.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.finish()?;
        if self.called {
            // The kernel restarts an interrupted call only on its way out of a stop of this kind.
            trace::interrupt(self.tid)?;
            trace::cont(self.tid, None)?;
            wait_stopped(self.tid)?;
            ptrace::set_mask(self.tid.as_raw(), self.mask)?;
        }
        let (how, first) = self.resume();
        if self.called || how != Resume::AsIs {
            trace::setregs(self.tid, registers::resumed(&self.saved, how, first))?;
        }
        trace::detach(self.tid, None)?;
        match self.owed {
            // Only what no mask holds back, which stops or ends a whole process.
            Some(signal) => self.process.signal(signal),
            None => Ok(()),
        }
    }

    /// How the call goes on that the stop interrupted, and its first argument.
    fn resume(&self) -> (Resume, u64) {
        // With a signal on its way the call has to end by it, as always.
        let how = if self.has_signal() {
            Resume::AsIs
        } else {
            registers::resume(self.thread.waits, registers::result(&self.saved))
        };
        (how, self.thread.waits.map_or(0, |(_, [first, ..])| first))
    }

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

/// Whether the thread may be in a sequence that the kernel restarts when it is interrupted, see rseq(2):
/// it would not notice that our calls did. Only in one that waits in a call it cannot be.
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

/// Lets go what did not stop in time and has stopped since.
pub(crate) fn let_go() {
    while let Ok(Some((tid, stop))) = ptrace::stopped(None) {
        let signal = match stop {
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        // Only one that has ended cannot be let go.
        let _ = ptrace::let_go(tid, signal);
    }
}

fn wait_stopped(tid: Pid) -> io::Result<()> {
    loop {
        let signal = match wait(tid)? {
            Stop::Event(STOPPED) => return Ok(()),
            Stop::Event(libc::PTRACE_EVENT_EXEC) => return Err(became_another()),
            // It was on its way already.
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        // Any other stop takes the request for one back.
        trace::interrupt(tid)?;
        ptrace::go_on(tid.as_raw(), signal)?;
    }
}

/// What is known is of the program before: its gate and registers, and whose rights it has.
fn became_another() -> io::Error {
    io::Error::other("it has become another program")
}

/// The next stop of the thread.
fn wait(tid: Pid) -> io::Result<Stop> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match ptrace::stopped(Some(tid.as_raw()))? {
            None => std::thread::sleep(STEP),
            Some((_, Stop::Gone)) => return Err(Errno::ESRCH.into()),
            Some((_, stop)) => return Ok(stop),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The address of an instruction that makes system calls, in the vDSO; it holds while a thread of the process is stopped.
///
/// # Errors
/// Where it is missing, or the memory may not be read.
pub(crate) fn gate(process: &Process) -> io::Result<u64> {
    /// Of two pages at most.
    const LARGEST: u64 = 1 << 16;
    let maps = process.text("maps");
    let (start, end) = procfs::vdso(&maps).ok_or_else(|| io::Error::other("it has no vDSO"))?;
    let length = usize::try_from(end.saturating_sub(start).min(LARGEST)).unwrap_or(0);
    let mut code = vec![0; length];
    process.memory()?.read_exact_at(&mut code, start)?;
    let at = find(&code).ok_or_else(|| io::Error::other("its vDSO makes no system calls"))?;
    Ok(start + at)
}

fn find(code: &[u8]) -> Option<u64> {
    // Where instructions have one size, only their beginnings count; else any byte may begin one.
    let step = if cfg!(target_arch = "aarch64") { 4 } else { 1 };
    let at = code
        .windows(GATE.len())
        .step_by(step)
        .position(|w| w == GATE)?;
    u64::try_from(at * step).ok()
}

#[cfg(test)]
mod tests;
