//! The manager of the unit (PID 1, or the user's own), and the sockets that it holds.
//!
//! The program has inherited these sockets, and they stay open when the instance ends. The drain may not change any
//! other socket of the program. A drain that runs as root reads the descriptors of the manager itself, so that nothing
//! depends on what an instance says. A user's manager may have one capability more than its services (`CAP_WAKE_ALARM`
//! since systemd 254), and then the kernel does not let them inspect the manager. There the worker notes the sockets
//! that it was passed in a folder of that user; anybody who can write there has the same rights as the drain.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::geteuid;

use super::process::links;
use crate::procfs;
use crate::state::{Entry, Name};

/// Notes the inodes of the sockets that an instance was passed. This works only below a user's manager, where the worker can
/// write to the state folder; the descriptors of PID 1 can be read instead.
pub(crate) fn note(state: &Path, instance: u32, inodes: impl Iterator<Item = u64>) {
    if geteuid().is_root() {
        return;
    }
    let inodes = inodes.map(|inode| inode.to_string());
    let text = inodes.collect::<Vec<_>>().join("\n");
    // This fails in a unit of the system manager, whose state folder belongs to root.
    let _ = file(state, instance).write(&text);
}

fn file(state: &Path, instance: u32) -> Entry {
    Entry::new(state, Name::Sockets(instance))
}

/// The inodes of all sockets that the manager of this unit holds, those of other units included.
///
/// # Errors
/// When the manager may not be inspected and nothing was noted.
pub(crate) fn sockets(manager: i32, state: &Path, instance: u32) -> io::Result<HashSet<u64>> {
    // More processes may list the descriptors of the manager than may follow a link to one. Descriptor 0 always exists.
    if let Err(e) = fs::read_link(format!("/proc/{manager}/fd/0")) {
        return noted(state, instance).map_err(|_| e);
    }
    // The manager outlives the commands of its units, so its PID cannot be that of another process.
    let links = links(Path::new(&format!("/proc/{manager}/fd")))?;
    let inodes = links.iter().filter_map(|(_, link)| procfs::socket(link));
    Ok(inodes.collect())
}

/// The inodes that the worker has noted.
///
/// # Errors
/// When the worker has noted nothing.
pub(crate) fn noted(state: &Path, instance: u32) -> io::Result<HashSet<u64>> {
    let text = file(state, instance).read()?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_was_noted_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("web");
        assert!(noted(&state, 3).is_err());
        let text = "17\n4026531840\nnonsense\n";
        file(&state, 3).write(text).unwrap();
        let noted = noted(&state, 3);
        assert_eq!(noted.unwrap(), HashSet::from([17, 4_026_531_840]));
    }
}
