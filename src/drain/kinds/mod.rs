//! The table of the kinds of sockets that can be drained, and silencing a process kind by kind.
//!
//! How a kind is added: "A new kind of socket that is drained" in CONTRIBUTING.md.

mod datagrams;
mod kind;
mod replacement;
mod streams;
mod unreachable;

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::peer::process::Process;
use crate::sys::socket;

use kind::{Held, Row, Silenced};
pub(super) use kind::{Kind, Listener, Means};

/// Every kind; the first that recognises a socket handles it. Datagrams come first, because the time to answer those that
/// were received runs from the first look.
const KINDS: &[&dyn Kind] = &[&datagrams::Datagrams, &streams::Streams];

/// The kind of a socket; `None` for a connection, and for all that cannot be drained.
pub(super) fn recognise(socket: &OwnedFd) -> Option<Row> {
    let shape = socket::shape(socket.as_fd()).ok()?;
    let listens = socket::number(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN).ok()?;
    let mut rows = KINDS.iter().copied().enumerate();
    rows.find(|(_, kind)| kind.recognises(shape, listens == 1))
}

/// Silences one process, kind by kind. `Ok` means that no descriptor of the process leads to the listeners any more, that
/// the moment for this has not come yet, or that no epoll set of the process watches them (always with
/// [`Way::Epoll`](crate::contract::Way::Epoll)).
///
/// # Errors
/// The first kind's reason why the process cannot be silenced; the other kinds are silenced nevertheless, and `replaced` gets the
/// descriptor numbers of the listeners that they have replaced.
pub(super) fn silence(
    process: &Process,
    listeners: &[Listener],
    means: Means<'_>,
    replaced: &mut Vec<RawFd>,
) -> io::Result<Silenced> {
    let held = process.sockets().into_iter().filter_map(|socket| {
        let listener = listeners.iter().find(|l| l.inode == socket.inode)?;
        Some(Held { socket, listener })
    });
    let held: Vec<Held<'_>> = held.collect();
    let mut all = Ok(Silenced::default());
    for (place, kind) in KINDS.iter().enumerate() {
        let is_one = |h: &&Held<'_>| h.listener.row.0 == place;
        let held: Vec<Held<'_>> = held.iter().filter(is_one).copied().collect();
        if held.is_empty() {
            continue;
        }
        let done = kind.silence(process, &held, means);
        replaced.extend(done.iter().flat_map(|done| &done.replaced));
        all = all.and_then(|all| {
            done.map(|done| Silenced {
                is_only_unwatched: all.is_only_unwatched || done.is_only_unwatched,
                may_have_been_woken: all.may_have_been_woken || done.may_have_been_woken,
                replaced: Vec::new(),
            })
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::contract::Way;
    use crate::peer::control_group::ControlGroup;

    fn place(socket: impl Into<OwnedFd>) -> Option<usize> {
        recognise(&socket.into()).map(|(place, _)| place)
    }

    #[test]
    fn each_socket_is_of_one_kind() {
        let folder = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
        let streams = place(tcp.try_clone().unwrap());
        assert!(streams.is_some() && place(unix) == streams);
        let datagrams = place(UdpSocket::bind("127.0.0.1:0").unwrap());
        assert!(datagrams.is_some() && datagrams != streams);
        assert_eq!(place(UnixDatagram::unbound().unwrap()), datagrams);
        // Connections are finished, not silenced.
        assert_eq!(place(TcpStream::connect(address).unwrap()), None);
    }

    #[test]
    fn a_process_without_a_listener_is_left_alone() {
        let own = i32::try_from(std::process::id()).unwrap();
        let group = ControlGroup::of_this_process();
        let means = Means {
            group: &group,
            way: Way::Auto,
            filters: None,
            folder: Path::new("/nowhere"),
            end: Instant::now(),
        };
        let process = Process::of_test(own).unwrap();
        let mut replaced = Vec::new();
        let done = silence(&process, &[], means, &mut replaced);
        assert_eq!(done.unwrap(), Silenced::default());
        assert!(replaced.is_empty());
    }
}
