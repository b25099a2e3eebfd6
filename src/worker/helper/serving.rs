//! Whether the first process of a program waits for connections, once it listens. From there no program goes to the background: a loop
//! of events that has begun does not survive a fork.

use std::cell::LazyCell;
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
    // Looked up once, however many threads wait for events.
    let sets = LazyCell::new(|| {
        let registrations = sockets.iter().flat_map(|s| process.registrations(*s));
        registrations.map(|r| r.set).collect::<Vec<i32>>()
    });
    let calls = process.threads().into_iter();
    calls
        .filter_map(|thread| thread.waits)
        .any(|(call, [fd, ..])| {
            let is_fd = |number: i32| u64::try_from(number) == Ok(fd & 0xffff_ffff);
            if OF_SET.contains(&call) {
                return sets.iter().any(|set| is_fd(*set));
            }
            OF_SOCKET.contains(&call) && sockets.iter().any(|s| is_fd(s.fd))
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
    fn another_process_than_the_first_says_nothing() -> io::Result<()> {
        let own = std::process::id();
        let process = || Process::of_test(i32::try_from(own).unwrap());
        assert!(Serving::of(process()?, own).is_some());
        assert!(Serving::of(process()?, own + 1).is_none());
        Ok(())
    }
}
