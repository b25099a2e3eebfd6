//! `rsgen reload`: new instances for old ones, one by one.

use clap::Args;
use serde::Serialize;

use super::apply;
use super::arguments::Targets;
use super::context::Context;
use super::follow;
use super::selection;
use super::targets::{self, Target};
use crate::generate::{self, sources};
use crate::output::Failure;
use crate::systemd::Verb;
use crate::unit::name::Units;

/// Arguments of `rsgen reload`.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    targets: Targets,
}

#[derive(Serialize)]
struct Json {
    reloaded: Vec<String>,
}

pub(super) fn run(context: &mut Context, arguments: &Reload) -> Result<(), Failure> {
    let targets = targets::resolve(context, &arguments.targets)?;
    context.require_permission("reload")?;
    let mut reloaded = Vec::new();
    for target in targets {
        match &target {
            Target::App(app) => reload(context, app)?,
            // One instance alone: nothing to walk, the others serve meanwhile.
            Target::Instance(app, number) => {
                follow::job(context, Verb::Restart, &Units::of(app).instance(*number))?;
            }
        }
        reloaded.push(target.to_string());
    }
    context.printer.json(&Json { reloaded });
    Ok(())
}

/// Brings the units up to the app's file, then walks.
fn reload(context: &mut Context, app: &str) -> Result<(), Failure> {
    let mut prepared = None;
    if let Some(source) = sources::find(&context.layout, app) {
        let (_, parsed, report) =
            sources::read(&context.layout, &source).map_err(Failure::invalid)?;
        selection::warn(context, &report);
        if generate::pinned_apps(&context.layout).contains_key(app) {
            let change = apply::prepare_units(&context.layout, context.host, parsed, &source.path)?;
            if let Some((old, new)) = &change.readdressed {
                return Err(Failure::failed(format!(
                    "`{app}` listens on {old}; a reload cannot move it to {new}"
                ))
                .help(format!(
                    "run `rsgen install {} --replace-listener`",
                    source.path.display()
                )));
            }
            apply::show(context, std::slice::from_ref(&change), false);
            prepared = Some(change);
        }
    }
    // A file that is not pinned takes effect through the generator, which a daemon-reload runs.
    match &prepared {
        Some(change) if !change.changes.is_empty() => {
            apply::write(context, std::slice::from_ref(change))?;
        }
        _ => context.manager()?.daemon_reload()?,
    }
    follow::reload(context, app).map_err(|failure| match &prepared {
        Some(change) => follow::keep_old(context, change, failure),
        None => failure,
    })
}
