//! Whether the first process of a program waits for connections, once it listens. From there no program goes to the background: a loop
//! of events that has begun does not survive a fork.

use std::cell::LazyCell;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::peer::process::{Process, Socket};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// The calls that wait for a connection or a datagram of the socket that is their first argument.
const OF_SOCKET: [i64; 5] = [
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
];

/// The calls that wait for the events of the set that is their first argument.
const OF_SET: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];

/// A first process that has begun to listen itself.
pub(super) struct Serving {
    process: Process,
    next: Instant,
}

impl Serving {
    /// Begins to look at a process; `None` where another process than the first has begun to listen, since that says nothing of the
    /// first one.
    pub(super) fn of(process: Process, first: u32) -> Option<Self> {
        let is_first = u32::try_from(process.pid) == Ok(first);
        is_first.then(|| Self {
            process,
            next: Instant::now() + PAUSE,
        })
    }

    /// Returns when the next look is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Looks, if it is time: whether the process waits for one of these sockets. Where it may not be inspected, it does not.
    pub(super) fn waits(&mut self, served: &[u64]) -> bool {
        if Instant::now() < self.next {
            return false;
        }
        self.next = Instant::now() + PAUSE;
        waits(&self.process, served)
    }
}

fn waits(process: &Process, served: &[u64]) -> bool {
    let sockets = process.sockets().into_iter();
    let sockets: Vec<Socket> = sockets.filter(|s| served.contains(&s.inode)).collect();
    if sockets.is_empty() {
        return false;
    }
    let threads = process.threads().into_iter();
    let calls = threads.filter_map(|thread| thread.waits);
    let fds: Vec<RawFd> = sockets.iter().map(|s| s.fd).collect();
    is_any_for(calls, &fds, || {
        let registrations = sockets.iter().flat_map(|s| process.registrations(*s));
        registrations.map(|r| r.set).collect()
    })
}

/// Whether one of the calls waits for these sockets, or for a set that has one of them. The sets are read once: a program may have many
/// threads, each of which waits in a set of its own.
fn is_any_for(
    mut calls: impl Iterator<Item = (i64, [u64; 6])>,
    sockets: &[RawFd],
    sets: impl FnOnce() -> Vec<RawFd>,
) -> bool {
    let sets = LazyCell::new(sets);
    calls.any(|(call, [fd, ..])| {
        let is_fd = |number: &RawFd| u64::try_from(*number) == Ok(fd & 0xffff_ffff);
        if OF_SET.contains(&call) {
            return sets.iter().any(is_fd);
        }
        OF_SOCKET.contains(&call) && sockets.iter().any(is_fd)
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};

    use nix::sys::stat::fstat;

    use super::*;

    /// A program that has a listener as its standard input, and tells once it has begun.
    fn python(listener: &TcpListener, text: &str) -> Child {
        let begin = "import select, socket, time\nl = socket.socket(fileno=0)\n";
        Command::new("python3")
            .args(["-c", &format!("{begin}{text}")])
            .stdin(Stdio::from(listener.as_fd().try_clone_to_owned().unwrap()))
            .spawn()
            .unwrap()
    }

    /// Whether the program comes to wait for the listener, before it waits for something else.
    fn comes_to_wait(text: &str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let served = [fstat(&listener).unwrap().st_ino];
        let mut child = python(&listener, text);
        let process = Process::of_test(i32::try_from(child.id()).unwrap()).unwrap();
        let end = Instant::now() + Duration::from_mins(1);
        let sleeps = |number| [libc::SYS_clock_nanosleep, libc::SYS_pselect6].contains(&number);
        let waited = loop {
            assert!(Instant::now() < end, "{text}");
            if waits(&process, &served) {
                break true;
            }
            let mut calls = process.threads().into_iter().filter_map(|t| t.waits);
            if calls.any(|(number, _)| sleeps(number)) {
                break waits(&process, &served);
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        waited
    }

    #[test]
    fn a_program_waits_for_connections_in_accept_or_in_a_set_that_has_the_listener() {
        assert!(comes_to_wait("l.settimeout(None); l.accept()"));
        let set = "e = select.epoll(); ";
        let watched = format!("{set}e.register(l, select.EPOLLIN); ");
        assert!(comes_to_wait(&format!("{watched}e.poll()")));
        let other = "o = socket.create_server(('127.0.0.1', 0)); e.register(o, select.EPOLLIN); ";
        let thread = "import threading; threading.Thread(target=e.poll, daemon=True).start(); ";
        let elsewhere = format!("{set}{other}{thread}time.sleep(0.5); time.sleep(60)");
        assert!(!comes_to_wait(&elsewhere));
        assert!(!comes_to_wait(&format!("{watched}time.sleep(60)")));
    }

    #[test]
    fn the_sets_are_read_once_whatever_the_number_of_threads_and_only_if_one_waits_in_a_set() {
        let looked = |calls: &[(i64, u64)]| {
            let mut reads = 0;
            let calls = calls.iter().map(|(call, fd)| (*call, [*fd, 0, 0, 0, 0, 0]));
            let waits = is_any_for(calls, &[7], || {
                reads += 1;
                vec![100, 200]
            });
            (waits, reads)
        };
        let in_set = |fd| (libc::SYS_epoll_pwait, fd);
        let others: Vec<_> = (0..100).map(in_set).collect();
        assert_eq!(looked(&others), (false, 1));
        assert_eq!(looked(&[&others[..], &[in_set(200)]].concat()), (true, 1));
        assert_eq!(looked(&[(libc::SYS_accept4, 7)]), (true, 0));
        assert_eq!(looked(&[(libc::SYS_accept4, 8), in_set(7)]), (false, 1));
        // A descriptor is an `int`, whatever stands in the upper half of the register.
        assert_eq!(looked(&[in_set(0xdead_0000_0064)]), (true, 1));
    }

    #[test]
    fn another_process_than_the_first_says_nothing() -> io::Result<()> {
        let own = std::process::id();
        let process = || Process::of_test(i32::try_from(own).unwrap());
        assert!(Serving::of(process()?, own).is_some());
        assert!(Serving::of(process()?, own + 1).is_none());
        Ok(())
    }
}
