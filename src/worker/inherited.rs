//! Which sockets are systemd's: they came by inheritance, and go on when the instance ends.
//!
//! Root asks the manager itself, whatever an instance says. A user's own manager may have a capability more than its
//! services (`CAP_WAKE_ALARM` since systemd 254), and then it may not be looked into: there the worker notes what it was
//! handed, in a folder of that user's, and the drain has no more rights than whoever could write there.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use nix::sys::stat::fstat;
use nix::unistd::geteuid;

use super::arguments::Run;
use super::sockets::Listener;
use crate::peer::process;
use crate::state::{Entry, Name};

/// Notes the sockets that an instance was handed. Only a user's own manager has a state folder that it could be
/// written to; any other can be asked.
pub(super) fn note(run: &Run, listeners: &[Listener]) {
    if geteuid().is_root() {
        return;
    }
    let inodes = listeners
        .iter()
        .filter_map(|l| fstat(l.fd).ok())
        .map(|s| s.st_ino.to_string());
    let text = inodes.collect::<Vec<_>>().join("\n");
    // In a unit of the system the folder is root's.
    let _ = file(&run.state, run.instance).write(&text);
}

fn file(state: &Path, instance: u32) -> Entry {
    Entry::new(state, Name::Sockets(instance))
}

/// The inodes of the sockets that the manager of this unit holds; more than those of the instance.
///
/// # Errors
/// When it may not be looked into, and nothing was noted.
pub(crate) fn sockets(manager: i32, state: &Path, instance: u32) -> io::Result<HashSet<u64>> {
    // Its standard input, which every manager has.
    if let Err(e) = fs::read_link(format!("/proc/{manager}/fd/0")) {
        return noted(state, instance).map_err(|_| e);
    }
    process::inodes(manager)
}

/// Those that were noted.
///
/// # Errors
/// When nothing was.
pub(crate) fn noted(state: &Path, instance: u32) -> io::Result<HashSet<u64>> {
    let text = file(state, instance).read()?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("web");
        assert!(noted(&state, 3).is_err());
        let text = "17\n4026531840\nnonsense\n";
        file(&state, 3).write(text).unwrap();
        let noted = noted(&state, 3);
        assert_eq!(noted.unwrap(), HashSet::from([17, 4_026_531_840]));
    }
}
