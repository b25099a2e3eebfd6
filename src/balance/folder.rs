//! The folder of the maps and selectors of all apps, and the lock under which they are changed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{FsType, statfs};

use crate::sys::bpf;

/// `BPF_FS_MAGIC`, see statfs(2).
const BPF: FsType = FsType(0xcafe_4a11);

/// The folder below `/run/rsgen`, which only root may enter; as long as this value lives, no other process
/// changes its content.
pub(super) struct Folder {
    place: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Waits for the lock. `run` is `/run/rsgen`; no app has a name with a colon.
    ///
    /// # Errors
    /// The errors of the file system, and `PermissionDenied` for a folder that root does not own.
    pub(super) fn take(run: &Path) -> io::Result<Self> {
        make(run, 0o755)?;
        let place = run.join(":balance");
        make(&place, 0o700)?;
        let found = fs::symlink_metadata(&place)?;
        let own = nix::unistd::geteuid().as_raw();
        if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut file = File::open(&place)?;
        let lock = loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => break lock,
                Err((again, Errno::EINTR)) => file = again,
                Err((_, e)) => return Err(e.into()),
            }
        };
        Ok(Self { place, _lock: lock })
    }

    /// Mounts the file system for maps, if it is not mounted yet.
    ///
    /// # Errors
    /// The errors of mount(2).
    pub(super) fn mount(&self) -> io::Result<()> {
        let maps = self.maps();
        make(&maps, 0o700)?;
        if is_mounted(&maps)? {
            return Ok(());
        }
        bpf::mount(&maps)
    }

    /// The folder of an app's maps. The kernel reserves names with a dot in that file system, and no app has a name with a colon.
    pub(super) fn of(&self, app: &str) -> PathBuf {
        self.maps().join(app.replace('.', ":"))
    }

    fn maps(&self) -> PathBuf {
        self.place.join("maps")
    }
}

/// Makes a folder with this mode, whatever the umask. One that exists is left as it is.
fn make(folder: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(mode)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

fn is_mounted(maps: &Path) -> io::Result<bool> {
    Ok(statfs(maps)?.filesystem_type() == BPF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn programs_may_look_into_the_folder_of_all_apps_and_not_into_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("rsgen");
        let taken = Folder::take(&run).unwrap();
        let own = run.join(":balance");
        assert_eq!((mode(&run), mode(&own)), (0o755, 0o700));
        assert_eq!(taken.of("web"), own.join("maps/web"));
        assert_eq!(taken.of("shop.example"), own.join("maps/shop:example"));
        drop(taken);
        fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
        let refused = Folder::take(&run).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_lock_lasts_as_long_as_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let taken = Folder::take(folder.path()).unwrap();
        let own = File::open(folder.path().join(":balance")).unwrap();
        let (own, errno) = Flock::lock(own, FlockArg::LockExclusiveNonblock)
            .err()
            .unwrap();
        assert_eq!(errno, Errno::EWOULDBLOCK);
        drop(taken);
        assert!(Flock::lock(own, FlockArg::LockExclusiveNonblock).is_ok());
    }
}
