//! One instance that is being drained: its processes are silenced again and again, until no connection is left or the
//! time is over.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signalfd::SignalFd;
use sd_notify::NotifyState;

use super::bounded;
use super::connections::{self, Count};
use super::kinds::{self, Listener, Means};
use super::look::{self, Look};
use super::notice::Notice;
use crate::contract::{Drain, Handover};
use crate::log::say;
use crate::peer::control_group::ControlGroup;
use crate::peer::process::{Process, Socket};
use crate::peer::{descriptors, filters, manager, tracee, yama};
use crate::sys::{entry, socket};

/// Between two looks at the connections.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at the connections, once the drain has taken a while.
const LOOK_LATER: Duration = Duration::from_millis(100);
/// Processes are silenced for so long beyond the end of a short drain.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// A machine that goes down is not kept up for longer.
const AT_SHUTDOWN: Duration = Duration::from_secs(3);

/// Says that the instance is stopped without having been drained.
pub(super) fn without(error: &io::Error) {
    say(4, &format!("stops without a drain: {}", reason(error)));
}

/// The error, and what lies behind it where that is known.
fn reason(error: &io::Error) -> String {
    match (error.kind(), yama::scope()) {
        (io::ErrorKind::PermissionDenied, scope @ 1..) => {
            format!("{error}; `kernel.yama.ptrace_scope` is {scope}")
        }
        _ => error.to_string(),
    }
}

/// A drain in progress.
pub(super) struct Draining<'a> {
    drain: &'a Drain,
    /// Which processes belong to the instance.
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
    /// The connection of the command that the helper drains for; when it is closed the drain is cut short.
    asked: Option<OwnedFd>,
    /// When the drain is over, whatever there is left.
    end: Instant,
    /// Until then requests that were taken may be answered without a connection that tells so.
    answered_by: Instant,
    /// How many seccomp filters a process is under that has none of its own.
    filters: Option<u32>,
    /// Processes about which nothing more can be done.
    settled: HashSet<(i32, u64)>,
    /// Processes that the journal has a line about.
    told: HashSet<(i32, u64)>,
    /// After so many more looks another instance may have to be woken.
    nudges: u32,
}

impl<'a> Draining<'a> {
    /// `asked` is the connection by which somebody has asked for the drain and waits for it.
    ///
    /// # Errors
    /// When this process is not of the instance, or the manager's sockets are not known.
    pub(super) fn begin(
        drain: &'a Drain,
        manager: i32,
        asked: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let group = ControlGroup::of_own(&drain.app, drain.instance)?;
        let filters = filters_of_unit(&group, drain.handover);
        let signals = bounded::signals()?;
        descriptors::raise_limit();
        let systemds = match asked {
            // Only the helper of a user's own instance is asked, and there the manager may not be inspected.
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
            told: HashSet::new(),
            nudges: 0,
        })
    }

    /// A descriptor that is readable when this process is asked to end.
    pub(super) fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Drains the instance, until nothing would be lost by a stop, the time is over, or somebody wants no more of it.
    ///
    /// # Errors
    /// When it could not even be begun, or the kernel does not tell of connections.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let done = self.silence_and_wait();
        if let Some(told) = look::told(&self.unseen) {
            say(4, &told);
        }
        done
    }

    fn silence_and_wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        for process in Look::at(&self.group).processes {
            self.learn(&process);
        }
        // Before anything is silenced: a request that comes now is answered with `Connection: close`. Where the notice cannot
        // be given, keep-alive connections end with the program.
        let places: Vec<String> = self.listeners.iter().map(Listener::place).collect();
        let drain = self.drain;
        let notice = Notice::drain(&drain.state, &drain.app, drain.instance, &places);
        self.silence();
        if self.listeners.is_empty() && self.unseen.is_empty() {
            return self.not_inspected.take().map_or(Ok(()), Err);
        }
        let mut pause = LOOK;
        let mut empty = 0;
        loop {
            let look = Look::at(&self.group);
            let count = connections::count(&self.listeners, &look.sockets())?;
            // Two looks in a row must find nothing: a connection that was accepted a moment ago may have had no descriptor at the
            // first.
            let is_held = notice.as_ref().is_ok_and(|notice| look.holds(notice));
            let is_answering = Instant::now() < self.answered_by;
            let is_seen = look.unseen.is_empty();
            empty = if count.busy == 0 && is_seen && !is_held && !is_answering {
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
                if count.busy > 0 || is_seen {
                    overdue(count, waited, is_held);
                }
                return Ok(());
            }
            if self.is_cut_short(pause) {
                return Ok(());
            }
            // Before anything is stopped once more: a thread that was given up may have stopped since.
            tracee::let_go();
            self.nudge();
            // Again at each look: a process made since may have bound anew.
            self.silence();
        }
    }

    /// Has the program send itself PM2's message `shutdown`, and gives it its time to end by itself.
    pub(super) fn send_shutdown(&self, time: Duration) {
        let main = self.main();
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

    /// The main process: the first that the manager started. `$MAINPID` says so as well, but a variable of the app goes
    /// over it.
    fn main(&self) -> Option<i32> {
        let look = Look::at(&self.group);
        let began = look
            .processes
            .iter()
            .filter_map(|p| Some((p.began_for(self.manager)?, p.pid)));
        began.min().map(|(_, pid)| pid)
    }

    /// Has other instances woken for what nobody may have been woken for. Twice, with a look between: a connection may come
    /// while a process is being silenced.
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
        for process in look.processes {
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
                group: &self.group,
                way: self.drain.way,
                filters: self.filters,
                folder: &self.drain.state,
                end: self.end + GRACE,
            };
            match kinds::silence(&process, &self.listeners, means) {
                Ok(done) => {
                    if done.may_have_been_woken {
                        self.nudges = 2;
                    }
                    // The process keeps its descriptor, so the next look would find it again.
                    if done.is_only_unwatched {
                        self.settled.insert(process.identity());
                    }
                }
                // It ended meanwhile.
                Err(_) if process.sockets().is_empty() => {}
                Err(e) => {
                    // A thread that did not stop in time may do so at the next look.
                    if e.kind() != io::ErrorKind::TimedOut {
                        self.settled.insert(process.identity());
                    }
                    if self.told.insert(process.identity()) {
                        let why = reason(&e);
                        say(
                            4,
                            &format!("process {pid} goes on accepting until it is stopped: {why}"),
                        );
                    }
                }
            }
        }
    }

    /// Notes the listeners of a process that systemd holds, too.
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
                // A connection, for instance one that the manager logs to.
                Ok(None) => {}
                Err(e) => self.not_inspected = Some(e),
            }
        }
    }

    /// Waits a moment; true when the drain has to end at once.
    fn is_cut_short(&self, pause: Duration) -> bool {
        let asked = self.asked.as_ref();
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(asked.map(|fd| PollFd::new(fd.as_fd(), PollFlags::empty())));
        let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        poll(&mut fds, pause).is_ok_and(|n| n > 0)
    }
}

/// A socket of the process as a listener; `None` for one that cannot be drained.
///
/// This process enters the network of the listener, and stays there: connections are counted and made in it from then on.
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

/// Has this whole process enter the network namespace of a socket, see setns(2). With `PrivateNetwork=` the commands of a
/// unit are in another one than the unit's socket. An unprivileged manager has no such units, and may not do this.
fn enter_network_of(socket: &OwnedFd) {
    let network = socket::network(socket.as_fd());
    let _ = network.map(|network| setns(network, CloneFlags::CLONE_NEWNET));
}

/// How many seccomp filters a process of the program is under that has none of its own: those of the unit, which the helper
/// is under as well, and that of the handover. Where there is no helper a filter of the unit may be taken for one of the
/// program's, see [`filters::need_a_comparison`].
fn filters_of_unit(group: &ControlGroup, handover: Handover) -> Option<u32> {
    let own = [
        std::process::id(),
        nix::unistd::getppid().as_raw().cast_unsigned(),
    ];
    let helper = group
        .numbers()
        .0
        .into_iter()
        .filter(|pid| !own.contains(&pid.cast_unsigned()))
        .filter_map(|pid| Process::open(pid, group).ok())
        .find(Process::is_helper);
    match helper {
        Some(helper) => helper
            .filters()
            .map(|f| f + u32::from(handover == Handover::Bind)),
        None => filters::own(),
    }
}

fn overdue(count: Count, waited: Duration, is_held: bool) {
    let seconds = waited.as_secs();
    let busy = match count.busy {
        // The program has not closed the notice, and the kernel sees no connection of the app's sockets.
        0 if is_held => "a Node server of the program".to_owned(),
        busy => format!("{busy} connections"),
    };
    say(
        4,
        &format!(
            "stopping after {seconds} s with {busy} still busy; raise `drain_timeout` to wait longer"
        ),
    );
}

/// Tells the manager, see `sd_notify(3)`.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    // Run by hand there is nobody to tell.
    let _ = sd_notify::notify(states);
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

#[cfg(test)]
mod tests;
