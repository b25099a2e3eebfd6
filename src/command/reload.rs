//! `rsgen reload`: new instances for old ones, one by one.

use clap::Args;
use serde::Serialize;

use super::apply::{self, Prepared, Timer};
use super::context::Context;
use super::deploy::{self, Goal};
use super::manual::Manual;
use super::options::Targets;
use super::power;
use super::selection;
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use crate::generate::{self, sources};
use crate::layout::Layout;
use crate::output::{Failure, Shown, Sink};
use crate::plan::Host;
use crate::systemd::Verb;
use crate::unit::name::Units;

/// Replace the instances of apps one by one, losing no request
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    targets: Targets,
}

/// The targets that were reloaded, as scripts read them.
#[derive(Serialize)]
struct Reloaded {
    reloaded: Vec<String>,
}

impl Shown for Reloaded {}

impl Subcommand for Reload {
    const MANUAL: Manual = Manual {
        exits: power::EXITS,
        examples: &[
            ("rsgen reload web", "Replaces all instances of an app."),
            (
                "rsgen reload ecosystem.toml --only web,api",
                "Replaces all instances of two apps of the file.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let targets = targets::resolve(context, &self.targets)?;
        context.require_permission("reload")?;
        let mut reloaded = Vec::new();
        for target in targets {
            match &target {
                Target::App(app) => {
                    let prepared = prepare(&context.layout, context.host, context.sink, app)?;
                    let prepared = std::slice::from_ref(&prepared);
                    deploy::deploy(&mut context.jobs()?, prepared, Goal::Fresh)?;
                }
                // With one instance alone there is nothing to walk; the others serve meanwhile.
                Target::Instance(app, number) => {
                    let unit = Units::of(app).instance(*number);
                    context.jobs()?.run(Verb::Restart, &unit)?;
                }
            }
            reloaded.push(target.to_string());
        }
        context.sink.answer(&Reloaded { reloaded });
        Ok(())
    }
}

/// The changes that bring the pinned units of an app up to its file. An app without pinned units has none.
pub(super) fn prepare(
    layout: &Layout,
    host: Host,
    sink: &dyn Sink,
    app: &str,
) -> Result<Prepared, Failure> {
    let is_job = generate::is_known_job(layout, app);
    let Some(source) = sources::find(layout, app) else {
        return Ok(Prepared::unchanged(app, is_job));
    };
    let (_, parsed, report) = sources::read(layout, &source).map_err(Failure::invalid)?;
    selection::warn(sink, &report);
    if !generate::pinned_apps(layout).contains_key(app) {
        let timer = parsed.timer().map_or(Timer::None, |_| Timer::Runs);
        return Ok(Prepared {
            timer,
            ..Prepared::unchanged(app, is_job)
        });
    }
    let prepared = apply::prepare_units(layout, host, parsed, &source.path)?;
    if let Some(moved) = &prepared.readdressed {
        return Err(Failure::failed(moved.refusal(app)).help(format!(
            "run `rsgen install {} --replace-listener`",
            source.path.display()
        )));
    }
    if prepared.is_of_another_kind {
        let kind = if prepared.is_job {
            "a job"
        } else {
            "an app that lasts"
        };
        return Err(Failure::failed(format!(
            "`{app}` becomes {kind}, and a reload cannot do that"
        ))
        .help(format!("run `rsgen install {}`", source.path.display())));
    }
    apply::show(sink, std::slice::from_ref(&prepared), false);
    Ok(prepared)
}
