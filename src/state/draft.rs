//! The private copies of files that are being edited, below `/run/rsgen`. An editor opens them by their paths, and puts files of its own
//! beside them, so each copy has a folder that only its owner enters.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Lock;

/// How many copies of one file may exist at a time: those of edits that were not applied stay until the next boot.
const MOST: u32 = 1000;

/// A copy that is being edited. It stays when this value is dropped, because typed text must not get lost.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    earlier: Vec<PathBuf>,
    _lock: Lock,
}

impl Draft {
    /// Makes a copy with this text of the file of an app; `None` while another one is being edited. `run` is `/run/rsgen`.
    ///
    /// # Errors
    /// The errors of the file system, and [`io::ErrorKind::PermissionDenied`] for a user who may not write there.
    pub fn begin(run: &Path, app: &str, text: &str) -> io::Result<Option<Self>> {
        let above = above(run, app);
        // This creates the folder as well, or removes whatever others may have put there instead.
        let Some(lock) = Lock::take(&above)? else {
            return Ok(None);
        };
        let file = format!("{app}.toml");
        let mut earlier = Vec::new();
        for number in 1..=MOST {
            let folder = above.join(number.to_string());
            let path = folder.join(&file);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    earlier.extend(path.is_file().then_some(path));
                    continue;
                }
                Err(e) => return Err(e),
            }
            if let Err(e) = fill(&path, text) {
                let _ = fs::remove_dir_all(&folder);
                return Err(e);
            }
            return Ok(Some(Self {
                path,
                earlier,
                _lock: lock,
            }));
        }
        let fault = format!("there are already {MOST} copies in {}", above.display());
        Err(io::Error::other(fault))
    }

    /// The path for the editor.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The copies that earlier edits of this file have left.
    #[must_use]
    pub fn earlier(&self) -> &[PathBuf] {
        &self.earlier
    }

    /// The copies of the file of an app that edits have left.
    #[must_use]
    pub fn left(run: &Path, app: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(above(run, app));
        let folders = folders.into_iter().flatten().flatten();
        let copy = |folder: fs::DirEntry| folder.path().join(format!("{app}.toml"));
        let mut copies: Vec<PathBuf> = folders.map(copy).filter(|copy| copy.is_file()).collect();
        copies.sort();
        copies
    }

    /// Removes all copies of the file of an app that no longer exists, unless one is being edited, and returns the removed ones.
    #[must_use]
    pub fn forget(run: &Path, app: &str) -> Vec<PathBuf> {
        let above = above(run, app);
        // Usually nobody has edited the file since the boot.
        if above.symlink_metadata().is_err() {
            return Vec::new();
        }
        let Ok(Some(_lock)) = Lock::take(&above) else {
            return Vec::new();
        };
        let mut copies = Self::left(run, app);
        // A copy that stays is the owner's alone, and is gone with the next boot.
        let _ = fs::remove_dir_all(&above);
        copies.retain(|copy| copy.symlink_metadata().is_err());
        copies
    }

    /// Removes the copy, with all files that the editor has put beside it.
    pub fn discard(self) {
        // A copy that stays is the owner's alone, and is gone with the next boot.
        let _ = self.path.parent().map(fs::remove_dir_all);
    }
}

/// The folder of the copies of an app's file. No app has a name with a colon.
fn above(run: &Path, app: &str) -> PathBuf {
    run.join(format!(":edit:{app}"))
}

fn fill(path: &Path, text: &str) -> io::Result<()> {
    let mut how = OpenOptions::new();
    let mut file = how.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_is_its_owners_alone_and_stays_until_it_is_discarded() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("rsgen");
        let begin = || Draft::begin(&run, "web", "text\n").unwrap();
        let first = begin().unwrap();
        let path = first.path().to_owned();
        assert_eq!(path, run.join(":edit:web/1/web.toml"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "text\n");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(begin().is_none(), "one at a time");
        assert!(Draft::begin(&run, "api", "").unwrap().is_some());
        drop(first);

        let second = begin().unwrap();
        assert_eq!(second.earlier(), std::slice::from_ref(&path));
        assert_eq!(second.path(), run.join(":edit:web/2/web.toml"));
        fs::write(second.path().with_file_name(".web.toml.swp"), "").unwrap();
        second.discard();
        assert!(path.exists() && !run.join(":edit:web/2").exists());
        // A folder of ours does not correct the modes of these copies.
        let third = begin().unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(Draft::forget(&run, "web").is_empty());
        assert!(third.path().exists(), "it is being edited");
        third.discard();
        assert_eq!(Draft::left(&run, "web"), std::slice::from_ref(&path));
        assert_eq!(Draft::forget(&run, "web"), [path]);
        assert!(Draft::forget(&run, "web").is_empty() && Draft::left(&run, "web").is_empty());
        assert!(!run.join(":edit:web").exists() && run.join(":edit:api").exists());
    }

    #[test]
    fn what_others_have_planted_is_no_place_for_a_copy() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("rsgen");
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir_all(&run).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, run.join(":edit:web")).unwrap();
        Draft::begin(&run, "web", "text\n").unwrap().unwrap();
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}
