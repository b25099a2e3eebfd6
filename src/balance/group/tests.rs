//! A selector on real sockets, without files: the maps live as long as the test.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket,
    sockopt,
};

use super::*;

mod rights;
mod source;

/// A deadline that is long enough on a busy machine.
const LONG: Duration = Duration::from_secs(90);

/// A group of listeners with its selector.
struct Stage {
    group: Group,
    selector: OwnedFd,
    address: SocketAddr,
    listeners: BTreeMap<u32, TcpListener>,
}

impl Stage {
    /// Instances from 0, all of them on.
    fn of(instances: u32) -> Self {
        Self::with(instances, false)
    }

    /// The same, with instances chosen by the client's address.
    fn by_source(instances: u32) -> Self {
        Self::with(instances, true)
    }

    fn with(instances: u32, by_source: bool) -> Self {
        let group = Group::new(Path::new("")).expect("a test needs the right to use bpf(2)");
        let (selector, sees_stuck) = group.load(by_source).unwrap();
        assert!(sees_stuck, "this kernel describes itself");
        let mut stage = Self {
            group,
            selector,
            address: ([127, 0, 0, 1], 0).into(),
            listeners: BTreeMap::new(),
        };
        for instance in 0..instances {
            stage.join(instance);
            stage.group.turn_on(instance, false).unwrap();
        }
        stage.group.find_homes().unwrap();
        stage
    }

    /// Another listener at the address of the group.
    fn listen(&self) -> TcpListener {
        let fd = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_NONBLOCK,
            None,
        )
        .unwrap();
        setsockopt(&fd, sockopt::ReusePort, &true).unwrap();
        let SocketAddr::V4(address) = self.address else {
            unreachable!()
        };
        bind(fd.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
        listen(&fd, Backlog::new(64).unwrap()).unwrap();
        TcpListener::from(fd)
    }

    fn join(&mut self, instance: u32) {
        let listener = self.listen();
        self.address = listener.local_addr().unwrap();
        bpf::attach(listener.as_fd(), self.selector.as_fd()).unwrap();
        self.group.put(instance, listener.as_fd()).unwrap();
        self.group
            .places
            .set(instance, &Place::of(listener.as_fd()).unwrap().bytes())
            .unwrap();
        self.listeners.insert(instance, listener);
    }

    fn connect(&self, count: usize) -> Vec<TcpStream> {
        let client = |_| TcpStream::connect(self.address).unwrap();
        (0..count).map(client).collect()
    }

    /// Waits until this many connections wait at a listener: the kernel completes the last ones after `connect` has returned.
    fn has_waiting(&self, instance: u32, count: u32) {
        let end = Instant::now() + Duration::from_secs(5);
        while self.group.waiting(instance).unwrap() != count {
            assert!(
                Instant::now() < end,
                "{instance}: {:?}",
                self.group.waiting(instance)
            );
            std::thread::yield_now();
        }
    }

    /// Accepts the connections that wait at a listener.
    fn accept(&self, instance: u32) -> Vec<TcpStream> {
        let accepted = std::iter::from_fn(|| match self.listeners[&instance].accept() {
            Ok((stream, _)) => Some(stream),
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        });
        accepted.collect()
    }

    /// Connects this often, and counts the connections of each instance, which accepts at once.
    fn shares(&self, count: usize) -> Vec<usize> {
        let mut shares = vec![0; self.listeners.len()];
        for _ in 0..count {
            let _client = self.connect(1);
            for (share, instance) in shares.iter_mut().zip(self.listeners.keys()) {
                *share += self.accept(*instance).len();
            }
        }
        shares
    }
}

#[test]
fn each_instance_that_is_on_gets_its_turn() {
    let stage = Stage::of(4);
    assert_eq!(stage.shares(8), [2, 2, 2, 2]);
    stage.group.turn_off(1).unwrap();
    assert_eq!(stage.shares(9), [3, 0, 3, 3]);
    assert_eq!(stage.group.members().unwrap(), [0, 3, 2]);
    stage.group.turn_off(1).unwrap();
    stage.group.turn_on(1, false).unwrap();
    stage.group.turn_on(1, false).unwrap();
    assert_eq!(stage.shares(8), [2, 2, 2, 2]);
}

#[test]
fn the_listener_of_an_instance_that_is_gone_is_passed_over_and_its_queue_moves_to_the_others() {
    let mut stage = Stage::of(3);
    let _clients = stage.connect(6);
    stage.listeners.remove(&1);
    let kept: usize = [0, 2].map(|i| stage.accept(i).len()).iter().sum();
    assert_eq!(kept, 6, "two of them were in the queue that was closed");
    // The instance is still on: systemd may have killed the command that turns it off.
    assert_eq!(stage.group.members().unwrap(), [0, 1, 2]);
    let shares = stage.shares(9);
    assert_eq!(shares.iter().sum::<usize>(), 9, "{shares:?}");
}

#[test]
fn without_anybody_on_every_listener_can_be_chosen() {
    let stage = Stage::of(2);
    stage.group.turn_off(0).unwrap();
    stage.group.turn_off(1).unwrap();
    let shares = stage.shares(64);
    assert!(shares.iter().all(|share| *share > 8), "{shares:?}");
}

#[test]
fn an_instance_that_does_not_accept_is_passed_over_and_the_others_stay_even() {
    let stage = Stage::of(4);
    let _waits = stage.connect(4);
    for instance in [0, 2, 3] {
        stage.accept(instance);
    }
    // The first look at the connection that waits, and the time after which it has waited for too long.
    let _seen = stage.connect(4);
    for instance in [0, 2, 3] {
        stage.accept(instance);
    }
    std::thread::sleep(Duration::from_nanos(PATIENCE.into()) * 3);
    let mut shares = [0; 4];
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.extend(stage.connect(1));
        for instance in [0, 2, 3] {
            shares[usize::try_from(instance).unwrap()] += stage.accept(instance).len();
        }
    }
    assert_eq!(shares, [10, 0, 10, 10]);
    // The instance continues, and takes its turn again.
    assert_eq!(stage.accept(1).len(), 2);
    let shares = stage.shares(40);
    assert!(shares.iter().all(|share| *share >= 9), "{shares:?}");
}

#[test]
fn one_that_was_stuck_a_moment_ago_is_passed_over_sooner() {
    let patience = Duration::from_nanos(PATIENCE.into());
    let passed_over = |is_known: bool| {
        let stage = Stage::of(2);
        if is_known {
            let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
            let stuck = u64::try_from(now.as_nanos()).unwrap();
            let seen = [0, 0, stuck].map(u64::to_ne_bytes).concat();
            stage.group.seen.set(1, &seen.try_into().unwrap()).unwrap();
        }
        // The connection that waits, and the first look at it.
        let _waits = stage.connect(4);
        stage.accept(0);
        std::thread::sleep(patience / 5);
        let _more = stage.connect(2);
        stage.accept(1).len() == 2
    };
    assert!(passed_over(true));
    // On a busy machine, the sleep may last longer than the patience.
    let end = Instant::now() + LONG;
    while passed_over(false) {
        assert!(Instant::now() < end, "passed over in every try");
    }
}

#[test]
fn where_all_are_stuck_none_is_refused() {
    let stage = Stage::of(2);
    let mut clients = stage.connect(4);
    std::thread::sleep(Duration::from_nanos(PATIENCE.into()) * 3);
    clients.extend(stage.connect(8));
    let shares = [0, 1].map(|i| stage.accept(i).len());
    assert_eq!(shares, [6, 6]);
}

#[test]
fn where_the_kernel_does_not_describe_itself_each_has_its_turn_and_nobody_counts_as_stuck() {
    for by_source in [false, true] {
        let mut stage = Stage::with(2, by_source);
        stage.selector = stage.group.load_with(None, by_source).unwrap();
        let _waits = stage.connect(2);
        bpf::attach(stage.listeners[&0].as_fd(), stage.selector.as_fd()).unwrap();
        stage.accept(0);
        stage.accept(1);
        // One listener accepts. The second round notices what waits at the other, and by the third round that has waited for long.
        let mut accepted = 0;
        let mut clients = Vec::new();
        for (count, pause) in [(4, 0), (2, 3), (6, 0)] {
            clients.extend(stage.connect(count));
            accepted += stage.accept(0).len();
            std::thread::sleep(Duration::from_nanos(PATIENCE.into()) * pause);
        }
        let got = [accepted, stage.accept(1).len()];
        assert_eq!(got.iter().sum::<usize>(), 12);
        assert!(by_source || got == [6, 6], "{got:?}");
    }
}

/// In this process all listeners are in one control group, so the connections of each are not known.
fn plan(connections: &[usize], expected: usize) -> Plan {
    let numbers = (0..).zip(connections);
    let shares = numbers.map(|(instance, connections)| Share {
        instance,
        connections: *connections,
    });
    Plan::level(&shares.collect::<Vec<_>>(), expected)
}

#[test]
fn those_that_are_behind_get_the_next_connections_before_the_round_goes_on() {
    let stage = Stage::of(3);
    let expect = |expected, time| {
        let plan = plan(&[4, 2, 0], expected);
        stage.group.expect(&plan, 2, time).unwrap();
    };
    expect(7, CATCH_UP);
    assert_eq!(stage.shares(5), [0, 2, 3]);
    assert_eq!(stage.shares(2), [1, 0, 1]);
    assert_eq!(stage.shares(6), [2, 2, 2]);
    expect(6, Duration::ZERO);
    assert_eq!(stage.shares(6), [2, 2, 2], "too late");
    expect(5000, CATCH_UP);
    assert_eq!(stage.shares(3), [0, 1, 2], "two at a time");
    stage.group.turn_off(1).unwrap();
    assert_eq!(
        stage.shares(6),
        [3, 0, 3],
        "the plan was for those that were on"
    );
}

#[test]
fn the_end_of_an_instance_ends_the_plan_that_its_leave_has_made_and_no_other() {
    let stage = Stage::of(3);
    stage.group.turn_off(0).unwrap();
    stage
        .group
        .expect(&plan(&[9, 0, 9], 9), 0, COME_BACK)
        .unwrap();
    assert_eq!(stage.shares(3), [0, 3, 0]);
    // Another one, which was off.
    stage.group.turn_off(7).unwrap();
    assert_eq!(stage.shares(3), [0, 3, 0]);
    stage.group.turn_off(0).unwrap();
    assert_eq!(stage.shares(4), [0, 2, 2]);
}

#[test]
fn the_queue_of_a_listener_is_counted() {
    let stage = Stage::of(2);
    let _clients = stage.connect(6);
    stage.has_waiting(0, 3);
    stage.has_waiting(1, 3);
    stage.accept(0);
    stage.has_waiting(0, 0);
    stage.has_waiting(1, 3);
    assert_eq!(stage.group.waiting(7).unwrap(), 0, "it never joined");
}

#[test]
fn another_selector_takes_the_place_of_one_that_is_in_use() {
    let stage = Stage::of(3);
    let (newer, _) = stage.group.load(false).unwrap();
    bpf::attach(stage.listeners[&0].as_fd(), newer.as_fd()).unwrap();
    drop(stage.selector.try_clone());
    assert_eq!(stage.shares(6), [2, 2, 2]);
}

#[test]
fn the_verifier_says_what_is_wrong_with_a_program() {
    let error = bpf::load(&[0x95], "wrong").unwrap_err().to_string();
    assert!(error.contains("R0"), "{error}");
}

/// Connects this often from the address of an instance; the first error ends the loop.
fn steered(stage: &Stage, instance: u32, count: usize) -> std::io::Result<Vec<TcpStream>> {
    let SocketAddr::V4(to) = stage.address else {
        unreachable!()
    };
    let end = Instant::now() + Duration::from_secs(5);
    let from = crate::contract::steer::source(instance);
    let client = |_| crate::sys::connect::open(from, to, end);
    (0..count).map(client).collect()
}

#[test]
fn a_connection_from_the_address_of_an_instance_goes_to_that_one_be_it_on_or_off() {
    let mut stage = Stage::of(4);
    stage.group.turn_off(2).unwrap();
    let clients = steered(&stage, 2, 5).unwrap();
    let others = steered(&stage, 1, 3).unwrap();
    let accepted = [0, 1, 2, 3].map(|instance| stage.accept(instance));
    assert_eq!(accepted.map(|some| some.len()), [0, 3, 5, 0]);
    drop((clients, others));
    assert_eq!(stage.shares(6), [2, 2, 0, 2], "the round is not disturbed");
    for instance in [0, 1, 3] {
        stage.group.turn_off(instance).unwrap();
    }
    let _clients = steered(&stage, 3, 4).unwrap();
    assert_eq!(stage.accept(3).len(), 4, "none is on");
    stage.listeners.remove(&3);
    for instance in [3, 4, 1023] {
        let refused = steered(&stage, instance, 1).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}
