//! Runs in the watch unit and reloads an app when its files change.
//!
//! The files are never opened: inotify(7) reports their changes. The reload is a job of systemd's, so a version that
//! cannot start fails at the canary, as it does when an operator deploys it.

mod ignore;
mod tree;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tree::Tree;

use crate::contract::Watch;
use crate::systemd::{self, ActiveState, JobResult, Manager, Verb};
use crate::unit::name::Units;

/// Changes that follow each other without a pause delay a reload for at most this many times `watch_delay`, but not for
/// less than [`FLOOD`].
const PATIENCE: u32 = 10;
const FLOOD: Duration = Duration::from_secs(5);
/// After this many reloads in a row with changes during each of them, the watch pauses before the next reload. A
/// program that writes to a watched folder when it starts would otherwise be reloaded forever.
const MOST_IN_A_ROW: u32 = 3;
const PAUSE: Duration = Duration::from_secs(30);
/// How long one wait for a job takes. The watch waits again until the job ends.
const GLANCE: Duration = Duration::from_secs(1);

/// The reason why an app is no longer watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// inotify(7) failed.
    #[error("the files cannot be watched: {0}")]
    Files(#[from] io::Error),
    /// systemd could not be reached.
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
}

/// Watches and reloads until an error.
///
/// # Errors
/// [`Error`], the only way in which this function ends.
pub fn run(
    manager: &mut dyn Manager,
    watch: &Watch,
    say: &mut dyn FnMut(&str),
) -> Result<std::convert::Infallible, Error> {
    let mut tree = Tree::open(&watch.paths, &watch.ignore)?;
    say(&format!("watching {} folders", tree.count()));
    let mut is_told = false;
    let mut in_a_row = 0;
    let mut changed = None;
    loop {
        if tree.is_full && !is_told {
            is_told = true;
            say(&format!(
                "more than {} folders are too many to watch: name the program's own folders in `watch`, list others in `ignore_watch`, or raise `fs.inotify.max_user_watches`",
                tree.count()
            ));
        }
        let first = match changed.take() {
            Some(path) => path,
            None => tree.wait(None)?.unwrap_or_default(),
        };
        let last = settle(&mut tree, first, watch.delay)?;
        if in_a_row == MOST_IN_A_ROW {
            say(&format!(
                "`{}` changes during each reload: list it in `ignore_watch`; the next reload waits for {} s",
                last.display(),
                PAUSE.as_secs()
            ));
            manager.pause(PAUSE);
        }
        say(&format!("`{}` changed", last.display()));
        reload(manager, &watch.app, say)?;
        // All changes during the reload lead to one more reload.
        changed = tree.wait(Some(Duration::ZERO))?;
        in_a_row = match &changed {
            Some(_) if in_a_row < MOST_IN_A_ROW => in_a_row + 1,
            Some(_) => in_a_row,
            None => 0,
        };
    }
}

/// Waits until nothing has changed for the delay, or until the changes have lasted too long. Returns the path of the
/// last change.
fn settle(tree: &mut Tree, mut last: PathBuf, delay: Duration) -> io::Result<PathBuf> {
    let end = Instant::now() + FLOOD.max(delay.saturating_mul(PATIENCE));
    while Instant::now() < end {
        match tree.wait(Some(delay))? {
            Some(path) => last = path,
            None => break,
        }
    }
    Ok(last)
}

/// Has systemd reload the app and waits for the job. A reload that fails does not end the watch.
fn reload(
    manager: &mut dyn Manager,
    app: &str,
    say: &mut dyn FnMut(&str),
) -> Result<(), systemd::Error> {
    let cluster = Units::of(app).cluster();
    let active = manager.unit(&cluster)?.active;
    if !matches!(active, ActiveState::Active | ActiveState::Reloading) {
        say("no reload: the app is not running");
        return Ok(());
    }
    let pause = manager.units(&Units::of(app).pause())?;
    if pause.iter().any(|unit| !unit.is_gone()) {
        say("no reload: the app is paused, and starts with the new files when the pause ends");
        return Ok(());
    }
    let job = match manager.queue(Verb::ReloadIfFree, &cluster) {
        // For instance because the app is being stopped.
        Err(systemd::Error::Refused { reason }) => {
            say(&format!("no reload: {reason}"));
            return Ok(());
        }
        queued => queued?,
    };
    let result = loop {
        match manager.wait(&job, GLANCE) {
            Err(systemd::Error::TimedOut { .. }) => {}
            result => break result?,
        }
    };
    if !matches!(result, JobResult::Done | JobResult::Skipped) {
        say(&format!(
            "the reload ended as `{result}`; the next change starts another one"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
