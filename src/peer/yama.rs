//! The Yama security module, which restricts ptrace(2), see Documentation/admin-guide/LSM/Yama.rst of the kernel.

use std::fs;

use crate::procfs;

/// `kernel.yama.ptrace_scope`. 0: not restricted, as without Yama. 1: only ancestors of a process, and the process that it has
/// named with `PR_SET_PTRACER` of prctl(2), may trace it. 2: only with `CAP_SYS_PTRACE`. 3: not at all.
pub(crate) fn scope() -> u32 {
    procfs::yama_scope(&fs::read_to_string(procfs::YAMA_SCOPE).unwrap_or_default())
}
