//! Files of units: which of them rsgen has written, and changing all of them or none.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::plan::diff::{Change, Content};
use crate::plan::{self};
use crate::state;
use crate::unit::name::Units;

/// The beginning of every unit that rsgen writes.
const MARK: &str = "# Written by rsgen for ";

/// The longest file that is read, far more than an app or a unit needs.
const LONGEST: u64 = 4 << 20;

/// The text of an ecosystem file or of a unit. Links are followed, but only a regular file is read: a command that looks at
/// all apps must not wait for a FIFO, or read a device.
///
/// # Errors
/// Those of the file system, and when the path is no regular file, or the file is too long.
pub fn read(path: &Path) -> io::Result<String> {
    text(open(path)?)
}

/// The first line of a regular file, as far as execve(2) reads it.
///
/// # Errors
/// Those of the file system, and when the path is no regular file.
pub fn first_line(path: &Path) -> io::Result<String> {
    let mut start = Vec::new();
    open(path)?.take(256).read_to_end(&mut start)?;
    let line = start.split(|byte| *byte == b'\n').next();
    Ok(String::from_utf8_lossy(line.unwrap_or_default()).into_owned())
}

/// Opens a regular file, without waiting for a FIFO and without an effect on a device.
///
/// # Errors
/// Those of the file system, and when the path is no regular file.
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

/// The text of an ecosystem file or a unit, wherever it comes from.
///
/// # Errors
/// Those of the file system, and when the text is too long or not UTF-8.
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

/// Whether a unit file was written by rsgen. Others are never touched.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    ours(path).is_some()
}

/// The text of a unit file that was written by rsgen.
#[must_use]
pub fn ours(path: &Path) -> Option<String> {
    read(path).ok().filter(|text| text.starts_with(MARK))
}

/// The files of a folder with this extension, sorted; none where there is no folder.
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

/// The pinned files of an app: its units, instance links and enablement, by absolute path.
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
    let (_, watch) = plan::watch_link(app);
    for path in list(&layout.units.join(plan::wants_dir(app)), "service") {
        // A link that an administrator has put into that folder stays.
        if fs::read_link(&path).is_ok_and(|target| target == template || target == watch) {
            insert(&mut found, path);
        }
    }
    for link in enablement(layout, app) {
        insert(&mut found, layout.units.join(link));
    }
    found
}

/// The links that may start an app at boot, by their path below the unit folder. The link of a timer
/// that rsgen has not written is left out.
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

/// The content of a path, if there is one that can be read.
#[must_use]
pub fn content(path: &Path) -> Option<Content> {
    match fs::read_link(path) {
        Ok(target) => Some(Content::Link(target)),
        Err(_) => read(path).ok().map(Content::File),
    }
}

/// Makes the changes, all or none.
///
/// # Errors
/// The path that could not be written; everything is then as it was.
pub fn apply(changes: &[Change]) -> Result<(), String> {
    for (done, change) in changes.iter().enumerate() {
        if let Err(e) = put(&change.path, change.new.as_ref()) {
            undo(changes.get(..done).unwrap_or_default());
            return Err(format!("{}: {e}", change.path.display()));
        }
    }
    Ok(())
}

/// Takes changes back, as far as that goes.
pub fn undo(changes: &[Change]) {
    for change in changes.iter().rev() {
        // The same files could be written a moment ago. Should one of them fail now, the others are still put back.
        let _ = put(&change.path, change.old.as_ref());
    }
}

fn put(path: &Path, content: Option<&Content>) -> io::Result<()> {
    match content {
        None => match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            result => {
                // Removes an `app.service.wants` that has become empty; remove_dir leaves any other alone.
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

/// Writes a file so that a reader, and a host that loses power, sees the old text or the new.
///
/// # Errors
/// Those of the file system.
pub fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let temporary = beside(path)?;
    let mut file = File::create(&temporary)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// A name in the same folder that systemd does not take for a unit.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(parent)?;
    Ok(parent.join(format!(".{}.rsgen-new", name.to_string_lossy())))
}

/// The user in the pinned units of an app.
#[must_use]
pub fn pinned_user(layout: &Layout, app: &str) -> Option<String> {
    let template = ours(&layout.units.join(Units::of(app).template()))?;
    let user = template.lines().find_map(|line| line.strip_prefix("User="));
    user.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: PathBuf, new: Option<&str>) -> Change {
        Change {
            old: content(&path),
            new: new.map(|text| Content::File(text.to_owned())),
            path,
        }
    }

    #[test]
    fn changes_that_cannot_all_be_made_leave_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("changed"), "old\n").unwrap();
        fs::write(path("removed"), "old\n").unwrap();
        // No file can be made below a file.
        let impossible = path("changed/below");
        let changes = [
            change(path("changed"), Some("new\n")),
            change(path("removed"), None),
            change(path("created"), Some("new\n")),
            change(impossible.clone(), Some("new\n")),
        ];
        let fault = apply(&changes).unwrap_err();
        assert!(
            fault.starts_with(&format!("{}: ", impossible.display())),
            "{fault}"
        );
        for kept in ["changed", "removed"] {
            assert_eq!(fs::read_to_string(path(kept)).unwrap(), "old\n", "{kept}");
        }
        let names = fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), 2, "nothing new is there");
    }

    #[test]
    fn what_is_gone_is_removed_already_and_what_cannot_be_removed_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let gone = change(folder.path().join("gone"), None);
        assert_eq!(apply(&[gone]), Ok(()));
        let stays = folder.path().join("folder");
        fs::create_dir(&stays).unwrap();
        let fault = apply(&[change(stays.clone(), None)]).unwrap_err();
        assert!(fault.starts_with(&stays.display().to_string()), "{fault}");
        assert!(stays.exists());
    }

    #[test]
    fn the_last_link_takes_its_folder_along_and_another_folder_stays() {
        let folder = tempfile::tempdir().unwrap();
        for (name, stays) in [("web.service.wants", false), ("units", true)] {
            let dir = folder.path().join(name);
            fs::create_dir(&dir).unwrap();
            for link in ["web@0.service", "web@1.service"] {
                std::os::unix::fs::symlink("../web@.service", dir.join(link)).unwrap();
            }
            apply(&[change(dir.join("web@0.service"), None)]).unwrap();
            assert!(dir.exists(), "{name} is not empty");
            apply(&[change(dir.join("web@1.service"), None)]).unwrap();
            assert_eq!(dir.exists(), stays, "{name}");
        }
    }

    #[test]
    fn a_link_of_the_administrators_is_no_instance_of_the_app() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        let wants = layout.units.join(plan::wants_dir("web"));
        fs::create_dir_all(&wants).unwrap();
        let (ours, template) = plan::instance_link("web", 0);
        std::os::unix::fs::symlink(template, layout.units.join(&ours)).unwrap();
        std::os::unix::fs::symlink("../other.service", wants.join("other.service")).unwrap();
        let found: Vec<PathBuf> = installed(&layout, "web").into_keys().collect();
        assert_eq!(found, [layout.units.join(ours)]);
    }
}
