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
/// [`Error::Sockets`] when no socket was passed, when a descriptor is not a socket, or when more sockets are announced
/// than descriptors are open.
pub(super) fn take(app: &str, instance: u32) -> Result<Vec<PassedSocket>, Error> {
    let mut sockets = Vec::new();
    for fd in passed()? {
        let socket = PassedSocket::examine(fd).map_err(|e| {
            let units = Units::of(app).socket();
            Error::Sockets(format!("descriptor {fd} of {units} cannot be used: {e}"))
        })?;
        if let Some(path) =
            socket_file::path(&socket.declared.address).filter(|p| socket_file::is_gone(p))
        {
            return Err(Error::Sockets(socket_file::advice(path, app)));
        }
        sockets.push(socket);
    }
    if sockets.is_empty() {
        // The kind of the app's socket unit is not known here.
        let units = Units::of(app);
        return Err(Error::Sockets(format!(
            "systemd passed no socket; start it with `systemctl restart {}`; with `balance = \"even\"` see `systemctl status {}`",
            units.whole(),
            units.listener(instance)
        )));
    }
    Ok(sockets)
}

/// Returns the numbers of the descriptors that were passed to this process.
fn passed() -> Result<Vec<RawFd>, Error> {
    let number = std::env::var("LISTEN_FDS").ok();
    let count = number.and_then(|n| n.parse().ok()).unwrap_or(0);
    let open = open(count);
    // The environment is not trusted: a list of two billion numbers would use up all memory.
    if open.len() < count {
        return Err(Error::Sockets(format!(
            "`LISTEN_FDS` is {count}, and only {} descriptors from {FIRST} on are open; leave that variable to systemd",
            open.len()
        )));
    }
    // Removes the variables from the environment, so that no child takes them for its own.
    let mut passed = ListenFd::from_env();
    let fds: Vec<RawFd> = (0..passed.len())
        .filter_map(|index| passed.take_raw_fd(index).ok().flatten())
        .collect();
    // With `PrivatePIDs=`, systemd 257 writes the PID that the init of the namespace has outside it. systemd executed
    // that init, so the sockets are for it.
    if fds.is_empty() && process::is_init() {
        return Ok(open);
    }
    Ok(fds)
}

/// Returns this many descriptors, up to the first that is not open.
fn open(count: usize) -> Vec<RawFd> {
    let numbers = (FIRST..RawFd::MAX).take(count);
    numbers.take_while(|fd| exec::passed(*fd).is_ok()).collect()
}

impl PassedSocket {
    /// Examines a descriptor that systemd passed.
    ///
    /// # Errors
    /// When the descriptor is not a socket, or not one that can be handed over.
    pub(super) fn examine(fd: RawFd) -> io::Result<Self> {
        let fd = exec::passed(fd)?;
        let shape = socket::shape(fd)?;
        let address = Address::from_bytes(&socket::name(fd)?)
            .ok_or_else(|| io::Error::other("its address is not one that can be handed over"))?;
        // A program that binds by itself must not inherit the descriptor, which would be an unknown copy.
        exec::set_close_on_exec(fd, true)?;
        let declared = Declared { shape, address };
        Ok(Self { fd, declared })
    }
}

/// Returns the inodes of the sockets, by which /proc identifies them.
pub(super) fn inodes(sockets: &[PassedSocket]) -> impl Iterator<Item = u64> {
    let found = sockets.iter().filter_map(|s| fstat(s.fd).ok());
    found.map(|found| found.st_ino)
}

/// Lets the sockets survive exec, for a program that uses the protocol itself.
pub(super) fn keep_open(sockets: &[PassedSocket]) -> io::Result<()> {
    sockets
        .iter()
        .try_for_each(|s| exec::set_close_on_exec(s.fd, false))
}

/// Returns the value of `LISTEN_FDS`: the protocol counts from descriptor 3, including gaps.
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
