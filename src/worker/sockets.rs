//! The sockets that systemd passed, see `sd_listen_fds(3)`.

use std::os::fd::{AsRawFd, BorrowedFd};

use listenfd::ListenFd;

use super::{Error, entry};
use crate::peer::address::Address;
use crate::sys::exec;
use crate::sys::socket::{self, Shape};
use crate::unit::name::Units;

/// One of them.
pub(super) struct Listener {
    pub(super) fd: BorrowedFd<'static>,
    pub(super) shape: Shape,
    pub(super) address: Address,
}

/// Takes them; none is an error, and so is one that is no socket.
pub(super) fn take(app: &str) -> Result<Vec<Listener>, Error> {
    let meant_for = std::env::var("LISTEN_PID").unwrap_or_default();
    // Takes the variables out of the environment, so that no child mistakes them for its own.
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let Ok(Some(fd)) = passed.take_raw_fd(index) else {
            continue;
        };
        let listener = examine(fd).map_err(|e| {
            let sockets = Units::of(app).sockets().join(", ");
            Error::Sockets(format!("descriptor {fd} of {sockets} is of no use: {e}"))
        })?;
        if let Some(path) = entry::path(&listener.address).filter(|p| entry::is_gone(p)) {
            return Err(Error::Sockets(entry::advice(path, app)));
        }
        listeners.push(listener);
    }
    let own = std::process::id().to_string();
    if listeners.is_empty() && !meant_for.is_empty() && meant_for != own {
        return Err(Error::Sockets(format!(
            "systemd passed the sockets to process {meant_for}, and this one is {own}, as `PrivatePIDs=` has it; leave that out"
        )));
    }
    if listeners.is_empty() {
        return Err(Error::Sockets(format!(
            "systemd passed no socket; start it with `{}`",
            Units::of(app).restart()
        )));
    }
    Ok(listeners)
}

fn examine(fd: i32) -> std::io::Result<Listener> {
    let fd = exec::passed(fd)?;
    let shape = socket::shape(fd)?;
    let address = Address::from_bytes(&socket::name(fd)?).ok_or_else(|| {
        std::io::Error::other("it is bound to no address that can be handed over")
    })?;
    // Passed on to a program that binds by itself, it would be a copy that nobody knows of.
    exec::set_close_on_exec(fd, true)?;
    Ok(Listener { fd, shape, address })
}

/// Lets exec pass the sockets on, for a program that speaks the protocol itself.
pub(super) fn keep_open(listeners: &[Listener]) -> std::io::Result<()> {
    listeners
        .iter()
        .try_for_each(|l| exec::set_close_on_exec(l.fd, false))
}

/// The number that `LISTEN_FDS` has to say.
pub(super) fn count(listeners: &[Listener]) -> String {
    listeners
        .iter()
        .map(|l| l.fd.as_raw_fd())
        .max()
        .map_or(0, |m| m - 2)
        .to_string()
}
