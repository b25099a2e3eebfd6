//! Node's IPC channel: one JSON value on each line, see `subprocess.send()` in Node's documentation.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::sys::exec;

/// The length in bytes from which a line cannot be one of PM2's messages.
const LONGEST: usize = 4096;

/// Makes the channel. The program's end stays open, and the program's environment gets its number.
pub(super) fn open(environment: &mut Vec<(OsString, OsString)>) -> std::io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    exec::set_close_on_exec(theirs.as_fd(), false)?;
    // A variable of that name in an environment file of the app would take precedence.
    environment
        .retain(|(key, _)| key != "NODE_CHANNEL_FD" && key != "NODE_CHANNEL_SERIALIZATION_MODE");
    environment.push((
        "NODE_CHANNEL_FD".into(),
        theirs.as_raw_fd().to_string().into(),
    ));
    environment.push(("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into()));
    // The descriptor belongs to the program from here on.
    let _ = theirs.into_raw_fd();
    Ok(ours)
}

/// Our end of the channel.
pub(super) struct Messages {
    fd: OwnedFd,
    lines: Lines,
}

impl Messages {
    pub(super) fn of(fd: OwnedFd) -> Self {
        let lines = Lines::default();
        Self { fd, lines }
    }

    /// Reads what the program has written. Returns whether `"ready"` was among it; `None` once the program has closed its
    /// end.
    pub(super) fn read(&mut self) -> Option<bool> {
        let mut buffer = [0; 1024];
        match nix::unistd::read(&self.fd, &mut buffer) {
            Ok(n) if n > 0 => Some(self.lines.push(buffer.get(..n).unwrap_or_default())),
            _ => None,
        }
    }
}

impl AsFd for Messages {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Finds `"ready"` among the lines that a program sends; everything else is accepted and ignored.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    skipping: bool,
}

impl Lines {
    /// Takes bytes. Returns whether a line that they complete was `"ready"`.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let mut ready = false;
        for byte in bytes {
            match byte {
                b'\n' => {
                    ready |= !self.skipping && self.line == b"\"ready\"";
                    self.line.clear();
                    self.skipping = false;
                }
                _ if self.line.len() >= LONGEST => self.skipping = true,
                byte => self.line.push(*byte),
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::{LONGEST, Lines, Messages};

    #[test]
    fn a_program_that_closes_its_end_sends_no_more() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut messages = Messages::of(ours.into());
        theirs.write_all(b"\"other\"\n").unwrap();
        assert_eq!(messages.read(), Some(false));
        theirs.write_all(b"\"ready\"\n").unwrap();
        assert_eq!(messages.read(), Some(true));
        drop(theirs);
        assert_eq!(messages.read(), None);
    }

    #[test]
    fn only_the_word_ready_alone_is_ready() {
        let mut lines = Lines::default();
        assert!(!lines.push(b"{\"type\":\"ready\"}\n\"rea"));
        assert!(lines.push(b"dy\"\n"));
        assert!(!lines.push(&[b'x'; 10_000]));
        assert_eq!(lines.line.len(), LONGEST);
        assert!(!lines.push(b"\n\"other\"\n"));
        assert!(lines.push(b"\"ready\"\n"));
    }
}
