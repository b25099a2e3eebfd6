//! The worker's story: brake, sockets, handover, exec.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sd_notify::NotifyState;

use super::arguments::{Handover, Ready, Run};
use super::helper::{self, Duty};
use super::sockets::{self, Listener};
use super::{Error, channel, inherited, preload, rehearsal};
use crate::brake::{Deaths, Verdict};
use crate::drain::deputy;
use crate::peer::process::is_witness_needed;
use crate::state::{Entry, Name};
use crate::sys::process::{self, Side};
use crate::sys::{entry, exec, seccomp};
use crate::visible::Visible;

/// A `sockaddr_in` has 16 bytes; only unix addresses are shorter.
const INET_ADDRESS: u32 = 16;
/// systemd is asked for this much more time than a pause needs.
const MARGIN: Duration = Duration::from_secs(30);

type Environment = Vec<(OsString, OsString)>;

/// Starts the program; returns only when that failed.
pub(super) fn start(run: &Run) -> Error {
    match prepare(run) {
        Ok(environment) => {
            let source = exec::exec(&run.program, &environment);
            let program = run
                .program
                .first()
                .map(|p| p.to_string_lossy().into_owned())
                .unwrap_or_default();
            Error::Exec { program, source }
        }
        Err(error) => error,
    }
}

fn prepare(run: &Run) -> Result<Environment, Error> {
    look_for_manager()?;
    hold(run)?;
    let names = std::env::var_os("LISTEN_FDNAMES");
    let listeners = sockets::take(&run.app)?;
    inherited::note(run, &listeners);
    let mut environment: Environment = entry::environment()
        .into_iter()
        .filter(|(key, _)| !key.to_str().is_some_and(|k| k.starts_with("LISTEN_")))
        .collect();
    if run.handover == Handover::Fds {
        sockets::keep_open(&listeners).map_err(kernel("the sockets cannot be kept open"))?;
        environment.push(("LISTEN_FDS".into(), sockets::count(&listeners).into()));
        environment.push(("LISTEN_PID".into(), std::process::id().to_string().into()));
        environment.extend(names.map(|n| ("LISTEN_FDNAMES".into(), n)));
    }
    let channel = match run.ready {
        Ready::Message => {
            Some(channel::open(&mut environment).map_err(kernel("Node's channel cannot be made"))?)
        }
        _ => None,
    };
    let is_needed = || deputy::is_needed() || is_witness_needed();
    if run.handover == Handover::Bind || channel.is_some() || is_needed() {
        hand_over(run, listeners, channel)?;
    }
    preload::add(&mut environment, run);
    if run.ready == Ready::Exec {
        // Run by hand there is nobody to tell.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }
    Ok(environment)
}

fn kernel(step: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Kernel { step, source }
}

/// Without a way to say READY every start would end in a time-out.
fn look_for_manager() -> Result<(), Error> {
    let socket = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from);
    // Run by hand there is nobody to tell, and an abstract address, with an `@`, has no file.
    match socket.filter(|path| path.is_absolute() && !path.exists()) {
        Some(path) => Err(Error::Hidden(path)),
        None => Ok(()),
    }
}

/// The brake on crash loops: goes on, waits, or gives up.
fn hold(run: &Run) -> Result<(), Error> {
    let file = Entry::new(&run.state, Name::Deaths(run.instance));
    let Some(deaths) = Deaths::load(&file) else {
        return Ok(());
    };
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default();
    match deaths.verdict(&run.brake, now) {
        Verdict::Go => Ok(()),
        Verdict::Wait(pause) => {
            let status = format!("waiting {}s after: {}", pause.as_secs(), deaths.reason);
            // A newline would begin another assignment.
            let status = Visible::line(&status);
            let micros = u32::try_from((pause + MARGIN).as_micros()).unwrap_or(u32::MAX);
            let _ = sd_notify::notify(&[
                NotifyState::Status(status.as_str()),
                NotifyState::ExtendTimeoutUsec(micros),
            ]);
            std::thread::sleep(pause);
            Ok(())
        }
        Verdict::Errored(why) => Err(Error::Errored(format!(
            "{why}; fix it, then `rsgen reload {}`",
            run.app
        ))),
    }
}

/// Makes the helper and puts the program under its filter.
fn hand_over(run: &Run, listeners: Vec<Listener>, channel: Option<OwnedFd>) -> Result<(), Error> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|e| kernel("no socket pair")(e.into()))?;
    let main = std::process::id();
    match process::clone_sibling().map_err(kernel("no helper can be made"))? {
        Side::New => {
            drop(ours);
            let duty = Duty {
                run,
                main,
                listeners,
                channel,
            };
            helper::serve(duty, theirs)
        }
        Side::Caller(helper) => {
            drop(theirs);
            drop(channel);
            if run.handover == Handover::Bind {
                rehearsal::watch(&ours, helper)?;
                filter(&listeners, &ours)
            } else {
                process::allow_tracer(helper);
                rehearsal::wait(&ours)
            }
        }
    }
}

fn filter(listeners: &[Listener], to_helper: &OwnedFd) -> Result<(), Error> {
    process::no_new_privileges().map_err(kernel("no_new_privs cannot be set"))?;
    process::drop_ambient_ptrace();
    let unix = listeners.iter().any(|l| l.shape.domain == libc::AF_UNIX);
    let shortest = if unix { 0 } else { INET_ADDRESS };
    let listener =
        seccomp::install(shortest).map_err(kernel("the handover's seccomp filter is refused"))?;
    helper::send(to_helper, &listener).map_err(kernel("the helper cannot be told"))
}
