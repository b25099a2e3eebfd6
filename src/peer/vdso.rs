//! Finds an instruction in the memory of a process by which it can make system calls: one of the vDSO, see vdso(7).
//!
//! The kernel maps the vDSO into every process, so nothing has to be written into the program's memory.

use std::io;
use std::os::unix::fs::FileExt;

use super::process::Process;
use super::registers::SYSCALL;
use crate::procfs;

/// The address of an instruction that makes system calls. The program can overwrite the vDSO at any time, even while one of
/// its threads is stopped, so each call is checked, see [`super::tracee::Tracee::call`].
///
/// # Errors
/// When the process has no vDSO, or its memory may not be read.
pub(crate) fn call_site(process: &Process) -> io::Result<u64> {
    /// The largest number of bytes that are read. The vDSO of the kernel has two pages, but a program can map a larger one.
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
    // On aarch64 every instruction has four bytes; on x86-64 an instruction may begin at any byte.
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
