//! `rsgen signal`: sends a signal to the programs of instances. systemd would send one for the cluster unit to nobody, since that
//! unit has no processes.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use nix::sys::signal;
use serde::Serialize;

use super::context::Context;
use super::manual::{self, Manual};
use super::options::Targets;
use super::remote::Remote;
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use crate::output::{Failure, Notice, Shown, Sink};
use crate::systemd::{self, Manager, Whom};
use crate::unit;
use crate::unit::name::Units;

/// Send a signal to the programs of apps or instances
#[derive(Debug, Args)]
#[command(alias = "sendSignal")]
pub(super) struct Signal {
    /// The signal, for instance USR2, SIGUSR2 or 12
    #[arg(value_name = "SIGNAL")]
    number: Number,
    #[command(flatten)]
    targets: Targets,
    /// Which processes of an instance get the signal
    #[arg(long, value_enum, default_value_t, value_name = "PROCESSES")]
    kill_whom: Receiver,
}

/// The processes of an instance.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Receiver {
    /// The program, which is the main process of the unit
    #[default]
    Main,
    /// Every process that the program has started, too
    All,
}

impl From<Receiver> for Whom {
    fn from(receiver: Receiver) -> Self {
        match receiver {
            Receiver::Main => Self::Main,
            Receiver::All => Self::All,
        }
    }
}

/// The number of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(i32);

/// The largest number that the kernel knows, see signal(7).
const LAST: i32 = 64;

impl FromStr for Number {
    type Err = unit::Fault;

    fn from_str(text: &str) -> Result<Self, unit::Fault> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let named = signal::Signal::from_str(&format!("SIG{name}")).map(|signal| signal as i32);
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=LAST).contains(number));
        named.ok().or(number).map(Self).ok_or_else(|| {
            let what = format!("`{text}` is not a signal");
            unit::Fault::new(
                what,
                "write a name as `USR2`, or a number from `kill -L`; a real-time signal has only a number",
            )
        })
    }
}

impl Number {
    fn name(self) -> String {
        match signal::Signal::try_from(self.0) {
            Ok(signal) => signal.as_str().to_owned(),
            Err(_) => format!("signal {}", self.0),
        }
    }
}

/// The instances that got a signal, as scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Signalled {
    pub(super) signal: i32,
    pub(super) signalled: Vec<String>,
}

impl Shown for Signalled {}

impl Subcommand for Signal {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen signal USR2 web",
                "Sends SIGUSR2 to the program of each instance of an app.",
            ),
            ("rsgen signal HUP web@2", "Sends SIGHUP to one instance."),
            (
                "rsgen signal --kill-whom all USR1 all",
                "Sends SIGUSR1 to every process of every app.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let targets = targets::resolve(context, &self.targets, "signal")?;
        context.require_permission("signal")?;
        let sink = context.sink;
        let sent = self.send(context.manager()?, sink, &targets)?;
        let failures = sent.faults.into_iter().map(|fault| match fault {
            Fault::Nobody(target) => nobody(&target),
            Fault::Refused(instance, error) => about(&instance, Failure::from(error)),
        });
        self.answer(sink, sent.signalled, failures.collect())
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        let targets = remote.targets(&self.targets)?;
        let sink = remote.sink;
        let sent = self.send(remote.manager()?, sink, &targets);
        let sent = sent.map_err(|error| remote.failure(error))?;
        let failures = sent.faults.into_iter().map(|fault| match fault {
            Fault::Nobody(target) => remote.nobody(nobody(&target), target.app()),
            Fault::Refused(instance, error) => about(&instance, remote.failure(error)),
        });
        self.answer(sink, sent.signalled, failures.collect())
    }
}

/// The outcome of a signal.
struct Sent {
    /// The instances that got it.
    signalled: Vec<String>,
    faults: Vec<Fault>,
}

enum Fault {
    /// Nothing could get the signal, although a target was named.
    Nobody(Target),
    /// systemd did not send it to this instance.
    Refused(String, systemd::Error),
}

impl Signal {
    fn send(
        &self,
        manager: &mut dyn Manager,
        sink: &dyn Sink,
        targets: &[Target],
    ) -> Result<Sent, systemd::Error> {
        let mut sent = Sent {
            signalled: Vec::new(),
            faults: Vec::new(),
        };
        for target in targets {
            let app = target.app();
            let is_named = self.targets.name(app) || matches!(target, Target::Instance(..));
            let found = receivers(manager, target)?;
            if found.is_empty() && is_named {
                sent.faults.push(Fault::Nobody(target.clone()));
            }
            for number in found {
                let unit = Units::of(app).instance(number);
                let instance = format!("{app}@{number}");
                // One that has ended since does not keep the others from theirs.
                match manager.signal(&unit, self.kill_whom.into(), self.number.0) {
                    Ok(()) => {
                        sink.notice(&Notice::Done(&instance, &self.number.name()));
                        sent.signalled.push(instance);
                    }
                    Err(error) => sent.faults.push(Fault::Refused(instance, error)),
                }
            }
        }
        Ok(sent)
    }

    fn answer(
        &self,
        sink: &dyn Sink,
        signalled: Vec<String>,
        failures: Vec<Failure>,
    ) -> Result<(), Failure> {
        if let Some(failure) = together(failures) {
            return Err(failure);
        }
        sink.answer(&Signalled {
            signal: self.number.0,
            signalled,
        });
        Ok(())
    }
}

/// The failure of an instance, by its name.
fn about(instance: &str, failure: Failure) -> Failure {
    Failure {
        message: format!("{instance}: {}", failure.message),
        ..failure
    }
}

/// Returns the instances of a target that get the signal, in order: of an app those that are READY, a canary among them, since a program
/// that is still starting may have no handler yet, and the signal would end it; by its number any that has a main process.
fn receivers(manager: &mut dyn Manager, target: &Target) -> Result<Vec<u32>, systemd::Error> {
    let units = Units::of(target.app());
    if let Target::Instance(_, number) = target {
        let unit = manager.unit(&units.instance(*number))?;
        return Ok((unit.main_pid != 0)
            .then_some(*number)
            .into_iter()
            .collect());
    }
    let loaded = manager.units(&units.instances())?;
    let ready = loaded.iter().filter(|brief| brief.is_ready());
    let mut numbers: Vec<u32> = ready
        .filter_map(|brief| units.number(&brief.name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn nobody(target: &Target) -> Failure {
    let app = target.app();
    let message = match target {
        Target::App(_) => format!("no instance of `{target}` is READY"),
        Target::Instance(..) => format!("`{target}` has no running program"),
    };
    Failure::failed(message).help(format!("run `rsgen list {app}` to see its instances"))
}

/// Combines the failures of several instances.
fn together(failures: Vec<Failure>) -> Option<Failure> {
    let messages: Vec<&str> = failures.iter().map(|f| f.message.as_str()).collect();
    let message = messages.join("; ");
    let first = failures.into_iter().next()?;
    Some(Failure { message, ..first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_named_as_kill_names_it() {
        let number = |text: &str| text.parse().map(|Number(number)| number).ok();
        for text in ["SIGUSR2", "USR2", "usr2", "12"] {
            assert_eq!(number(text), Some(12), "{text}");
        }
        assert_eq!(number("64"), Some(64));
        for text in ["", "SIG", "0", "65", "-9", "USR3", "SIGSIGUSR2"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(Number(12).name(), "SIGUSR2");
        assert_eq!(Number(64).name(), "signal 64");
    }
}
