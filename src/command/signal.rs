//! `rsgen signal`: sends a signal to the programs of instances. systemd would send one for the cluster unit to nobody, since that
//! unit has no processes.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use nix::sys::signal;
use serde::Serialize;

use super::context::Context;
use super::jobs::Jobs;
use super::manual::{self, Manual};
use super::options::Targets;
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use crate::output::{Failure, Notice, Shown};
use crate::systemd::Whom;
use crate::unit::Fault;
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
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let named = signal::Signal::from_str(&format!("SIG{name}")).map(|signal| signal as i32);
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=LAST).contains(number));
        named.ok().or(number).map(Self).ok_or_else(|| {
            let what = format!("`{text}` is not a signal");
            Fault::new(
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
        let mut signalled = Vec::new();
        for target in &targets {
            let found = running(&mut context.jobs()?, target)?;
            let app = target.app();
            if found.is_empty()
                && (self.targets.name(app) || matches!(target, Target::Instance(..)))
            {
                return Err(Failure::failed(format!("no program of `{target}` runs"))
                    .help(format!("run `rsgen list {app}` to see its instances")));
            }
            for number in found {
                let unit = Units::of(app).instance(number);
                let manager = context.manager()?;
                manager.signal(&unit, self.kill_whom.into(), self.number.0)?;
                let instance = format!("{app}@{number}");
                context
                    .sink
                    .notice(&Notice::Done(&instance, &self.number.name()));
                signalled.push(instance);
            }
        }
        context.sink.answer(&Signalled {
            signal: self.number.0,
            signalled,
        });
        Ok(())
    }
}

/// Returns the instances of a target that have a main process, in order; a canary is one of them.
fn running(jobs: &mut Jobs<'_>, target: &Target) -> Result<Vec<u32>, Failure> {
    let units = Units::of(target.app());
    let loaded = jobs.manager.units(&units.instances())?;
    let mut numbers = Vec::new();
    for brief in loaded {
        let Some(number) = units.number(&brief.name) else {
            continue;
        };
        let is_meant = match target {
            Target::App(_) => true,
            Target::Instance(_, one) => *one == number,
        };
        if is_meant && jobs.manager.unit(&brief.name)?.main_pid != 0 {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
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
