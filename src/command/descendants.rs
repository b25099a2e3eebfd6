//! The processes that a program leaves behind which this process has started.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill as send};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};

use crate::procfs;

/// The time in which they have to end. A process that waits in the kernel may take longer.
const LONGEST: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(2);

/// What is started from now on, by this process or by what it starts.
pub(super) struct Descendants {
    /// The earlier children: the program that became this one by an exec may have had some.
    others: Vec<Pid>,
}

impl Descendants {
    /// From now on the children of children become this process's own as their parents end, see `PR_SET_CHILD_SUBREAPER`.
    pub(super) fn adopt() -> Self {
        let _ = prctl::set_child_subreaper(true);
        Self { others: children() }
    }

    /// Kills all of them. No child that ends meanwhile may be waited for elsewhere.
    pub(super) fn kill(self) {
        let until = Instant::now() + LONGEST;
        loop {
            let mut children = children();
            children.retain(|child| !self.others.contains(child));
            if children.is_empty() || Instant::now() >= until {
                break;
            }
            for child in children {
                // The number of a child is its own until it is waited for.
                let _ = send(child, Signal::SIGKILL);
                let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
            }
            thread::sleep(TICK);
        }
        let _ = prctl::set_child_subreaper(false);
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
