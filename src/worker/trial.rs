//! Tries the handover on the worker before the worker becomes the program, so that anything that the unit or
//! the kernel forbids is found here, with a reason, and not in the middle of the program's bind(2).
//!
//! The two sides communicate through a pair of sockets. The worker permits the helper to trace it and writes a byte;
//! the helper inspects the worker and writes an errno; the worker continues or ends. A filter of the unit may kill the
//! helper half-way: then the socket is closed, and the worker reports that.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::sys::socket::{MsgFlags, recv, send};

use super::Error;
use crate::peer::process::Process;
use crate::peer::yama;
use crate::sys::{process, seccomp};

/// The bytes that the helper reads from the worker's memory. The helper is a copy of the worker, so the
/// address is the same in both.
static SAMPLE: [u8; 8] = *b"handover";

/// The system calls that a filter of the unit has to allow.
pub(super) const CALLS: &str = "seccomp pidfd_open pidfd_getfd process_vm_readv";

/// Plays the helper's part: does to the worker what it will do to the program. Returns whether all of it worked; if
/// not, the worker reports the reason.
pub(super) fn play(worker: &OwnedFd, main: u32, known: RawFd) -> io::Result<bool> {
    // Only after this has the worker named the helper with `PR_SET_PTRACER`, see [`watch`].
    receive(worker)?;
    let result = try_all(main, known);
    let errno = result
        .as_ref()
        .map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
    send(worker.as_raw_fd(), &errno.to_ne_bytes(), MsgFlags::empty())?;
    Ok(result.is_ok())
}

fn try_all(main: u32, known: RawFd) -> io::Result<()> {
    seccomp::probe()?;
    let program = Process::of_thread(main)?;
    program.descriptor(known)?;
    let address = u64::try_from(std::ptr::from_ref(&SAMPLE).addr()).unwrap_or(0);
    let mut read = [0; SAMPLE.len()];
    program.read_memory(address, &mut read)?;
    if read == SAMPLE {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Plays the worker's part: lets the helper begin, and waits for the result.
pub(super) fn watch(helper: &OwnedFd, pid: i32) -> Result<(), Error> {
    process::allow_tracer(pid);
    let kernel = |step| {
        move |e: nix::Error| Error::Kernel {
            step,
            source: e.into(),
        }
    };
    send(helper.as_raw_fd(), b"b", MsgFlags::empty()).map_err(kernel("the helper is gone"))?;
    let mut answer = [0; 4];
    let length = recv(helper.as_raw_fd(), &mut answer, MsgFlags::empty())
        .map_err(kernel("the helper does not answer"))?;
    match i32::from_ne_bytes(answer) {
        _ if length == 0 => Err(Error::Forbidden(format!(
            "the unit's SystemCallFilter= kills the helper; allow `{CALLS}` too, or write `handover = \"fds\"`"
        ))),
        0 => Ok(()),
        errno => Err(Error::Forbidden(reason(&io::Error::from_raw_os_error(
            errno,
        )))),
    }
}

/// Returns the kernel's error and the most likely remedy.
fn reason(error: &io::Error) -> String {
    let yama = yama::scope();
    // A user's manager has no capability to give, and with scope 3 no capability helps.
    let has_cure = (1..=2).contains(&yama) && nix::unistd::getppid().as_raw() == 1;
    let cure = if !std::path::Path::new("/proc/self/status").exists() {
        "the unit hides /proc".to_owned()
    } else if has_cure {
        format!(
            "`kernel.yama.ptrace_scope` is {yama}: write `service.AmbientCapabilities = \"CAP_SYS_PTRACE\"`"
        )
    } else if yama > 0 {
        format!("`kernel.yama.ptrace_scope` is {yama}: lower it")
    } else {
        format!("allow `{CALLS}` in `SystemCallFilter=`")
    };
    format!("cannot inspect the program ({error}): {cure}, or write `handover = \"fds\"`")
}

/// Waits until the helper has what it needs and closes its end.
pub(super) fn wait(helper: &OwnedFd) -> Result<(), Error> {
    let mut nothing = [0; 1];
    let ended = recv(helper.as_raw_fd(), &mut nothing, MsgFlags::empty());
    ended.map(drop).map_err(|e| Error::Kernel {
        step: "the helper does not answer",
        source: e.into(),
    })
}

fn receive(from: &OwnedFd) -> io::Result<()> {
    let mut byte = [0; 1];
    match recv(from.as_raw_fd(), &mut byte, MsgFlags::empty())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
