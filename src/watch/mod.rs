//! Reloads an app when its files change: what the watch unit runs.
//!
//! The files are looked at and never read. systemd is asked for the reload, so that a bad version ends with the canary like one
//! that an operator has deployed.

mod ignore;
mod tree;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tree::Tree;

use crate::contract::Watch;
use crate::systemd::{self, ActiveState, JobResult, Manager, Verb};
use crate::unit::name::Units;

/// Changes without a pause are waited for so many times as long as `watch_delay`, and at least for [`FLOOD`].
const PATIENCE: u32 = 10;
const FLOOD: Duration = Duration::from_secs(5);
/// After so many reloads in a row during which something changed, there is a pause before the next.
const MOST_IN_A_ROW: u32 = 3;
const PAUSE: Duration = Duration::from_secs(30);
/// Between two looks at a job that has not ended.
const GLANCE: Duration = Duration::from_secs(1);

/// The reason why an app is not watched any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// inotify(7) does not work.
    #[error("the files cannot be watched: {0}")]
    Files(#[from] io::Error),
    /// systemd cannot be asked.
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
}

/// Watches until an error.
///
/// # Errors
/// [`Error`]; there is no other end.
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
                "more than {} folders are too many to watch: name the folders of the program in `watch`, list others in `ignore_watch`, or raise `fs.inotify.max_user_watches`",
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
        // A change during the walk leads to one more walk, however many there were.
        changed = tree.wait(Some(Duration::ZERO))?;
        in_a_row = match &changed {
            Some(_) if in_a_row < MOST_IN_A_ROW => in_a_row + 1,
            Some(_) => in_a_row,
            None => 0,
        };
    }
}

/// Waits until nothing has changed for the delay; the last change. Changes without end are not waited for.
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

/// Has systemd reload the app, and waits for the end. A reload that fails is no end of the watch.
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
    let job = manager.queue(Verb::Reload, &cluster)?;
    let result = loop {
        match manager.wait(&job, GLANCE) {
            Err(systemd::Error::TimedOut { .. }) => {}
            result => break result?,
        }
    };
    if !matches!(result, JobResult::Done | JobResult::Skipped) {
        say(&format!(
            "the reload ended as `{result}`; the next change leads to another"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
