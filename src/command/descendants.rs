//! The processes that a program has left behind which this process has started.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill as send};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};

use crate::procfs;

/// The time in which they have to end. A process that waits in the kernel may take longer.
const LONGEST: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(2);

/// Kills all children of this process, and theirs as these become its own: it has to be their subreaper, see
/// `PR_SET_CHILD_SUBREAPER`. No child that ends meanwhile may be waited for elsewhere.
pub(super) fn kill() {
    let until = Instant::now() + LONGEST;
    loop {
        let children = children();
        if children.is_empty() || Instant::now() >= until {
            return;
        }
        for child in children {
            // The number of a child is its own until it is waited for.
            let _ = send(child, Signal::SIGKILL);
            let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
        }
        thread::sleep(TICK);
    }
}

fn children() -> Vec<Pid> {
    let own = getpid().as_raw();
    let entries = Path::new("/proc")
        .read_dir()
        .into_iter()
        .flatten()
        .flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_own = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| procfs::parent(&stat) == Some(own))
    };
    numbers.filter(is_own).map(Pid::from_raw).collect()
}
