//! The helper's socket for requests to drain, and the child that carries them out, see `src/drain/request.rs`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{geteuid, getppid};

use crate::contract::Run;
use crate::peer::descriptors::above;
use crate::peer::yama;
use crate::state::{Folder, Name};
use crate::sys::process;

/// The function that the child calls with a request. The caller of the worker provides it, because the worker knows
/// nothing of drains.
pub type OnRequest = fn(&Run, UnixStream);

/// Returns whether the command of this unit can inspect the program only through the helper: in a user's manager with
/// Yama's `ptrace_scope` 1. With 2 and 3 the helper may not either.
pub(super) fn are_needed() -> bool {
    // The init of a PID namespace has 0 as its parent, which says nothing about the manager.
    let is_users = !geteuid().is_root() && getppid().as_raw() != 1 && !process::is_init();
    is_users && yama::scope() == 1
}

/// The socket on which requests arrive.
pub(super) struct Requests {
    listener: UnixListener,
    /// The child that drains, until it has ended.
    child: Option<OwnedFd>,
}

impl Requests {
    /// Listens for requests of the unit's command.
    ///
    /// # Errors
    /// When the state folder cannot be written to. The command then does as much as it can by itself, and reports that.
    pub(super) fn begin(run: &Run) -> io::Result<Self> {
        let folder = Folder::make(&run.state)?;
        let name = Name::Helper(run.instance);
        // Left by the previous instance.
        folder.remove(&name.to_string())?;
        let listener = UnixListener::bind(folder.path_of(name))?;
        folder.open_to(name, false)?;
        let listener = UnixListener::from(above(listener.into()));
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            child: None,
        })
    }

    /// Returns a descriptor that becomes readable when there is something to do. While a child drains it is the child's
    /// pidfd, since only one drain runs at a time.
    pub(super) fn watched(&self) -> BorrowedFd<'_> {
        let child = self.child.as_ref().map(AsFd::as_fd);
        child.unwrap_or_else(|| self.listener.as_fd())
    }

    /// Returns the next request, unless a child is draining.
    ///
    /// # Errors
    /// When requests can no longer be accepted.
    pub(super) fn accept(&mut self) -> io::Result<Option<UnixStream>> {
        if self.child.take().is_some() {
            let _ = waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            return Ok(None);
        }
        match self.listener.accept() {
            Ok((asked, _)) => Ok(Some(UnixStream::from(above(asked.into())))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Notes the child that was made for a request.
    pub(super) fn made(&mut self, child: i32) {
        self.child = process::pidfd(child.cast_unsigned()).ok().map(above);
    }
}
