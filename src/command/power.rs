//! The loop that `rsgen start`, `stop`, `restart` and `reset` have in common.

use serde::Serialize;

use super::context::Context;
use super::jobs::Jobs;
use super::options::Targets;
use super::targets::{self, Target};
use crate::output::{Exit, Failure, Notice, Shown};

/// The exit statuses of these subcommands.
pub(super) const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Invalid,
    Exit::Unreachable,
    Exit::TimedOut,
];

/// The verbs that start an instance which does not run.
const STARTS: &[&str] = &["start", "restart"];

/// The targets that a verb was carried out on, as scripts read them.
#[derive(Serialize)]
struct Done {
    done: Vec<String>,
}

impl Shown for Done {}

/// Carries out a verb on each target in turn, and ends at the first failure.
pub(super) fn each(
    context: &mut Context<'_>,
    targets: &Targets,
    verb: &str,
    act: impl Fn(&mut Jobs<'_>, &Target) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let targets = targets::resolve(context, targets)?;
    context.require_permission(verb)?;
    for target in targets.iter().filter(|_| STARTS.contains(&verb)) {
        targets::refuse_beyond(context, target)?;
    }
    let mut done = Vec::new();
    for target in targets {
        act(&mut context.jobs()?, &target)?;
        let target = target.to_string();
        context.sink.notice(&Notice::Done(&target, verb));
        done.push(target);
    }
    context.sink.answer(&Done { done });
    Ok(())
}
