//! The Yama module, which restricts ptrace(2), see Documentation/admin-guide/LSM/Yama.rst of the kernel.

use std::fs;

use crate::procfs;

/// How much ptrace(2) is restricted: 0, not at all, or without Yama; 1, to descendants and to whom `PR_SET_PTRACER` of
/// prctl(2) names; 2, to who has `CAP_SYS_PTRACE`; 3, entirely.
pub(crate) fn scope() -> u32 {
    procfs::yama_scope(&fs::read_to_string(procfs::YAMA_SCOPE).unwrap_or_default())
}
