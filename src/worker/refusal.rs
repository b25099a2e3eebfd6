//! The end of a start in which the program binds another address than the declared one: no later start would go better.
//!
//! A program may try one family after the other, or bind both. So the refused bind is the end only when the declared address
//! has not been bound a moment later. The status of the unit says so, in words by which `rsgen unit ended` knows that another
//! start is of no use.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::contract::REFUSED;
use crate::sys::process;
use crate::visible::Visible;

/// The time in which a program that was refused one family tries the other.
const GRACE: Duration = Duration::from_secs(1);

/// Watches over the start of a program.
pub(super) struct Refusal {
    /// The main process.
    main: Option<OwnedFd>,
    /// When the program is ended, unless it binds the declared address before.
    pub(super) until: Option<Instant>,
}

impl Refusal {
    /// Watches a program by its main process.
    pub(super) fn of(main: Option<OwnedFd>) -> Self {
        Self { main, until: None }
    }

    /// Takes in the line about a refused bind, or that there is none any more.
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

    /// Ends the program, if its time is over; whether it was.
    pub(super) fn end_in_time(&mut self) -> bool {
        if self.until.is_none_or(|until| Instant::now() < until) {
            return false;
        }
        let Some(main) = self.main.take() else {
            return false;
        };
        // Nothing has been served yet. A program that is busy trying again would let another signal wait.
        let _ = process::signal(main.as_fd(), libc::SIGKILL);
        true
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until.filter(|_| self.main.is_some())
    }
}

/// Sets the status of the unit, see `STATUS=` in `sd_notify(3)`.
pub(super) fn tell(text: &str) {
    // Run by hand there is nobody to tell. A newline would begin another assignment.
    let _ = sd_notify::notify(&[NotifyState::Status(Visible::line(text).as_str())]);
}
