//! The keys that say how a reload walks.

use std::time::Duration;

use super::key::{keys, number, time, word};
use super::values::OnFailure;

keys! {
    /// How a reload walks.
    pub struct Rollout {
        in Reload {
            /// The number of extra instances in a reload: 1 for a canary that starts first, 0 for none.
            surge: u32 = number(0, 1).or(|| 1);

            /// How many instances a reload replaces at a time.
            parallel: u32 = number(1, 1024).or(|| 1);

            /// How long the canary has to stay up before a serving instance is replaced.
            ///
            /// Without a canary, how long each new instance has to stay up before the next is replaced.
            settle: Duration = time().or(|| Duration::from_secs(1));

            /// What a reload does after an instance has failed twice: `"abort"` ends the reload, `"restart"` restarts
            /// the whole app at once.
            ///
            /// After an `"abort"`, the instances that were not replaced keep the version that they run.
            on_failure: OnFailure = word().or(|| OnFailure::Abort);
        }
    }
}
