//! Whether the program listens. systemd's socket always listens, so the kernel alone would give the program the wrong answer.

use std::os::fd::{AsFd, BorrowedFd};

use super::super::exchange::inode;
use super::super::outcome::Outcome;
use super::super::result::{self, Length};
use super::Replacer;
use crate::peer::process::Process;
use crate::sys::seccomp::Call;

impl Replacer<'_> {
    /// Answers a listen(2). On a socket of systemd, the kernel would apply the backlog, for every instance.
    pub(super) fn listen(&mut self, call: &Call, caller: &Process) -> Outcome {
        let theirs = caller.descriptor(call.fd);
        let Ok(inode) = theirs.and_then(|fd| inode(fd.as_fd())) else {
            return Outcome::Untouched;
        };
        if let Some(slot) = self.slots.iter_mut().find(|s| s.inode == inode) {
            slot.is_served = true;
            return Outcome::Done;
        }
        self.further.listens(inode);
        Outcome::Untouched
    }

    /// Answers a getsockopt(2) of `SO_ACCEPTCONN`: a socket that the program has bound does not listen until the program
    /// calls listen(2). If it read otherwise, a program such as `haproxy` would skip the call, and never be READY.
    pub(super) fn listens(&self, filter: BorrowedFd<'_>, call: &Call, caller: &Process) -> Outcome {
        let theirs = caller.descriptor(call.fd);
        let Ok(inode) = theirs.and_then(|fd| inode(fd.as_fd())) else {
            return Outcome::Untouched;
        };
        let slot = self.slots.iter().find(|s| s.inode == inode);
        if slot.is_some_and(|s| !s.is_served) {
            let no = 0_i32.to_ne_bytes();
            result::write(filter, call, caller, &no, Length::Written)
        } else {
            Outcome::Untouched
        }
    }
}
