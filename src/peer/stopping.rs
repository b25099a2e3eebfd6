//! Whether systemd is stopping an instance, which the commands of its start have to know.
//!
//! A stop that comes while a command of `ExecStartPost=` runs sends the stop signal to that command as well. If the command succeeds
//! nevertheless, systemd continues with the next of these commands, although the instance is ending.

use std::io;
use std::time::{Duration, Instant};

use super::bus::{self, Bus};
use crate::unit::name::Units;

/// The time limit for an answer over the bus. A start must not fail because of a hanging bus, which the program may not need.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for root: systemd itself answers, once it has finished its present work, such as a daemon-reload.
const OF_ROOT: Duration = Duration::from_secs(10);

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// Whether systemd is stopping the instance; false if systemd cannot be queried.
pub(crate) fn has_begun(app: &str, instance: u32) -> bool {
    let unit = Units::of(app).instance(instance);
    let asked = open().and_then(|mut bus| is_stopped(&mut bus, &unit));
    asked.unwrap_or(false)
}

/// The exit status for a command of the start once systemd is stopping the instance; `None` before that, and if systemd cannot be queried.
///
/// The status is that of a success if systemd would run no more commands than those of `own`, the program of the command that asks. Any
/// command that was added by somebody else must not run for an instance that is ending, and only a failure keeps systemd from running it.
pub(crate) fn status(app: &str, instance: u32, own: &str) -> Option<u8> {
    let unit = Units::of(app).instance(instance);
    let mut bus = open().ok()?;
    if !is_stopped(&mut bus, &unit).ok()? {
        return None;
    }
    let programs = bus.property(&unit, SERVICE, "ExecStartPost");
    let programs = programs.and_then(|value| bus::programs(&value)).ok()?;
    Some(u8::from(programs.iter().any(|found| found != own)))
}

fn open() -> io::Result<Bus> {
    let is_root = nix::unistd::geteuid().is_root();
    Bus::open(Instant::now() + if is_root { OF_ROOT } else { PATIENCE })
}

fn is_stopped(bus: &mut Bus, unit: &str) -> io::Result<bool> {
    let state = bus.property(unit, UNIT, "SubState")?;
    Ok(is_end(&bus::text(&state)?))
}

/// Whether a service in this state is on its way down, see `service_state_table` in src/basic/unit-def.c of systemd.
fn is_end(state: &str) -> bool {
    state.starts_with("stop") || state.starts_with("final-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_on_its_way_down_from_the_stop_signal_on() {
        for state in [
            "stop",
            "stop-sigterm",
            "stop-sigkill",
            "stop-post",
            "final-sigterm",
        ] {
            assert!(is_end(state), "{state}");
        }
        for state in [
            "",
            "start-post",
            "start",
            "running",
            "reload",
            "auto-restart",
            "dead",
            "failed",
        ] {
            assert!(!is_end(state), "{state}");
        }
    }
}
