//! `rsgen start`, `stop`, `restart`, `reset`: what systemctl does, by the names of apps.

use clap::Args;
use serde::Serialize;

use super::arguments::Targets;
use super::context::Context;
use super::follow;
use super::state;
use super::targets::{self, Target};
use crate::output::Failure;
use crate::systemd::Verb;
use crate::unit::name::Units;

/// Arguments of `rsgen start`, `stop`, `restart` and `reset`.
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
                follow::job(context, Verb::Start, &Units::of(app).instance(*number))
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
                follow::job(context, Verb::Restart, &Units::of(app).instance(*number))
            }
        },
    )
}

/// Forgets crash loops: the worker's count of deaths, and systemd's `failed`.
pub(super) fn reset(context: &mut Context, arguments: &Power) -> Result<(), Failure> {
    each(context, arguments, "reset", |context, target| {
        let (app, number) = match target {
            Target::App(app) => (app, None),
            Target::Instance(app, number) => (app, Some(*number)),
        };
        state::forget_deaths(&context.layout, app, number);
        let manager = context.manager()?;
        let names = Units::of(app);
        let units = if let Some(number) = number {
            vec![names.instance(number)]
        } else {
            let instances = manager.units(&names.instances())?;
            let instances = instances.into_iter().map(|unit| unit.name);
            instances.chain([names.cluster()]).collect()
        };
        for unit in units {
            manager.reset_failed(&unit)?;
        }
        Ok(())
    })
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
