//! The answers of the helper, with sockets of this process.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};

use super::*;
use crate::sys::exec;
use crate::sys::seccomp::Kind;

/// A socket of a test, by its number, as systemd passes it: a high number of the test's own, so that no other
/// test gets a number that this one has given up.
fn passed(listener: &TcpListener, number: i32) -> PassedSocket {
    let fd = process::raise(listener.as_fd(), number).unwrap();
    PassedSocket::examine(fd.into_raw_fd()).unwrap()
}

fn listen(replacer: &mut Replacer<'_>, listener: &TcpListener) -> Outcome {
    let call = Call {
        id: 0,
        thread: std::process::id(),
        kind: Kind::Listen,
        fd: listener.as_raw_fd(),
        address: 0,
        length: 0,
    };
    let caller = Process::of_thread(std::process::id()).unwrap();
    replacer.listen(&call, &caller)
}

#[test]
fn a_program_serves_when_it_listens_on_every_declared_address() {
    let [one, two] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let mut replacer = Replacer::new("web", vec![passed(&one, 800), passed(&two, 810)]);
    assert_eq!(listen(&mut replacer, &two), Outcome::Done);
    assert!(!replacer.all_served());
    let address = one.local_addr().unwrap();
    assert_eq!(
        replacer.missing(1),
        format!("the program never listened on {address}")
    );
    assert_eq!(listen(&mut replacer, &one), Outcome::Done);
    assert!(replacer.all_served());
}

#[test]
fn a_program_that_binds_another_address_and_listens_nowhere_is_told_as_that() {
    let [declared, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let mut replacer = Replacer::new("web", vec![passed(&declared, 940)]);
    let (shape, number) = (socket::shape(other.as_fd()).unwrap(), inode(other.as_fd()));
    let (declared, bound) = (declared.local_addr().unwrap(), other.local_addr().unwrap());
    let number = number.unwrap();
    let further = &mut replacer.further;
    further.bound(other.as_fd(), number, Address::Inet(bound), shape);
    assert_eq!(
        replacer.missing(0),
        format!("the program never listened on {declared}, nor on {bound}, which it has bound")
    );
    replacer.further.listens(number);
    let told = format!("the program listens on {bound}, declared is {declared}");
    assert!(replacer.missing(0).starts_with(&told));
}

#[test]
fn a_program_whose_bind_was_refused_is_not_said_to_listen_elsewhere() {
    let declared = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut replacer = Replacer::new("web", vec![passed(&declared, 930)]);
    replacer.refused = Some((0, "write another address".to_owned()));
    assert_eq!(replacer.missing(1), "its bind was refused");
}

/// When a caller has ended, its number may belong to another process before it is examined.
#[test]
fn nothing_is_decided_about_a_caller_that_does_not_wait_any_more() {
    let declared = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut replacer = Replacer::new("web", vec![passed(&declared, 920)]);
    let theirs = TcpListener::bind("127.0.0.2:0").unwrap();
    let mut address = Vec::from(libc::AF_INET.to_ne_bytes());
    address.truncate(2);
    address.extend(declared.local_addr().unwrap().port().to_be_bytes());
    address.extend([127, 0, 0, 1]);
    address.extend([0; 8]);
    let call = Call {
        id: 0,
        thread: std::process::id(),
        kind: Kind::Bind,
        fd: theirs.as_raw_fd(),
        address: address.as_ptr().addr() as u64,
        length: 16,
    };
    let caller = Process::of_thread(std::process::id()).unwrap();
    let wanted = read_address(&call, &caller).unwrap();
    assert_eq!(
        wanted.to_string(),
        declared.local_addr().unwrap().to_string()
    );
    // No filter reports this call.
    let filter = std::fs::File::open("/dev/null").unwrap();
    let outcome = replacer.bind(filter.as_fd(), &call, &caller);
    assert_eq!(outcome, Outcome::Untouched);
}

#[test]
fn a_socket_that_cannot_be_taken_keeps_nobody_waiting_for_it() {
    let [gone, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let lost = passed(&gone, 900);
    process::close(lost.fd);
    assert!(exec::passed(lost.fd.as_raw_fd()).is_err());
    let mut replacer = Replacer::new("web", vec![lost, passed(&other, 910)]);
    assert_eq!(listen(&mut replacer, &other), Outcome::Done);
    assert!(replacer.all_served());
}
