//! Ends a start in which the program binds another address than the declared one, since no later start could succeed
//! either.
//!
//! A program may try one family after the other, or bind both. So a refused bind ends the start only if the declared
//! address has not been bound a moment later. The status of the unit contains the reason, with a prefix that tells
//! `rsgen unit ended` not to have the instance started again.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::contract::REFUSED;
use crate::sys::process;
use crate::visible::Visible;

/// How long a program that was refused one family may take to try the other, also on a host that is busy with much else.
const GRACE: Duration = Duration::from_secs(3);

/// Watches the start of a program.
pub(super) struct Refusal {
    /// The main process.
    main: Option<OwnedFd>,
    /// When the program will be killed, unless it binds the declared address before.
    pub(super) until: Option<Instant>,
}

impl Refusal {
    /// Watches a program by its main process.
    pub(super) fn of(main: Option<OwnedFd>) -> Self {
        Self { main, until: None }
    }

    /// Takes the line about a refused bind, or `None` if none is refused any longer.
    pub(super) fn follow(&mut self, line: Option<&str>) {
        match (line, self.until) {
            (Some(line), None) => {
                self.until = Some(Instant::now() + GRACE);
                tell(&format!("{REFUSED}{line}"));
            }
            (None, Some(_)) => {
                self.until = None;
                tell("");
            }
            _ => {}
        }
    }

    /// Kills the program if its time is over. Returns whether it was.
    pub(super) fn end_in_time(&mut self) -> bool {
        if self.until.is_none_or(|until| Instant::now() < until) {
            return false;
        }
        let Some(main) = self.main.take() else {
            return false;
        };
        // SIGKILL is safe, since nothing has been served yet. A program that is busy trying again might not act on
        // another signal.
        let _ = process::signal(main.as_fd(), libc::SIGKILL);
        true
    }

    /// Returns when there is something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until.filter(|_| self.main.is_some())
    }
}

/// Sets the status of the unit, see `STATUS=` in `sd_notify(3)`.
pub(super) fn tell(text: &str) {
    // If the worker is run by hand, there is no receiver. A newline would begin another assignment.
    let _ = sd_notify::notify(&[NotifyState::Status(Visible::line(text).as_str())]);
}
