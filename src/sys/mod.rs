//! Every unsafe block and raw system call, each with its SAFETY comment, and nothing else. A function is as
//! small as the call that it wraps, and decides nothing.

pub mod bpf;
pub mod clock;
pub mod connect;
pub mod entry;
pub mod exec;
pub mod filter;
pub mod process;
pub mod ptrace;
mod quit;
pub mod seccomp;
pub mod socket;

pub use quit::{Unbroken, exit_on_sigterm};

/// The result of a system call, or its error.
fn check<N: Default + PartialOrd>(result: N) -> std::io::Result<N> {
    if result < N::default() {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
