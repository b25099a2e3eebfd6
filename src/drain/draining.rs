//! The drain of one instance: all its processes are silenced, which means kept from accepting, repeatedly,
//! until no connection is left or the time is over.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signalfd::SignalFd;
use sd_notify::NotifyState;

use super::accepting::{self, Accepting};
use super::between::{self, Between};
use super::bounded;
use super::connections::{self, Count};
use super::kinds::{self, Listener, Means};
use super::look::{self, Look};
use super::notice::Notice;
use super::said::{goes_on, overdue};
use super::shutting_down;
use super::signalled;
use super::turns::Moment;
use crate::contract::Drain;
use crate::log::say;
use crate::peer::control_group::ControlGroup;
use crate::peer::process::{Process, Socket};
use crate::peer::{descriptors, manager, tracee};
use crate::sys::socket;

/// The pause between two looks at the connections.
const LOOK: Duration = Duration::from_millis(20);
/// The pause between two looks at the connections, once the drain has taken a while.
const LOOK_LATER: Duration = Duration::from_millis(100);
/// How long processes are silenced beyond the end of a drain, so that even a very short one silences them all.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// The longest drain while the machine shuts down, which waits for every unit.
const AT_SHUTDOWN: Duration = Duration::from_secs(3);

/// The result of a look.
struct Seen {
    count: Count,
    /// Whether the program says that it has connections.
    is_held: bool,
    /// Whether every process could be inspected.
    is_whole: bool,
}

/// A drain in progress.
pub(super) struct Draining<'a> {
    drain: &'a Drain,
    /// The control group, which distinguishes the processes of the instance from others.
    group: ControlGroup,
    /// The PID of the manager.
    manager: i32,
    /// The inodes of the sockets that the manager holds.
    systemds: HashSet<u64>,
    listeners: Vec<Listener>,
    /// Why some listener could not be inspected.
    not_inspected: Option<io::Error>,
    /// Why some processes could not be inspected, when they were last silenced.
    unseen: Vec<String>,
    signals: SignalFd,
    /// The connection of the command that the helper drains for; the drain ends when the command closes it.
    asked: Option<OwnedFd>,
    /// When the drain ends, whatever connections are left.
    end: Instant,
    /// The time until which received datagrams may still be answered, which no connection shows.
    answered_by: Instant,
    /// The number of seccomp filters that apply to a process without any of its own.
    filters: Option<u32>,
    /// The processes for which nothing more can be done.
    settled: HashSet<(i32, u64)>,
    /// The processes whose threads did not stop in time when they were last silenced, with the error.
    late: HashMap<(i32, u64), io::Error>,
    /// How many more times other instances are woken, if connections wait.
    nudges: u32,
    /// The connections, and the steps that were taken on them.
    between: Between,
}

impl<'a> Draining<'a> {
    /// Prepares the drain. `asked` is the connection of the command that has requested the drain and waits for it.
    ///
    /// # Errors
    /// When this process does not belong to the instance, or the manager's sockets are not known.
    pub(super) fn begin(
        drain: &'a Drain,
        manager: i32,
        asked: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let group = ControlGroup::of_own(&drain.app, drain.instance)?;
        let filters = look::filters_of_unit(&group, drain.handover);
        let signals = bounded::signals()?;
        descriptors::raise_limit();
        let systemds = match asked {
            // The helper is asked only below a user's manager, which may not be inspected.
            Some(_) => manager::noted(&drain.state, drain.instance)?,
            None => manager::sockets(manager, &drain.state, drain.instance)?,
        };
        Ok(Self {
            drain,
            group,
            manager,
            systemds,
            listeners: Vec::new(),
            not_inspected: None,
            unseen: Vec::new(),
            signals,
            asked,
            end: Instant::now() + drain.timeout,
            answered_by: Instant::now(),
            filters,
            settled: HashSet::new(),
            late: HashMap::new(),
            nudges: 0,
            between: Between::default(),
        })
    }

    /// A descriptor that is readable when this process is asked to end.
    pub(super) fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Drains the instance, until a stop would lose nothing, the time is over, or this process is asked to end.
    ///
    /// # Errors
    /// When no listener could be inspected, or the kernel does not list connections.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let done = self.silence_and_wait();
        if let Some(told) = look::told(&self.unseen) {
            say(4, &told);
        }
        for ((pid, _), error) in &self.late {
            goes_on(*pid, error);
        }
        done
    }

    fn silence_and_wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        for process in Look::at(&self.group).processes {
            self.learn(&process);
        }
        // The notice comes before the first process is silenced, so that requests that arrive from now on are already
        // answered with `Connection: close`. Without a notice, keep-alive connections are cut when the program ends.
        let places: Vec<String> = self.listeners.iter().map(Listener::place).collect();
        let drain = self.drain;
        let notice = Notice::drain(&drain.state, &drain.app, drain.instance, &places);
        self.silence();
        if self.listeners.is_empty() && self.unseen.is_empty() {
            return self.not_inspected.take().map_or(Ok(()), Err);
        }
        let signalled = self.signal();
        let done = self.wait(start, notice.as_ref().ok(), signalled.as_ref());
        self.between.tell();
        done
    }

    /// Looks and silences repeatedly, until a stop would lose nothing or the time is over.
    fn wait(
        &mut self,
        start: Instant,
        notice: Option<&Notice>,
        signalled: Option<&Process>,
    ) -> io::Result<()> {
        let mut pause = LOOK;
        let mut empty = 0;
        loop {
            let began = Instant::now();
            let seen = self.look(notice, signalled.is_some())?;
            if signalled.is_some_and(|main| !main.is_alive()) {
                return Ok(());
            }
            // Two looks in a row must find nothing: a connection that is accepted between the list of descriptors and the
            // list of connections is missing from the former.
            let is_answering = Instant::now() < self.answered_by;
            let is_over = signalled.is_none() && !is_answering;
            let is_empty = seen.count.busy == 0 && seen.is_whole && !seen.is_held && is_over;
            empty = if is_empty { empty + 1 } else { 0 };
            if empty == 2 {
                return Ok(());
            }
            let waited = start.elapsed();
            if pause == LOOK && waited > Duration::from_secs(1) {
                pause = LOOK_LATER;
                if shutting_down::is(self.drain.scope()) {
                    self.end = self.end.min(start + AT_SHUTDOWN);
                }
                let status = format!("draining, busy connections: {}", seen.count.busy);
                tell(&[NotifyState::Status(&status)]);
            }
            if Instant::now() >= self.end {
                if let (Some(_), Some(name)) = (signalled, &self.drain.signal) {
                    signalled::overdue(name, waited);
                } else if seen.count.busy > 0 || seen.is_whole {
                    overdue(seen.count, waited, seen.is_held);
                }
                return Ok(());
            }
            let usual = seen.count.pause(pause, empty, began.elapsed());
            if self.is_cut_short(self.between.pause(usual, began.elapsed())) {
                return Ok(());
            }
            // A thread that did not stop in time may have stopped since, and stays stopped and traced until it is detached.
            // This comes before `silence`, which may choose the same thread, and PTRACE_SEIZE fails for a traced one.
            tracee::detach_late();
            self.nudge();
            // At each look again, because the program may have forked since, or have bound another copy of the listener.
            self.silence();
        }
    }

    /// Looks at the connections, and ends those that are between two requests. A program that got its signal
    /// has until the last moment to end by itself.
    fn look(&mut self, notice: Option<&Notice>, ends_itself: bool) -> io::Result<Seen> {
        let look = Look::at(&self.group);
        let sockets = look.sockets();
        let found = connections::find(&self.listeners, |inode| sockets.contains_key(&inode))?;
        let count = connections::count(&found);
        let last = between::LAST.min(self.drain.timeout / 4);
        let is_near = Instant::now() + last >= self.end;
        let moment = match ends_itself {
            true if is_near => Moment::Overdue,
            true => Moment::Told,
            false if is_near || count.busy == 0 => Moment::Last,
            false => Moment::Early,
        };
        self.between.look(&found, &sockets, moment, |process| {
            notice.is_some_and(|notice| process.holds(|link| notice.is(link)))
        });
        Ok(Seen {
            count,
            is_held: notice.is_some_and(|notice| look.holds(notice)),
            is_whole: look.unseen.is_empty(),
        })
    }

    /// Makes the program receive PM2's message `shutdown`, and waits at most for `time` until it has ended by itself.
    pub(super) fn send_shutdown(&self, time: Duration) {
        let main = self.main().map(|main| main.pid);
        let drain = self.drain;
        let Ok(_notice) = Notice::shutdown(&drain.state, &drain.app, drain.instance) else {
            return;
        };
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_cut_short(LOOK) {
            let look = Look::at(&self.group);
            if look.unseen.is_empty() && !look.processes.iter().any(|p| Some(p.pid) == main) {
                break;
            }
        }
    }

    /// The main process. The helper's child, which drains for the command, does not know the manager; there,
    /// a parent outside the control group counts as the manager.
    fn main(&self) -> Option<Process> {
        let (numbers, _) = self.group.numbers();
        let is_manager = |pid| match self.asked {
            Some(_) => !numbers.contains(&pid),
            None => pid == self.manager,
        };
        Look::at(&self.group).main(is_manager)
    }

    /// Sends the signal on which the program ends by itself, and returns the process that received the signal.
    fn signal(&self) -> Option<Process> {
        let name = self.drain.signal.as_deref()?;
        let main = self.main();
        let sent = main.as_ref().map(|main| signalled::send(main, name));
        match sent {
            Some(Ok(())) => main,
            Some(Err(e)) => signalled::failed(name, &e),
            None => signalled::failed(name, &io::ErrorKind::NotFound.into()),
        }
    }

    /// Wakes other instances for connections of which only a silenced process may have been notified. This is
    /// done twice, with a look in between, because a connection may arrive while a process is being silenced.
    fn nudge(&mut self) {
        if self.nudges > 0 {
            self.nudges -= 1;
            self.listeners.iter().for_each(|l| l.kind().nudge(l));
        }
    }

    /// Keeps every process of the instance from accepting.
    fn silence(&mut self) {
        let look = Look::at(&self.group);
        self.unseen = look.unseen;
        let mut accepting = Vec::new();
        for process in look.processes {
            if self.settled.contains(&process.identity()) {
                continue;
            }
            // A program that keeps forking must not delay its own stop.
            if Instant::now() >= self.end + GRACE {
                return;
            }
            self.learn(&process);
            let pid = process.pid;
            let means = Means {
                group: &self.group,
                way: self.drain.way,
                filters: self.filters,
                folder: &self.drain.state,
                end: self.end + GRACE,
            };
            let mut replaced = Vec::new();
            match kinds::silence(&process, &self.listeners, means, &mut replaced) {
                Ok(done) => {
                    self.late.remove(&process.identity());
                    if done.may_have_been_woken {
                        self.nudges = 2;
                    }
                    // The process keeps its descriptor, so every later look would change its epoll sets again.
                    if done.is_only_unwatched {
                        self.settled.insert(process.identity());
                    }
                }
                // The process ended meanwhile, or has closed its sockets.
                Err(_) if process.sockets().is_empty() => {}
                // A thread that did not stop in time may do so at the next look.
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    self.late.insert(process.identity(), e);
                }
                Err(e) => {
                    self.settled.insert(process.identity());
                    goes_on(pid, &e);
                }
            }
            accepting.extend(Accepting::of(process, replaced, &self.group, means.end));
        }
        accepting::interrupt(accepting, &self.group, self.end + GRACE);
    }

    /// Adds the listeners that the process shares with systemd.
    fn learn(&mut self, process: &Process) {
        for found in process.sockets() {
            let is_known = self.listeners.iter().any(|l| l.inode == found.inode);
            if is_known || !self.systemds.contains(&found.inode) {
                continue;
            }
            match meet(process, found) {
                Ok(Some(listener)) => {
                    self.answered_by = self
                        .answered_by
                        .max(Instant::now() + listener.kind().answers());
                    self.listeners.push(listener);
                }
                // A connection that the manager holds as well, for instance its own to the journal.
                Ok(None) => {}
                Err(e) => self.not_inspected = Some(e),
            }
        }
    }

    /// Waits for `pause`; true when the drain has to end at once.
    fn is_cut_short(&self, pause: Duration) -> bool {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend((self.asked.iter()).map(|fd| PollFd::new(fd.as_fd(), PollFlags::empty())));
        let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        poll(&mut fds, pause).is_ok_and(|n| n > 0)
    }
}

/// A socket of the process as a listener; `None` for one that cannot be drained.
///
/// This process enters the network namespace of the listener and stays there, because connections are counted and made in
/// the namespace of the calling thread.
///
/// # Errors
/// `EPERM` when the process may not be inspected, `EBADF` when it has closed the socket since.
fn meet(process: &Process, found: Socket) -> io::Result<Option<Listener>> {
    let socket = process.socket(found)?;
    let Some(row) = kinds::recognise(&socket) else {
        return Ok(None);
    };
    enter_network_of(&socket);
    Ok(Listener::of(row, &socket, found.inode))
}

/// Enters the network namespace of a socket with this whole process, see setns(2). With `PrivateNetwork=` the commands of a
/// unit run in another namespace than the unit's socket. An unprivileged manager has no such units: there setns(2) fails,
/// which does no harm.
fn enter_network_of(socket: &OwnedFd) {
    let network = socket::network(socket.as_fd());
    let _ = network.map(|network| setns(network, CloneFlags::CLONE_NEWNET));
}

/// Notifies the manager, see `sd_notify(3)`.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    // If the command is run by hand, there is no manager to notify.
    let _ = sd_notify::notify(states);
}

#[cfg(test)]
mod tests;
