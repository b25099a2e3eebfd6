//! Before the stop signal: the instance takes no new connection and finishes those it has.
//!
//! Run by `ExecStop=`, as root and outside the sandbox of the unit, so it looks only at what systemd put
//! into the control group of its own instance, and changes nothing but descriptors that systemd holds as
//! well. Whatever fails is told in one line, and the stop goes on: a drain never keeps a unit from
//! stopping.

pub mod answers;
pub mod arguments;
mod bounded;
mod connections;
mod datagrams;
mod dead;
pub(crate) mod deputy;
mod diag;
mod listener;
mod silence;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::unistd::getppid;
use sd_notify::NotifyState;

use crate::begin;
use crate::peer::process::{self, Process};
use crate::peer::tracee;
use crate::peer::unit::Unit;
use crate::sys::entry;
use crate::worker::arguments::Handover;
use crate::worker::{Error, helper, inherited, preload, rehearsal, say};
use arguments::{Drain, Way};
use connections::Count;
use listener::Listener;
use silence::Means;

/// Between two looks at the connections.
const LOOK: Duration = Duration::from_millis(20);
/// The same once it has taken a while.
const LOOK_LATER: Duration = Duration::from_millis(100);
/// The child has so much longer than the drain takes for itself.
const BEYOND: Duration = Duration::from_secs(2);
/// systemd is asked for this much more, so that it is not the one to end it.
const MARGIN: Duration = Duration::from_secs(5);
/// Processes are silenced for so long beyond the end of a short drain.
const GRACE: Duration = Duration::from_secs(1);
/// Datagrams that were taken are answered in this time: no connection tells whether they were.
const ANSWERS: Duration = Duration::from_secs(1);
/// A machine that goes down is not kept up for longer.
const AT_SHUTDOWN: Duration = Duration::from_secs(3);

/// Drains one instance; what could not be done is said, and never a failure of the stop.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), Error> {
    let drain = arguments::parse(arguments)?;
    if drain.is_systems() {
        begin::as_root();
    } else {
        begin::as_user();
    }
    // The commands of a unit are children of their manager, of PID 1 or of the user's own.
    let manager = getppid().as_raw();
    let time = drain.timeout + drain.message.unwrap_or_default();
    tell(&[NotifyState::ExtendTimeoutUsec(micros(time + MARGIN))]);
    bounded::within(time + BEYOND, || work(&drain, manager)).unwrap_or_else(|e| without(&e));
    Ok(())
}

fn work(drain: &Drain, manager: i32) {
    let mut instance = match Instance::begin(drain, manager, None) {
        Ok(instance) => instance,
        Err(e) => return without(&e),
    };
    if drain.way != Way::Off && !deputy::ask(&instance) {
        instance.drain().unwrap_or_else(|e| without(&e));
    }
    if let Some(time) = drain.message {
        instance.send_shutdown(time);
    }
}

fn without(error: &io::Error) {
    say(4, &format!("stops without a drain: {}", reason(error)));
}

/// The error, and what lies behind it where that is known.
fn reason(error: &io::Error) -> String {
    match (error.kind(), rehearsal::yama()) {
        (io::ErrorKind::PermissionDenied, scope @ 1..) => {
            format!("{error}; `kernel.yama.ptrace_scope` is {scope}")
        }
        _ => error.to_string(),
    }
}

struct Instance<'a> {
    drain: &'a Drain,
    unit: Unit,
    /// The manager's number.
    parent: i32,
    /// Sockets that systemd holds.
    manager: HashSet<u64>,
    listeners: Vec<Listener>,
    /// Why some listener was not to be looked at.
    blind: Option<io::Error>,
    signals: SignalFd,
    /// Whom the helper drains for; when that one is gone the drain is cut short.
    asked: Option<OwnedFd>,
    /// When the drain is over whatever there is left.
    end: Instant,
    /// Until then datagrams that were taken may be answered.
    answers: Instant,
    /// The seccomp filters of a process that has none of its own.
    filters: Option<u32>,
    /// Processes that nothing more can be done about.
    settled: HashSet<(i32, u64)>,
    /// So many looks are left after which another instance may have to be woken.
    nudges: u32,
}

impl<'a> Instance<'a> {
    fn begin(drain: &'a Drain, parent: i32, asked: Option<OwnedFd>) -> io::Result<Self> {
        let unit = Unit::of_own(&drain.app, drain.instance)?;
        let filters = filters(&unit, drain.handover);
        let signals = bounded::signals()?;
        helper::raise_limit();
        let manager = match asked {
            Some(_) => inherited::noted(&drain.state, drain.instance)?,
            None => inherited::sockets(parent, &drain.state, drain.instance)?,
        };
        Ok(Self {
            drain,
            unit,
            parent,
            manager,
            listeners: Vec::new(),
            blind: None,
            signals,
            asked,
            end: Instant::now() + drain.timeout,
            answers: Instant::now(),
            filters,
            settled: HashSet::new(),
            nudges: 0,
        })
    }

    fn drain(&mut self) -> io::Result<()> {
        let start = Instant::now();
        // Where it cannot be given, keep-alive connections end with the program.
        let word = preload::Word::drain(&self.drain.state, &self.drain.app, self.drain.instance);
        self.silence();
        if self.listeners.is_empty() {
            return self.blind.take().map_or(Ok(()), Err);
        }
        let mut pause = LOOK;
        let mut empty = 0;
        loop {
            let count = connections::count(&self.listeners, &self.sockets())?;
            // One that was accepted a moment ago may have had no descriptor at the first look.
            let is_held = word.as_ref().is_ok_and(|word| self.holds(word));
            let is_answering = Instant::now() < self.answers;
            empty = if count.busy == 0 && !is_held && !is_answering {
                empty + 1
            } else {
                0
            };
            if empty == 2 {
                return Ok(());
            }
            let waited = start.elapsed();
            if pause == LOOK && waited > Duration::from_secs(1) {
                pause = LOOK_LATER;
                if is_shutting_down(self.drain.scope()) {
                    self.end = self.end.min(start + AT_SHUTDOWN);
                }
                let status = format!("draining, busy connections: {}", count.busy);
                tell(&[NotifyState::Status(&status)]);
            }
            if Instant::now() >= self.end {
                overdue(count, waited);
                return Ok(());
            }
            if self.is_cut_short(pause) {
                return Ok(());
            }
            tracee::let_go();
            self.nudge();
            // A child made since may have bound anew.
            self.silence();
        }
    }

    /// Sends the message, and gives the program its time to end by itself.
    fn send_shutdown(&self, time: Duration) {
        let main = self.main();
        let drain = self.drain;
        let Ok(_word) = preload::Word::shutdown(&drain.state, &drain.app, drain.instance) else {
            return;
        };
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_cut_short(LOOK) {
            if !self.processes().iter().any(|p| Some(p.pid) == main) {
                break;
            }
        }
    }

    /// The main process: the first that the manager started. `$MAINPID` says so as well, but a variable of the app goes
    /// over it.
    fn main(&self) -> Option<i32> {
        let processes = self.processes();
        let began = processes
            .iter()
            .filter_map(|p| Some((p.began_for(self.parent)?, p.pid)));
        began.min().map(|(_, pid)| pid)
    }

    /// Twice, with a look between: a connection may come while a process is being silenced.
    fn nudge(&mut self) {
        if self.nudges > 0 {
            self.nudges -= 1;
            self.listeners.iter().for_each(Listener::nudge);
        }
    }

    /// Those of the program: not this one and its parent, nor the helper.
    fn processes(&self) -> Vec<Process> {
        let numbers = self.unit.numbers().into_iter();
        numbers
            .filter_map(|pid| Process::open(pid, &self.unit).ok())
            .filter(|p| !p.is_helper())
            .collect()
    }

    /// Whether a program says that it has connections still, whatever they look like.
    fn holds(&self, word: &preload::Word) -> bool {
        self.processes()
            .iter()
            .any(|process| process.holds(|link| word.is(link)))
    }

    fn sockets(&self) -> HashSet<u64> {
        self.processes()
            .iter()
            .flat_map(Process::sockets)
            .map(|s| s.inode)
            .collect()
    }

    /// Keeps every process of the instance from accepting.
    fn silence(&mut self) {
        for process in self.processes() {
            if self.settled.contains(&process.identity()) {
                continue;
            }
            // A program that forks without end must not hold up its own stop.
            if Instant::now() >= self.end + GRACE {
                return;
            }
            self.learn(&process);
            let pid = process.pid;
            let means = Means {
                unit: &self.unit,
                way: self.drain.way,
                filters: self.filters,
                folder: &self.drain.state,
                end: self.end + GRACE,
            };
            match silence::silence(&process, &self.listeners, means) {
                Ok(done) => {
                    if done.woken {
                        self.nudges = 2;
                    }
                    // It keeps its descriptor, so the next look would find it again.
                    if done.forgotten {
                        self.settled.insert(process.identity());
                    }
                }
                // It ended meanwhile.
                Err(_) if process.sockets().is_empty() => {}
                Err(e) => {
                    self.settled.insert(process.identity());
                    let why = reason(&e);
                    say(
                        4,
                        &format!("process {pid} goes on accepting until it is stopped: {why}"),
                    );
                }
            }
        }
    }

    /// Notes the listeners of a process that systemd holds, too.
    fn learn(&mut self, process: &Process) {
        for found in process.sockets() {
            let known = self.listeners.iter().any(|l| l.inode == found.inode);
            if !known && self.manager.contains(&found.inode) {
                match Listener::of(process, found) {
                    Ok(listener) => {
                        if listener.as_ref().is_some_and(Listener::takes_datagrams) {
                            self.answers = Instant::now() + ANSWERS;
                        }
                        self.listeners.extend(listener);
                    }
                    Err(e) => self.blind = Some(e),
                }
            }
        }
    }

    /// Waits a moment; true when it is to stop at once.
    fn is_cut_short(&self, pause: Duration) -> bool {
        let asked = self.asked.as_ref();
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(asked.map(|fd| PollFd::new(fd.as_fd(), PollFlags::empty())));
        let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        poll(&mut fds, pause).is_ok_and(|n| n > 0)
    }
}

/// The unit's and the handover's: the helper is under the former, and the program that binds under one more. With
/// no helper there may be one of the unit's that is not told from one of the program's.
fn filters(unit: &Unit, handover: Handover) -> Option<u32> {
    let own = [
        std::process::id(),
        nix::unistd::getppid().as_raw().cast_unsigned(),
    ];
    let helper = unit
        .numbers()
        .into_iter()
        .filter(|pid| !own.contains(&pid.cast_unsigned()))
        .filter_map(|pid| Process::open(pid, unit).ok())
        .find(Process::is_helper);
    match helper {
        Some(helper) => helper
            .filters()
            .map(|f| f + u32::from(handover == Handover::Bind)),
        None => process::own_filters(),
    }
}

fn overdue(count: Count, waited: Duration) {
    let seconds = waited.as_secs();
    let busy = count.busy;
    say(
        4,
        &format!(
            "stops with {busy} connections busy after {seconds} s; `drain_timeout` gives them more time"
        ),
    );
}

fn tell(states: &[NotifyState<'_>]) {
    // Run by hand there is nobody to tell.
    let _ = sd_notify::notify(states);
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Asks the manager, which answers root and its own user without a bus, see systemctl(1).
fn is_shutting_down(scope: &str) -> bool {
    // That program is linked dynamically: with nothing in its environment nothing of an app's is loaded into it.
    let mut systemctl = Command::new("/usr/bin/systemctl");
    systemctl.env_clear();
    if scope == "--user"
        // The helper's child has begun as a worker, whose libraries do not see it.
        && let Some(folder) = entry::value("XDG_RUNTIME_DIR")
    {
        systemctl.env("XDG_RUNTIME_DIR", folder);
    }
    let answer = systemctl
        .args([scope, "is-system-running"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    answer.is_ok_and(|a| a.stdout.starts_with(b"stopping"))
}
