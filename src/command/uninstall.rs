//! `rsgen uninstall`: stops apps and removes exactly what install wrote.

use clap::Args;
use serde::Serialize;

use super::apply::{self, JsonChange};
use super::arguments::Targets;
use super::context::Context;
use super::follow;
use super::state;
use super::targets::{self, Target};
use crate::generate::files;
use crate::output::{Exit, Failure};
use crate::plan::diff::Change;

/// Arguments of `rsgen uninstall`.
#[derive(Debug, Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    targets: Targets,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Json {
    dry_run: bool,
    changes: Vec<JsonChange>,
}

pub(super) fn run(context: &mut Context, arguments: &Uninstall) -> Result<(), Failure> {
    let mut changes = Vec::new();
    for target in targets::resolve(context, &arguments.targets)? {
        let Target::App(app) = target else {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{target}` is one instance; an app is uninstalled as a whole"),
            ));
        };
        changes.extend(uninstall(context, &app, arguments.dry_run)?);
    }
    let changes = changes.iter().map(|c| JsonChange::new(c, false)).collect();
    context.printer.json(&Json {
        dry_run: arguments.dry_run,
        changes,
    });
    Ok(())
}

fn uninstall(context: &mut Context, app: &str, dry_run: bool) -> Result<Vec<Change>, Failure> {
    let changes = removals(context, app)?;
    if !dry_run {
        context.require_permission("uninstall")?;
        follow::stop(context, app)?;
        files::apply(&changes).map_err(Failure::failed)?;
        state::remove(&context.layout, app);
        context.manager()?.daemon_reload()?;
    }
    for change in &changes {
        context
            .printer
            .progress(format!("remove {}", change.path.display()));
    }
    Ok(changes)
}

fn removals(context: &Context, app: &str) -> Result<Vec<Change>, Failure> {
    let mut paths = files::installed(&context.layout, app);
    let file = apply::app_file(&context.layout, app);
    if let Some(content) = files::content(&file) {
        paths.insert(file, content);
    }
    if paths.is_empty() {
        return Err(
            Failure::failed(format!("`{app}` was not installed by `rsgen install`")).help(format!(
                "remove its file yourself, or mask it: ln -s /dev/null /etc/rsgen/{app}.toml"
            )),
        );
    }
    Ok(paths
        .into_iter()
        .map(|(path, old)| Change {
            path,
            old: Some(old),
            new: None,
        })
        .collect())
}
