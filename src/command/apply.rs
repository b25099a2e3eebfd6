//! From apps that are meant to files on the host: what would change, and changing it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::context::Context;
use super::limits;
use super::selection::Selected;
use crate::ecosystem::App;
use crate::generate::sources::{self, Source};
use crate::generate::{self, files};
use crate::layout::Layout;
use crate::output::{Exit, Failure};
use crate::plan::diff::{self, Change, Content};
use crate::plan::{self, Host};
use crate::unit::name::Units;

/// What becomes of one app.
pub(super) struct Prepared {
    pub(super) app: App,
    pub(super) changes: Vec<Change>,
    /// Its addresses before and after, where they differ: a socket cannot change them while it listens.
    pub(super) readdressed: Option<(String, String)>,
}

/// A change as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct JsonChange {
    action: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

impl JsonChange {
    pub(super) fn new(change: &Change, diff: bool) -> Self {
        Self {
            action: change.verb(),
            path: change.path.display().to_string(),
            diff: diff.then(|| change.unified()),
        }
    }
}

/// The installed file of an app: the first folder is the administrator's.
pub(super) fn app_file(layout: &Layout, app: &str) -> PathBuf {
    layout
        .apps
        .first()
        .map(|d| d.join(format!("{app}.toml")))
        .unwrap_or_default()
}

/// What installing an app would change.
pub(super) fn prepare(
    layout: &Layout,
    host: Host,
    selected: Selected,
) -> Result<Prepared, Failure> {
    let Selected { app, pinned } = selected;
    let path = app_file(layout, &app.name);
    let source = Source {
        app: app.name,
        path,
    };
    // A reload and the next boot read the file so: its units are to be the same from the beginning.
    let (_, app, _) =
        sources::with_drop_ins(layout, &source, pinned.clone()).map_err(Failure::invalid)?;
    let source = source.path;
    if let Some(limit) = limits::of(layout, &app.name).into_iter().next() {
        return Err(Failure::failed(limit.message).help(limit.help));
    }
    let mut prepared = prepare_units(layout, host, app, &source)?;
    for (link, target) in plan::enable_links(&prepared.app.name, layout.scope) {
        let path = layout.units.join(link);
        let old = files::content(&path);
        let new = Some(Content::Link(target));
        if old != new {
            prepared.changes.push(Change { path, old, new });
        }
    }
    let old = files::content(&source);
    let new = Some(Content::File(pinned));
    if old != new {
        prepared.changes.insert(
            0,
            Change {
                path: source,
                old,
                new,
            },
        );
    }
    Ok(prepared)
}

/// What would change in the pinned units of an app, its enablement left as it is.
pub(super) fn prepare_units(
    layout: &Layout,
    host: Host,
    app: App,
    source: &std::path::Path,
) -> Result<Prepared, Failure> {
    if let Some(foreign) = generate::foreign_unit(layout, &app.name) {
        return Err(Failure::failed(format!(
            "`{}` cannot be installed: {} is there and not of rsgen's making",
            app.name,
            foreign.display()
        ))
        .help("choose another `name`"));
    }
    let set = plan::units(&app, Some(source), layout, host).map_err(Failure::failed)?;
    let under = |path: PathBuf| layout.units.join(path);
    let files = set
        .files
        .into_iter()
        .map(|(p, t)| (under(p), Content::File(t)));
    let links = set
        .links
        .into_iter()
        .map(|(p, t)| (under(p), Content::Link(t)));
    let new: BTreeMap<PathBuf, Content> = files.chain(links).collect();
    let mut old = files::installed(layout, &app.name);
    for link in plan::enable_links(&app.name, layout.scope).into_keys() {
        old.remove(&layout.units.join(link));
    }
    let readdressed = readdressed(layout, &app, &old, &new);
    let changes = diff::changes(&old, &new);
    Ok(Prepared {
        app,
        changes,
        readdressed,
    })
}

fn readdressed(
    layout: &Layout,
    app: &App,
    old: &BTreeMap<PathBuf, Content>,
    new: &BTreeMap<PathBuf, Content>,
) -> Option<(String, String)> {
    let sockets = Units::of(&app.name).sockets();
    let paths: Vec<PathBuf> = sockets.iter().map(|s| layout.units.join(s)).collect();
    let (old, new) = (addresses(&paths, old), addresses(&paths, new));
    // Without a socket unit there is nothing to move.
    if old.is_empty() || new.is_empty() || old == new {
        return None;
    }
    let show = |lines: &[&str]| {
        let addresses = lines.iter().filter_map(|l| l.split_once('='));
        addresses.map(|(_, a)| a).collect::<Vec<_>>().join(", ")
    };
    Some((show(&old), show(&new)))
}

/// The listening addresses of these socket units, as their files have them.
fn addresses<'a>(sockets: &[PathBuf], units: &'a BTreeMap<PathBuf, Content>) -> Vec<&'a str> {
    let texts = sockets.iter().filter_map(|path| match units.get(path) {
        Some(Content::File(text)) => Some(text),
        _ => None,
    });
    texts.flat_map(|text| diff::addresses(text)).collect()
}

/// Shows the changes: a line for each file, or with `diff` the text.
pub(super) fn show(context: &Context, prepared: &[Prepared], diff: bool) {
    for change in prepared.iter().flat_map(|p| &p.changes) {
        if diff {
            context.printer.line(change.shown());
        } else if context.printer.verbose
            || change
                .path
                .parent()
                .is_none_or(|d| d.extension().is_none_or(|e| e != "wants"))
        {
            context
                .printer
                .progress(format!("{} {}", change.verb(), change.path.display()));
        }
    }
}

/// Writes the changes of all apps, all or none, and has systemd read them.
pub(super) fn write(context: &mut Context, prepared: &[Prepared]) -> Result<(), Failure> {
    let changes: Vec<Change> = prepared
        .iter()
        .flat_map(|p| p.changes.iter().cloned())
        .collect();
    files::apply(&changes).map_err(|e| {
        Failure::new(Exit::Failed, format!("nothing was changed, because of {e}"))
            .help("see that the file system is writable and not full")
    })?;
    if let Err(e) = context.manager()?.daemon_reload() {
        files::undo(&changes);
        return Err(e.into());
    }
    Ok(())
}

/// Puts back what [`write`] changed of one app, so that what still runs also restarts as it was.
pub(super) fn roll_back(context: &mut Context, prepared: &Prepared) -> Result<(), Failure> {
    files::undo(&prepared.changes);
    context.manager()?.daemon_reload()?;
    Ok(())
}
