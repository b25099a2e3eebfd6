//! Where in its memory a process can make system calls: at an instruction in the vDSO, see vdso(7).
//!
//! The kernel maps the vDSO into every process, so nothing has to be written into the program's memory.

use std::io;
use std::os::unix::fs::FileExt;

use super::process::Process;
use super::registers::SYSCALL;
use crate::procfs;

/// The address of an instruction that makes system calls. The address holds while a thread of the process is stopped; the
/// memory is the program's, who may have written there: see [`super::tracee::Tracee::call`].
///
/// # Errors
/// Where the process has no vDSO, or its memory may not be read.
pub(crate) fn call_site(process: &Process) -> io::Result<u64> {
    /// More than the two pages that any kernel maps, and less than a program could make us read.
    const LARGEST: u64 = 1 << 16;
    let maps = process.text("maps");
    let (start, end) = procfs::vdso(&maps).ok_or_else(|| io::Error::other("it has no vDSO"))?;
    let length = usize::try_from(end.saturating_sub(start).min(LARGEST)).unwrap_or(0);
    let mut code = vec![0; length];
    process.memory()?.read_exact_at(&mut code, start)?;
    let at = find(&code).ok_or_else(|| io::Error::other("its vDSO makes no system calls"))?;
    Ok(start + at)
}

fn find(code: &[u8]) -> Option<u64> {
    // Where instructions have one size, only their beginnings count; else any byte may begin one.
    let step = if cfg!(target_arch = "aarch64") { 4 } else { 1 };
    let at = code
        .windows(SYSCALL.len())
        .step_by(step)
        .position(|w| w == SYSCALL)?;
    u64::try_from(at * step).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_is_found_in_the_vdso() {
        let mut code = vec![0; 8];
        code.extend(SYSCALL);
        assert_eq!(find(&code), Some(8));
        assert_eq!(find(&[0; 16]), None);
    }
}
