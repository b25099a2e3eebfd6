//! The worker: takes the sockets of one instance, prepares the handover and becomes the program.
//!
//! After exec nothing of the worker is left in the program's process, so main PID, exit status, signals and
//! core dumps are the program's own. For `bind`, and for Node's channel, a small [`helper`] process stays
//! beside the program. The worker has one thread, and uses neither the bus nor clap.

mod address;
pub mod assignments;
mod channel;
mod cpus;
mod env_file;
mod exchange;
mod further;
mod helper;
mod outcome;
mod pause;
mod preload;
mod pretence;
mod refusal;
mod rehearsal;
mod release;
mod replace;
mod requests;
mod result;
mod socket_file;
mod sockets;
mod start;
mod trial;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::begin;
use crate::contract::{self, EnvFiles, NOT_STARTED, Run};
use crate::log::say;

pub use env_file::examine;
pub use release::note as note_release;
pub use requests::OnRequest;

/// The exit status when the program cannot be executed, `EXIT_EXEC` of systemd.exec(5): a restart would not help.
const CANNOT_EXECUTE: u8 = 203;

/// The exit status for unsuitable file systems, `EXIT_NAMESPACE`: a restart would not help either.
const NO_NAMESPACE: u8 = 226;

/// Why no program was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is not one that units write.
    #[error(transparent)]
    Usage(#[from] contract::Usage),
    /// The crash-loop brake holds the instance back.
    #[error("{0}")]
    Errored(String),
    /// The sockets are missing or cannot be used.
    #[error("{0}")]
    Sockets(String),
    /// The unit forbids the handover.
    #[error("{0}")]
    Forbidden(String),
    /// The unit hides systemd's socket, and therefore also hides it from the commands of the unit that would count the
    /// restarts.
    #[error(
        "the unit hides {path}, so READY cannot be sent to systemd: write `service.BindPaths = \"{path} /run/rsgen /run/dbus\"`",
        path = .0.display()
    )]
    Hidden(PathBuf),
    /// An environment file that the worker has to read.
    #[error("`{path}`, a file of `env_file`, cannot be read with the rights of the app: {why}", path = .path.display())]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// The fault of the file, and the next step.
        why: String,
    },
    /// An environment file that systemd reads for the unit.
    #[error("`{path}`, a file of `env_file`, cannot be read: {why}", path = .path.display())]
    EnvFileOfSystemd {
        /// The file.
        path: PathBuf,
        /// The fault of the file, and the next step.
        why: String,
    },
    /// The kernel refused a step of the handover.
    #[error("{step}: {source}{}", hint(source))]
    Kernel {
        /// The step that failed.
        step: &'static str,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The program cannot be executed.
    #[error("`{program}` cannot be executed: {source}")]
    Exec {
        /// The program's name.
        program: String,
        /// The kernel's error.
        source: std::io::Error,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            "; the container or sandbox already has a seccomp listener: write `handover = \"fds\"`"
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
            Self::Errored(_) => contract::ERRORED,
            Self::Exec { .. } => CANNOT_EXECUTE,
            Self::Hidden(_) => NO_NAMESPACE,
            Self::Sockets(_)
            | Self::Forbidden(_)
            | Self::EnvFile { .. }
            | Self::EnvFileOfSystemd { .. }
            | Self::Kernel { .. } => 1,
        }
    }
}

/// Checks the environment files that systemd reads for an instance, with the rights that systemd gives this command.
/// Returns the exit status: a file that systemd could not use makes the start fail.
#[must_use]
pub fn look_at_env_files(arguments: impl Iterator<Item = OsString>) -> u8 {
    let looked = EnvFiles::parse(arguments).map_err(Error::from);
    let looked = looked.and_then(|asked| {
        if asked.is_systems() {
            begin::as_root();
        } else {
            begin::as_user();
        }
        asked.files.iter().try_for_each(|path| env_file::look(path))
    });
    match looked {
        Ok(()) => 0,
        Err(error) => {
            say(3, &error.to_string());
            error.status()
        }
    }
}

/// Returns the variables that the program of an instance gets, for a command of the app that runs beside the program.
///
/// # Errors
/// When a file cannot be read with the rights of this process.
pub fn variables(
    env_files: &[PathBuf],
    counted: &[String],
) -> Result<Vec<(OsString, OsString)>, Error> {
    start::environment(env_files, counted)
}

/// Starts the program of one instance. Returns only if that failed, with the exit status. `on_request` is the function
/// that a child of the helper calls when the helper is asked to drain.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>, on_request: OnRequest) -> u8 {
    begin::as_worker();
    let error = match Run::parse(arguments) {
        Ok(run) => start::start(&run, on_request),
        Err(error) => error.into(),
    };
    say(3, &error.to_string());
    if error.status() == 1 {
        // The status alone would be taken for the program's.
        refusal::tell(&format!("{NOT_STARTED}{error}"));
    }
    error.status()
}
