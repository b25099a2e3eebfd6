//! What a deployment would do, for `--dry-run` and for questions.

use super::apply::Prepared;
use super::deployment::{Goal, needed};
use super::jobs::Jobs;
use super::outcome::Outcome;
use crate::layout::Scope;
use crate::output::Failure;
use crate::unit::name::Units;

/// The outcome that a deployment would have, also for apps whose address is not known yet. Without a systemd to ask, as when an
/// image is built, only the changes of the files are known.
pub(super) fn foresee(
    mut jobs: Option<Jobs<'_>>,
    prepared: &[Prepared],
    unlocated: Vec<String>,
    goal: Goal,
    scope: Scope,
) -> Result<Outcome, Failure> {
    let mut actions = Vec::new();
    if let Some(jobs) = &mut jobs {
        for prepared in prepared {
            actions.push(needed(jobs, prepared, goal)?);
        }
    }
    let mut outcome = Outcome::new(prepared, &actions, true, scope);
    for app in &unlocated {
        outcome.changed = true;
        outcome.apps.push(app.clone());
        let cluster = jobs
            .as_mut()
            .map(|jobs| jobs.manager.unit(&Units::of(app).cluster()));
        match cluster.transpose()?.map(|cluster| cluster.is_ready()) {
            Some(true) => outcome.reloaded.push(app.clone()),
            Some(false) => outcome.started.push(app.clone()),
            None => {}
        }
    }
    outcome.unlocated = unlocated;
    Ok(outcome)
}
