//! The one way in which commands write the files of apps: under a lock of the host, and only where the files are still as the
//! command has read them. Two commands at the same moment would otherwise undo what the other has written.
//!
//! The lock is held for as long as the files are read and written, never while a walk is waited for: a walk takes the lock of its
//! app, and so does `rsgen scale`, which takes that one first.

use std::path::Path;
use std::time::Duration;

use super::jobs::Jobs;
use super::waiting::{TICK, Waiting};
use crate::generate::files;
use crate::output::{Failure, Notice};
use crate::plan::diff::Change;
use crate::state::{self, Lock};

/// The wait after which a user is told of it.
const SOON: Duration = Duration::from_secs(1);
/// The wait, in words.
const WHAT: &str = "another rsgen command that is writing files";
/// The longest wait. A command holds the lock for as long as systemd takes to read its files, or to stop an app that moves.
const PATIENCE: Duration = Duration::from_mins(10);

/// The right to write the files of apps, held as long as this value lives.
#[must_use]
pub(super) struct Writing {
    _lock: Lock,
}

impl Writing {
    /// Waits until no other command writes. `app` is the app that a wait is told for.
    pub(super) fn begin(jobs: &mut Jobs<'_>, app: &str) -> Result<Self, Failure> {
        let folder = state::files(&jobs.layout.run);
        let begun = jobs.manager.now();
        let mut waiting = Waiting::begin(jobs.sink);
        let mut is_told = false;
        loop {
            let taken = Lock::take(&folder);
            let taken = taken.map_err(|e| Failure::failed(format!("{}: {e}", folder.display())))?;
            if let Some(lock) = taken {
                return Ok(Self { _lock: lock });
            }
            let waited = jobs.manager.now().saturating_sub(begun);
            if waited > PATIENCE {
                let message = "another rsgen command is still writing files";
                let lock = folder.join("lock");
                return Err(Failure::failed(message)
                    .help(format!("`fuser -v {}` shows which", lock.display())));
            }
            if !is_told && waited >= SOON {
                is_told = true;
                let line = format!("waiting for {WHAT}");
                jobs.sink.notice(&Notice::Waiting(app, &line));
            }
            waiting.tell_of(jobs.sink, app, WHAT);
            jobs.manager.pause(TICK);
        }
    }

    /// Makes the changes, all or none, and has systemd read its files again.
    pub(super) fn write(self, jobs: &mut Jobs<'_>, changes: &[Change]) -> Result<(), Failure> {
        compare(changes)?;
        files::apply(changes).map_err(|e| {
            Failure::failed(format!("nothing was changed, because of {e}"))
                .help("check that the file system is writable and not full")
        })?;
        let read = jobs.manager.daemon_reload();
        if read.is_err() {
            files::undo(changes);
        }
        drop(self);
        Ok(read?)
    }

    /// Undoes what [`Self::write`] changed for one app, so that an instance that restarts runs the same version as the others.
    pub(super) fn roll_back(self, jobs: &mut Jobs<'_>, changes: &[Change]) -> Result<(), Failure> {
        let is_other = |change: &&Change| files::content(&change.path) != change.new;
        if let Some(change) = changes.iter().find(is_other) {
            let path = change.path.display();
            return Err(Failure::failed(format!("{path} was changed meanwhile")));
        }
        files::undo(changes);
        let read = jobs.manager.daemon_reload();
        drop(self);
        Ok(read?)
    }
}

/// Refuses changes of a file that is no longer as the command has read it. One that is as it is to be was written by another
/// command that does the same.
pub(super) fn compare(changes: &[Change]) -> Result<(), Failure> {
    let is_other = |change: &&Change| {
        let now = files::content(&change.path);
        now != change.old && now != change.new
    };
    changes
        .iter()
        .find(is_other)
        .map_or(Ok(()), |change| Err(changed(&change.path)))
}

/// The refusal to write what was made of an older text of this file.
pub(super) fn changed(path: &Path) -> Failure {
    let path = path.display();
    let message = format!("{path} was changed meanwhile, and this command changed nothing");
    Failure::failed(message).help("run it again")
}
