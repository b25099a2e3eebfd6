//! From an app to its units: which files and links, with which text. Pure.
//!
//! `install`, `generate` and the generator use the same renderer, so that they cannot disagree.

mod commands;
pub mod diff;
mod host;
mod render;
mod sandbox;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use host::{Host, status};
pub use render::instance_step;
pub use sandbox::directives as sandbox_directives;

use crate::ecosystem::App;
use crate::layout::{Layout, Scope};
use crate::unit::name::Units;

/// A set of unit files and links, by their path below a unit folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitSet {
    /// Path and text.
    pub files: BTreeMap<PathBuf, String>,
    /// Path and target.
    pub links: BTreeMap<PathBuf, PathBuf>,
}

/// The units of one app: the socket, the cluster unit, the template and a link for each instance; for an app that is watched, also the watch
/// unit and its link.
///
/// `source` becomes `SourcePath=` and has to exist on the host, or systemd warns at every command
/// that units changed on disk.
///
/// # Errors
/// When a template cannot be rendered.
pub fn units(
    app: &App,
    source: Option<&Path>,
    layout: &Layout,
    host: Host,
) -> Result<UnitSet, String> {
    let rendered = render::render(app, source, layout, host).map_err(|e| e.to_string())?;
    let names = Units::of(&app.name);
    let files = [
        (names.socket(), rendered.socket),
        (names.cluster(), rendered.cluster),
        (names.template(), rendered.template),
    ];
    let mut set = UnitSet {
        files: files.map(|(name, text)| (name.into(), text)).into(),
        links: BTreeMap::new(),
    };
    for number in 0..app.instances.resolve(host.cpus) {
        let (path, target) = instance_link(&app.name, number);
        set.links.insert(path, target);
    }
    if let Some(watch) = rendered.watch {
        set.files.insert(names.watch().into(), watch);
        let (path, target) = watch_link(&app.name);
        set.links.insert(path, target);
    }
    Ok(set)
}

/// The link by which the cluster unit wants an instance.
#[must_use]
pub fn instance_link(app: &str, number: u32) -> (PathBuf, PathBuf) {
    let names = Units::of(app);
    let path = wants_dir(app).join(names.instance(number));
    (path, Path::new("..").join(names.template()))
}

/// The link by which the cluster unit wants the watch unit.
#[must_use]
pub fn watch_link(app: &str) -> (PathBuf, PathBuf) {
    let watch = Units::of(app).watch();
    let path = wants_dir(app).join(&watch);
    (path, Path::new("..").join(watch))
}

/// The folder of those links.
#[must_use]
pub fn wants_dir(app: &str) -> PathBuf {
    Units::of(app).wants().into()
}

/// The links that start an app at boot: what `systemctl enable` would make of `[Install]`.
#[must_use]
pub fn enable_links(app: &str, scope: Scope) -> BTreeMap<PathBuf, PathBuf> {
    let wants = |target: &str, unit: String| {
        (
            Path::new(&format!("{target}.wants")).join(&unit),
            Path::new("..").join(unit),
        )
    };
    let names = Units::of(app);
    let sockets = names.sockets().into_iter();
    sockets
        .map(|socket| wants("sockets.target", socket))
        .chain([wants(boot_target(scope), names.cluster())])
        .collect()
}

fn boot_target(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "multi-user.target",
        Scope::User => "default.target",
    }
}
