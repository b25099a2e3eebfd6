//! Checks whether an instance serves before it gets connections. A check needs a listener for each instance, see docs/health.md.
//!
//! `rsgen-worker health …` are commands of the instance's unit, after READY. Those that make a connection run as root
//! outside the app's sandbox, which may forbid connections. First they give up every capability but the one for ports below
//! 1024: from such a port they reach an instance that is off. The `health_command` of an app runs like the app's program.

mod command;
pub mod http;
mod orphans;
mod stop;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sd_notify::NotifyState;

use crate::balance::queue::{self, Spot};
use crate::begin;
use crate::contract::{Ask, Health, UNHEALTHY, steer, time};
use crate::log::say;
use crate::state::{Entry, Name};
use crate::sys::{connect, entry, process};
use crate::visible::{Visible, cut};

/// The exit status for a command line that no unit has.
const USAGE: u8 = 2;
/// The pause between two looks at a connection.
const LOOK: Duration = Duration::from_millis(10);
/// The time limit for a connection. `IPAddressDeny=` drops packets without an error; nothing else delays a connection within a
/// host.
const CONNECT: Duration = Duration::from_secs(1);
/// The number of successive looks at which a connection has to be in no queue: at a single look it may not have arrived yet.
const LOOKS: u32 = 3;
/// Margin added to the time requested from systemd, so that the time limit of the command expires first.
const MARGIN: Duration = Duration::from_secs(5);
/// The largest number of bytes of a bad answer that are read.
const MOST: usize = 2048;
/// The largest number of characters of an answer in a message.
const TOLD: usize = 300;
/// The largest number of lines of an answer in a message.
const LINES: usize = 3;

/// The reason if the program has ended.
const ENDED: &str = "the program ended before it was checked";

/// Carries out one command; returns the exit status. Any other than 0 fails the start of the instance.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    let health = match Health::parse(arguments) {
        Ok(health) => health,
        Err(error) => {
            say(3, &error.to_string());
            return USAGE;
        }
    };
    let file = Entry::new(&health.state, Name::Unhealthy(health.instance));
    let begun = match health.ask {
        Ask::Accepts | Ask::Path => {
            begin::as_root();
            process::keep_ports()
        }
        Ask::Command => {
            begin::as_worker();
            process::drop_ambient_ptrace();
            Ok(())
        }
    };
    // Before there is another thread, which would be ended by a signal.
    let signals = stop::hold_signals();
    // The stop signal reaches the first command of a start; those after it have to detect the stop themselves, before they request time
    // from systemd.
    if health.ask != Ask::Accepts
        && let Some(status) = stop::status(&health)
    {
        return status;
    }
    stop::end_with(signals, &health);
    if has_ended_or_ends_this(&health) {
        return gone(&health);
    }
    let asked = begun.map_err(|e| format!("it cannot be checked: {e}"));
    let asked = asked.and_then(|()| {
        extend(health.timeout);
        match health.ask {
            Ask::Accepts => {
                // Usually there is no such file.
                let _ = file.remove();
                accepts(&health)
            }
            Ask::Path => by_turns(&health, |left| path(&health, left)),
            Ask::Command => by_turns(&health, |left| command::run_alone(&health, left)),
        }
    });
    let Err(why) = asked else {
        return 0;
    };
    stop::status(&health).unwrap_or_else(|| {
        fail(&health, &file, &why);
        1
    })
}

/// Returns the exit status for a program that has ended.
fn gone(health: &Health) -> u8 {
    stop::status(health).unwrap_or_else(|| {
        say(4, ENDED);
        1
    })
}

/// Reports the reason in the journal, in the status of the unit and, because the drain may replace that
/// status, in a file owned by root.
fn fail(health: &Health, file: &Entry, why: &str) {
    let Health { app, instance, .. } = health;
    say(3, &format!("{app}@{instance} is unhealthy: {why}"));
    let text = Visible::line(&format!("{UNHEALTHY}{why}")).to_string();
    let _ = sd_notify::notify(&[NotifyState::Status(&text)]);
    if health.ask != Ask::Command {
        // Without the file, the reason is in the status until the drain replaces it.
        let _ = file.write(&text);
    }
}

/// Requests from systemd the time that the check may take.
fn extend(time: Duration) {
    let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(extension(time))]);
}

/// The time to request from systemd, in microseconds.
fn extension(time: Duration) -> u32 {
    u32::try_from((time + MARGIN).as_micros()).unwrap_or(u32::MAX)
}

/// Whether the program has ended. If not, this process ends when the program does, because systemd waits for this
/// command before it handles that end. If the app's variables hide the program's PID, the time-out ends the wait.
fn has_ended_or_ends_this(health: &Health) -> bool {
    let program = match program(health.ask, entry::value("MAINPID")) {
        Program::Ended => return true,
        Program::Unknown => return false,
        Program::Runs(program) => program,
    };
    let health = health.clone();
    thread::spawn(move || {
        let mut watched = [PollFd::new(program.as_fd(), PollFlags::POLLIN)];
        while poll(&mut watched, PollTimeout::NONE).is_err() {}
        process::end(gone(&health).into());
    });
    false
}

/// The instance's program, as far as this command can identify it.
#[derive(Debug)]
enum Program {
    Ended,
    Unknown,
    Runs(OwnedFd),
}

/// Looks the program up by the variable `MAINPID`.
fn program(ask: Ask, number: Option<OsString>) -> Program {
    // systemd does not name a program after it has seen its end.
    let Some(number) = number else {
        return Program::Ended;
    };
    let number = number.to_str().and_then(|number| number.parse().ok());
    match number.map(process::pidfd) {
        Some(Ok(program)) => Program::Runs(program),
        // Within the app's sandbox, the number may belong to another namespace, see `PrivatePIDs=` in systemd.exec(5).
        Some(Err(e)) if is_no_process(&e) && ask != Ask::Command => Program::Ended,
        Some(Err(_)) | None => Program::Unknown,
    }
}

/// Whether there is no process with a number: systemd has already reaped one that ended as soon as it listened.
fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// Makes a connection to each address and waits until the program accepts it.
fn accepts(health: &Health) -> Result<(), String> {
    let from = steer::source(health.instance);
    let end = Instant::now() + health.timeout;
    for to in &health.addresses {
        match is_accepted(from, *to, end) {
            Ok(true) => {}
            Ok(false) => {
                let time = time::show(health.timeout);
                return Err(format!(
                    "not accepting: a connection to {to} waited for {time}"
                ));
            }
            Err(e) => {
                let Health { app, instance, .. } = health;
                let text = format!(
                    "{app}@{instance} cannot be asked at {to}: {e}; it counts as accepting"
                );
                say(4, &text);
            }
        }
    }
    Ok(())
}

fn is_accepted(from: Ipv4Addr, to: SocketAddrV4, end: Instant) -> io::Result<bool> {
    let stream = connect::open(from, to, end.min(Instant::now() + CONNECT))?;
    let from = SocketAddrV4::new(from, stream.local_addr()?.port());
    let mut gone = 0;
    loop {
        match queue::spot(from, to.port())? {
            Spot::Accepted => return Ok(true),
            Spot::Waiting => gone = 0,
            // Accepted and closed, or kept by the kernel until there is data, see `TCP_DEFER_ACCEPT` in tcp(7).
            Spot::Gone => gone += 1,
        }
        if gone == LOOKS {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(LOOK);
    }
}

/// Repeats the check until there were enough good answers in a row, or the time is over.
fn by_turns(health: &Health, ask: impl Fn(Duration) -> Result<(), String>) -> Result<(), String> {
    let end = Instant::now() + health.timeout;
    let interval = health.interval.unwrap_or_default();
    let wanted = health.after.unwrap_or(1);
    let (mut good, mut bad) = (0, 0);
    let mut last = None;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match ask(left.max(LOOK)) {
            Ok(()) => good += 1,
            // The end of the time has cut this answer short, so the previous one says more.
            Err(_) if last.is_some() && left < health.timeout / 2 && Instant::now() >= end => {
                good = 0;
            }
            Err(why) => {
                (good, bad) = (0, bad + 1);
                last = Some(why);
            }
        }
        if good >= wanted {
            return Ok(());
        }
        if Instant::now() + interval >= end {
            let time = time::show(health.timeout);
            return Err(match last {
                Some(why) if bad == 1 => why,
                Some(why) => format!("{why}, the last of {bad} within {time}"),
                None => format!("{good} of {wanted} good answers within {time}"),
            });
        }
        thread::sleep(interval.max(LOOK));
    }
}

fn path(health: &Health, left: Duration) -> Result<(), String> {
    let path = health.path.as_deref().unwrap_or("/");
    let Some(to) = health.addresses.first() else {
        return Err("it has no address of IPv4".to_owned());
    };
    let question = http::Question {
        to: *to,
        from: steer::source(health.instance),
        path,
        headers: &[],
        timeout: left,
    };
    let answer = question
        .ask()
        .map_err(|fault| format!("GET {path}: {fault}"))?;
    if answer.head.is_good() {
        return Ok(());
    }
    let line = plain(&cut(&answer.head.line, 80));
    let (body, _) = answer.body(MOST);
    Err(format!("GET {path} answered {line}{}", first_lines(&body)))
}

/// A foreign text without characters that control a terminal. They are replaced, not escaped, because the
/// text is shown in several places, and each would escape the previous escapes again.
fn plain(text: &str) -> String {
    let is_plain = |c: char| {
        Visible::line(c.encode_utf8(&mut [0; 4]))
            .as_str()
            .chars()
            .eq([c])
    };
    let chars = text.chars();
    chars
        .map(|c| if is_plain(c) { c } else { '\u{fffd}' })
        .collect()
}

/// The beginning of a foreign text, to be appended to a message.
fn first_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.take(LINES).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(": `{}`", plain(&cut(&lines.join(" | "), TOLD)))
}

#[cfg(test)]
mod tests;
