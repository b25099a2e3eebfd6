//! Replaces single instances, in the steps of a walk: the canary first, if there is to be one, then each of them.
//!
//! The others are not touched, neither those beyond the wanted number nor those that are down.

use super::{Effects, Failed, Plan, Walk};
use crate::systemd::Manager;

/// Replaces these instances one after the other.
///
/// # Errors
/// The first failure. The instances after it were not touched, and if the canary failed, none was.
pub fn walk_some(
    manager: &mut dyn Manager,
    plan: &Plan,
    numbers: &[u32],
    effects: &mut dyn Effects,
) -> Result<(), Failed> {
    Walk::new(manager, plan, effects).some(numbers)
}

impl Walk<'_> {
    fn some(mut self, numbers: &[u32]) -> Result<(), Failed> {
        self.stop_left_canaries().map_err(|e| self.bus(&e))?;
        self.start_canaries(self.plan.canaries)?;
        let replaced = numbers
            .iter()
            .try_for_each(|number| self.replace(&[*number]))
            .and_then(|()| self.confirm(numbers));
        let stopped = self.stop_canaries().map_err(|e| self.bus(&e));
        replaced.and(stopped)
    }
}
