//! Ends the processes that a command has left behind, even in a session or a process group of their own.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use crate::procfs;
use crate::sys::process;

/// The bound on the wait for a process that does not end, such as one of another user.
const LONGEST: Duration = Duration::from_secs(1);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// Makes this process the parent of every descendant whose own parent ends.
///
/// # Errors
/// The errors of prctl(2).
pub(super) fn adopt() -> io::Result<()> {
    process::adopt_orphans()
}

/// Kills the children of this process, and their children, which become this process's own. Only for a process that needs none of them.
pub(super) fn end() {
    let end = Instant::now() + LONGEST;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < end => {
                for child in children() {
                    // The number is that of the child until this process has waited for the child.
                    let _ = kill(child, Signal::SIGKILL);
                }
                thread::sleep(LOOK);
            }
            Ok(WaitStatus::StillAlive) => return,
            // A child has ended, and may have left its own children.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// The children of this process, as far as /proc shows them.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"));
        text.is_ok_and(|text| procfs::parent(&text) == Some(own))
    };
    numbers.filter(is_child).map(Pid::from_raw).collect()
}
