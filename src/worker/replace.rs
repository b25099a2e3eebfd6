//! Replaces the program's own socket by systemd's during bind(2).

mod listening;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::address::{self, Declared, Match};
use super::exchange::{exchange, inode, lost_options, settle_blocking};
use super::further::{self, Further};
use super::outcome::Outcome;
use super::socket_file::{self, Facts, Named, Rights};
use super::sockets::PassedSocket;
use crate::contract::{BINDS, NEVER_LISTENED};
use crate::log::say;
use crate::peer::address::Address;
use crate::peer::descriptors::ABOVE;
use crate::peer::process::Process;
use crate::state;
use crate::sys::process;
use crate::sys::seccomp::files::{Act, FileCall};
use crate::sys::seccomp::{self, Call, Kind};
use crate::sys::socket::{self, LONGEST_ADDRESS};

/// A declared socket, and how far the program has got with it.
struct Slot {
    declared: Declared,
    /// The socket that systemd holds as well.
    source: OwnedFd,
    inode: u64,
    /// The device and inode of the socket's file, as they were at the start.
    file: Option<(u64, u64)>,
    /// Whether the program has bound the address and therefore has this socket.
    is_handed_over: bool,
    /// Whether the program listens on the socket; for datagrams, whether it has bound the address.
    is_served: bool,
}

impl Slot {
    /// Takes a socket that systemd passed. This fails if the descriptor is not open, or if no other number is available.
    fn take(passed: PassedSocket) -> io::Result<Self> {
        let inode = inode(passed.fd)?;
        let source = process::raise(passed.fd, ABOVE).or_else(|_| {
            let raised = process::raise(passed.fd, 3);
            // With a limit this low, every descriptor counts.
            process::close(passed.fd);
            raised
        })?;
        let file = socket_file::path(&passed.declared.address).and_then(socket_file::identity);
        Ok(Self {
            declared: passed.declared,
            source,
            inode,
            file,
            is_handed_over: false,
            is_served: false,
        })
    }

    /// Whether a call about a file refers to this socket or its file.
    fn is_meant(&self, named: &Named, caller: &Process) -> bool {
        let Some(own) = socket_file::path(&self.declared.address) else {
            return false;
        };
        match named {
            Named::Socket(inode) => *inode == self.inode,
            // The name alone is compared first: most paths of a program have nothing to do with the socket.
            Named::Path { folder, path } if path.file_name() == own.file_name() => {
                socket_file::find(caller, *folder, path)
                    .is_some_and(|path| socket_file::is_same(own, &path))
            }
            Named::Path { .. } => false,
        }
    }

    /// The path at which clients look for the socket, if it has a file that was removed since the start.
    fn unlinked(&self) -> Option<&Path> {
        let path = socket_file::path(&self.declared.address)?;
        (socket_file::identity(path) != Some(self.file?)).then_some(path)
    }
}

/// The declared sockets, and the facts to report about them.
pub(super) struct Replacer<'a> {
    app: &'a str,
    slots: Vec<Slot>,
    /// The declared socket for which a bind was refused, and the line to write if the program never binds it.
    refused: Option<(usize, String)>,
    /// Whether the program's own socket was a blocking one and systemd's is not.
    may_not_sleep: bool,
    /// The undeclared addresses to which the program has bound servers.
    further: Further,
    /// The lines that have been written.
    noted: Vec<String>,
}

impl<'a> Replacer<'a> {
    pub(super) fn new(app: &'a str, passed: Vec<PassedSocket>) -> Self {
        let mut new = Self {
            app,
            slots: Vec::new(),
            refused: None,
            may_not_sleep: false,
            further: Further::default(),
            noted: Vec::new(),
        };
        for socket in passed {
            let address = socket.declared.address.to_string();
            match Slot::take(socket) {
                Ok(slot) => new.slots.push(slot),
                // The other sockets are not affected. The program's bind to this address fails anyway, since systemd
                // has it bound.
                Err(e) => new.note(&format!("the socket of {address} cannot be taken: {e}")),
            }
        }
        new
    }

    /// Writes a line, unless it was written before.
    pub(super) fn note(&mut self, text: &str) {
        if !self.noted.iter().any(|n| n == text) {
            say(4, text);
            self.noted.push(text.to_owned());
        }
    }

    /// Returns whether the program serves every declared address.
    pub(super) fn all_served(&self) -> bool {
        self.slots.iter().all(|s| s.is_served)
    }

    /// Returns whether the program serves a declared address.
    pub(super) fn any_served(&self) -> bool {
        self.slots.iter().any(|s| s.is_served)
    }

    /// Returns the inodes of the sockets that the program serves.
    pub(super) fn served(&self) -> Vec<u64> {
        let served = self.slots.iter().filter(|s| s.is_served);
        served.map(|s| s.inode).collect()
    }

    /// Returns whether the program probably expects to sleep in accept(2), which systemd's socket does not allow.
    pub(super) fn may_not_sleep(&self) -> bool {
        self.may_not_sleep
    }

    /// Returns the line about a refused bind, unless the program has bound the declared address after all.
    pub(super) fn refusal(&self) -> Option<&str> {
        let (index, text) = self.refused.as_ref()?;
        let is_bound = self.slots.get(*index).is_some_and(|s| s.is_handed_over);
        (!is_bound).then_some(text)
    }

    /// Reports the refused bind, once.
    pub(super) fn tell_refusal(&mut self) {
        let new = self
            .refusal()
            .filter(|text| !self.noted.iter().any(|n| n == text));
        if let Some(text) = new.map(ToOwned::to_owned) {
            say(3, &text);
            self.noted.push(text);
        }
    }

    /// Returns the other addresses that the program bound.
    pub(super) fn further(&self) -> &Further {
        &self.further
    }

    /// Returns why the program is not ready.
    pub(super) fn missing(&self, instance: u32) -> String {
        let open = self.slots.iter().find(|s| !s.is_served);
        let declared = open.map(|s| s.declared.address.to_string());
        let declared = declared.unwrap_or_default();
        match (self.further.heard(), self.further.first()) {
            _ if self.refusal().is_some() => "its bind was refused".to_owned(),
            (Some(address), _) => {
                further::elsewhere(open.map(|s| &s.declared.address), address, instance)
            }
            (None, Some(address)) => {
                format!("{NEVER_LISTENED}{declared}, nor on {address}, which it has bound")
            }
            (None, None) => format!("{NEVER_LISTENED}{declared}"),
        }
    }

    /// Answers a call.
    pub(super) fn answer(
        &mut self,
        filter: BorrowedFd<'_>,
        call: &Call,
        caller: &Process,
    ) -> Outcome {
        match call.kind {
            Kind::Bind => self.bind(filter, call, caller),
            Kind::Listen => self.listen(call, caller),
            Kind::Listens => self.listens(filter, call, caller),
            Kind::File(file) => self.file(filter, call, file, caller),
            // This filter does not report the call.
            Kind::Name => Outcome::Untouched,
        }
    }

    /// Answers a bind(2).
    fn bind(&mut self, filter: BorrowedFd<'_>, call: &Call, caller: &Process) -> Outcome {
        // A call that the kernel would refuse is passed on, so that the program gets the kernel's own error.
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
        // Everything above was read from the process that has the caller's number now. That process was the caller only if the call still
        // waits, see `SECCOMP_IOCTL_NOTIF_ID_VALID` in seccomp_unotify(2). Nothing may be decided before this check.
        if !seccomp::is_waiting(filter, call.id) {
            return Outcome::Untouched;
        }
        let declared: Vec<&Declared> = self.slots.iter().map(|s| &s.declared).collect();
        match address::find(&declared, shape, &wanted) {
            Match::Declared(index) => self.hand_over(filter, call, caller, &theirs, index),
            Match::WrongFamily(index) => self.answer_wrong_family(index, &wanted, &theirs),
            Match::Other => {
                if let Ok(inode) = inode(theirs.as_fd()) {
                    self.further.bound(theirs.as_fd(), inode, wanted, shape);
                }
                Outcome::Untouched
            }
        }
    }

    /// Returns the declared address if a relative path, or a path through a link, leads there.
    fn as_declared(&self, wanted: Address, caller: &Process) -> Address {
        let Some(path) = socket_file::path(&wanted).map(|p| caller.resolve(p)) else {
            return wanted;
        };
        let mut addresses = self.slots.iter().map(|s| &s.declared.address);
        let declared = addresses
            .find(|a| socket_file::path(a).is_some_and(|own| socket_file::is_same(own, &path)));
        declared.cloned().unwrap_or(wanted)
    }

    fn hand_over(
        &mut self,
        filter: BorrowedFd<'_>,
        call: &Call,
        caller: &Process,
        theirs: &OwnedFd,
        index: usize,
    ) -> Outcome {
        let Some(slot) = self.slots.get_mut(index) else {
            return Outcome::Untouched;
        };
        let Ok(old) = inode(theirs.as_fd()) else {
            return Outcome::Untouched;
        };
        // The program binds a socket again that it has been handed already.
        if old == slot.inode {
            return Outcome::Done;
        }
        if let Some(path) = slot.unlinked() {
            self.refused = Some((index, socket_file::advice(path, self.app)));
            return Outcome::Refused(libc::EADDRNOTAVAIL);
        }
        self.may_not_sleep |= settle_blocking(theirs.as_fd(), slot.source.as_fd());
        let lost = lost_options(theirs.as_fd(), slot.source.as_fd());
        let is_deaf = match exchange(filter, call, caller, theirs, old, slot.source.as_fd()) {
            Ok(is_told) => !is_told,
            Err(e) => {
                self.note(&format!("the socket cannot be handed over: {e}"));
                return Outcome::Refused(libc::EADDRNOTAVAIL);
            }
        };
        slot.is_handed_over = true;
        slot.is_served |= slot.declared.shape.kind == libc::SOCK_DGRAM;
        if is_deaf {
            self.note(
                "the socket could not be moved into an event loop; add it to the loop after bind",
            );
        }
        if !lost.is_empty() {
            self.note(&format!(
                "socket options set before bind were lost; set them in the .socket unit: {}",
                lost.join(", ")
            ));
        }
        Outcome::Done
    }

    /// Answers a bind of the declared port in the other family, since many programs bind both. A program that has the
    /// declared socket gets a free port of the loopback interface for the other one, because it has to be able to
    /// listen and wait there.
    fn answer_wrong_family(&mut self, index: usize, wanted: &Address, theirs: &OwnedFd) -> Outcome {
        let Some(slot) = self.slots.get(index) else {
            return Outcome::Untouched;
        };
        if slot.is_handed_over && socket::bind_loopback(theirs.as_fd(), wanted.is_ipv6()).is_ok() {
            self.note(&format!(
                "{wanted} gets no clients, since it is not declared; to have both, write both in `listen`"
            ));
            return Outcome::Done;
        }
        // Node then tries IPv4 by itself, so nothing is reported until it is clear that the program does not serve.
        let text = format!(
            "{BINDS}{wanted}, declared is {}; write `listen = \"{}\"`, or both in a list if it binds both",
            slot.declared.address,
            wanted.as_listen()
        );
        self.refused = Some((index, text));
        Outcome::Refused(libc::EADDRNOTAVAIL)
    }

    /// Answers a call about a file. The file of a declared socket belongs to systemd, which creates it once for all instances: it stays,
    /// and the call returns 0. If the kernel would make the call for this program, or fewer users are to reach the socket, the kernel decides.
    fn file(
        &mut self,
        filter: BorrowedFd<'_>,
        call: &Call,
        file: FileCall,
        caller: &Process,
    ) -> Outcome {
        let Some(named) = Named::by(&file.object, caller) else {
            return Outcome::Untouched;
        };
        // Once an instance is drained, getsockname(2) returns this path, and gunicorn removes the file at its end.
        if matches!(&named, Named::Path { path, .. } if state::is_unreachable(path))
            && file.act == Act::Remove
        {
            return Outcome::Done;
        }
        let slot = self.slots.iter().find(|s| s.is_meant(&named, caller));
        let Some((slot, path)) =
            slot.and_then(|s| Some((s, socket_file::path(&s.declared.address)?)))
        else {
            return Outcome::Untouched;
        };
        let facts = match named {
            Named::Path { .. } => Facts::of(path, slot.file),
            // The kernel keeps the mode of a descriptor apart from that of the file, and looks at the latter.
            Named::Socket(_) => Some(Facts::unknown()),
        };
        let rights = Rights::of(caller);
        // As in `bind`: all of this belongs to the caller only if the caller still waits.
        if !seccomp::is_waiting(filter, call.id) {
            return Outcome::Untouched;
        }
        let Some(facts) = facts else {
            return Outcome::Untouched;
        };
        if let Act::Mode(mode) = file.act
            && let Some(line) = facts.differs(rights, mode, path)
        {
            self.note(&line);
        }
        if facts.is_kept(rights, file.act) {
            Outcome::Done
        } else {
            Outcome::Untouched
        }
    }
}

pub(super) fn read_address(call: &Call, caller: &Process) -> Option<Address> {
    let length = usize::try_from(call.length)
        .ok()
        .filter(|l| (2..=LONGEST_ADDRESS).contains(l))?;
    let mut bytes = [0; LONGEST_ADDRESS];
    let bytes = bytes.get_mut(..length)?;
    caller.read_memory(call.address, bytes).ok()?;
    Address::from_bytes(bytes)
}

#[cfg(test)]
mod tests;
