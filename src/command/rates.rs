//! Processor time as a rate, from two looks at the same instances.

use std::time::Duration;

use super::status::{AppStatus, InstanceStatus};

/// Fills in the rate of each instance that has been the same process since an earlier look, this long ago, as per cent of one CPU.
pub(super) fn measure(apps: &mut [AppStatus], earlier: &[AppStatus], time: Duration) {
    for app in apps {
        let Some(earlier) = earlier.iter().find(|before| before.name == app.name) else {
            continue;
        };
        for instance in &mut app.instances {
            let mut before = earlier.instances.iter();
            let before = before.find(|before| before.number == instance.number);
            instance.cpu_percent = before.and_then(|before| rate(before, instance, time));
        }
    }
}

fn rate(before: &InstanceStatus, now: &InstanceStatus, time: Duration) -> Option<f64> {
    if before.pid.is_none() || before.pid != now.pid || time.is_zero() {
        return None;
    }
    // The one has been counted without the time of the earlier run, and the other with it.
    if before.has_leftovers != now.has_leftovers {
        return None;
    }
    let spent = now.cpu_seconds? - before.cpu_seconds?;
    // With one digit behind the point, since a look takes time as well.
    let percent = (spent / time.as_secs_f64() * 1000.0).round() / 10.0;
    Some(percent.max(0.0))
}
