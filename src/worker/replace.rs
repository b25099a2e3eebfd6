//! Puts systemd's socket in the place of the program's own, in the middle of its bind(2).
//!
//! The registrations of the old socket in the program's epoll sets are put on the new one, or its
//! event loop would never hear of a connection: epoll knows a descriptor by its file.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use super::address::{self, Address, Match};
use super::say;
use super::sockets::Listener;
use crate::sys::seccomp::{self, Call};
use crate::sys::socket::{self, LONGEST_ADDRESS, Shape};
use crate::sys::{exec, process};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel does what it would have done.
    Untouched,
    /// It returns 0.
    Done,
    /// It fails with this errno.
    Refused(i32),
}

/// The process that called.
pub(super) struct Caller {
    pid: i32,
    process: OwnedFd,
}

impl Caller {
    pub(super) fn of(call: &Call) -> io::Result<Self> {
        // The notification names a thread; a pidfd is of a whole process.
        let status = fs::read_to_string(format!("/proc/{}/status", call.thread))?;
        let pid = status
            .lines()
            .find_map(|l| l.strip_prefix("Tgid:")?.trim().parse().ok());
        let pid = pid.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            pid,
            process: process::pidfd(pid)?,
        })
    }

    fn descriptor(&self, fd: RawFd) -> io::Result<OwnedFd> {
        process::descriptor_of(self.process.as_fd(), fd).map(above)
    }

    /// The numbers of its descriptors whose link in /proc reads so.
    fn numbers(&self, link: &str) -> Vec<RawFd> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|e| fs::read_link(e.path()).is_ok_and(|l| l.as_os_str() == link))
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .collect()
    }

    fn info(&self, fd: RawFd) -> String {
        fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.pid)).unwrap_or_default()
    }

    fn closes_on_exec(&self, fd: RawFd) -> bool {
        let info = self.info(fd);
        let flags = info
            .lines()
            .find_map(|l| i32::from_str_radix(l.strip_prefix("flags:")?.trim(), 8).ok());
        flags.is_none_or(|f| f & libc::O_CLOEXEC != 0)
    }
}

/// An epoll set of the program that watches one of its sockets.
struct Watch {
    epoll: OwnedFd,
    events: u32,
    data: u64,
}

/// The listeners and what was done with them.
pub(super) struct Replacer {
    listeners: Vec<(Shape, Address)>,
    sources: Vec<OwnedFd>,
    inodes: Vec<u64>,
    served: Vec<bool>,
    refused: bool,
    elsewhere: Option<Address>,
    noted: Vec<String>,
}

/// Descriptors of our own lie from here on, those of programs mostly below: a registration in an
/// epoll set can only be made from a descriptor of the same number.
pub(super) const ABOVE: RawFd = 512;

/// Moves a descriptor up; under a low limit it stays where it is.
pub(super) fn above(fd: OwnedFd) -> OwnedFd {
    process::raise(fd.as_fd(), ABOVE).unwrap_or(fd)
}

impl Replacer {
    pub(super) fn new(listeners: Vec<Listener>) -> Self {
        let mut new = Self {
            listeners: Vec::new(),
            sources: Vec::new(),
            inodes: Vec::new(),
            served: vec![false; listeners.len()],
            refused: false,
            elsewhere: None,
            noted: Vec::new(),
        };
        for listener in listeners {
            let raised =
                process::raise(listener.fd, ABOVE).or_else(|_| process::raise(listener.fd, 3));
            if let (Ok(fd), Ok(inode)) = (raised, inode(listener.fd)) {
                new.sources.push(fd);
                new.inodes.push(inode);
                new.listeners.push((listener.shape, listener.address));
            }
        }
        new
    }

    /// Says something once.
    pub(super) fn note(&mut self, text: &str) {
        if !self.noted.iter().any(|n| n == text) {
            say(4, text);
            self.noted.push(text.to_owned());
        }
    }

    /// Whether the program serves every declared address.
    pub(super) fn all_served(&self) -> bool {
        self.served.iter().all(|s| *s)
    }

    /// Why it is not ready.
    pub(super) fn missing(&self) -> String {
        let open = self
            .listeners
            .iter()
            .zip(&self.served)
            .find(|(_, served)| !**served);
        let declared = open.map(|((_, a), _)| a.to_string()).unwrap_or_default();
        match &self.elsewhere {
            _ if self.refused => {
                "the address of the other family was refused, see above".to_owned()
            }
            Some(address) => format!(
                "the program listens on {address}, declared is {declared}; write `listen = \"{}\"`",
                address.as_listen()
            ),
            None => format!("the program never listened on {declared}"),
        }
    }

    /// A bind(2).
    pub(super) fn bind(&mut self, filter: BorrowedFd<'_>, call: &Call, caller: &Caller) -> Outcome {
        // Whatever the kernel would refuse goes on to it: the errors are its own.
        let Ok(theirs) = caller.descriptor(call.fd) else {
            return Outcome::Untouched;
        };
        let Ok(shape) = socket::shape(theirs.as_fd()) else {
            return Outcome::Untouched;
        };
        let Some(wanted) = read_address(call, caller) else {
            return Outcome::Untouched;
        };
        if !seccomp::is_waiting(filter, call.id) {
            return Outcome::Untouched;
        }
        match address::find(&self.listeners, shape, &wanted) {
            Match::Listener(index) => self.hand_over(filter, call, caller, &theirs, index),
            Match::WrongFamily(index) => self.wrong_family(index, &wanted),
            Match::Other => {
                let is_server = !matches!(&wanted, Address::Inet(a) if a.port() == 0);
                if is_server && self.elsewhere.is_none() && shape.kind == libc::SOCK_STREAM {
                    self.elsewhere = Some(wanted);
                }
                Outcome::Untouched
            }
        }
    }

    fn hand_over(
        &mut self,
        filter: BorrowedFd<'_>,
        call: &Call,
        caller: &Caller,
        theirs: &OwnedFd,
        index: usize,
    ) -> Outcome {
        let (Some(source), Some(inode)) =
            (self.sources.get(index), self.inodes.get(index).copied())
        else {
            return Outcome::Untouched;
        };
        if self::inode(theirs.as_fd()).is_ok_and(|i| i == inode) {
            return Outcome::Done;
        }
        let source = source.as_fd();
        let lost = lost_options(theirs.as_fd(), source);
        let old = self::inode(theirs.as_fd()).unwrap_or(0);
        let mut deaf = false;
        for fd in caller.numbers(&format!("socket:[{old}]")) {
            let watches = watches(caller, fd, old);
            for watch in &watches {
                forget(watch, theirs.as_fd(), fd);
            }
            let replaced = seccomp::replace(filter, call.id, source, fd, caller.closes_on_exec(fd));
            // The descriptor that is bound decides; of its copies it does not.
            if let Err(e) = replaced
                && fd == call.fd
            {
                self.note(&format!("the socket cannot be handed over: {e}"));
                return Outcome::Refused(libc::EADDRNOTAVAIL);
            }
            deaf |= !watches.iter().all(|watch| register(watch, source, fd));
        }
        if deaf {
            self.note(
                "an event loop could not be told of the socket; add it to the loop after bind",
            );
        }
        if !lost.is_empty() {
            self.note(&format!(
                "options set before bind are those of the .socket unit now: {}",
                lost.join(", ")
            ));
        }
        let is_datagram = self
            .listeners
            .get(index)
            .is_some_and(|(s, _)| s.kind == libc::SOCK_DGRAM);
        if is_datagram && let Some(served) = self.served.get_mut(index) {
            *served = true;
        }
        Outcome::Done
    }

    fn wrong_family(&mut self, index: usize, wanted: &Address) -> Outcome {
        // A program that serves already binds the other family of its port, too: that is answered well
        // and leads nowhere, as the declared socket takes what comes.
        if self.served.iter().any(|s| *s) {
            self.note(&format!(
                "{wanted} is left without a socket: only the declared addresses are served"
            ));
            return Outcome::Done;
        }
        let declared = self
            .listeners
            .get(index)
            .map(|(_, a)| a.to_string())
            .unwrap_or_default();
        say(
            3,
            &format!(
                "the program binds {wanted}, declared is {declared}; write `listen = \"{}\"`",
                wanted.as_listen()
            ),
        );
        self.refused = true;
        Outcome::Refused(libc::EADDRNOTAVAIL)
    }

    /// A listen(2): on a socket of ours its backlog would change it for every instance.
    pub(super) fn listen(&mut self, call: &Call, caller: &Caller) -> Outcome {
        let Ok(theirs) = caller.descriptor(call.fd) else {
            return Outcome::Untouched;
        };
        let Ok(inode) = inode(theirs.as_fd()) else {
            return Outcome::Untouched;
        };
        let Some(index) = self.inodes.iter().position(|i| *i == inode) else {
            return Outcome::Untouched;
        };
        if let Some(served) = self.served.get_mut(index) {
            *served = true;
        }
        Outcome::Done
    }
}

fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(fd)?.st_ino)
}

fn read_address(call: &Call, caller: &Caller) -> Option<Address> {
    let length = usize::try_from(call.length)
        .ok()
        .filter(|l| (2..=LONGEST_ADDRESS).contains(l))?;
    let mut bytes = [0; LONGEST_ADDRESS];
    let bytes = bytes.get_mut(..length)?;
    process::read_memory(caller.pid, call.address, bytes).ok()?;
    Address::from_bytes(bytes)
}

/// Every registration of a descriptor in the program's epoll sets, see `proc_pid_fdinfo(5)`.
fn watches(caller: &Caller, fd: RawFd, inode: u64) -> Vec<Watch> {
    let mut found = Vec::new();
    for epoll in caller.numbers("anon_inode:[eventpoll]") {
        for line in caller.info(epoll).lines().filter(|l| l.starts_with("tfd:")) {
            let Some((events, data)) = registration(line, fd, inode) else {
                continue;
            };
            if let Ok(epoll) = caller.descriptor(epoll) {
                found.push(Watch {
                    epoll,
                    events,
                    data,
                });
            }
        }
    }
    found
}

/// `tfd: 5 events: 19 data: 5 pos:0 ino:61 sdev:8`, the numbers but the first in hexadecimal.
pub(super) fn registration(line: &str, fd: RawFd, inode: u64) -> Option<(u32, u64)> {
    let words: Vec<&str> = line
        .split([' ', ':', '\t'])
        .filter(|w| !w.is_empty())
        .collect();
    let value = |key: &str| {
        words
            .windows(2)
            .find_map(|w| (*w.first()? == key).then(|| w.get(1).copied())?)
    };
    let hex = |key: &str| u64::from_str_radix(value(key)?, 16).ok();
    let same = value("tfd")?.parse::<RawFd>().ok()? == fd && hex("ino").is_none_or(|i| i == inode);
    same.then_some(())?;
    Some((u32::try_from(hex("events")?).ok()?, hex("data")?))
}

// epoll knows a registration by number and file, so ours has to have the program's number.
pub(super) fn at_number<R>(
    source: BorrowedFd<'_>,
    number: RawFd,
    act: impl FnOnce(BorrowedFd<'_>) -> R,
) -> Option<R> {
    let is_ours = exec::passed(number).is_ok();
    if is_ours {
        return None;
    }
    let placed = process::place(source, number).ok()?;
    Some(act(placed.as_fd()))
}

fn forget(watch: &Watch, theirs: BorrowedFd<'_>, fd: RawFd) {
    // A registration that stays is one of a socket that nobody holds: epoll drops it by itself.
    let _ = at_number(theirs, fd, |placed| {
        socket::watch(watch.epoll.as_fd(), placed, None)
    });
}

fn register(watch: &Watch, source: BorrowedFd<'_>, fd: RawFd) -> bool {
    let event = Some((watch.events, watch.data));
    at_number(source, fd, |placed| {
        socket::watch(watch.epoll.as_fd(), placed, event)
    })
    .is_some_and(|r| r.is_ok())
}

/// Options that people set for a reason and that went with the old socket.
fn lost_options(theirs: BorrowedFd<'_>, ours: BorrowedFd<'_>) -> Vec<&'static str> {
    const TELLING: &[(i32, i32, &str)] = &[
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_V6ONLY,
            "IPV6_V6ONLY (BindIPv6Only=)",
        ),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, "TCP_FASTOPEN"),
        (
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            "TCP_DEFER_ACCEPT (DeferAcceptSec=)",
        ),
        (
            libc::SOL_SOCKET,
            libc::SO_KEEPALIVE,
            "SO_KEEPALIVE (KeepAlive=)",
        ),
    ];
    let differs = |level, name| matches!((socket::number(theirs, level, name), socket::number(ours, level, name)), (Ok(a), Ok(b)) if a != b);
    TELLING
        .iter()
        .filter(|(level, name, _)| differs(*level, *name))
        .map(|(_, _, text)| *text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::registration;

    #[test]
    fn a_registration_is_read_as_proc_writes_it() {
        let line = "tfd:       18 events:       19 data:               12  pos:0 ino:1f3a sdev:8";
        assert_eq!(registration(line, 18, 0x1f3a), Some((0x19, 0x12)));
        assert_eq!(registration(line, 19, 0x1f3a), None);
        assert_eq!(registration(line, 18, 1), None);
    }
}
