//! The systemd of another host, through a program that carries the bus over its standard input and output, as ssh(1) with
//! systemd-stdio-bridge(1) does. And what can be learned of that host's units only over the bus.
//!
//! The carrier's standard error is text of the other host, too: it is collected, and only the sink shows it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::link::{Link, Question};
use super::properties::{Properties, number};
use super::several::paths;
use super::{
    Bus, Error, MANAGER, OwnedObjectPath, PATH, PROPERTIES, SERVICE_UNIT, SOCKET_UNIT, Unit,
};

/// How long the carrier may take, which includes a person who types a password: sshd(8) waits as long, see `LoginGraceTime`.
const LOGIN: Duration = Duration::from_mins(2);
/// How long a carrier may take to end.
const END: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(10);
/// How much output of the carrier is kept, and how many lines of it are shown.
const KEPT: usize = 16 * 1024;
const LINES: usize = 5;

/// A row of `ListUnitFilesByPatterns`: the path of the file, and its state.
type File = (String, String);

/// A row of the property `ExecStart`: the path of the program, its words, whether its failure counts, four times, a process, and how it
/// ended.
type Execution = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

/// The program that carries a connection. It is ended with this value.
pub(super) struct Carrier {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Carrier {
    /// Starts the program; the other end of its input and output is returned with it.
    fn start(program: &mut Command) -> std::io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let input = OwnedFd::from(theirs.try_clone()?);
        let child = program
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn();
        // The command still holds the ends of the program, so its end would not be noticed.
        program.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = child?;
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let reader = child.stderr.take().map(|mut stderr| {
            let said = Arc::clone(&said);
            thread::spawn(move || keep(&mut stderr, &said))
        });
        let carrier = Self {
            child,
            said,
            reader,
        };
        Ok((carrier, ours))
    }

    /// The last lines that the program has said.
    fn said(&self) -> Vec<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.split_off(lines.len().saturating_sub(LINES))
    }

    /// How the program ended, if it does so soon.
    fn end(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + END;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => thread::sleep(TICK),
                _ => return None,
            }
        }
    }

    /// Why there is no connection through this program.
    fn fault(mut self, error: Error) -> Error {
        let Some(status) = self.end() else {
            return error;
        };
        // All that it has said is in the pipe, unless something that it has started holds the other end.
        if let Some(reader) = self.reader.take() {
            let until = Instant::now() + END;
            while !reader.is_finished() && Instant::now() < until {
                thread::sleep(TICK);
            }
        }
        let mut reason = self.said().join("; ");
        if reason.is_empty() {
            reason = format!("the connection ended ({status})");
        }
        Error::NoBus { reason }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It is a child that has not been waited for, so the number is its own.
            if let Ok(pid) = i32::try_from(self.child.id()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            if self.end().is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

/// Reads to the end, so that the program never waits for a reader, and keeps the beginning.
fn keep(from: &mut impl Read, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(said.len()).min(count);
        let _ = said.write_all(buffer.get(..room).unwrap_or_default());
    }
}

/// See [`super::super::connect_through`].
pub(super) fn connect(program: &mut Command) -> Result<(Bus, Vec<String>), Error> {
    let (carrier, stream) = Carrier::start(program).map_err(|e| {
        let name = program.get_program().to_string_lossy();
        let reason = match e.kind() {
            std::io::ErrorKind::NotFound => format!("there is no program `{name}`"),
            _ => format!("{name}: {e}"),
        };
        Error::NoBus { reason }
    })?;
    match Link::once(zbus::connection::Builder::unix_stream(stream), LOGIN) {
        Ok(link) => {
            let said = carrier.said();
            Ok((Bus::over(link, Some(carrier)), said))
        }
        Err(error) => Err(carrier.fault(error)),
    }
}

/// A unit of another host with the times of its monotonic clock as this host's would have been, by what the clocks of both hosts say.
pub(super) fn by_this_clock(read: Unit, unit: &Properties, own: &Properties) -> Unit {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let here = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .unwrap_or_default();
    let at = |properties, key| match number(properties, key) {
        None | Some(0) => Duration::ZERO,
        Some(micros) => here.saturating_sub(now.saturating_sub(Duration::from_micros(micros))),
    };
    Unit {
        active_enter: at(unit, "ActiveEnterTimestamp"),
        inactive_exit: at(unit, "InactiveExitTimestamp"),
        main_exit: at(own, "ExecMainExitTimestamp"),
        ..read
    }
}

/// See [`super::Manager::unit_files`].
pub(super) fn unit_files(bus: &mut Bus, pattern: &str) -> Result<Vec<String>, Error> {
    let none: [&str; 0] = [];
    let arguments = (&none[..], &[pattern][..]);
    let files: Vec<File> = bus.call(PATH, MANAGER, "ListUnitFilesByPatterns", &arguments)?;
    let name = |(path, _): File| path.rsplit('/').next().map(str::to_owned);
    Ok(files.into_iter().filter_map(name).collect())
}

/// The values of one property of several units.
fn values<T>(
    bus: &mut Bus,
    units: &[String],
    (interface, key): (&'static str, &'static str),
) -> Result<Vec<T>, Error>
where
    T: TryFrom<zbus::OwnedVariant> + Default,
{
    let paths: Vec<OwnedObjectPath> = paths(bus, units)?;
    let gets = paths.iter().map(|path| Question {
        path: path.to_string(),
        interface: PROPERTIES,
        method: "Get",
        argument: (interface, key),
    });
    let values: Vec<zbus::OwnedVariant> = bus.ask(&gets.collect::<Vec<_>>())?;
    let read = |value| T::try_from(value).unwrap_or_default();
    Ok(values.into_iter().map(read).collect())
}

/// See [`super::Manager::commands`].
pub(super) fn commands(bus: &mut Bus, services: &[String]) -> Result<Vec<Vec<Vec<String>>>, Error> {
    let all: Vec<Vec<Execution>> = values(bus, services, (SERVICE_UNIT, "ExecStart"))?;
    let words = |all: Vec<Execution>| all.into_iter().map(|one| one.1).collect();
    Ok(all.into_iter().map(words).collect())
}

/// See [`super::Manager::addresses`].
pub(super) fn addresses(bus: &mut Bus, sockets: &[String]) -> Result<Vec<Vec<String>>, Error> {
    let all: Vec<Vec<(String, String)>> = values(bus, sockets, (SOCKET_UNIT, "Listen"))?;
    let addresses = |all: Vec<(String, String)>| all.into_iter().map(|one| one.1).collect();
    Ok(all.into_iter().map(addresses).collect())
}
