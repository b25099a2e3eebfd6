//! Ends kept connections between two requests, never in the middle of one, so that the stop does not cut them at any point.
//!
//! A program other than Node does not know that it drains, and answers on a busy connection until it is stopped. There
//! are two means: a socket filter that drops the beginnings of requests, and shutdown(2). Both act on the connection
//! itself, through a copy of the program's descriptor that is closed at once: as long as a copy is open, a close(2) of
//! the program does not end the connection. [`super::turns`] decides when. In doubt a connection is left alone.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

use super::answers;
use super::connections::Found;
use super::turns::{Moment, Step, Turns};
use crate::log::say;
use crate::peer::process::{Process, Socket};
use crate::sys::filter::{self, Starts};
use crate::sys::socket;

/// The end of a drain: from here on, requests are held back on every connection.
pub(super) const LAST: Duration = Duration::from_millis(500);
/// The pause between two looks while requests are held back.
const SOON: Duration = Duration::from_millis(20);

/// The processes that have a socket, by its inode.
pub(super) type Holders<'a> = HashMap<u64, Vec<(&'a Process, Socket)>>;

/// The connections of an instance since its drain began.
#[derive(Default)]
pub(super) struct Between {
    turns: HashMap<u64, Turns>,
    ended: usize,
}

impl Between {
    /// Takes in the result of a look, and takes the step that is due for each connection now. `is_told` says
    /// whether a process learns of the drain and ends its connections itself.
    pub(super) fn look(
        &mut self,
        found: &[Found<'_>],
        holders: &Holders<'_>,
        moment: Moment,
        is_told: impl Fn(&Process) -> bool,
    ) {
        let now = Instant::now();
        let known = std::mem::take(&mut self.turns);
        self.turns = follow(known, found, now);
        let in_parts = self.turns.values().any(Turns::is_in_parts);
        for one in found {
            let inode = one.connection.inode;
            let Some(turns) = self.turns.get_mut(&inode) else {
                continue;
            };
            let step = turns.step(now, moment, in_parts);
            if step == Step::Leave {
                continue;
            }
            // Any of the processes that have a connection may be using it.
            let done = match holders.get(&inode).map(Vec::as_slice) {
                Some([(process, socket)]) if !is_told(process) => take(step, process, *socket, one),
                _ => Err(io::ErrorKind::Unsupported.into()),
            };
            match done {
                Ok(()) => {
                    turns.took(step);
                    self.ended += usize::from(matches!(step, Step::End | Step::Refuse));
                }
                // Traffic came at the last moment: the next look decides again.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => turns.give_up(),
            }
        }
    }

    /// The pause until the next look, after one that took this time: `usual`, or less while requests are held
    /// back, because their clients are waiting.
    pub(super) fn pause(&self, usual: Duration, took: Duration) -> Duration {
        if self.turns.values().any(Turns::is_held) {
            usual.min(SOON.max(took * 3))
        } else {
            usual
        }
    }

    /// Logs how many connections were ended.
    pub(super) fn tell(&self) {
        match self.ended {
            0 => {}
            1 => say(6, "ended 1 kept connection between two requests"),
            n => say(6, &format!("ended {n} kept connections between requests")),
        }
    }
}

/// The turns of the connections that were found, each with its newest traffic.
fn follow(
    mut known: HashMap<u64, Turns>,
    found: &[Found<'_>],
    now: Instant,
) -> HashMap<u64, Turns> {
    let connections = found.iter().filter_map(|f| {
        let inode = f.connection.inode;
        let traffic = f.connection.traffic?;
        let turns = match known.remove(&inode) {
            Some(mut turns) => {
                turns.look(traffic, now);
                turns
            }
            None => Turns::begin(traffic, now),
        };
        Some((inode, turns))
    });
    connections.collect()
}

/// Takes a step.
///
/// # Errors
/// `WouldBlock` when the connection has had traffic since the look; others when the program has closed it, when it is not a
/// connection that the listener accepted, or when the program has attached a filter of its own.
fn take(step: Step, process: &Process, socket: Socket, found: &Found<'_>) -> io::Result<()> {
    let copy = process.socket(socket)?;
    if !found.listener.may_have_accepted(&copy) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let fd = copy.as_fd();
    match step {
        Step::Leave => Ok(()),
        Step::Hold(starts) => filter::hold(fd, starts),
        Step::Release => filter::release(fd),
        Step::End => end(&copy, found),
        // First the program reads end-of-file. If its own end were closed first, the kernel would answer the
        // client with a reset, which the program could mistake for an error.
        Step::Refuse => Ok(shutdown(copy.as_raw_fd(), Shutdown::Read)?),
        Step::Shut => Ok(shutdown(copy.as_raw_fd(), Shutdown::Both)?),
    }
}

/// Makes the program read end-of-file. The program then closes the connection, at once or after it has finished its work.
fn end(copy: &OwnedFd, found: &Found<'_>) -> io::Result<()> {
    filter::hold(copy.as_fd(), Starts::Any)?;
    let info = socket::tcp_info(copy.as_fd())?;
    let unread = socket::unread(copy.as_fd())?;
    let now = answers::traffic((unread, 0), &info);
    let received = |traffic: Option<answers::Traffic>| traffic.map(|t| (t.unread, t.received));
    if received(now) != received(found.connection.traffic) {
        filter::release(copy.as_fd())?;
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // Bytes that were received before the filter can still be read, and an answer to them can still be sent.
    Ok(shutdown(copy.as_raw_fd(), Shutdown::Read)?)
}
