//! The generator: fits the number of instances of every app to this machine, and writes the units of apps that are not pinned.
//!
//! systemd runs the generator at boot and at every daemon-reload, see systemd.generator(7), so it uses no bus and no threads,
//! and writes only below its output folder and `/run/rsgen`. systemd closes a listening socket for good when the socket's unit
//! is missing for a single daemon-reload. A fault therefore never takes units away: for a file that no longer parses, or is
//! gone, the last text that parsed is used.

pub mod files;
mod placed;
pub mod sources;
mod version;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ecosystem::values::Instances;
use crate::ecosystem::{App, Report};
use crate::layout::Layout;
use crate::plan::{self, Host, Origin, UnitSet};
use crate::state::{Entry, Folder, Name};
use crate::unit::name::{self, Member, Units};
pub use placed::place;
use sources::Source;

/// The reason why the units of an app were not generated.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{}", sources::one_line(.0))]
    Invalid(Report),
    #[error("the name is taken by {}", .0.display())]
    Taken(PathBuf),
    #[error(transparent)]
    Unrendered(#[from] plan::Unrendered),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Generates into `out`, the first of the three folders that systemd passes. Returns the problems, one line each. A
/// fault in one app does not affect the units of the others.
#[must_use]
pub fn run(layout: &Layout, out: &Path, host: Host) -> Vec<String> {
    let mut problems = Vec::new();
    // This comes first, because nothing in that folder may be treated as an app before its owners and modes are right.
    if let Err(e) = Folder::mend_all(&layout.run) {
        problems.push(format!("{}: {e}", layout.run.display()));
    }
    let pinned = pinned_apps(layout);
    for (app, instances) in pinned.iter().filter(|(app, _)| !is_pinned_job(layout, app)) {
        if let Err(e) = size(layout, out, app, instances.resolve(host.cpus)) {
            problems.push(format!("{app}: the number of instances cannot be set: {e}"));
        }
    }
    let (sources, faults) = sources::all(layout);
    problems.extend(faults);
    for source in &sources {
        if !pinned.contains_key(&source.app)
            && let Err(e) = generate(layout, out, source, host, &mut problems)
        {
            problems.push(format!("{}: {e}", source.path.display()));
        }
    }
    for app in forgotten(layout, &sources) {
        let path = good(layout, &app).path();
        let source = Source { app, path };
        if !pinned.contains_key(&source.app)
            && let Err(e) = generate(layout, out, &source, host, &mut problems)
        {
            problems.push(format!("{}: {e}", source.path.display()));
        }
    }
    problems
}

/// Returns the pinned apps, whose units are ordinary files, each with the number of instances that it was installed
/// with. A unit counts only for the app to whose cluster unit it belongs by name.
#[must_use]
pub fn pinned_apps(layout: &Layout) -> BTreeMap<String, Instances> {
    let mut apps = BTreeMap::new();
    for dir in std::iter::once(&layout.units).chain(&layout.vendor_units) {
        let paths = files::list(dir, "service");
        // Packages install hundreds of units, and only few of them have a template of the same name. In the
        // other folder, a killed command may have left only the cluster unit.
        let has_template = |path: &PathBuf| {
            let unit = path.file_name().and_then(|name| name.to_str());
            let Some((app, Member::Cluster)) = unit.and_then(name::parse) else {
                return false;
            };
            let template = dir.join(Units::of(app).template());
            paths.binary_search(&template).is_ok()
        };
        let may_be_ours = |path: &&PathBuf| *dir == layout.units || has_template(path);
        for path in paths.iter().filter(may_be_ours) {
            let Some((app, instances)) = files::ours(path).as_deref().and_then(marked) else {
                continue;
            };
            if path.ends_with(Units::of(&app).cluster()) {
                apps.entry(app).or_insert(instances);
            }
        }
    }
    apps
}

/// Returns the number of instances that an app was installed with, if its units are ordinary files.
#[must_use]
pub fn pinned(layout: &Layout, app: &str) -> Option<Instances> {
    let unit = Units::of(app).cluster();
    let mut folders = std::iter::once(&layout.units).chain(&layout.vendor_units);
    folders.find_map(|dir| {
        let (marked, instances) = marked(&files::ours(&dir.join(&unit))?)?;
        (marked == app).then_some(instances)
    })
}

/// Reads the app and its number of instances from `[X-rsgen]` of a cluster unit. Links are named after the app, so only
/// a name that an app can have is accepted.
#[must_use]
pub fn marked(text: &str) -> Option<(String, Instances)> {
    let section = text.split_once("\n[X-rsgen]\n")?.1;
    let value = |key: &str| {
        let mut lines = section.lines().take_while(|l| !l.starts_with('['));
        lines.find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
    };
    let app = value("App").filter(|app| name::check(app).is_ok())?;
    Some((app.to_owned(), value("Instances")?.parse().ok()?))
}

/// Returns whether the pinned units of an app are those of a job.
#[must_use]
pub fn is_pinned_job(layout: &Layout, app: &str) -> bool {
    pinned_cluster(layout, app).is_some_and(|text| is_job(&text))
}

/// Returns the text of the pinned cluster unit of an app.
fn pinned_cluster(layout: &Layout, app: &str) -> Option<String> {
    let unit = Units::of(app).cluster();
    let mut folders = std::iter::once(&layout.units).chain(&layout.vendor_units);
    folders.find_map(|dir| files::ours(&dir.join(&unit)))
}

/// Returns whether an app is a job, by its pinned units or else by the file that its units are generated from.
#[must_use]
pub fn is_known_job(layout: &Layout, app: &str) -> bool {
    if let Some(text) = pinned_cluster(layout, app) {
        return is_job(&text);
    }
    let loaded = sources::find(layout, app).and_then(|s| sources::load(layout, &s).ok());
    loaded.is_some_and(|(_, app)| app.is_job())
}

/// Returns whether a cluster unit is that of a job.
#[must_use]
pub fn is_job(cluster_unit: &str) -> bool {
    let section = cluster_unit.split_once("\n[X-rsgen]\n");
    section.is_some_and(|(_, section)| section.lines().any(|line| line == "Job=yes"))
}

/// Adds the links that this host needs in addition to the pinned ones.
fn size(layout: &Layout, out: &Path, app: &str, number: u32) -> io::Result<()> {
    for i in 0..number {
        let (path, target) = plan::instance_link(app, i);
        let is_pinned = std::iter::once(&layout.units)
            .chain(&layout.vendor_units)
            .any(|dir| dir.join(&path).symlink_metadata().is_ok());
        if !is_pinned {
            link(&out.join(path), &target)?;
        }
    }
    Ok(())
}

fn generate(
    layout: &Layout,
    out: &Path,
    source: &Source,
    host: Host,
    problems: &mut Vec<String>,
) -> Result<(), Fault> {
    let good = good(layout, &source.app);
    let is_good = source.path == good.path();
    let loaded = if is_good {
        sources::load_text(layout, source, good.read()?)
    } else {
        sources::load(layout, source)
    };
    let (text, app) = match loaded {
        Ok(loaded) => loaded,
        Err(fault) => {
            let Ok(loaded) = last_good(layout, &source.app) else {
                return Err(Fault::Invalid(fault));
            };
            problems.push(format!(
                "{}; its units are generated from the last valid text",
                sources::one_line(&fault)
            ));
            loaded
        }
    };
    if let Some(foreign) = foreign_unit(layout, &app) {
        return Err(Fault::Taken(foreign));
    }
    let set = plan::units(&app, Origin::Generated(&source.path), layout, host)?;
    write(out, &set)?;
    let enabled = UnitSet {
        links: plan::enable_links(&app, layout.scope),
        ..UnitSet::default()
    };
    write(out, &enabled)?;
    if good.read().ok().as_ref() != Some(&text) {
        // Without this copy, the app would lose its units at the next fault. That is worth a message but is
        // not a failure.
        if let Err(e) = good.write(&text) {
            problems.push(format!("{}: {e}", good.path().display()));
        }
    }
    Ok(())
}

/// Returns the copy of the last text of an app that parsed, in the app's state folder.
fn good(layout: &Layout, app: &str) -> Entry {
    Entry::new(&layout.state(app), Name::Good)
}

fn last_good(layout: &Layout, app: &str) -> Result<(String, App), Fault> {
    // An older version may have left the folder with an owner or a mode that cannot be trusted.
    let _ = Folder::mend(&layout.state(app));
    let good = good(layout, app);
    let source = Source {
        app: app.to_owned(),
        path: good.path(),
    };
    sources::load_plain(layout, &source, good.read()?).map_err(Fault::Invalid)
}

/// Returns a unit that has one of the app's names and was not written by rsgen.
#[must_use]
pub fn foreign_unit(layout: &Layout, app: &App) -> Option<PathBuf> {
    let units = Units::of(&app.name);
    let mut names = units.files();
    // An app without a schedule does not touch a timer of that name.
    names.retain(|name| app.timer().is_some() || *name != units.timer());
    std::iter::once(&layout.units)
        .chain(&layout.vendor_units)
        .flat_map(|dir| names.iter().map(move |n| dir.join(n)))
        .find(|path| path.symlink_metadata().is_ok() && !files::is_ours(path))
}

/// Returns the apps that ran since boot and whose file is gone, since removing the file does not stop running
/// instances. A masked app is omitted, because an administrator has masked it on purpose.
fn forgotten(layout: &Layout, sources: &[Source]) -> Vec<String> {
    let known = |app: &str| sources.iter().any(|s| s.app == app) || sources::is_masked(layout, app);
    let Ok(entries) = fs::read_dir(&layout.run) else {
        return Vec::new();
    };
    let mut apps: Vec<String> = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|app| !known(app) && name::check(app).is_ok() && !app.ends_with(".toml.d"))
        .filter(|app| good(layout, app).path().symlink_metadata().is_ok())
        .filter(|app| Folder::mend(&layout.state(app)).is_ok() && good(layout, app).open().is_ok())
        .collect();
    apps.sort();
    apps
}

/// Writes a set of units below a folder that nobody else may write to, as the one that systemd passes to a generator.
///
/// # Errors
/// The first path that cannot be written.
fn write(dir: &Path, set: &UnitSet) -> io::Result<()> {
    for (path, text) in &set.files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, text)?;
    }
    for (path, target) in &set.links {
        link(&dir.join(path), target)?;
    }
    Ok(())
}

fn link(path: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match std::os::unix::fs::symlink(target, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_what_can_be_an_app_in_its_own_section() {
        let marked = |lines: &str| marked(&format!("[Service]\n\n[X-rsgen]\n{lines}"));
        let web = Some(("web".to_owned(), Instances::Exactly(4)));
        assert_eq!(marked("App=web\nInstances=4\n"), web);
        assert_eq!(marked("App=web\n[Other]\nInstances=4\n"), None);
        for app in ["", "../../web", "/etc/web", "a b"] {
            assert_eq!(marked(&format!("App={app}\nInstances=4\n")), None, "{app}");
        }
    }

    #[test]
    fn a_link_that_cannot_be_made_is_an_error_and_one_that_is_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let links = [(PathBuf::from(path), PathBuf::from("../web@.service"))];
            let set = UnitSet {
                links: links.into_iter().collect(),
                ..UnitSet::default()
            };
            write(folder.path(), &set).map_err(|e| e.kind())
        };
        let path = "web.service.wants/web@0.service";
        assert_eq!([write(path), write(path)], [Ok(()), Ok(())]);
        let longer_than_a_name = "x".repeat(300);
        let refused = Err(io::ErrorKind::InvalidFilename);
        assert_eq!(write(&longer_than_a_name), refused);
    }
}
