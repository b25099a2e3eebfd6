//! Rehearses a program: starts it in a unit, but lets it bind nothing. The helper answers its calls of bind(2), and
//! reports what the program asked for.
//!
//! Each socket that the program binds is made unreachable: it drops every packet, and gets a free port of the loopback
//! interface instead of the address. So the program can listen and wait, and neither a port that is in use nor another
//! copy of the program interferes.
//!
//! When the reader of the report closes the connection, the helper ends the program.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

use super::channel::{self, Messages};
use super::helper;
use super::outcome::Outcome;
use super::pretence::Pretence;
use super::start::{self, Environment};
use super::{Error, preload, trial};
use crate::contract::report::{MOST, Report};
use crate::contract::{Ready, Rehearsal, Run};
use crate::log::say;
use crate::peer::descriptors::{ABOVE, above, raise_limit};
use crate::peer::process::Process;
use crate::sys::process;
use crate::sys::seccomp::{self, Kind};

/// `ABOVE - 1` as `close_range(2)` takes it.
const ABOVE_LAST: u32 = 511;

/// Prepares the worker for becoming a program that is rehearsed.
pub(super) fn prepare(run: &Run, rehearsal: &Rehearsal) -> Result<Environment, Error> {
    start::look_for_manager()?;
    let reader = UnixStream::connect(&rehearsal.report)
        .map(|reader| above(reader.into()))
        .map_err(start::kernel("the rehearsal cannot be reported"))?;
    let mut environment = start::environment(&run.env_files, &run.counted)?;
    let channel = match run.ready {
        Ready::Message => Some(
            channel::open(&mut environment)
                .map_err(start::kernel("Node's channel cannot be made"))?,
        ),
        _ => None,
    };
    let main = std::process::id();
    let (to_helper, helper) = start::with_helper(move |worker| {
        let served = Helper::begin(rehearsal, main, reader, channel, worker).and_then(Helper::run);
        if let Err(e) = &served {
            say(3, &format!("the rehearsal cannot go on: {e}"));
        }
        helper::end(i32::from(served.is_err()))
    })?;
    trial::watch(&to_helper, helper)?;
    start::filter(seccomp::install_for_rehearsal, &to_helper)?;
    preload::add(&mut environment, run);
    Ok(environment)
}

/// The events that have to be handled.
struct Events {
    call: bool,
    message: bool,
    /// The reader of the report has closed the connection.
    unread: bool,
}

struct Helper<'a> {
    rehearsal: &'a Rehearsal,
    filter: OwnedFd,
    /// The main process of the unit.
    program: OwnedFd,
    /// The connection to the reader of the report, until it is closed.
    reader: Option<UnixStream>,
    channel: Option<Messages>,
    pretence: Pretence,
    /// The lines that have been written, each only once.
    written: Vec<String>,
    /// When a program that was asked to end will be killed.
    deadline: Option<Instant>,
}

impl<'a> Helper<'a> {
    /// Prepares everything while the worker waits, see `helper.rs`.
    fn begin(
        rehearsal: &'a Rehearsal,
        main: u32,
        reader: OwnedFd,
        channel: Option<OwnedFd>,
        worker: OwnedFd,
    ) -> io::Result<Self> {
        SigSet::all().thread_block()?;
        process::hide()?;
        raise_limit();
        if !trial::play(&worker, main, 2)? {
            // The worker reports the reason.
            helper::end(0);
        }
        let filter = above(helper::receive(&worker)?);
        let program = above(process::pidfd(main)?);
        let channel = channel.map(above);
        drop(worker);
        process::close_range(0, 1);
        if filter.as_raw_fd() >= ABOVE && reader.as_raw_fd() >= ABOVE {
            process::close_range(3, ABOVE_LAST);
        }
        Ok(Self {
            rehearsal,
            filter,
            program,
            reader: Some(reader.into()),
            channel: channel.map(Messages::of),
            pretence: Pretence::default(),
            written: Vec::new(),
            deadline: None,
        })
    }

    fn run(mut self) -> io::Result<()> {
        self.report(&Report::Begun);
        loop {
            let Some(events) = self.wait()? else {
                self.pretence.clean_up();
                return Ok(());
            };
            if events.call {
                self.call()?;
            }
            if events.message {
                self.message();
            }
            if events.unread {
                self.reader = None;
                self.ask_to_end();
            }
            if self.deadline.is_some_and(|d| Instant::now() >= d) {
                self.deadline = None;
                let _ = process::signal(self.program.as_fd(), libc::SIGKILL);
            }
        }
    }

    /// Waits for an event or the deadline. Returns `None` when no process is under the filter any longer.
    fn wait(&self) -> io::Result<Option<Events>> {
        let time = self.deadline.map_or(PollTimeout::NONE, |d| {
            let left = d.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = vec![PollFd::new(self.filter.as_fd(), PollFlags::POLLIN)];
        if let Some(reader) = &self.reader {
            // Nothing is read from the connection; poll(2) reports only that it was closed.
            fds.push(PollFd::new(reader.as_fd(), PollFlags::empty()));
        }
        if let Some(channel) = &self.channel {
            fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut polled = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let mut next = |is_there: bool| {
            let found = is_there.then(|| polled.next()).flatten();
            found.unwrap_or(PollFlags::empty())
        };
        let filter = next(true);
        let reader = next(self.reader.is_some());
        let channel = next(self.channel.is_some());
        let call = filter.contains(PollFlags::POLLIN);
        let gone = !filter.is_empty() && !call;
        Ok((!gone).then_some(Events {
            call,
            message: !channel.is_empty(),
            unread: !reader.is_empty(),
        }))
    }

    /// Writes a line, unless it was written before. A program can make very many sockets, and the connection has only
    /// so much room without a reader.
    fn report(&mut self, report: &Report) {
        let line = report.line();
        if self.written.len() >= MOST || self.written.contains(&line) {
            return;
        }
        if let Some(reader) = &mut self.reader {
            // Without a reader, the connection is closed, which poll(2) reports.
            let _ = reader.write_all(format!("{line}\n").as_bytes());
        }
        self.written.push(line);
    }

    /// Answers a call of the program.
    fn call(&mut self) -> io::Result<()> {
        let Some(call) = seccomp::receive(self.filter.as_fd())? else {
            return Ok(());
        };
        let (outcome, report) = match Process::of_thread(call.thread) {
            Ok(caller) => match call.kind {
                Kind::Bind => self.pretence.bind(self.filter.as_fd(), &call, &caller),
                Kind::Listen => self.pretence.listen(self.filter.as_fd(), &call, &caller),
                Kind::Name => (
                    self.pretence.name(self.filter.as_fd(), &call, &caller),
                    None,
                ),
                Kind::File(file) => (
                    self.pretence
                        .file(self.filter.as_fd(), &call, file, &caller),
                    None,
                ),
                // This filter does not report the call, since the kernel gives the right answer about the program's own socket.
                Kind::Listens => (Outcome::Untouched, None),
            },
            Err(_) if matches!(call.kind, Kind::File(_)) => (Outcome::Untouched, None),
            // Nothing is bound in a rehearsal, not even by a process that may not be inspected.
            Err(_) => (Outcome::Refused(libc::EACCES), Some(Report::Strange)),
        };
        // The line comes before the answer, because the program may end as soon as it continues.
        if let Some(report) = report {
            self.report(&report);
        }
        // The caller may have died in the meantime; then there is no process to answer.
        let _ = outcome.answer(self.filter.as_fd(), call.id);
        Ok(())
    }

    /// Reads what the program has written to Node's channel.
    fn message(&mut self) {
        match self.channel.as_mut().map(Messages::read) {
            Some(Some(true)) => self.report(&Report::Ready),
            Some(None) => self.channel = None,
            Some(Some(false)) | None => {}
        }
    }

    /// Sends the app's stop signal, because the command that started the rehearsal is gone.
    fn ask_to_end(&mut self) {
        let signal = Signal::from_str(&self.rehearsal.signal).unwrap_or(Signal::SIGTERM);
        let _ = process::signal(self.program.as_fd(), signal as i32);
        self.deadline = Some(Instant::now() + self.rehearsal.kill_timeout);
    }
}
