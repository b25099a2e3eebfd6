//! The worker: takes the sockets of one instance, prepares the handover and becomes the program.
//!
//! After exec nothing of it is left in the program's process, so main PID, exit status, signals and
//! core dumps are the program's own. For `bind`, and for Node's channel, a small [`helper`] process
//! stays beside it. One thread, no bus, no clap.

pub mod arguments;
mod channel;
mod entry;
pub(crate) mod helper;
pub(crate) mod inherited;
pub(crate) mod preload;
pub(crate) mod rehearsal;
mod replace;
mod sockets;
mod start;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

pub use arguments::Run;

use crate::begin;
use crate::drain;
use crate::visible::{self, Visible};

/// The exit status when the program cannot be executed, as systemd has it: restarting is no use.
const CANNOT_EXECUTE: u8 = 203;

/// The exit status for file systems that are not as they must be: restarting is no use either.
const NO_NAMESPACE: u8 = 226;

/// Why no program was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is not one that units write.
    #[error("{0}")]
    Usage(String),
    /// The brake on crash loops holds.
    #[error("{0}")]
    Errored(String),
    /// The sockets are missing or of no use.
    #[error("{0}")]
    Sockets(String),
    /// The unit forbids the handover.
    #[error("{0}")]
    Forbidden(String),
    /// The unit hides systemd. Its commands are hidden from it as well, so that nobody would count the restarts.
    #[error(
        "the unit hides {path}, so systemd cannot be told READY: write `service.BindPaths = \"{path} /run/rsgen /run/dbus\"`",
        path = .0.display()
    )]
    Hidden(PathBuf),
    /// The kernel refused a step of the handover.
    #[error("{step}: {source}{}", hint(source))]
    Kernel {
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The program cannot be executed.
    #[error("`{program}` cannot be executed: {source}")]
    Exec {
        /// Its name.
        program: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            "; another seccomp listener is above this unit: write `handover = \"fds\"`"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "; the unit forbids it, see `NoNewPrivileges=` and `SystemCallFilter=`, or write `handover = \"fds\"`"
        }
        Some(libc::EAGAIN) => "; it is one more process: raise `LimitNPROC=`, or `TasksMax=`",
        Some(libc::EINVAL | libc::ENOSYS) => {
            "; this kernel is too old for `handover = \"bind\"` (5.9), write `\"fds\"`"
        }
        _ => "",
    }
}

impl Error {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Errored(_) => crate::brake::ERRORED,
            Self::Exec { .. } => CANNOT_EXECUTE,
            Self::Hidden(_) => NO_NAMESPACE,
            Self::Sockets(_) | Self::Forbidden(_) | Self::Kernel { .. } => 1,
        }
    }
}

/// Runs the worker. `run` returns only what went wrong; after `drain` the stop goes on in any case.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.peekable();
    let error = if arguments.next_if(|a| a == "drain").is_some() {
        match drain::run(arguments) {
            Ok(()) => return 0,
            Err(error) => error,
        }
    } else {
        begin::as_worker();
        match arguments::parse(arguments) {
            Ok(run) => start::start(&run),
            Err(error) => error,
        }
    };
    say(3, &error.to_string());
    error.status()
}

/// Characters of a line: the journal makes a new one, with a priority of its own, of what is beyond 48 KiB.
const LONGEST: usize = 4000;

/// One line for the journal, with its priority, see sd-daemon(3).
pub(crate) fn say(priority: u8, text: &str) {
    let text = Visible::line(&visible::cut(text, LONGEST));
    // Without a standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("<{priority}>rsgen: {text}\n").as_bytes());
}
