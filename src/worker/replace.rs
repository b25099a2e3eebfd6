//! Puts systemd's socket in the place of the program's own, in the middle of its bind(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::entry;
use super::say;
use super::sockets::Listener;
use crate::peer::address::{self, Address, Match};
use crate::peer::caller::Caller;
use crate::peer::descriptors::ABOVE;
use crate::peer::epoll;
use crate::sys::process;
use crate::sys::seccomp::{self, Call};
use crate::sys::socket::{self, LONGEST_ADDRESS, Shape};

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

/// The listeners and what was done with them.
pub(super) struct Replacer<'a> {
    app: &'a str,
    listeners: Vec<(Shape, Address)>,
    sources: Vec<OwnedFd>,
    inodes: Vec<u64>,
    entries: Vec<Option<(u64, u64)>>,
    handed: Vec<bool>,
    served: Vec<bool>,
    /// What to tell about a bind that was refused, should the program not come to serve.
    refused: Option<String>,
    /// The program's own socket was a blocking one, systemd's is not.
    blocking: bool,
    elsewhere: Option<Address>,
    noted: Vec<String>,
}

impl<'a> Replacer<'a> {
    pub(super) fn new(app: &'a str, listeners: Vec<Listener>) -> Self {
        let mut new = Self {
            app,
            listeners: Vec::new(),
            sources: Vec::new(),
            inodes: Vec::new(),
            entries: Vec::new(),
            handed: vec![false; listeners.len()],
            served: vec![false; listeners.len()],
            refused: None,
            blocking: false,
            elsewhere: None,
            noted: Vec::new(),
        };
        for listener in listeners {
            let Ok(inode) = inode(listener.fd) else {
                continue;
            };
            let raised = process::raise(listener.fd, ABOVE).or_else(|_| {
                let raised = process::raise(listener.fd, 3);
                // Under a limit so low, each descriptor counts.
                process::close(listener.fd);
                raised
            });
            if let Ok(fd) = raised {
                new.sources.push(fd);
                new.inodes.push(inode);
                new.entries
                    .push(entry::path(&listener.address).and_then(entry::identity));
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

    /// Whether the program may sleep in accept(2), which this socket does not let it do.
    pub(super) fn may_not_sleep(&self) -> bool {
        self.blocking
    }

    /// Says what it was refused, if it does not serve; once.
    pub(super) fn tell_refusal(&mut self) {
        if let Some(text) = self.refused.take_if(|_| !self.served.iter().all(|s| *s)) {
            say(3, &text);
        }
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
            _ if self.refused.is_some() => "its bind was refused".to_owned(),
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
        let wanted = self.as_declared(wanted, caller);
        if !seccomp::is_waiting(filter, call.id) {
            return Outcome::Untouched;
        }
        match address::find(&self.listeners, shape, &wanted) {
            Match::Listener(index) => self.hand_over(filter, call, caller, &theirs, index),
            Match::WrongFamily(index) => self.wrong_family(index, &wanted, &theirs),
            Match::Other => {
                let is_server = !matches!(&wanted, Address::Inet(a) if a.port() == 0);
                if is_server && self.elsewhere.is_none() && shape.kind == libc::SOCK_STREAM {
                    self.elsewhere = Some(wanted);
                }
                Outcome::Untouched
            }
        }
    }

    /// A relative path, or one through a link, is the declared one when it leads there.
    fn as_declared(&self, wanted: Address, caller: &Caller) -> Address {
        let Some(path) = entry::path(&wanted).map(|p| caller.path(p)) else {
            return wanted;
        };
        let mut addresses = self.listeners.iter().map(|(_, address)| address);
        let declared =
            addresses.find(|a| entry::path(a).is_some_and(|own| entry::is_same(own, &path)));
        declared.cloned().unwrap_or(wanted)
    }

    /// Whether the socket's file, there at the start, was removed by the program since.
    fn is_unlinked(&self, index: usize) -> bool {
        let before = self.entries.get(index).copied().flatten();
        let path = self.listeners.get(index).and_then(|(_, a)| entry::path(a));
        path.zip(before)
            .is_some_and(|(path, before)| entry::identity(path) != Some(before))
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
        if self.is_unlinked(index) {
            let path = self.listeners.get(index).and_then(|(_, a)| entry::path(a));
            self.refused = path.map(|path| entry::advice(path, self.app));
            return Outcome::Refused(libc::EADDRNOTAVAIL);
        }
        let source = source.as_fd();
        self.blocking |= settle_blocking(theirs.as_fd(), source);
        let lost = lost_options(theirs.as_fd(), source);
        let old = self::inode(theirs.as_fd()).unwrap_or(0);
        let mut deaf = false;
        for fd in caller.numbers(&format!("socket:[{old}]")) {
            let watches = epoll::watches(caller, fd, old);
            for watch in &watches {
                watch.forget(theirs.as_fd(), fd);
            }
            let replaced = seccomp::replace(filter, call.id, source, fd, caller.closes_on_exec(fd));
            // The descriptor that is bound decides; of its copies it does not.
            if let Err(e) = replaced
                && fd == call.fd
            {
                self.note(&format!("the socket cannot be handed over: {e}"));
                return Outcome::Refused(libc::EADDRNOTAVAIL);
            }
            deaf |= !watches.iter().all(|watch| watch.register(source, fd));
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
        mark(&mut self.handed, index);
        let listener = self.listeners.get(index);
        if listener.is_some_and(|(s, _)| s.kind == libc::SOCK_DGRAM) {
            mark(&mut self.served, index);
        }
        Outcome::Done
    }

    fn wrong_family(&mut self, index: usize, wanted: &Address, theirs: &OwnedFd) -> Outcome {
        // Many programs bind the port in both families. One that has the declared socket gets the
        // other one on a free port of the loopback: it must be able to listen and wait there.
        if self.handed.get(index).is_some_and(|h| *h)
            && socket::bind_loopback(theirs.as_fd(), wanted.is_ipv6()).is_ok()
        {
            self.note(&format!(
                "{wanted} stays without clients, since it is not declared; to have both, write both in `listen`"
            ));
            return Outcome::Done;
        }
        let declared = self
            .listeners
            .get(index)
            .map(|(_, a)| a.to_string())
            .unwrap_or_default();
        // Node takes IPv4 then, and all is well.
        self.refused = Some(format!(
            "the program binds {wanted}, declared is {declared}; write `listen = \"{}\"`, or both in a list if it binds both",
            wanted.as_listen()
        ));
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
        mark(&mut self.served, index);
        Outcome::Done
    }
}

/// Whether the program's socket waits and systemd's does not. Units have `NonBlocking=yes`; where the
/// user has it off, for a program that sleeps in accept(2), an event loop must not find the socket so:
/// it would hang when it loses the race for a connection.
fn settle_blocking(theirs: BorrowedFd<'_>, source: BorrowedFd<'_>) -> bool {
    let flags = |fd| fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    let (Ok(theirs), Ok(ours)) = (flags(theirs), flags(source)) else {
        return false;
    };
    let [theirs, waits] = [theirs, ours].map(|f| !f.contains(OFlag::O_NONBLOCK));
    if waits && !theirs {
        let _ = fcntl(source, FcntlArg::F_SETFL(ours | OFlag::O_NONBLOCK));
    }
    theirs && !waits
}

fn mark(flags: &mut [bool], index: usize) {
    if let Some(flag) = flags.get_mut(index) {
        *flag = true;
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
