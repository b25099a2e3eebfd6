//! The drain, which comes before the stop signal: the instance accepts no new connections and finishes those that it has.
//!
//! `ExecStop=` runs the drain as root and outside the sandbox of the unit. So the drain inspects only processes that systemd
//! has put into the control group of its own instance, and changes only descriptors of sockets that systemd holds as well. A
//! failure is one line in the journal, and the stop continues: a drain never keeps a unit from stopping.

mod accepting;
pub mod answers;
mod between;
mod bounded;
mod connections;
pub(crate) mod diag;
mod draining;
mod kinds;
mod look;
mod notice;
mod request;
mod said;
mod shutting_down;
mod signalled;
mod turns;

use std::ffi::OsString;
use std::time::Duration;

use nix::unistd::getppid;
use sd_notify::NotifyState;

use crate::begin;
use crate::contract::{Drain, Way};
use crate::log::say;
use draining::{Draining, tell};
use said::without;

pub use request::on_request;

/// The time that the child has beyond that of the drain, before it is killed.
const BEYOND: Duration = Duration::from_secs(2);
/// The time requested from systemd beyond that of the drain. Longer than [`BEYOND`] and the grace period
/// after it, so that our own limit expires before systemd's.
const MARGIN: Duration = Duration::from_secs(5);
/// The exit status for a command line that no unit has.
const USAGE: u8 = 2;

/// Drains one instance. Failures are logged, but do not fail the stop: the exit status is 0 unless the
/// command line is invalid.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    match Drain::parse(arguments) {
        Ok(drain) => {
            run(&drain);
            0
        }
        Err(error) => {
            say(3, &error.to_string());
            USAGE
        }
    }
}

fn run(drain: &Drain) {
    if drain.is_systems() {
        begin::as_root();
    } else {
        begin::as_user();
    }
    // The manager, PID 1 or the user's own, is the parent of the commands of its units.
    let manager = getppid().as_raw();
    let time = drain.timeout + drain.message.unwrap_or_default();
    tell(&[NotifyState::ExtendTimeoutUsec(micros(time + MARGIN))]);
    bounded::within(time + BEYOND, || work(drain, manager)).unwrap_or_else(|e| without(&e));
}

fn work(drain: &Drain, manager: i32) {
    let mut draining = match Draining::begin(drain, manager, None) {
        Ok(draining) => draining,
        Err(e) => return without(&e),
    };
    if drain.way != Way::Off && !request::send(drain, draining.signals()) {
        draining.drain().unwrap_or_else(|e| without(&e));
    }
    if let Some(time) = drain.message {
        draining.send_shutdown(time);
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
