//! The reach of an app's own settings: the user it runs as, and the files that root reads or opens for it.
//!
//! systemd opens these files as root, at each start and by their names. Any user who may write to one of the
//! folders on the way decides which file is found there.

mod directives;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::env_files;
use super::resolve::{Account, Ids, Probe};
use super::values::Place;
use super::way::{self, Spot};

/// Adds warnings about settings of an app of the system that give others control.
pub(super) fn warn(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    if !probe.is_system() {
        return;
    }
    env_files::warn(app, probe, faults);
    directives::warn(app, probe, faults);
    faults.extend(redirected_socket(app, probe));
}

/// Returns the user other than root who can make systemd create a socket elsewhere than at this path: systemd
/// creates the socket as root, replaces whatever file is there, and follows links that stand for folders.
#[must_use]
pub fn of_socket(path: &Path, probe: &dyn Probe) -> Option<String> {
    let folder = path.parent()?;
    let spot = way::weak_way(folder, &|path| probe.status(path))?;
    Some(spot.told(probe))
}

/// Why a user cannot have bound a socket to this path of the host. The program of that user may see other files there, for instance
/// with `PrivateTmp=` or `RootDirectory=`.
#[must_use]
pub fn of_another(path: &Path, user: &Ids, probe: &dyn Probe) -> Option<String> {
    let folder = path.parent()?;
    if way::is_writable(folder, user, &|path| probe.status(path)) == Some(false) {
        return Some(format!("that user may not write to `{}`", folder.display()));
    }
    let there = probe.status(path)?;
    let owner = probe.name(Account::User(there.owner));
    (there.owner != user.user).then(|| format!("the file that is there belongs to `{owner}`"))
}

/// The fault of a socket that systemd creates as root where others can redirect it. A folder of the app's own
/// user only causes a warning: the author of the file has chosen to trust that user.
fn redirected_socket(app: &App, probe: &dyn Probe) -> Option<Diagnostic> {
    let mut paths = app.listen.iter().filter_map(|listen| match &listen.place {
        Place::Path(path) => Some(path),
        Place::Port(_) | Place::Address(_) => None,
    });
    let (path, told) = paths
        .clone()
        .find_map(|path| Some((path, by_others(app, Path::new(path), probe)?)))
        .map(|(path, spot)| (path, Err(spot)))
        .or_else(|| paths.find_map(|path| Some((path, Ok(of_socket(Path::new(path), probe)?)))))?;
    let message = |told| format!("systemd makes the socket `{path}` as root, and {told}");
    let span = app.listen_span.clone();
    let name = Path::new(path).file_name()?.to_string_lossy();
    let below_run = format!("`/run/{}/{name}`", app.name);
    Some(match told {
        Ok(told) => Diagnostic::warning(span, message(told)).help(format!(
            "anybody who may write there can place a link and make root replace another file of that name; make the program listen below /run, as on {below_run}"
        )),
        Err(spot) => Diagnostic::error(span, message(spot.told(probe))).help(format!(
            "anybody who may write there can place a link and make root replace another file of that name; make the program listen on {below_run} and write that as `listen`, or let only root and the app's user write to `{}`",
            spot.path.display()
        )),
    })
}

/// The place from which a user other than root and the app's user can redirect a socket.
fn by_others(app: &App, path: &Path, probe: &dyn Probe) -> Option<Spot> {
    let user = app.user.as_deref().unwrap_or("root");
    let user = probe.ids(user, app.group.as_deref());
    let user = user.map_or(0, |ids| ids.user);
    let is_own = |group| user != 0 && probe.is_own_group(Account::User(user), group);
    let look = |path: &Path| probe.status(path);
    way::way_of_others(path.parent()?, user, &is_own, &look)
}

fn read_as_root(
    file: &Path,
    help: &str,
    span: &Range<usize>,
    probe: &dyn Probe,
) -> Option<Diagnostic> {
    let spot = weak_spot(file, probe)?;
    let message = format!(
        "`{}` is read by root at each start, and {}",
        file.display(),
        spot.told(probe)
    );
    Some(Diagnostic::warning(span.clone(), message).help(help))
}

fn weak_spot(path: &Path, probe: &dyn Probe) -> Option<Spot> {
    way::weak_spot(path, &|path| probe.status(path))
}
