//! `rsgen start`, `stop`, `restart`: what systemctl does, by the names of apps.

use clap::Args;
use serde::Serialize;

use super::arguments::Targets;
use super::context::Context;
use super::follow;
use super::state;
use super::targets::{self, Target};
use crate::output::Failure;
use crate::systemd::Verb;
use crate::unit::name;

/// Arguments of `rsgen start`, `stop` and `restart`.
#[derive(Debug, Args)]
pub(super) struct Power {
    #[command(flatten)]
    targets: Targets,
}

#[derive(Serialize)]
struct Json {
    done: Vec<String>,
}

pub(super) fn start(context: &mut Context, arguments: &Power) -> Result<(), Failure> {
    each(
        context,
        arguments,
        "start",
        |context, target| match target {
            Target::App(app) => follow::start(context, app),
            Target::Instance(app, number) => {
                state::forget_deaths(&context.layout, app, Some(*number));
                follow::job(context, Verb::Start, &name::instance(app, *number))
            }
        },
    )
}

pub(super) fn stop(context: &mut Context, arguments: &Power) -> Result<(), Failure> {
    each(context, arguments, "stop", |context, target| match target {
        Target::App(app) => follow::stop(context, app),
        Target::Instance(app, number) => follow::stop_instance(context, app, *number),
    })
}

pub(super) fn restart(context: &mut Context, arguments: &Power) -> Result<(), Failure> {
    each(
        context,
        arguments,
        "restart",
        |context, target| match target {
            Target::App(app) => follow::restart(context, app),
            Target::Instance(app, number) => {
                state::forget_deaths(&context.layout, app, Some(*number));
                follow::job(context, Verb::Restart, &name::instance(app, *number))
            }
        },
    )
}

fn each(
    context: &mut Context,
    arguments: &Power,
    verb: &str,
    act: impl Fn(&mut Context, &Target) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let targets = targets::resolve(context, &arguments.targets)?;
    context.require_permission(verb)?;
    let mut done = Vec::new();
    for target in targets {
        act(context, &target)?;
        context.printer.progress(format!("{target}: {verb} done"));
        done.push(target.to_string());
    }
    context.printer.json(&Json { done });
    Ok(())
}
