//! The drain through the helper, for units where only the helper may inspect the program.
//!
//! Below `systemd --user` the command of the unit is an ordinary process. With Yama's `ptrace_scope` 1 the program may be
//! inspected by its ancestors and by the process that it named with `PR_SET_PTRACER`: the helper, and with it the helper's
//! children, see Documentation/admin-guide/LSM/Yama.rst of the kernel. So there the command asks the helper over a socket in
//! the state folder, which is the user's own, and a child of the helper drains. The command waits for the answer, because
//! systemd sends the stop signal when the command ends. A request cannot choose what is drained.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{geteuid, getppid};

use super::draining::{Draining, GRACE};
use super::said::without;
use crate::contract::{Drain, Request, Run};
use crate::state::{Folder, Name};

/// The largest number of bytes that are read of a request or an answer.
const LONGEST: usize = 256;
/// How long a request may take to arrive: the command writes it at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// The child's answer after the drain.
const DONE: &str = "done\n";

/// The helper's child: drains the instance as requested, and answers afterwards.
pub fn on_request(run: &Run, mut asked: UnixStream) {
    // The helper has closed its standard input and output. If their numbers stayed free, the pipe to systemctl(1) would get
    // one of them, and would be closed or replaced when that program is started.
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
    // If nobody waits for the answer any more, the stop is already under way.
    let _ = asked.write_all(DONE.as_bytes());
}

fn read(run: &Run, asked: &UnixStream, end: Instant) -> io::Result<Drain> {
    let asked = Request::parse(&line(asked, end)?).ok_or(io::ErrorKind::InvalidData)?;
    Ok(run.drain(asked))
}

/// Reads a line, or everything until the peer closes the connection. The deadline is for the whole line: a peer that sends
/// it byte by byte gets no more time.
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

/// The unit's command: asks the helper to drain, waits for the end, and returns whether the helper did. The
/// wait ends early when `signals` is readable.
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
        // Returning closes the connection; this tells the helper's child to end.
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
            signal: Some("SIGQUIT".into()),
        })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// The drain that the helper reads from the request, and whether the command takes this answer for success.
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
    fn the_request_says_how_and_the_helper_knows_which_instance() {
        let (drain, is_done) = asked(DONE.as_bytes());
        let drain = drain.unwrap();
        assert!(is_done);
        assert_eq!(
            (drain.timeout, drain.way),
            (Duration::from_millis(1500), Way::Epoll)
        );
        assert_eq!(drain.signal.as_deref(), Some("SIGQUIT"));
        let run = run();
        assert_eq!((drain.instance, drain.state), (run.instance, run.state));
    }

    #[test]
    fn a_request_sent_byte_by_byte_gets_no_more_time() {
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
    fn a_helper_that_dies_has_not_drained() {
        assert!(!asked(b"").1);
        assert!(!asked(b"do").1);
    }

    #[test]
    fn a_request_cannot_choose_what_is_drained() {
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
