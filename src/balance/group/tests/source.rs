//! The client's address chooses.

use std::net::{Ipv4Addr, SocketAddrV4};

use nix::sys::socket::connect;

use super::*;

/// Connects once from each of a few addresses of the loopback; returns which instance each of them got.
fn homes(stage: &Stage) -> Vec<u32> {
    let SocketAddr::V4(to) = stage.address else {
        unreachable!()
    };
    let client = |last: u8| {
        let fd = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::empty(),
            None,
        )
        .unwrap();
        let from = Ipv4Addr::new(127, 0, 7, last);
        bind(
            fd.as_raw_fd(),
            &SockaddrIn::from(SocketAddrV4::new(from, 0)),
        )
        .unwrap();
        connect(fd.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
        let got = |instance: &&u32| !stage.accept(**instance).is_empty();
        *stage.listeners.keys().find(got).unwrap()
    };
    (1..=60).map(client).collect()
}

#[test]
fn a_client_stays_with_its_instance_while_others_go_off_and_come_back() {
    let stage = Stage::by_source(4);
    let before = homes(&stage);
    assert_eq!(homes(&stage), before);
    for instance in 0..4 {
        let share = before.iter().filter(|home| **home == instance).count();
        assert!(share >= 5, "{before:?}");
    }
    stage.group.turn_off(1).unwrap();
    stage.group.find_homes().unwrap();
    let moved = homes(&stage);
    for (home, now) in before.iter().zip(&moved) {
        assert!(now != &1 && (home == now || home == &1));
    }
    let heirs: std::collections::BTreeSet<_> = before
        .iter()
        .zip(&moved)
        .filter(|(home, _)| **home == 1)
        .map(|(_, now)| *now)
        .collect();
    assert!(heirs.len() > 1, "all to one: {heirs:?}");
    stage.group.turn_on(1, false).unwrap();
    stage.group.find_homes().unwrap();
    assert_eq!(homes(&stage), before);
}

#[test]
fn an_extra_instance_gets_no_client_as_long_as_another_is_on() {
    let mut stage = Stage::by_source(2);
    let before = homes(&stage);
    stage.join(2);
    stage.group.turn_on(2, true).unwrap();
    stage.group.find_homes().unwrap();
    assert_eq!(stage.group.members().unwrap(), [0, 1, 2]);
    assert_eq!(homes(&stage), before);
    stage.group.turn_off(0).unwrap();
    stage.group.find_homes().unwrap();
    assert_eq!(homes(&stage), [1; 60]);
    stage.group.turn_off(1).unwrap();
    stage.group.find_homes().unwrap();
    assert_eq!(homes(&stage), [2; 60]);
    stage.group.turn_on(0, false).unwrap();
    stage.group.find_homes().unwrap();
    stage.group.turn_off(2).unwrap();
    stage.group.find_homes().unwrap();
    assert_eq!(homes(&stage), [0; 60]);
}

#[test]
fn the_clients_of_a_listener_that_is_closed_go_to_the_others() {
    let mut stage = Stage::by_source(3);
    let before = homes(&stage);
    // The instance is still on: systemd may have killed the command that turns it off.
    stage.listeners.remove(&1);
    for (home, now) in before.into_iter().zip(homes(&stage)) {
        assert!(now != 1 && (home == now || home == 1));
    }
}

#[test]
fn one_that_is_stuck_keeps_its_clients() {
    let stage = Stage::by_source(2);
    // No instance accepts, and all connections come from one address.
    let mut clients = stage.connect(4);
    std::thread::sleep(Duration::from_nanos(PATIENCE.into()) * 3);
    clients.extend(stage.connect(8));
    let mut accepted = [0, 1].map(|i| stage.accept(i).len());
    accepted.sort_unstable();
    assert_eq!(accepted, [0, 12]);
}
