//! The keys that say how a reload walks.

use std::time::Duration;

use super::key::{keys, number, time, word};
use super::values::OnFailure;

keys! {
    /// How a reload walks.
    pub struct Rollout {
        in Reload {
            /// The extra instances of a reload: 1 for a canary that starts first, 0 for none.
            surge: u32 = number(0, 1).or(|| 1);

            /// How many instances a reload replaces at a time.
            parallel: u32 = number(1, 1024).or(|| 1);

            /// How long the canary has to stay up before an instance that serves is touched.
            ///
            /// Without a canary, how long each new instance has to stay up before the next is touched.
            settle: Duration = time().or(|| Duration::from_secs(1));

            /// What a reload does after an instance failed twice: `"abort"` stops there, `"restart"` restarts the whole
            /// app at once.
            ///
            /// Where a reload stops, the instances that it has not replaced keep the version they run.
            on_failure: OnFailure = word().or(|| OnFailure::Abort);
        }
    }
}
