//! Where only the helper may look into the program, it drains for the command of the unit.
//!
//! Below `systemd --user` that command is an ordinary process. With Yama's `ptrace_scope` 1 the program may be
//! looked into by its ancestors and by whom it named with `PR_SET_PTRACER`: the helper, and with it the helper's
//! children, see Documentation/admin-guide/LSM/Yama.rst of the kernel. So there the helper listens on a socket in
//! the state folder, which is the user's own, and makes a child that drains. Whoever asks has no say in what
//! is drained.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{geteuid, getppid};

use super::arguments::{self, Drain};
use super::{GRACE, Instance, without};
use crate::peer::descriptors::above;
use crate::state::{Folder, Name};
use crate::sys::process;
use crate::worker::arguments::Run;
use crate::worker::rehearsal;

/// No request is longer.
const LONGEST: u64 = 256;
/// A request is written at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the child says when it is done.
const DONE: &[u8] = b"done\n";

/// Whether the drain of this unit can look into the program only by way of the helper.
pub(crate) fn is_needed() -> bool {
    let is_users = !geteuid().is_root() && getppid().as_raw() != 1;
    is_users && rehearsal::yama() == 1
}

/// The helper's side.
pub(crate) struct Deputy {
    listener: UnixListener,
    /// The child that drains, until it has ended.
    child: Option<OwnedFd>,
}

impl Deputy {
    /// Listens for the command of the unit.
    ///
    /// # Errors
    /// When the state folder cannot be written; then that command does what it can by itself, and says so.
    pub(crate) fn begin(run: &Run) -> io::Result<Self> {
        let folder = Folder::make(&run.state)?;
        let name = Name::Helper(run.instance);
        // Of the instance before.
        folder.remove(&name.to_string())?;
        let listener = UnixListener::bind(folder.path_of(name))?;
        folder.close_to_others(name)?;
        let listener = UnixListener::from(above(listener.into()));
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            child: None,
        })
    }

    /// What becomes readable when there is something to do.
    pub(crate) fn watched(&self) -> BorrowedFd<'_> {
        let child = self.child.as_ref().map(AsFd::as_fd);
        child.unwrap_or_else(|| self.listener.as_fd())
    }

    /// The next one who asks, when no child drains already.
    ///
    /// # Errors
    /// When nobody can be heard.
    pub(crate) fn accept(&mut self) -> io::Result<Option<UnixStream>> {
        if self.child.take().is_some() {
            let _ = waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            return Ok(None);
        }
        match self.listener.accept() {
            Ok((asked, _)) => Ok(Some(UnixStream::from(above(asked.into())))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Notes the child that was made for it.
    pub(crate) fn made(&mut self, child: i32) {
        self.child = process::pidfd(child.cast_unsigned()).ok().map(above);
    }
}

/// The child's side: drains the instance, and says so to who asked.
pub(crate) fn act(run: &Run, mut asked: UnixStream) {
    // The helper has neither input nor output, and a command of ours would find its pipes there.
    for _number in [0, 1] {
        let _ = File::open("/dev/null").map(IntoRawFd::into_raw_fd);
    }
    let Ok(drain) = read(run, &asked) else {
        return;
    };
    let Ok(connection) = asked.try_clone() else {
        return;
    };
    Instance::begin(&drain, getppid().as_raw(), Some(connection.into()))
        .and_then(|mut instance| instance.drain())
        .unwrap_or_else(|e| without(&e));
    // Who does not wait any more has stopped the instance.
    let _ = asked.write_all(DONE);
}

fn read(run: &Run, asked: &UnixStream) -> io::Result<Drain> {
    asked.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(asked.take(LONGEST)).read_line(&mut line)?;
    arguments::of_request(run, &line).map_err(io::Error::other)
}

/// Has the helper drain, and waits until it has; whether there is one that did.
pub(super) fn ask(instance: &Instance<'_>) -> bool {
    let drain = instance.drain;
    if geteuid().is_root() {
        return false;
    }
    let name = Name::Helper(drain.instance);
    let helper =
        Folder::look(&drain.state).and_then(|folder| UnixStream::connect(folder.path_of(name)));
    helper.is_ok_and(|helper| converse(helper, drain, instance.signals.as_fd()))
}

fn converse(mut helper: UnixStream, drain: &Drain, signals: BorrowedFd<'_>) -> bool {
    let end = Instant::now() + drain.timeout + GRACE + GRACE;
    if helper.write_all(drain.request().as_bytes()).is_err() {
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
            let mut said = Vec::new();
            let _ = helper.take(LONGEST).read_to_end(&mut said);
            return said == DONE;
        }
        if Instant::now() >= end {
            return false;
        }
        // The child sees that nobody waits, and leaves off.
        if signal {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::drain::arguments::Way;

    fn run() -> Run {
        let line = "run --app=web --instance=3 --state=/run/rsgen/web --handover=fds -- program";
        crate::worker::arguments::parse(line.split(' ').map(OsString::from)).unwrap()
    }

    fn drain() -> Drain {
        let line = "--app=web --timeout=1500ms --way=epoll";
        arguments::parse(line.split(' ').map(OsString::from)).unwrap()
    }

    /// What is asked, and what comes of an answer.
    fn asked(answer: &'static [u8]) -> (io::Result<Drain>, bool) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (quiet, _end) = UnixStream::pair().unwrap();
        let helper = std::thread::spawn(move || {
            let drain = read(&run(), &theirs);
            theirs.write_all(answer).unwrap();
            drain
        });
        let is_done = converse(ours, &drain(), quiet.as_fd());
        (helper.join().unwrap(), is_done)
    }

    #[test]
    fn it_is_asked_how_and_the_instance_is_its_own() {
        let (drain, is_done) = asked(DONE);
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
    fn one_that_dies_has_not_drained() {
        assert!(!asked(b"").1);
        assert!(!asked(b"do").1);
    }

    #[test]
    fn nobody_has_a_say_in_what_is_drained() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"--app=shop --instance=0 --state=/tmp --way=off\n")
            .unwrap();
        let drain = read(&run(), &theirs).unwrap();
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
