//! The limits of a program that has a listener: its own group, and no other.

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
    // The maps of this one have nobody who is on, so that the kernel chooses.
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
