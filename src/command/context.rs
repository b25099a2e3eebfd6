//! What every command needs: whose systemd, which folders, where to print.

use std::os::unix::fs::MetadataExt;

use super::arguments::Global;
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Printer};
use crate::plan::Host;
use crate::systemd::{self, Manager};

/// One run of the command line.
pub(super) struct Context {
    pub(super) layout: Layout,
    pub(super) host: Host,
    pub(super) printer: Printer,
    manager: Option<Box<dyn Manager>>,
}

impl Context {
    pub(super) fn new(global: &Global, printer: Printer) -> Result<Self, Failure> {
        let layout = if global.user {
            let layout = Layout::of_caller().ok_or_else(|| {
                Failure::new(Exit::Unreachable, "there is no user session here")
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
            printer,
            manager: None,
        })
    }

    /// systemd, connected at the first use.
    pub(super) fn manager(&mut self) -> Result<&mut dyn Manager, Failure> {
        let manager = match self.manager.take() {
            Some(manager) => manager,
            None => systemd::connect(self.layout.scope)?,
        };
        Ok(self.manager.insert(manager).as_mut())
    }

    /// Refuses before anything is touched when the caller may not write the system's units.
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

/// As root in the session of somebody else, as with `sudo -E`: that user's links would be followed and that user's bus
/// believed, with the rights of root.
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
            format!("`{}` is of another user", folder.display()),
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
