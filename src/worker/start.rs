//! The worker between its start and exec: brake, sockets, handover, environment.
//!
//! The order matters: nothing is changed for an instance that the brake holds back; the sockets are known
//! before anything is created for them; and the helper exists before the program's first instruction, because
//! the filter that calls the helper is inherited across exec and cannot be added from outside.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sd_notify::NotifyState;

use super::helper::{self, Duty};
use super::requests::{self, OnRequest};
use super::sockets::{self, PassedSocket};
use super::{Error, channel, cpus, env_file, pause, preload, release, trial};
use crate::brake::{Deaths, Decision};
use crate::contract::{Cpus, Handover, Ready, Run, count};
use crate::peer::{filters, manager};
use crate::state::{Entry, Name};
use crate::sys::process::{self, Side};
use crate::sys::{entry, exec, seccomp};
use crate::visible::Visible;

/// The size of a `sockaddr_in`. Only addresses of unix sockets are shorter.
const INET_ADDRESS: u32 = 16;
/// How much more time than a pause needs is requested from systemd.
const MARGIN: Duration = Duration::from_secs(30);

pub(super) type Environment = Vec<(OsString, OsString)>;

/// Starts the program. Returns only if that failed.
pub(super) fn start(run: &Run, on_request: OnRequest) -> Error {
    if run.rehearsal.is_none() {
        // A start may wait for a long time, and the link may change meanwhile.
        if let Err(error) = look_for_manager().and_then(|()| hold(run)) {
            return error;
        }
    }
    let run = &*release::keep(run);
    match prepare(run, on_request) {
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

fn prepare(run: &Run, on_request: OnRequest) -> Result<Environment, Error> {
    if let Some(rehearsal) = &run.rehearsal {
        return super::rehearsal::prepare(run, rehearsal);
    }
    let names = std::env::var_os("LISTEN_FDNAMES");
    let passed = match run.handover {
        Handover::Bind | Handover::Fds => sockets::take(&run.app, run.instance)?,
        Handover::Nothing => Vec::new(),
    };
    manager::note(&run.state, run.instance, sockets::inodes(&passed));
    let mut environment = environment(&run.env_files, &run.counted)?;
    if run.handover == Handover::Fds {
        sockets::keep_open(&passed).map_err(kernel("the sockets cannot be kept open"))?;
        environment.push(("LISTEN_FDS".into(), sockets::count(&passed).into()));
        environment.push(("LISTEN_PID".into(), std::process::id().to_string().into()));
        environment.extend(names.map(|n| ("LISTEN_FDNAMES".into(), n)));
    }
    let channel = match run.ready {
        Ready::Message => {
            Some(channel::open(&mut environment).map_err(kernel("Node's channel cannot be made"))?)
        }
        _ => None,
    };
    let is_needed = || match run.handover {
        Handover::Bind => true,
        Handover::Fds => requests::are_needed() || filters::need_a_comparison(),
        // Without a listener there is nothing to drain.
        Handover::Nothing => false,
    };
    if channel.is_some() || is_needed() {
        hand_over(run, passed, channel, on_request)?;
    }
    if run.cpus == Some(Cpus::Spread) {
        // After the handover, since the helper keeps all CPUs.
        cpus::spread(run.instance);
    }
    preload::add(&mut environment, run);
    if run.ready == Ready::Exec {
        // When the worker is run by hand, nobody listens.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }
    Ok(environment)
}

/// Calculates the counting variables. A variable to which an `env_file` has assigned something else stays as it is.
fn calculate(environment: &mut Environment, counted: &[String]) {
    let counting = environment
        .iter_mut()
        .filter(|(name, _)| counted.iter().any(|c| name == c.as_str()));
    for (_, value) in counting {
        if let Some(number) = value.to_str().and_then(count::value) {
            *value = number.to_string().into();
        }
    }
}

/// Returns the variables of the unit and of the files that the worker reads, except those of systemd's socket protocol.
pub(super) fn environment(env_files: &[PathBuf], counted: &[String]) -> Result<Environment, Error> {
    let mut environment: Environment = entry::environment();
    env_file::put(&mut environment, env_files)?;
    calculate(&mut environment, counted);
    environment.retain(|(key, _)| !key.to_str().is_some_and(|k| k.starts_with("LISTEN_")));
    Ok(environment)
}

pub(super) fn kernel(step: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Kernel { step, source }
}

/// Fails if READY cannot be sent to systemd, since every start would end in a time-out.
pub(super) fn look_for_manager() -> Result<(), Error> {
    let socket = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from);
    // When the worker is run by hand, nobody listens. An abstract address, with an `@`, has no file.
    match socket.filter(|path| path.is_absolute() && !path.exists()) {
        Some(path) => Err(Error::Hidden(path)),
        None => Ok(()),
    }
}

/// Applies the crash-loop brake: continues, waits, or gives up.
fn hold(run: &Run) -> Result<(), Error> {
    let file = Entry::new(&run.state, Name::Deaths(run.instance));
    let Some(deaths) = Deaths::load(&file) else {
        return Ok(());
    };
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default();
    match deaths.decide(&run.brake, now) {
        Decision::Go => Ok(()),
        Decision::Wait(pause) => {
            let status = format!("waiting {}s after: {}", pause.as_secs(), deaths.reason);
            // A newline would begin another assignment.
            let status = Visible::line(&status);
            let micros = u32::try_from((pause + MARGIN).as_micros()).unwrap_or(u32::MAX);
            pause::wait(pause, || {
                let _ = sd_notify::notify(&[
                    NotifyState::Status(status.as_str()),
                    NotifyState::ExtendTimeoutUsec(micros),
                ]);
            });
            Ok(())
        }
        Decision::Errored(why) => {
            // `%t` in a user's manager, see systemd.unit(5).
            let is_users = run.state.starts_with("/run/user");
            let command = if is_users { "rsgen --user" } else { "rsgen" };
            let app = &run.app;
            Err(Error::Errored(format!(
                "{why}; fix it, then `{command} reload {app}`"
            )))
        }
    }
}

/// Creates the helper, and puts the program under its filter.
fn hand_over(
    run: &Run,
    passed: Vec<PassedSocket>,
    channel: Option<OwnedFd>,
    on_request: OnRequest,
) -> Result<(), Error> {
    let main = std::process::id();
    let has_file = passed
        .iter()
        .any(|s| s.declared.shape.domain == libc::AF_UNIX);
    let duty = Duty {
        run,
        main,
        passed,
        channel,
        on_request,
    };
    let (ours, helper) = with_helper(move |worker| helper::serve(duty, worker))?;
    if run.handover == Handover::Bind {
        trial::watch(&ours, helper)?;
        let install = || {
            if has_file {
                seccomp::install_with_files()
            } else {
                seccomp::install(INET_ADDRESS)
            }
        };
        filter(install, &ours)
    } else {
        process::allow_tracer(helper);
        trial::wait(&ours)
    }
}

/// Makes a helper, which calls `serve` with its end of a pair of sockets and then ends. Returns the other end and the
/// PID of the helper.
pub(super) fn with_helper(serve: impl FnOnce(OwnedFd)) -> Result<(OwnedFd, i32), Error> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|e| kernel("no socket pair")(e.into()))?;
    match process::clone_beside().map_err(kernel("the helper cannot be started"))? {
        Side::New => {
            drop(ours);
            serve(theirs);
            helper::end(0)
        }
        Side::Caller(helper) => Ok((ours, helper)),
    }
}

/// Puts this process, and with it the program, under the filter that asks the helper about bind(2), listen(2) and getsockopt(2)
/// of `SO_ACCEPTCONN`, and where a declared socket has a file, about calls that remove or change a file.
///
/// An unprivileged process may install a filter only after `PR_SET_NO_NEW_PRIVS`, see seccomp(2). `CAP_SYS_PTRACE`,
/// which a unit may grant for the helper alone, is dropped here: after the helper was made, and before the program
/// begins.
pub(super) fn filter(
    install: impl FnOnce() -> std::io::Result<OwnedFd>,
    to_helper: &OwnedFd,
) -> Result<(), Error> {
    process::no_new_privileges().map_err(kernel("no_new_privs cannot be set"))?;
    process::drop_ambient_ptrace();
    let listener = install().map_err(kernel("the handover's seccomp filter is refused"))?;
    helper::send(to_helper, &listener).map_err(kernel("the helper cannot be told"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_variable_that_counts_is_calculated() {
        let pairs = [
            ("PORT", "{3100 + 2}"),
            ("OTHER", "{3100 + 2}"),
            ("FROM_FILE", "9"),
        ];
        let mut environment: Environment = pairs.map(|(k, v)| (k.into(), v.into())).to_vec();
        calculate(
            &mut environment,
            &["PORT".to_owned(), "FROM_FILE".to_owned()],
        );
        let expected = [
            ("PORT", "3102"),
            ("OTHER", "{3100 + 2}"),
            ("FROM_FILE", "9"),
        ];
        assert_eq!(environment, expected.map(|(k, v)| (k.into(), v.into())));
    }
}
