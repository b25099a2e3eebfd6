//! The manager of the unit (PID 1, or the user's own), and which sockets it holds.
//!
//! Those sockets came to the program by inheritance and go on when the instance ends; any other socket of the program is
//! none of the drain's business. Root reads the descriptors of the manager itself, whatever an instance says. A user's own
//! manager may have a capability more than its services (`CAP_WAKE_ALARM` since systemd 254), and then the kernel does not
//! let them inspect it: there the worker notes what it was handed, in a folder of that user's, and the drain has no more
//! rights than whoever could write there.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::geteuid;

use super::process::links;
use crate::procfs;
use crate::state::{Entry, Name};

/// Notes the inodes of the sockets that an instance was handed. Only below a user's own manager is the state folder one
/// that the worker can write to; any other manager can be asked.
pub(crate) fn note(state: &Path, instance: u32, inodes: impl Iterator<Item = u64>) {
    if geteuid().is_root() {
        return;
    }
    let inodes = inodes.map(|inode| inode.to_string());
    let text = inodes.collect::<Vec<_>>().join("\n");
    // In a unit of the system the folder is root's.
    let _ = file(state, instance).write(&text);
}

fn file(state: &Path, instance: u32) -> Entry {
    Entry::new(state, Name::Sockets(instance))
}

/// The inodes of the sockets that the manager of this unit holds; more than those of the instance.
///
/// # Errors
/// When it may not be inspected, and nothing was noted.
pub(crate) fn sockets(manager: i32, state: &Path, instance: u32) -> io::Result<HashSet<u64>> {
    // Every manager has a standard input. Listing the descriptors is allowed to more processes than following one.
    if let Err(e) = fs::read_link(format!("/proc/{manager}/fd/0")) {
        return noted(state, instance).map_err(|_| e);
    }
    // The manager outlives the commands of its units, so its number is nobody else's.
    let links = links(Path::new(&format!("/proc/{manager}/fd")))?;
    let inodes = links.iter().filter_map(|(_, link)| procfs::socket(link));
    Ok(inodes.collect())
}

/// The inodes that were noted.
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
