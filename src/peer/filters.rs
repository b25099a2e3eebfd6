//! Counts the seccomp filters that apply to a process, which shows whether it has installed any besides those of its unit.

use std::fs;
use std::path::Path;

use crate::procfs;
use crate::sys::process;

/// A file that exists in every container, see "The Container Interface" of systemd.
const CONTAINER: &str = "/run/systemd/container";

/// The number of seccomp filters that apply to this process; `None` before Linux 5.9, which does not report it.
pub(crate) fn own() -> Option<u32> {
    of("self")
}

fn of(process: &str) -> Option<u32> {
    count(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// The number of seccomp filters that a `/proc/PID/status` reports.
pub(super) fn count(status: &str) -> Option<u32> {
    procfs::field(status, "Seccomp_filters:")?.parse().ok()
}

/// Whether the drain needs the helper to distinguish the filters of the unit, which allow the drain's calls,
/// from filters of the program, which may not: only the filters of the unit apply to the helper.
///
/// Outside a container the drain suspends the filters of a thread (`PTRACE_O_SUSPEND_SECCOMP`), so their number does not
/// matter. In a container that is forbidden. The filters of the container itself apply to PID 1 as well, so a comparison is
/// needed only if more filters apply to the unit.
pub(crate) fn need_a_comparison() -> bool {
    let (own, first) = (own(), of("1"));
    // With `PrivatePIDs=`, this process may itself be PID 1 of its PID namespace and cannot see that of the container.
    let is_more = |own| own > 0 && (process::is_init() || Some(own) != first);
    Path::new(CONTAINER).exists() && own.is_some_and(is_more)
}
