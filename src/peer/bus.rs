//! Questions to systemd about properties of a unit, in the few bytes of D-Bus that these take.
//!
//! The commands of a start ask, and a start waits for them. A program such as systemctl(1) takes several times as long to be loaded as
//! systemd to answer, and a library for D-Bus would bring threads into commands that signals end.

mod wire;

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use wire::{Call, Head};

/// The socket on which systemd answers root itself, without a bus.
const PRIVATE: &str = "/run/systemd/private";
/// The bus of the host, for anybody else.
const BUS: &str = "/run/dbus/system_bus_socket";
/// The authentication by the user of this process, which the kernel tells the other side, and what follows from success: see
/// "Authentication Protocol" in the specification of D-Bus. Nothing of it has to wait for an answer.
const GREETING: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
/// The largest number of bytes of one line of the answer to that.
const LONGEST_LINE: usize = 1024;

/// A connection to systemd.
pub(super) struct Bus {
    stream: UnixStream,
    end: Instant,
    serial: u32,
}

impl Bus {
    /// Connects to the system manager; nothing on this connection lasts beyond `end`.
    ///
    /// # Errors
    /// Those of a socket, and `TimedOut`.
    pub(super) fn open(end: Instant) -> io::Result<Self> {
        let private = nix::unistd::geteuid().is_root().then_some(PRIVATE);
        Self::open_at(private.map(Path::new), Path::new(BUS), end)
    }

    /// Connects to the first of the two that systemd answers at. Another root directory may have the bus alone, and a socket may be there
    /// that nobody listens on any more.
    fn open_at(private: Option<&Path>, bus: &Path, end: Instant) -> io::Result<Self> {
        if let Some(Ok(opened)) = private.map(|path| Self::connect(path, end)) {
            return Ok(opened);
        }
        let mut bus = Self::connect(bus, end)?;
        bus.call(&Call::HELLO)?;
        Ok(bus)
    }

    fn connect(path: &Path, end: Instant) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        // Where the other side accepts nothing, this call waits as well.
        setsockopt(&socket, sockopt::SendTimeout, &time_left(end)?)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        let stream = UnixStream::from(socket);
        let mut bus = Self {
            stream,
            end,
            serial: 0,
        };
        bus.send(GREETING)?;
        while !bus.line()?.starts_with(b"OK ") {}
        Ok(bus)
    }

    /// The value of a property of a unit.
    ///
    /// # Errors
    /// Those of a socket, `TimedOut`, and `InvalidData` for what is no answer.
    pub(super) fn property(
        &mut self,
        unit: &str,
        interface: &str,
        name: &str,
    ) -> io::Result<Vec<u8>> {
        let path = wire::path_of(unit);
        self.call(&Call::get(&path, interface, name))
    }

    /// Sends a call; returns the body of the answer.
    fn call(&mut self, call: &Call<'_>) -> io::Result<Vec<u8>> {
        self.serial += 1;
        self.send(&call.bytes(self.serial))?;
        loop {
            let mut start = [0; Head::LENGTH];
            self.receive(&mut start)?;
            let head = Head::read(&start)?;
            let mut fields = vec![0; head.fields];
            self.receive(&mut fields)?;
            let mut body = vec![0; head.body];
            self.receive(&mut body)?;
            // systemd also tells of what happens, unasked.
            if !head.is_answer() || wire::answered(&fields) != Some(self.serial) {
                continue;
            }
            if head.is_error() {
                return Err(io::Error::other("systemd refuses the question"));
            }
            return Ok(body);
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.receive(&mut byte)?;
            line.extend(byte);
            if line.len() > LONGEST_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(line)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let time = time_left(self.end)?;
        setsockopt(&self.stream, sockopt::SendTimeout, &time)?;
        self.stream.write_all(bytes)
    }

    /// Fills the buffer. Each read may last as long as is left, and no byte is waited for after that.
    fn receive(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let time = time_left(self.end)?;
            setsockopt(&self.stream, sockopt::ReceiveTimeout, &time)?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => buffer = buffer.get_mut(read..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// The time until `end`, which must not be 0: that would be no limit.
fn time_left(end: Instant) -> io::Result<TimeVal> {
    let left = end.saturating_duration_since(Instant::now());
    if left < Duration::from_micros(1) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    Ok(TimeVal::new(seconds, left.subsec_micros().into()))
}

/// The text that is the value of a property.
///
/// # Errors
/// `InvalidData` for a value of another type.
pub(super) fn text(value: &[u8]) -> io::Result<String> {
    wire::text(value).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The programs of the commands that are the value of a property such as `ExecStartPost`.
///
/// # Errors
/// `InvalidData` for a value of another type.
pub(super) fn programs(value: &[u8]) -> io::Result<Vec<String>> {
    wire::programs(value).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
