//! How many seccomp filters apply to a process, which tells the filters of its unit from filters of its own.

use std::fs;
use std::path::Path;

use crate::procfs;
use crate::sys::process;

/// There in every container, see the Container Interface of systemd.
const CONTAINER: &str = "/run/systemd/container";

/// How many seccomp filters apply to this process; `None` before Linux 5.9, which does not say.
pub(crate) fn own() -> Option<u32> {
    of("self")
}

fn of(process: &str) -> Option<u32> {
    count(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// How many a `/proc/PID/status` names.
pub(super) fn count(status: &str) -> Option<u32> {
    procfs::field(status, "Seccomp_filters:")?.parse().ok()
}

/// Whether the drain can tell the filters of the unit, which allow its calls, from those that the program installs
/// itself only by comparing with a process that has no others.
///
/// Outside a container the drain suspends the filters of a thread (`PTRACE_O_SUSPEND_SECCOMP`), and their number does not
/// matter. In a container nobody may do that. Filters of the container apply to PID 1 as well, so only a unit that adds
/// some makes a difference.
pub(crate) fn need_a_comparison() -> bool {
    let (own, first) = (own(), of("1"));
    // The init of a PID namespace, see `PrivatePIDs=`, does not see whether those above it are under as many.
    let is_more = |own| own > 0 && (process::is_init() || Some(own) != first);
    Path::new(CONTAINER).exists() && own.is_some_and(is_more)
}
