//! The limits of a program that has a listener: its own group, and no other.

use std::net::SocketAddrV4;

use nix::errno::Errno;
use nix::sys::socket::connect;

use crate::contract::steer;
use crate::sys::socket as option;

use super::*;

/// `SO_DETACH_REUSEPORT_BPF`, which needs no right, see socket(7).
const DETACH: i32 = 68;

fn detach(listener: &TcpListener) -> std::io::Result<()> {
    option::set_number(listener.as_fd(), nix::libc::SOL_SOCKET, DETACH, 0)
}

#[test]
fn a_program_that_detaches_the_selector_harms_its_own_group_until_the_next_start() {
    let (app, other) = (Stage::of(2), Stage::of(2));
    app.group.turn_off(0).unwrap();
    other.group.turn_off(0).unwrap();
    detach(&app.listeners[&1]).unwrap();
    let shares = app.shares(64);
    assert!(shares[0] > 8, "the kernel chooses among all: {shares:?}");
    assert_eq!(other.shares(64), [0, 64]);
    assert!(detach(&app.listeners[&1]).is_err(), "nothing is left of it");
    // As the start of any instance does.
    bpf::attach(app.listeners[&0].as_fd(), app.selector.as_fd()).unwrap();
    assert_eq!(app.shares(64), [0, 64]);
}

#[test]
fn a_program_that_attaches_another_selector_harms_its_own_group_until_the_next_start() {
    let (app, other) = (Stage::of(2), Stage::of(2));
    // In the maps of this selector no instance is on, so the kernel chooses.
    let foreign = Group::new(Path::new("")).unwrap();
    let (selector, _) = foreign.load(false).unwrap();
    bpf::attach(app.listeners[&1].as_fd(), selector.as_fd()).unwrap();
    app.group.turn_off(0).unwrap();
    other.group.turn_off(0).unwrap();
    let shares = app.shares(64);
    assert!(shares[0] > 8, "{shares:?}");
    assert_eq!(other.shares(64), [0, 64]);
    bpf::attach(app.listeners[&0].as_fd(), app.selector.as_fd()).unwrap();
    assert_eq!(app.shares(64), [0, 64]);
}

#[test]
fn a_stranger_that_may_join_the_group_gets_nothing_while_any_is_on() {
    let mut stage = Stage::of(2);
    let stranger = stage.listen();
    stage.listeners.insert(7, stranger);
    assert_eq!(stage.shares(8), [4, 4, 0]);
    stage.group.turn_off(0).unwrap();
    assert_eq!(stage.shares(8), [0, 8, 0]);
}

/// Connects from the address of an instance, as any user can.
fn choose(stage: &Stage, instance: u32) -> nix::Result<OwnedFd> {
    let SocketAddr::V4(to) = stage.address else {
        unreachable!()
    };
    let (family, kind) = (AddressFamily::Inet, SockType::Stream);
    let fd = socket(family, kind, SockFlag::empty(), None).unwrap();
    let from = SocketAddrV4::new(steer::source(instance), 0);
    bind(fd.as_raw_fd(), &SockaddrIn::from(from)).unwrap();
    connect(fd.as_raw_fd(), &SockaddrIn::from(to)).map(|()| fd)
}

#[test]
fn one_that_is_off_is_reached_from_a_privileged_port_alone() {
    let stage = Stage::of(2);
    stage
        .group
        .doors
        .set(1, &(GUARDED | OPEN).to_ne_bytes())
        .unwrap();
    let _kept = choose(&stage, 1).unwrap();
    assert_eq!(stage.accept(1).len(), 1);
    stage.group.turn_off(1).unwrap();
    for _ in 0..9 {
        assert_eq!(choose(&stage, 1).unwrap_err(), Errno::ECONNREFUSED);
    }
    let _kept = steered(&stage, 1, 3).unwrap();
    assert_eq!(stage.accept(1).len(), 3);
    stage.group.turn_on(1, false).unwrap();
    let _kept = choose(&stage, 1).unwrap();
    stage.group.turn_off(0).unwrap();
    let _kept = choose(&stage, 0).expect("this one is not guarded");
}
