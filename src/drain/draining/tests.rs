//! The steps of a drain between two looks at the connections.

use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::SigSet;
use nix::sys::stat::fstat;

use super::*;
use crate::contract::Drain;

fn listener(socket: &TcpListener) -> Listener {
    let copy = OwnedFd::from(socket.try_clone().unwrap());
    let row = kinds::recognise(&copy).unwrap();
    let inode = fstat(&copy).unwrap().st_ino;
    Listener::of(row, &copy, inode).unwrap()
}

/// Accepts every waiting connection and counts them.
fn accepted(socket: &TcpListener) -> usize {
    socket.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| socket.accept().ok()).count()
}

#[test]
fn other_instances_are_woken_twice_and_only_if_a_connection_waits() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = "drain --app=web --instance=0 --state=/tmp --handover=bind --timeout=10s --way=auto";
    let drain = Drain::parse(line.split(' ').map(OsString::from)).unwrap();
    let mut draining = Draining {
        drain: &drain,
        group: ControlGroup::of_this_process(),
        manager: 1,
        systemds: HashSet::new(),
        listeners: vec![listener(&socket)],
        not_inspected: None,
        unseen: Vec::new(),
        signals: SignalFd::new(&SigSet::empty()).unwrap(),
        asked: None,
        end: Instant::now(),
        answered_by: Instant::now(),
        filters: None,
        settled: HashSet::new(),
        late: HashMap::new(),
        nudges: 1,
        between: Between::default(),
    };
    draining.nudge();
    assert_eq!(accepted(&socket), 0, "no connection waits");

    let _client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    draining.nudges = 2;
    for _look in 0..4 {
        draining.nudge();
    }
    assert_eq!(
        accepted(&socket),
        3,
        "the client's connection and two that wake others"
    );
}
