//! From an app to its units: which files and links, with which text. Pure.
//!
//! `install`, `generate` and the generator use the same renderer, so that they cannot disagree.

mod commands;
pub mod diff;
mod header;
mod host;
mod render;
mod sandbox;
pub mod slots;
#[cfg(test)]
mod tests;
mod timer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use host::{Host, access_list, status};
pub use render::{Rehearsal, instance_step, pause};
pub use sandbox::directives as sandbox_directives;

use crate::ecosystem::App;
use crate::layout::{Layout, Scope};
use crate::unit::name::Units;

/// A unit whose template could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unrendered(#[from] askama::Error);

/// A set of unit files and links, by their paths relative to a unit folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitSet {
    /// The text of each file, by its path.
    pub files: BTreeMap<PathBuf, String>,
    /// The target of each link, by its path.
    pub links: BTreeMap<PathBuf, PathBuf>,
}

/// How the units of an app get to a host.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// The generator writes them at each boot and daemon-reload, from this file.
    Generated(&'a Path),
    /// `rsgen install` and `rsgen reload` write them, from this file.
    Pinned(&'a Path),
    /// A package contains them.
    Packaged,
}

impl<'a> Origin<'a> {
    /// Returns the value of `SourcePath=`. When that file changes, systemd recommends a daemon-reload, which updates
    /// only units that are generated.
    fn source(self) -> Option<&'a Path> {
        match self {
            Self::Generated(file) => Some(file),
            Self::Pinned(_) | Self::Packaged => None,
        }
    }

    /// Returns the file that a comment names.
    fn file(self) -> Option<&'a Path> {
        match self {
            Self::Pinned(file) => Some(file),
            Self::Generated(_) | Self::Packaged => None,
        }
    }
}

/// Returns the units of one app: the cluster unit, the template and a link for each instance; the socket if the program
/// listens, the timer if there is a schedule, the watch unit and its link if files are watched, and the units that replace
/// instances by themselves if a key asks for it.
///
/// The file of generated units has to exist on the host, because systemd would otherwise warn at every command that
/// units have changed on disk.
///
/// # Errors
/// When a template cannot be rendered.
pub fn units(
    app: &App,
    origin: Origin<'_>,
    layout: &Layout,
    host: Host,
) -> Result<UnitSet, Unrendered> {
    let rendered = render::render(app, origin, layout, host)?;
    let files = rendered.into_iter();
    let mut set = UnitSet {
        files: files.map(|(name, text)| (name.into(), text)).collect(),
        links: BTreeMap::new(),
    };
    // The instances of a job are started by the command of its unit.
    let wanted = if app.is_job() {
        0
    } else {
        app.instances.resolve(host.cpus)
    };
    for number in 0..wanted {
        let (path, target) = instance_link(&app.name, number);
        set.links.insert(path, target);
    }
    if !app.watched.watch.is_empty() {
        let (path, target) = wanted_link(&app.name, Units::of(&app.name).watch());
        set.links.insert(path, target);
    }
    if app.is_recycled() {
        let (path, target) = wanted_link(&app.name, Units::of(&app.name).recycle_timer());
        set.links.insert(path, target);
    }
    Ok(set)
}

/// Returns the unit in which a program is rehearsed: that of an instance without the parts that connect an
/// instance to its cluster.
///
/// # Errors
/// When the template cannot be rendered.
pub fn rehearsal(
    app: &App,
    layout: &Layout,
    host: Host,
    rehearsal: Rehearsal<'_>,
) -> Result<String, Unrendered> {
    Ok(render::rehearsal(app, layout, host, rehearsal)?)
}

/// Returns the link by which the cluster unit wants an instance.
#[must_use]
pub fn instance_link(app: &str, number: u32) -> (PathBuf, PathBuf) {
    let names = Units::of(app);
    let path = wants_dir(app).join(names.instance(number));
    (path, Path::new("..").join(names.template()))
}

/// Returns the links by which the cluster unit of an app may want units beside the instances.
#[must_use]
pub fn beside_links(app: &str) -> [(PathBuf, PathBuf); 2] {
    let units = Units::of(app);
    [units.watch(), units.recycle_timer()].map(|unit| wanted_link(app, unit))
}

/// Returns the link by which the cluster unit wants a unit beside the instances.
fn wanted_link(app: &str, unit: String) -> (PathBuf, PathBuf) {
    let path = wants_dir(app).join(&unit);
    (path, Path::new("..").join(unit))
}

/// Returns the folder of those links.
#[must_use]
pub fn wants_dir(app: &str) -> PathBuf {
    Units::of(app).wants().into()
}

/// Returns the links that start an app at boot, which are those that `systemctl enable` would make for `[Install]`.
#[must_use]
pub fn enable_links(app: &App, scope: Scope) -> BTreeMap<PathBuf, PathBuf> {
    let cluster = (!app.is_job()).then(|| Units::of(&app.name).cluster());
    links(app.sockets(), app.timer(), cluster, scope)
}

/// Returns such links for every unit that an app of this name may have.
#[must_use]
pub fn all_enable_links(app: &str, scope: Scope) -> BTreeMap<PathBuf, PathBuf> {
    let units = Units::of(app);
    let (timer, cluster) = (Some(units.timer()), Some(units.cluster()));
    links(units.sockets(), timer, cluster, scope)
}

/// Returns the link that starts the timer of an app at boot.
#[must_use]
pub fn timer_link(app: &str) -> (PathBuf, PathBuf) {
    enable_link("timers.target", Units::of(app).timer())
}

fn enable_link(target: &str, unit: String) -> (PathBuf, PathBuf) {
    (
        Path::new(&format!("{target}.wants")).join(&unit),
        Path::new("..").join(unit),
    )
}

fn links(
    sockets: Vec<String>,
    timer: Option<String>,
    cluster: Option<String>,
    scope: Scope,
) -> BTreeMap<PathBuf, PathBuf> {
    let sockets = sockets.into_iter().map(|unit| ("sockets.target", unit));
    let timers = timer.into_iter().map(|unit| ("timers.target", unit));
    let cluster = cluster.into_iter().map(|unit| (boot_target(scope), unit));
    let units = sockets.chain(timers).chain(cluster);
    units
        .map(|(target, unit)| enable_link(target, unit))
        .collect()
}

fn boot_target(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "multi-user.target",
        Scope::User => "default.target",
    }
}
