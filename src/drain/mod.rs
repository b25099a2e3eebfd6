//! Before the stop signal: the instance takes no new connection and finishes those it has.
//!
//! Run by `ExecStop=`, as root and outside the sandbox of the unit, so it looks only at what systemd put
//! into the control group of its own instance, and changes nothing but descriptors that systemd holds as
//! well. Whatever fails is told in one line, and the stop goes on: a drain never keeps a unit from
//! stopping.

pub mod answers;
mod bounded;
mod connections;
mod diag;
mod draining;
mod kinds;
mod look;
mod notice;
mod request;

use std::ffi::OsString;
use std::time::Duration;

use nix::unistd::getppid;
use sd_notify::NotifyState;

use crate::begin;
use crate::contract::{Drain, Way};
use crate::log::say;
use draining::{Draining, tell, without};

pub use request::on_request;

/// The child has so much longer than the drain takes for itself.
const BEYOND: Duration = Duration::from_secs(2);
/// systemd is asked for this much more, so that it is not the one to end it.
const MARGIN: Duration = Duration::from_secs(5);
/// The exit status for a command line that is not one that units write.
const USAGE: u8 = 2;

/// Drains one instance. What could not be done is said, and is never a failure of the stop: the exit status is 0 unless
/// the command line is of no use.
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
    // The commands of a unit are children of their manager, of PID 1 or of the user's own.
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
