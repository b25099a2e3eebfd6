//! Where the maps and the selectors of all apps are kept, and the lock under which they are changed.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{FsType, statfs};

use crate::sys::bpf;

/// `BPF_FS_MAGIC`, see statfs(2).
const BPF: FsType = FsType(0xcafe_4a11);

/// The folder below `/run/rsgen`, which only root may enter; as long as this value lives, no other process changes what is in
/// it.
pub(super) struct Folder {
    place: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Waits for the lock. `run` is `/run/rsgen`; no app has a name with a colon.
    ///
    /// # Errors
    /// Those of the file system, and `PermissionDenied` for a folder that is not root's.
    pub(super) fn take(run: &Path) -> io::Result<Self> {
        let place = run.join(":balance");
        let mut builder = DirBuilder::new();
        match builder.mode(0o700).recursive(true).create(&place) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
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
    /// Those of mount(2).
    pub(super) fn mount(&self) -> io::Result<()> {
        let maps = self.maps();
        match fs::create_dir(&maps) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        if is_mounted(&maps)? {
            return Ok(());
        }
        bpf::mount(&maps)
    }

    /// The folder of an app's maps.
    pub(super) fn of(&self, app: &str) -> PathBuf {
        self.maps().join(app)
    }

    fn maps(&self) -> PathBuf {
        self.place.join("maps")
    }
}

fn is_mounted(maps: &Path) -> io::Result<bool> {
    Ok(statfs(maps)?.filesystem_type() == BPF)
}
