//! The files of units: recognises those that rsgen has written, and makes changes either completely or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::plan::diff::{Change, Content};
use crate::plan::{self};
use crate::state;
use crate::unit::name::Units;

/// The beginning of every unit that rsgen writes.
const MARK: &str = "# Written by rsgen for ";

/// The longest file that is read, in bytes, far more than an app or a unit needs.
const LONGEST: u64 = 4 << 20;

/// Reads an ecosystem file or a unit. Links are followed, but only a regular file is read: a command that looks at all
/// apps must not wait for a FIFO or read a device.
///
/// # Errors
/// The errors of the file system, and when the path is not a regular file or the file is too long.
pub fn read(path: &Path) -> io::Result<String> {
    text(open(path)?)
}

/// Reads the first line of a regular file, up to the length that execve(2) reads.
///
/// # Errors
/// The errors of the file system, and when the path is not a regular file.
pub fn first_line(path: &Path) -> io::Result<String> {
    let mut start = Vec::new();
    open(path)?.take(256).read_to_end(&mut start)?;
    let line = start.split(|byte| *byte == b'\n').next();
    Ok(String::from_utf8_lossy(line.unwrap_or_default()).into_owned())
}

/// Opens a regular file, without waiting for a FIFO and without an effect on a device.
///
/// # Errors
/// The errors of the file system, and when the path is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a device may already have an effect.
    is_regular(&fs::metadata(path)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    is_regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads the text of an ecosystem file or a unit from any source.
///
/// # Errors
/// The errors of the file system, and when the text is too long or not UTF-8.
pub fn text(file: impl io::Read) -> io::Result<String> {
    state::text(file, LONGEST)
}

fn is_regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let fault = "it is not a regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, fault))
}

/// Returns whether rsgen has written a unit file. Other files are never touched.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    ours(path).is_some()
}

/// Returns the text of a unit file that rsgen has written.
#[must_use]
pub fn ours(path: &Path) -> Option<String> {
    let mut file = open(path).ok()?;
    // A host has hundreds of other units.
    let mut start = [0; MARK.len()];
    file.read_exact(&mut start).ok()?;
    if start != MARK.as_bytes() {
        return None;
    }
    text(start.as_slice().chain(file)).ok()
}

/// Returns the files of a folder with this extension, sorted; empty if the folder does not exist.
#[must_use]
pub fn list(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    paths.sort();
    paths
}

/// Returns the pinned files of an app by absolute path: its units, the links to its instances and the links that enable
/// it.
#[must_use]
pub fn installed(layout: &Layout, app: &str) -> BTreeMap<PathBuf, Content> {
    let mut found = BTreeMap::new();
    for unit in Units::of(app).files() {
        let path = layout.units.join(unit);
        if is_ours(&path) {
            insert(&mut found, path);
        }
    }
    let (_, template) = plan::instance_link(app, 0);
    // A link that an administrator has put into that folder stays.
    let leads_to = |path: &Path, target: &Path| fs::read_link(path).is_ok_and(|to| to == target);
    for path in list(&layout.units.join(plan::wants_dir(app)), "service") {
        if leads_to(&path, &template) {
            insert(&mut found, path);
        }
    }
    for (link, target) in plan::beside_links(app) {
        let path = layout.units.join(link);
        if leads_to(&path, &target) {
            insert(&mut found, path);
        }
    }
    for link in enablement(layout, app) {
        insert(&mut found, layout.units.join(link));
    }
    found
}

/// Returns the links that may start an app at boot, by their paths relative to the unit folder. The link of a timer
/// that rsgen has not written is omitted.
#[must_use]
pub fn enablement(layout: &Layout, app: &str) -> Vec<PathBuf> {
    let timer = Units::of(app).timer();
    let is_ours = is_ours(&layout.units.join(&timer));
    let links = plan::all_enable_links(app, layout.scope).into_keys();
    links
        .filter(|link| is_ours || !link.ends_with(&timer))
        .collect()
}

fn insert(found: &mut BTreeMap<PathBuf, Content>, path: PathBuf) {
    if let Some(content) = content(&path) {
        found.insert(path, content);
    }
}

/// Returns the content of a path, if the path exists and can be read.
#[must_use]
pub fn content(path: &Path) -> Option<Content> {
    match fs::read_link(path) {
        Ok(target) => Some(Content::Link(target)),
        Err(_) => read(path).ok().map(Content::File),
    }
}

/// A path that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Unwritten {
    /// The path.
    pub path: PathBuf,
    /// The reason.
    pub source: io::Error,
}

/// Makes the changes, all or none.
///
/// # Errors
/// The first path that could not be written. Everything is then as it was before.
pub fn apply(changes: &[Change]) -> Result<(), Unwritten> {
    for (done, change) in changes.iter().enumerate() {
        if let Err(source) = put(&change.path, change.new.as_ref()) {
            undo(changes.get(..done).unwrap_or_default());
            let path = change.path.clone();
            return Err(Unwritten { path, source });
        }
    }
    Ok(())
}

/// Undoes changes as far as possible.
pub fn undo(changes: &[Change]) {
    for change in changes.iter().rev() {
        // These files were written a moment ago, so this should not fail. If one of them does, the others are still
        // restored.
        let _ = put(&change.path, change.old.as_ref());
    }
}

fn put(path: &Path, content: Option<&Content>) -> io::Result<()> {
    match content {
        None => match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            result => {
                // Removes `app.service.wants` if it has become empty; remove_dir leaves any other folder alone.
                let _ = path
                    .parent()
                    .filter(|p| p.extension().is_some_and(|e| e == "wants"))
                    .map(fs::remove_dir);
                result
            }
        },
        Some(Content::File(text)) => write_new(path, text),
        Some(Content::Link(target)) => {
            let temporary = beside(path)?;
            let _ = fs::remove_file(&temporary);
            std::os::unix::fs::symlink(target, &temporary)?;
            fs::rename(&temporary, path)
        }
    }
}

/// Writes a file in such a way that a reader, and a host that loses power, sees either the old or the new
/// text. A file that others could not read stays unreadable for them, and readable for its group.
///
/// # Errors
/// The errors of the file system.
pub fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let temporary = beside(path)?;
    let old = fs::symlink_metadata(path).ok().filter(Metadata::is_file);
    // A killed command may have left such a file, which another process may have open.
    let _ = fs::remove_file(&temporary);
    // With this mode from the beginning: a process that opens a file before its mode is restricted can read it afterwards.
    let mode = old.as_ref().map_or(0o666, |old| old.mode() & 0o666 | 0o600);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    let written = old
        .map_or(Ok(()), |old| keep_group(&old, &file))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// Gives a new file to the group of the one that it replaces. If that is not allowed, another group may do no more than
/// others. The owner is the writer: otherwise the previous owner could keep changing a file that root has written.
fn keep_group(old: &Metadata, file: &File) -> io::Result<()> {
    let new = file.metadata()?;
    if new.gid() == old.gid() || fchown(file, None, Some(old.gid())).is_ok() {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(closed_to_the_group(new.mode())))
}

/// Returns a mode in which the group may do no more than others.
fn closed_to_the_group(mode: u32) -> u32 {
    let others = mode & 0o007;
    mode & (0o7707 | others << 3)
}

/// Returns a path in the same folder that systemd does not take for a unit.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(parent)?;
    Ok(parent.join(format!(".{}.rsgen-new", name.to_string_lossy())))
}

/// Returns the user in the pinned units of an app.
#[must_use]
pub fn pinned_user(layout: &Layout, app: &str) -> Option<String> {
    let template = ours(&layout.units.join(Units::of(app).template()))?;
    let user = template.lines().find_map(|line| line.strip_prefix("User="));
    user.map(str::to_owned)
}

#[cfg(test)]
mod tests;
