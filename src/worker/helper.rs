//! The helper: a small process beside the program that hands the sockets over and reports READY.
//!
//! The helper is the program's sibling and not its child, since a program may wait for all its children. Only if the
//! program is the init of a PID namespace, the helper is its child, of the kind that wait(2) ignores. The helper has
//! one thread, blocks every signal, and ends when no process under the filter is left. It trusts nothing that it reads
//! from the program: any call that is not exactly a bind to a declared address continues in the kernel unchanged.
//!
//! A call that waits for an answer blocks the program, and the helper must never wait for the program in return.

mod background;
mod serving;
mod told;

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use background::Background;
use serving::Serving;

use super::channel::Messages;
use super::outcome::Outcome;
use super::refusal::{self, Refusal};
use super::replace::Replacer;
use super::requests::{self, OnRequest, Requests};
use super::sockets::PassedSocket;
use super::trial;
use crate::contract::{BACKGROUND, Handover, Ready, Run};
use crate::log::say;
use crate::peer::descriptors::{ABOVE, above, raise_limit};
use crate::peer::process::Process;
use crate::sys::process::{self, Side};
use crate::sys::seccomp::{self, Kind};

/// Everything that the worker leaves to the helper.
pub(super) struct Duty<'a> {
    pub(super) run: &'a Run,
    /// The main process of the unit: the worker, which becomes the program.
    pub(super) main: u32,
    /// The sockets that systemd passed.
    pub(super) passed: Vec<PassedSocket>,
    /// Our end of Node's channel.
    pub(super) channel: Option<OwnedFd>,
    /// The function that a child calls when the helper is asked to drain.
    pub(super) on_request: OnRequest,
}

/// Hands the filter's listener to the helper, see `SCM_RIGHTS` in unix(7).
pub(super) fn send(to: &OwnedFd, listener: &OwnedFd) -> std::io::Result<()> {
    let fds = [listener.as_raw_fd()];
    sendmsg::<()>(
        to.as_raw_fd(),
        &[IoSlice::new(b"l")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )?;
    Ok(())
}

pub(super) fn receive(from: &OwnedFd) -> std::io::Result<OwnedFd> {
    let mut byte = [0; 1];
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(i32);
    let message = recvmsg::<()>(
        from.as_raw_fd(),
        &mut buffer,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control
            && let Some(fd) = fds.first()
        {
            return Ok(process::received(*fd));
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// Serves until the program is gone. Never returns: this process is not the worker any more.
pub(super) fn serve(duty: Duty<'_>, worker: OwnedFd) -> ! {
    let ran = Helper::begin(duty, worker).and_then(|helper| helper.map_or(Ok(()), Helper::run));
    let status = match ran {
        Ok(()) => 0,
        Err(e) => {
            say(3, &format!("the helper cannot continue: {e}"));
            1
        }
    };
    end(status)
}

#[expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "the helper has no caller to return to"
)]
pub(super) fn end(status: i32) -> ! {
    std::process::exit(status)
}

/// The events to handle.
struct Events {
    /// A call of the program waits for its answer.
    call: bool,
    /// The program has written to Node's channel, or closed it.
    message: bool,
    /// A drain is requested, or has ended.
    request: bool,
}

/// `ABOVE - 1` as `close_range(2)` takes it.
const ABOVE_LAST: u32 = 511;

struct Helper<'a> {
    run: &'a Run,
    /// The PID of the first process.
    main: u32,
    /// The listener of the program's seccomp filter.
    filter: Option<OwnedFd>,
    /// Our end of Node's channel.
    channel: Option<Messages>,
    /// A pidfd of the main process, if no filter reports its end.
    program: Option<OwnedFd>,
    requests: Option<Requests>,
    on_request: OnRequest,
    replacer: Replacer<'a>,
    /// The outcome of a start in which the program binds another address than the declared one.
    refusal: Refusal,
    /// The processes that the first process of the program leaves behind.
    background: Background,
    /// The line about a further port has been written.
    is_further_told: bool,
    /// The unit's status says that the program has sent `ready` and does not listen.
    is_silence_told: bool,
    /// READY has been sent to systemd, or is sent by another process.
    ready: bool,
    /// When the program sent its message `ready`.
    said_ready: Option<Instant>,
    /// Since when the program has served every declared address.
    served: Option<Instant>,
    /// The first process, if it was the one that began to listen.
    serving: Option<Serving>,
    /// When the program should have been READY and listening.
    deadline: Option<Instant>,
}

impl<'a> Helper<'a> {
    /// Prepares everything while the worker waits; `None` when the trial has failed, which the worker reports.
    ///
    /// The order matters. Signals come first: one that arrives now is for the program. Then the helper hides,
    /// before it has anything that the program's user could take from it. The worker continues as soon as
    /// `worker` is closed, so all that can fail comes before that.
    fn begin(duty: Duty<'a>, worker: OwnedFd) -> std::io::Result<Option<Self>> {
        // The signals of the unit are the program's.
        SigSet::all().thread_block()?;
        process::hide()?;
        raise_limit();
        let filter = match duty.run.handover {
            Handover::Bind => {
                let known = duty.passed.first().map_or(0, |s| s.fd.as_raw_fd());
                if !trial::play(&worker, duty.main, known)? {
                    return Ok(None);
                }
                Some(above(receive(&worker)?))
            }
            Handover::Fds | Handover::Nothing => None,
        };
        let program = match filter {
            Some(_) => None,
            None => Some(above(process::pidfd(duty.main)?)),
        };
        let main = filter
            .as_ref()
            .and_then(|_| process::pidfd(duty.main).ok().map(above));
        let first = filter
            .as_ref()
            .and_then(|_| process::pidfd(duty.main).ok().map(above));
        let channel = duty.channel.map(above);
        let requests = requests::are_needed().then(|| Requests::begin(duty.run).ok());
        let replacer = Replacer::new(&duty.run.app, duty.passed);
        drop(worker);
        // A reader that waits for the end of the program's output must not wait for the helper. Standard error stays, for `say`.
        process::close_range(0, 1);
        let lasting = filter.as_ref().or(program.as_ref());
        if lasting.is_some_and(|fd| fd.as_raw_fd() >= ABOVE) {
            // All our descriptors have been moved up there: those below belonged to the worker.
            process::close_range(3, ABOVE_LAST);
        }
        let awaited = matches!(duty.run.ready, Ready::Listen | Ready::Message);
        Ok(Some(Self {
            run: duty.run,
            main: duty.main,
            filter,
            channel: channel.map(Messages::of),
            program,
            requests: requests.flatten(),
            on_request: duty.on_request,
            replacer,
            refusal: Refusal::of(main),
            background: Background::of(first, duty.run),
            is_further_told: false,
            is_silence_told: false,
            ready: !awaited,
            said_ready: None,
            served: None,
            serving: None,
            deadline: (awaited || duty.run.handover == Handover::Bind)
                .then(|| Instant::now() + duty.run.listen_timeout),
        }))
    }

    fn run(mut self) -> std::io::Result<()> {
        loop {
            let Some(events) = self.wait()? else {
                self.explain_end();
                return Ok(());
            };
            if events.call {
                self.call()?;
            }
            if events.message {
                self.message();
            }
            if events.request {
                self.drain_on_request();
            }
            if self.background.look(self.ready, || self.replacer.served()) {
                refusal::tell(BACKGROUND);
            }
            if !self.ready && self.refusal.end_in_time() {
                self.replacer.tell_refusal();
            }
            self.follow_message();
            self.follow_detour();
            self.follow_listen();
            self.tell_the_start();
            if self.deadline.is_some_and(|d| Instant::now() >= d) {
                self.deadline = None;
                self.too_late();
            }
        }
    }

    /// Waits for any of the events, or the deadline; `None` is the end of the program.
    fn wait(&mut self) -> std::io::Result<Option<Events>> {
        let refusal = self.refusal.deadline().filter(|_| !self.ready);
        let deadlines = [
            self.deadline,
            refusal,
            self.end_of_patience(),
            self.next_of_hold(),
            self.end_of_detour(),
            self.background.next(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let time = deadline.map_or(PollTimeout::NONE, |d| {
            let left = d.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let watched = [
            self.filter.as_ref().map(AsFd::as_fd),
            self.program.as_ref().map(AsFd::as_fd),
            self.channel.as_ref().map(AsFd::as_fd),
            self.requests.as_ref().map(Requests::watched),
            self.background.watched(),
        ];
        let mut fds: Vec<PollFd<'_>> = watched
            .iter()
            .flatten()
            .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut polled = fds.iter();
        let [filter, program, channel, requests, first] = watched.map(|fd| {
            let polled = fd.and_then(|_| polled.next()).and_then(PollFd::revents);
            polled.unwrap_or(PollFlags::empty())
        });
        let call = filter.contains(PollFlags::POLLIN);
        if !first.is_empty() {
            self.background.ended(self.is_early());
        }
        // poll(2) reports a hang-up of the listener when no process is under the filter, see seccomp_unotify(2). Without a
        // filter the end of the main process is the end.
        let gone = !program.is_empty() || (!filter.is_empty() && !call);
        Ok((!gone).then_some(Events {
            call,
            message: !channel.is_empty(),
            request: !requests.is_empty(),
        }))
    }

    /// Lets a child drain for the command of the unit.
    fn drain_on_request(&mut self) {
        let Some(requests) = &mut self.requests else {
            return;
        };
        let asked = match requests.accept() {
            Ok(Some(asked)) => asked,
            Ok(None) => return,
            // poll(2) would report the same failure again and again.
            Err(_) => {
                self.requests = None;
                return;
            }
        };
        match process::clone_child() {
            Ok(Side::Caller(child)) => requests.made(child),
            Ok(Side::New) => {
                // If the helper is killed, no process may be left that could answer the program's calls: then
                // they fail with `ENOSYS` at once instead of waiting for ever.
                self.filter = None;
                self.channel = None;
                (self.on_request)(self.run, asked);
                end(0)
            }
            // The command finds its connection closed, and does as much as it can by itself.
            Err(_) => {}
        }
    }

    /// Answers a call of the program.
    fn call(&mut self) -> std::io::Result<()> {
        let Some(filter) = self.filter.as_ref().map(AsFd::as_fd) else {
            return Ok(());
        };
        let Some(call) = seccomp::receive(filter)? else {
            return Ok(());
        };
        let caller = Process::of_thread(call.thread);
        let outcome = match &caller {
            Ok(caller) => self.replacer.answer(filter, &call, caller),
            Err(_) if matches!(call.kind, Kind::File(_) | Kind::Listens) => Outcome::Untouched,
            // A process that may not be inspected binds its own socket, and the reason is logged once.
            Err(e) => {
                self.replacer.note(&format!("cannot inspect the program ({e}), so its socket was not replaced; write `handover = \"fds\"`"));
                Outcome::Untouched
            }
        };
        // The caller may have died in the meantime; then there is no process to answer.
        let _ = outcome.answer(filter, call.id);
        if self.served.is_none() && self.replacer.all_served() {
            self.served = Some(Instant::now());
            self.serving = caller
                .ok()
                .and_then(|caller| Serving::of(caller, self.main));
            self.background.serves();
        }
        Ok(())
    }

    /// Reads what the program has written to Node's channel.
    fn message(&mut self) {
        match self.channel.as_mut().map(Messages::read) {
            Some(Some(true)) => {
                self.said_ready.get_or_insert_with(Instant::now);
            }
            Some(None) => self.channel = None,
            Some(Some(false)) | None => {}
        }
    }
}
