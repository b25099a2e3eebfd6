//! The sockets that systemd passed, see `sd_listen_fds(3)`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use listenfd::ListenFd;
use nix::sys::stat::fstat;

use super::address::Declared;
use super::{Error, socket_file};
use crate::peer::address::Address;
use crate::sys::{exec, process, socket};
use crate::unit::name::Units;

/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;

/// A socket that systemd passed.
pub(super) struct PassedSocket {
    pub(super) fd: BorrowedFd<'static>,
    pub(super) declared: Declared,
}

/// Takes the sockets that systemd passed.
///
/// # Errors
/// [`Error::Sockets`] when there is none, when a descriptor is no socket, or when more are announced than are open.
pub(super) fn take(app: &str) -> Result<Vec<PassedSocket>, Error> {
    let mut sockets = Vec::new();
    for fd in passed()? {
        let socket = PassedSocket::examine(fd).map_err(|e| {
            let units = Units::of(app).sockets().join(", ");
            Error::Sockets(format!("descriptor {fd} of {units} is of no use: {e}"))
        })?;
        if let Some(path) =
            socket_file::path(&socket.declared.address).filter(|p| socket_file::is_gone(p))
        {
            return Err(Error::Sockets(socket_file::advice(path, app)));
        }
        sockets.push(socket);
    }
    if sockets.is_empty() {
        return Err(Error::Sockets(format!(
            "systemd passed no socket; start it with `systemctl restart {}`",
            Units::of(app).whole()
        )));
    }
    Ok(sockets)
}

/// The numbers of the descriptors that were passed to this process.
fn passed() -> Result<Vec<RawFd>, Error> {
    let number = std::env::var("LISTEN_FDS").ok();
    let count = number.and_then(|n| n.parse().ok()).unwrap_or(0);
    let open = open(count);
    // Whatever the environment says: a list of two thousand million numbers would take all of the memory.
    if open.len() < count {
        return Err(Error::Sockets(format!(
            "`LISTEN_FDS` is {count}, and only {} descriptors from {FIRST} on are open; leave that variable to systemd",
            open.len()
        )));
    }
    // Takes the variables out of the environment, so that no child mistakes them for its own.
    let mut passed = ListenFd::from_env();
    let fds: Vec<RawFd> = (0..passed.len())
        .filter_map(|index| passed.take_raw_fd(index).ok().flatten())
        .collect();
    // With `PrivatePIDs=` systemd 257 writes the number that the init of the namespace has outside it. That init was
    // executed by systemd, so the sockets are for it.
    if fds.is_empty() && process::is_init() {
        return Ok(open);
    }
    Ok(fds)
}

/// So many descriptors, up to the first that is not open.
fn open(count: usize) -> Vec<RawFd> {
    let numbers = (FIRST..RawFd::MAX).take(count);
    numbers.take_while(|fd| exec::passed(*fd).is_ok()).collect()
}

impl PassedSocket {
    /// Looks at what came by number.
    ///
    /// # Errors
    /// When it is no socket, or none that can be handed over.
    pub(super) fn examine(fd: RawFd) -> io::Result<Self> {
        let fd = exec::passed(fd)?;
        let shape = socket::shape(fd)?;
        let address = Address::from_bytes(&socket::name(fd)?)
            .ok_or_else(|| io::Error::other("it is bound to no address that can be handed over"))?;
        // Passed on to a program that binds by itself, it would be a copy that nobody knows of.
        exec::set_close_on_exec(fd, true)?;
        let declared = Declared { shape, address };
        Ok(Self { fd, declared })
    }
}

/// The inodes of the sockets, by which /proc names them.
pub(super) fn inodes(sockets: &[PassedSocket]) -> impl Iterator<Item = u64> {
    let found = sockets.iter().filter_map(|s| fstat(s.fd).ok());
    found.map(|found| found.st_ino)
}

/// Lets exec pass the sockets on, for a program that speaks the protocol itself.
pub(super) fn keep_open(sockets: &[PassedSocket]) -> io::Result<()> {
    sockets
        .iter()
        .try_for_each(|s| exec::set_close_on_exec(s.fd, false))
}

/// The value of `LISTEN_FDS`: the protocol counts from descriptor 3, gaps included.
pub(super) fn count(sockets: &[PassedSocket]) -> String {
    sockets
        .iter()
        .map(|s| s.fd.as_raw_fd())
        .max()
        .map_or(0, |last| last - 2)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_descriptors_are_listed_than_are_open() {
        assert_eq!(open(0), Vec::<RawFd>::new());
        let most = std::fs::read_dir("/proc/self/fd").unwrap().count() + 1000;
        assert!(open(2_000_000_000).len() < most);
    }
}
