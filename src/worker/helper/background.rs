//! Whether the program has gone to the background: its first process has ended, and others live on in a session of their own,
//! as daemon(7) has it. systemd then ends those as well, and every further start would end in the same way.
//!
//! A session of their own tells them from the workers of a program that has failed, which end a moment after it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getsid};

use crate::contract::Run;
use crate::peer::control_group::ControlGroup;
use crate::peer::process::Process;
use crate::procfs;

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the processes are looked at: a program may call setsid(2) a moment after its first process has ended.
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
            // When the worker is run by hand, nobody restarts the program.
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

    /// Takes the end of the first process. `is_early`: the instance has not served for long.
    pub(super) fn ended(&mut self, is_early: bool) {
        self.main = None;
        self.is_left = true;
        self.looks = if is_early { LOOKS } else { 0 };
        self.next = is_early.then(Instant::now);
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
    /// execution.
    pub(super) fn look(&mut self, is_ready: bool) -> bool {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return false;
        }
        self.looks = self.looks.saturating_sub(1);
        let found = self.group.as_ref().and_then(daemon);
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

/// Returns a process of the program that is in another session than this helper, whose session is that of the first process.
fn daemon(group: &ControlGroup) -> Option<i32> {
    let own = getsid(None).ok()?;
    let (numbers, _) = group.numbers();
    let elsewhere =
        |pid: &i32| getsid(Some(Pid::from_raw(*pid))).is_ok_and(|session| session != own);
    numbers.into_iter().filter(elsewhere).find(|pid| {
        // The commands of the unit, such as the drain, are not under the program's filter.
        Process::open(*pid, group).is_ok_and(|process| {
            let status = process.text("status");
            procfs::field(&status, "Seccomp:") == Some("2") && !process.is_helper()
        })
    })
}
