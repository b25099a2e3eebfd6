//! The drain by way of the helper, where only the helper may inspect the program.
//!
//! Below `systemd --user` the command of the unit is an ordinary process. With Yama's `ptrace_scope` 1 the program may be
//! inspected by its ancestors and by the process that it named with `PR_SET_PTRACER`: the helper, and with it the helper's
//! children, see Documentation/admin-guide/LSM/Yama.rst of the kernel. So there the command asks the helper over a socket in
//! the state folder, which is the user's own, and the helper has a child of its own drain. The command waits nevertheless:
//! what systemd waits for before the stop signal is the command. Whoever asks has no say in what is drained.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{geteuid, getppid};

use super::draining::{Draining, GRACE, without};
use crate::contract::{Drain, Request, Run};
use crate::state::{Folder, Name};

/// No request is longer.
const LONGEST: usize = 256;
/// A request is written at once, and is all there after this.
const PATIENCE: Duration = Duration::from_secs(1);
/// The child's answer when it is done.
const DONE: &str = "done\n";

/// The part of the helper's child: drains the instance as the request says, and answers when that is done.
pub fn on_request(run: &Run, mut asked: UnixStream) {
    // The helper has closed its input and output, and the pipes to a command that is started would get their numbers.
    for _number in [0, 1] {
        let _ = File::open("/dev/null").map(IntoRawFd::into_raw_fd);
    }
    let Ok(drain) = read(run, &asked, Instant::now() + PATIENCE) else {
        return;
    };
    let Ok(connection) = asked.try_clone() else {
        return;
    };
    Draining::begin(&drain, getppid().as_raw(), Some(connection.into()))
        .and_then(|mut draining| draining.drain())
        .unwrap_or_else(|e| without(&e));
    // Where nobody waits any more the instance is being stopped.
    let _ = asked.write_all(DONE.as_bytes());
}

fn read(run: &Run, asked: &UnixStream, end: Instant) -> io::Result<Drain> {
    let asked = Request::parse(&line(asked, end)?).ok_or(io::ErrorKind::InvalidData)?;
    Ok(run.drain(asked))
}

/// A line, or what comes until the peer closes. However it comes, it has come by `end`.
fn line(mut peer: &UnixStream, end: Instant) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; LONGEST];
    while bytes.len() < LONGEST && !bytes.ends_with(b"\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        peer.set_read_timeout(Some(left))?;
        match peer.read(&mut part) {
            Ok(0) => break,
            Ok(length) => bytes.extend(part.iter().take(length)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(e) => return Err(e),
        }
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The part of the unit's command: has the helper drain, and waits for that; whether there is a helper that did. The wait
/// ends when `signals` is readable.
pub(super) fn send(drain: &Drain, signals: BorrowedFd<'_>) -> bool {
    if geteuid().is_root() {
        return false;
    }
    let name = Name::Helper(drain.instance);
    let helper =
        Folder::look(&drain.state).and_then(|folder| UnixStream::connect(folder.path_of(name)));
    helper.is_ok_and(|helper| converse(helper, drain, signals))
}

fn converse(mut helper: UnixStream, drain: &Drain, signals: BorrowedFd<'_>) -> bool {
    let end = Instant::now() + drain.timeout + GRACE + GRACE;
    if helper.write_all(drain.request().text().as_bytes()).is_err() {
        return false;
    }
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut fds = [
            PollFd::new(signals, PollFlags::POLLIN),
            PollFd::new(helper.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(
            &mut fds,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        );
        let [signal, answer] = fds.map(|fd| fd.any().unwrap_or(false));
        if answer {
            return line(&helper, end).is_ok_and(|said| said == DONE);
        }
        if Instant::now() >= end {
            return false;
        }
        // The child sees that nobody waits any more, and ends.
        if signal {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::contract::Way;

    fn run() -> Run {
        let line = "run --app=web --instance=3 --state=/run/rsgen/web --handover=fds --ready=listen \
            --listen-timeout=30s --min-uptime=1s --max-restarts=16 --preload=true -- program";
        Run::parse(line.split_whitespace().map(OsString::from)).unwrap()
    }

    fn drain() -> Drain {
        run().drain(Request {
            timeout: Duration::from_millis(1500),
            way: Way::Epoll,
        })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// The drain that is asked for, and whether this answer says that it was done.
    fn asked(answer: &'static [u8]) -> (io::Result<Drain>, bool) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (quiet, _end) = UnixStream::pair().unwrap();
        let helper = std::thread::spawn(move || {
            let drain = read(&run(), &theirs, soon());
            theirs.write_all(answer).unwrap();
            drain
        });
        let is_done = converse(ours, &drain(), quiet.as_fd());
        (helper.join().unwrap(), is_done)
    }

    #[test]
    fn it_is_asked_how_and_the_instance_is_its_own() {
        let (drain, is_done) = asked(DONE.as_bytes());
        let drain = drain.unwrap();
        assert!(is_done);
        assert_eq!(
            (drain.timeout, drain.way),
            (Duration::from_millis(1500), Way::Epoll)
        );
        let run = run();
        assert_eq!((drain.instance, drain.state), (run.instance, run.state));
    }

    #[test]
    fn one_that_asks_byte_by_byte_does_not_hold_it() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let slow = std::thread::spawn(move || {
            while ours.write_all(b"-").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let end = Instant::now() + Duration::from_millis(200);
        let error = read(&run(), &theirs, end).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
        slow.join().unwrap();
    }

    #[test]
    fn one_that_dies_has_not_drained() {
        assert!(!asked(b"").1);
        assert!(!asked(b"do").1);
    }

    #[test]
    fn nobody_has_a_say_in_what_is_drained() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"--app=shop --instance=0 --timeout=1s --state=/tmp --way=off\n")
            .unwrap();
        let drain = read(&run(), &theirs, soon()).unwrap();
        assert_eq!((drain.app.as_str(), drain.instance), ("web", 3));
        assert_eq!((drain.state, drain.way), (run().state, Way::Off));
    }

    #[test]
    fn a_signal_cuts_the_wait_short() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (signals, mut sender) = UnixStream::pair().unwrap();
        sender.write_all(b"!").unwrap();
        assert!(converse(ours, &drain(), signals.as_fd()));
    }
}
