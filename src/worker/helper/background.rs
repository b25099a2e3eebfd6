//! Detects a program that has gone to the background: its first process has ended, and others live on in a session of their
//! own, as described in daemon(7). systemd then ends those as well, and every further start would end in the same way.
//!
//! The session of their own distinguishes them from the workers of a failed program, which end a moment after it. The listener
//! distinguishes them from other processes that a program may leave, such as a command that it has started with setsid(1).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getsid};

use crate::contract::Run;
use crate::peer::control_group::{ControlGroup, is_gone};
use crate::peer::process::Process;
use crate::procfs;

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the processes are looked at: a program may call setsid(2) a moment after its first process has
/// ended. On a busy machine that moment may be long, so they are looked at again once the program listens.
const LOOKS: u32 = 20;

/// The processes that the first process of a program leaves.
pub(super) struct Background {
    main: Option<OwnedFd>,
    group: Option<ControlGroup>,
    /// The first process has ended.
    is_left: bool,
    looks: u32,
    next: Option<Instant>,
    /// The process that the last look found.
    found: Option<i32>,
    is_told: bool,
}

impl Background {
    /// Watches a program by its first process.
    pub(super) fn of(main: Option<OwnedFd>, run: &Run) -> Self {
        let group = ControlGroup::of_own(&run.app, run.instance).ok();
        Self {
            // If the worker is run by hand, the program is not restarted.
            main: main.filter(|_| group.is_some()),
            group,
            is_left: false,
            looks: 0,
            next: None,
            found: None,
            is_told: false,
        }
    }

    /// A descriptor that is readable once the first process has ended.
    pub(super) fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.main.as_ref().map(AsFd::as_fd)
    }

    /// Notes the end of the first process. `is_early`: the instance has not served for long.
    pub(super) fn ended(&mut self, is_early: bool) {
        self.main = None;
        self.is_left = true;
        self.looks = if is_early { LOOKS } else { 0 };
        self.next = is_early.then(Instant::now);
    }

    /// Notes that the program has begun to listen everywhere.
    pub(super) fn serves(&mut self) {
        if self.is_left && !self.is_told {
            self.looks = LOOKS;
            self.next = Some(Instant::now());
        }
    }

    /// Returns whether the first process has ended.
    pub(super) fn is_left(&self) -> bool {
        self.is_left
    }

    /// Returns when there is something to look at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the processes, if it is time. Returns whether the program has gone to the background, once. Where
    /// `is_ready`, a process has to be found twice: a command of the unit is not recognised as one while systemd prepares its
    /// execution. `served` returns the inodes of the listeners that the program serves.
    pub(super) fn look(&mut self, is_ready: bool, served: impl Fn() -> Vec<u64>) -> bool {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return false;
        }
        self.looks = self.looks.saturating_sub(1);
        let group = self.group.as_ref();
        let found = group.and_then(|group| daemon(group, &served()));
        let is_it = found.is_some() && (!is_ready || found == self.found);
        self.found = found;
        self.next = (!is_it && self.looks > 0).then(|| Instant::now() + PAUSE);
        self.is_told |= is_it;
        is_it
    }

    /// Returns whether the program was found to have gone to the background.
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }
}

/// Returns a process of the program that is in another session than this helper, whose session is that of the first process,
/// and that may serve.
fn daemon(group: &ControlGroup, served: &[u64]) -> Option<i32> {
    let own = getsid(None).ok()?;
    let (numbers, _) = group.numbers();
    let elsewhere =
        |pid: &i32| getsid(Some(Pid::from_raw(*pid))).is_ok_and(|session| session != own);
    numbers.into_iter().filter(elsewhere).find(|pid| {
        // The commands of the unit, such as the drain, are not under the program's filter.
        Process::open(*pid, group).is_ok_and(|process| {
            let status = process.text("status");
            let is_programs = procfs::field(&status, "Seccomp:") == Some("2");
            is_programs && !process.is_helper() && may_serve(&process, served)
        })
    })
}

/// Returns whether a process has one of these listeners. In doubt it may: if its descriptors cannot be read,
/// or if nothing is served yet, since a daemon may bind only once it is in the background.
fn may_serve(process: &Process, served: &[u64]) -> bool {
    let read = fs::read_dir(process.path("fd"));
    if served.is_empty() || read.is_err_and(|e| !is_gone(&e)) {
        return true;
    }
    let sockets = process.sockets();
    sockets.iter().any(|s| served.contains(&s.inode))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sys::stat::fstat;

    use super::*;

    #[test]
    fn a_process_may_serve_that_has_the_listener_or_may_bind_it_yet() {
        let [own, other] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [own, other] = [own, other].map(|l| (fstat(&l).unwrap().st_ino, l));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let of = |pid: u32| Process::of_test(i32::try_from(pid).unwrap()).unwrap();
        let (this, unrelated) = (of(std::process::id()), of(child.id()));
        assert!(may_serve(&this, &[other.0, own.0]));
        // The listeners are closed on exec.
        assert!(!may_serve(&unrelated, &[own.0, other.0]));
        assert!(may_serve(&unrelated, &[]), "nothing is served yet");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!may_serve(&unrelated, &[own.0]), "gone");
    }
}
