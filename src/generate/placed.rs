//! Writes units into a folder that others may write to as well: no link that they plant is followed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::files::Unwritten;
use crate::plan::UnitSet;

const FOLDER: Mode = Mode::from_bits_truncate(0o755);
const FILE: Mode = Mode::from_bits_truncate(0o644);
const DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Writes a set of units below a folder, which is created if necessary.
///
/// # Errors
/// The first path that cannot be written.
pub fn place(dir: &Path, set: &UnitSet) -> Result<(), Unwritten> {
    let unwritten = |path: &Path, source| Unwritten {
        path: dir.join(path),
        source,
    };
    let opened = fs::create_dir_all(dir)
        .and_then(|()| Ok(open(dir, DIRECTORY, Mode::empty())?))
        .map_err(|source| Unwritten {
            path: dir.to_owned(),
            source,
        })?;
    for (path, text) in &set.files {
        put(&opened, path, |folder, name| fill(folder, name, text))
            .map_err(|e| unwritten(path, e))?;
    }
    for (path, target) in &set.links {
        let link = |folder: &OwnedFd, name: &str| Ok(symlinkat(target.as_path(), folder, name)?);
        put(&opened, path, link).map_err(|e| unwritten(path, e))?;
    }
    Ok(())
}

/// Creates something under a temporary name and moves it to the path below the folder, where it replaces any previous file.
fn put(
    dir: &OwnedFd,
    path: &Path,
    make: impl FnOnce(&OwnedFd, &str) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut folder = dir.try_clone()?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        folder = below(&folder, part)?;
    }
    let temporary = format!(".{}.rsgen-new", name.to_string_lossy());
    // Left by a command that was killed, or planted.
    let _ = unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    make(&folder, &temporary)?;
    let placed = renameat(&folder, temporary.as_str(), &folder, name);
    if placed.is_err() {
        let _ = unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    Ok(placed?)
}

fn fill(folder: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(folder, name, how, FILE)?);
    file.write_all(text.as_bytes())
}

/// Opens a folder below another, and creates the folder if there is none.
fn below(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    match mkdirat(dir, name, FOLDER) {
        Err(Errno::EEXIST) => {}
        made => made?,
    }
    openat(dir, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()).map_err(|e| match e {
        Errno::ENOTDIR | Errno::ELOOP => {
            let name = name.to_string_lossy();
            io::Error::other(format!("`{name}` is not a folder"))
        }
        e => e.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    const LINK: &str = "web.service.wants/web@0.service";

    fn set() -> UnitSet {
        let files = [(PathBuf::from("web.service"), "[Unit]\n".to_owned())];
        let links = [(PathBuf::from(LINK), PathBuf::from("../web@.service"))];
        UnitSet {
            files: files.into_iter().collect(),
            links: links.into_iter().collect(),
        }
    }

    #[test]
    fn a_folder_is_made_and_what_is_there_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("new/units");
        for _ in 0..2 {
            assert!(place(&dir, &set()).is_ok());
            fs::write(dir.join(".web.service.rsgen-new"), "left").unwrap();
        }
        let text = fs::read_to_string(dir.join("web.service")).unwrap();
        assert_eq!(text, "[Unit]\n");
        let target = fs::read_link(dir.join(LINK)).unwrap();
        assert_eq!(target, Path::new("../web@.service"));
    }

    #[test]
    fn a_planted_link_is_replaced_and_one_in_place_of_a_folder_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (dir, other) = (root.path().join("units"), root.path().join("other"));
        for folder in [&dir, &other] {
            fs::create_dir(folder).unwrap();
        }
        let victim = other.join("victim");
        fs::write(&victim, "mine").unwrap();
        for planted in ["web.service", ".web.service.rsgen-new"] {
            symlink(&victim, dir.join(planted)).unwrap();
        }
        let wants = dir.join("web.service.wants");
        symlink(&other, &wants).unwrap();
        let refused = format!(
            "{}: `web.service.wants` is not a folder",
            dir.join(LINK).display()
        );
        let fault = place(&dir, &set()).unwrap_err();
        assert_eq!(fault.to_string(), refused);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(
            fs::read_dir(&other).unwrap().count(),
            1,
            "nothing new is there"
        );
        let written = dir.join("web.service").symlink_metadata().unwrap();
        assert!(written.is_file(), "no link");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let root = tempfile::tempdir().unwrap();
        let taken = root.path().join("web.service");
        fs::create_dir(&taken).unwrap();
        let fault = place(root.path(), &set()).unwrap_err().to_string();
        assert!(fault.starts_with(&taken.display().to_string()), "{fault}");
        let left = fs::read_dir(root.path()).unwrap();
        assert_eq!(left.count(), 1, "no temporary file");
    }
}
