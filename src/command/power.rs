//! The loop that `rsgen start`, `stop`, `restart` and `reset` share.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::context::Context;
use super::input::Input;
use super::jobs::Jobs;
use super::options::Targets;
use super::selection::{Purpose, Wanted};
use super::targets::{self, STARTS, Target};
use super::{half_open, hint, preparation, released};
use crate::ecosystem::{self, Report};
use crate::output::{Answer, Failure, Notice, Shown, Sink};

/// The targets on which a verb was carried out, as scripts read them.
#[derive(Serialize)]
pub(super) struct Done {
    pub(super) done: Vec<String>,
}

impl Shown for Done {}

/// Carries out a verb on each target in turn, until the first failure.
pub(super) fn each(
    context: &mut Context<'_>,
    words: &Targets,
    verb: &str,
    act: impl Fn(&mut Jobs<'_>, &Target) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let targets = targets::resolve(context, words, verb)?;
    context.require_permission(verb)?;
    for target in &targets {
        if STARTS.contains(&verb) || !targets::is_there(context, target)? {
            targets::refuse_beyond(context, target, verb)?;
        }
    }
    if STARTS.contains(&verb) {
        for file in words.targets.iter().filter(|word| targets::is_file(word)) {
            remark_on_changes(context, file, &words.only);
        }
    }
    let mut done = Vec::new();
    for target in targets {
        let mut jobs = context.jobs()?;
        match &target {
            Target::App(app) if STARTS.contains(&verb) => {
                half_open::with(&mut jobs, app, |jobs| act(jobs, &target))?;
                released::first(&mut jobs, app);
            }
            _ => act(&mut jobs, &target)?,
        }
        let target = target.to_string();
        context.sink.notice(&Notice::Done(&target, verb));
        done.push(target);
    }
    context.sink.answer(&Done { done });
    Ok(())
}

/// A sink for reading a file whose warnings are not shown.
struct Silent;

impl Sink for Silent {
    fn notice(&self, _: &Notice<'_>) {}

    fn answer(&self, _: &dyn Answer) {}

    fn warnings(&self, _: &Report) {}

    fn failure(&self, _: &Failure) {}
}

/// Says that apps named by an ecosystem file run by their installed copies, where the file differs from those.
fn remark_on_changes(context: &mut Context<'_>, file: &str, only: &[String]) {
    let sink = std::mem::replace(&mut context.sink, &Silent);
    let input = Input::read(Path::new(file));
    let environments = input.as_ref().map(environments).unwrap_or_default();
    // A broken file differs too.
    let is_current = input.is_ok_and(|input| {
        let mut chosen = std::iter::once(None).chain(environments.iter().map(Some));
        chosen.any(|env| is_installed(context, &input, only, env.map(String::as_str)))
    });
    context.sink = sink;
    if !is_current {
        let env = if environments.is_empty() {
            ""
        } else {
            " --env NAME"
        };
        let remark = format!(
            "{file} differs from the installed copy, which this command uses; to apply the file, run `rsgen deploy \
             {file}{env}`"
        );
        let remark = hint::for_manager(context.layout.scope, &remark);
        sink.notice(&Notice::Remark(&remark));
    }
}

/// Returns the environments that the apps of a file have.
fn environments(input: &Input) -> BTreeSet<String> {
    let (apps, _) = ecosystem::parse(&input.shown, &input.text);
    let names = apps.iter().flat_map(|app| app.environments.keys());
    names.cloned().collect()
}

/// Returns whether the installed copies say what the file says, with the variables of this environment.
fn is_installed(
    context: &mut Context<'_>,
    input: &Input,
    only: &[String],
    env: Option<&str>,
) -> bool {
    let wanted = Wanted {
        input,
        only,
        instances: None,
        purpose: Purpose::Comparison,
        env,
        gone: None,
    };
    let prepared = preparation::prepare(context, &wanted, false);
    prepared.is_ok_and(|all| {
        all.failures.is_empty() && all.prepared.iter().all(|p| p.changes.is_empty())
    })
}
