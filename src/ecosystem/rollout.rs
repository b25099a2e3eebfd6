//! The keys that define how a reload proceeds.

use std::time::Duration;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::key::{amount, keys, number, time, word};
use super::values::{Amount, Instances, OnFailure};

/// Adds a warning about a `max_failures` that no reload reaches.
pub(super) fn warn(app: &App, faults: &mut Vec<Diagnostic>) {
    let most = app.rollout.max_failures;
    if let Instances::Exactly(instances) = app.instances
        && most >= instances
    {
        let fault = format!(
            "with `max_failures = {most}` and `instances = {instances}` a reload continues until every instance has failed"
        );
        let help = if instances > 1 {
            format!("write a number below {instances}")
        } else {
            "leave `max_failures` out".to_owned()
        };
        faults.push(Diagnostic::warning(app.span.clone(), fault).help(help));
    }
}

keys! {
    /// How a reload walks.
    pub struct Rollout {
        in Reload {
            /// The number of extra instances in a reload, the canaries, which start first: 0 for none, or a percentage
            /// of the instances, `"25%"`.
            ///
            /// All canaries start at once, and as many instances are then replaced at a time. With `"100%"` the reload
            /// takes twice the memory and the time of two starts. A percentage is rounded up.
            surge: Amount = amount(0, 1024).or(|| Amount::Exactly(1));

            /// How many instances a reload replaces at a time, or a percentage of them; never fewer than there are canaries.
            parallel: Amount = amount(1, 1024).or(|| Amount::Exactly(1));

            /// How long the canary has to stay up before a serving instance is replaced.
            ///
            /// Without a canary, how long each new instance has to stay up before the next is replaced.
            settle: Duration = time().or(|| Duration::from_secs(1));

            /// What a reload does after an instance has failed twice: `"abort"` ends the reload, `"restart"` restarts
            /// the whole app at once.
            ///
            /// After an `"abort"`, the instances that were not replaced keep the version that they run.
            on_failure: OnFailure = word().or(|| OnFailure::Abort);

            /// How many instances may fail twice before a reload does what `on_failure` says.
            ///
            /// Up to this number, the reload continues with the next instance, and ends as failed after the last one.
            /// A canary that fails always ends the reload.
            max_failures: u32 = number(0, 1024).or(|| 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn as_many_failures_as_there_are_instances_are_warned_of() {
        let told = |keys: &str| {
            let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 1\n{keys}\n");
            let (apps, _) = parse("eco.toml", &text);
            let mut faults = Vec::new();
            warn(&apps[0], &mut faults);
            faults.pop().and_then(|fault| fault.help)
        };
        for (keys, help) in [
            (
                "instances = 4\nmax_failures = 4",
                Some("write a number below 4"),
            ),
            ("max_failures = 1", Some("leave `max_failures` out")),
            ("instances = 4\nmax_failures = 3", None),
            ("instances = \"max\"\nmax_failures = 9", None),
            ("", None),
        ] {
            assert_eq!(told(keys).as_deref(), help, "{keys}");
        }
    }
}
