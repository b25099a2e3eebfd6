//! The context of a command: the systemd that the command works on, the folders, and the sink for its output.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::jobs::Jobs;
use super::manual::CommandLine;
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Sink};
use crate::plan::Host;
use crate::systemd::{self, Manager};

/// What the global options determine. A subcommand passes on to each of its functions the parts that the function
/// needs.
pub(super) struct Context<'a> {
    pub(super) layout: Layout,
    pub(super) host: Host,
    pub(super) sink: &'a dyn Sink,
    /// The name of the subcommand.
    pub(super) command: &'static str,
    /// Describes the whole command line, for commands that generate documentation from it.
    pub(super) command_line: fn() -> CommandLine,
    manager: Option<Box<dyn Manager>>,
    is_reread: Cell<bool>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        is_users: bool,
        sink: &'a dyn Sink,
        command_line: fn() -> CommandLine,
    ) -> Result<Self, Failure> {
        let layout = if is_users {
            let layout = Layout::of_caller().ok_or_else(|| {
                Failure::new(Exit::Unreachable, "no user session was found")
                    .help("log in as that user, or set XDG_RUNTIME_DIR and HOME")
            })?;
            refuse_foreign(&layout)?;
            layout
        } else {
            Layout::system("/".as_ref())
        };
        Ok(Self {
            layout,
            host: Host::of_this_machine(),
            sink,
            command: "",
            command_line,
            manager: None,
            is_reread: Cell::default(),
        })
    }

    /// Returns the context of a command on a test host.
    #[cfg(test)]
    pub(super) fn of_a_test(
        layout: Layout,
        host: Host,
        sink: &'a dyn Sink,
        systemd: Box<dyn Manager>,
    ) -> Self {
        Self {
            layout,
            host,
            sink,
            command: "",
            command_line: crate::command::command_line,
            manager: Some(systemd),
            is_reread: Cell::default(),
        }
    }

    /// Opens the connection to systemd, where a bus that does not answer may keep nobody waiting for longer than this.
    pub(super) fn connect_within(&mut self, at_most: Duration) -> Result<(), Failure> {
        if self.manager.is_none() {
            self.manager = Some(systemd::connect_within(self.layout.scope, at_most)?);
        }
        Ok(())
    }

    /// Returns the connection to systemd, which is opened at the first use.
    pub(super) fn manager(&mut self) -> Result<&mut dyn Manager, Failure> {
        Ok(self.jobs()?.manager)
    }

    /// Returns the jobs of systemd for the apps of this layout.
    pub(super) fn jobs(&mut self) -> Result<Jobs<'_>, Failure> {
        let manager = match self.manager.take() {
            Some(manager) => manager,
            None => systemd::connect(self.layout.scope)?,
        };
        Ok(Jobs {
            manager: self.manager.insert(manager).as_mut(),
            layout: &self.layout,
            sink: self.sink,
            command: self.command,
            begun: SystemTime::now(),
            part: None,
            is_reread: &self.is_reread,
        })
    }

    /// Returns the version of systemd; `None` where no systemd can be asked, for instance while an image is built.
    pub(super) fn systemd_version(&mut self) -> Option<u32> {
        self.manager().ok()?.version().ok()
    }

    /// Refuses a caller who may not write the system's units, before anything is changed.
    pub(super) fn require_permission(&self, what: &str) -> Result<(), Failure> {
        if self.layout.scope == Scope::System && !nix::unistd::geteuid().is_root() {
            return Err(Failure::new(
                Exit::Unreachable,
                format!("only root may {what} apps of the system"),
            )
            .help("run it with sudo, or add --user for apps of your own"));
        }
        Ok(())
    }
}

/// Refuses to run as root in the session of another user, which `sudo -E` leads to: root would follow that user's links
/// and trust that user's bus.
fn refuse_foreign(layout: &Layout) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let folders = [&layout.run, &layout.units];
    let foreign = folders.into_iter().find_map(|folder| {
        let mut above = folder.ancestors();
        let (there, found) = above.find_map(|f| Some((f, f.metadata().ok()?)))?;
        (found.uid() != 0).then_some(there)
    });
    match foreign {
        None => Ok(()),
        Some(folder) => Err(Failure::new(
            Exit::Unreachable,
            format!("`{}` belongs to another user", folder.display()),
        )
        .help("run it as that user, or leave --user out for apps of the system")),
    }
}

impl From<systemd::Error> for Failure {
    fn from(error: systemd::Error) -> Self {
        let exit = match &error {
            systemd::Error::NoBus { .. } | systemd::Error::AccessDenied { .. } => Exit::Unreachable,
            systemd::Error::TimedOut { .. } => Exit::TimedOut,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, error.to_string());
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_script_knows_by_the_exit_status_why_systemd_did_not_do_it() {
        let reason = String::new;
        for (error, exit) in [
            (
                systemd::Error::NoBus { reason: reason() },
                Exit::Unreachable,
            ),
            (
                systemd::Error::AccessDenied { reason: reason() },
                Exit::Unreachable,
            ),
            (systemd::Error::Refused { reason: reason() }, Exit::Failed),
            (systemd::Error::NoSuchUnit { unit: reason() }, Exit::Failed),
            (
                systemd::Error::TimedOut {
                    what: reason(),
                    after: Duration::ZERO,
                },
                Exit::TimedOut,
            ),
        ] {
            assert_eq!(Failure::from(error).exit, exit);
        }
    }

    #[test]
    fn root_does_not_work_in_folders_of_another_user() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        // None of its folders is there yet, so that the one above them counts.
        assert!(refuse_foreign(&layout).is_ok());
        if nix::unistd::geteuid().is_root() {
            chown(root.path(), Some(1), None).unwrap();
            let failure = refuse_foreign(&layout).unwrap_err();
            assert_eq!(failure.exit, Exit::Unreachable);
            let told = format!("`{}` belongs to another user", root.path().display());
            assert_eq!(failure.message, told);
        }
    }
}
