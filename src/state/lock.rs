//! The lock of a walk: nobody else can open it, for whoever can open a file can hold it, see flock(2).

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};

use super::Name;
use super::folder::{ATTEMPTS, Folder, OWN, is_ours, is_regular};

/// Held during a walk; it dies with its holder.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// What a file by the name of the lock is worth.
enum Found {
    /// It is the lock.
    Lock,
    /// It was one a moment ago.
    Gone,
    /// Somebody else may have it open.
    Shared,
}

impl Lock {
    /// Takes the lock in the folder of an app, or `None` when another walk of this app has it.
    ///
    /// A file that others could open, as older versions made it, is replaced, and whoever holds the old one holds
    /// nothing any more: another user, which is why, or a walk of the older version. Beside that one another may then
    /// begin, and so may two that replace the old file at the same moment. It takes a walk by hand, though: systemd
    /// runs one reload of a unit at a time, whatever the versions of its commands are. What follows is instances
    /// that are replaced twice, none that is lost.
    ///
    /// # Errors
    /// Those of the file system, and [`io::ErrorKind::PermissionDenied`] for who may not write there.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        let folder = Folder::make(folder)?;
        for _ in 0..ATTEMPTS {
            let how = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
            let file = match folder.open_as(&Name::Lock.to_string(), how) {
                Ok(file) => file,
                // A link, a folder, a socket; a FIFO opens.
                Err(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => {
                    folder.remove(&Name::Lock.to_string())?;
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            let stat = fstat(&file)?;
            match found(&stat) {
                Found::Lock => fchmod(&file, OWN)?,
                Found::Gone => continue,
                Found::Shared => {
                    folder.remove(&Name::Lock.to_string())?;
                    continue;
                }
            }
            match Flock::lock(File::from(file), FlockArg::LockExclusiveNonblock) {
                Ok(file)
                    if folder
                        .stat(&Name::Lock.to_string())
                        .is_ok_and(|now| is_same(&now, &stat)) =>
                {
                    return Ok(Some(Self { _file: file }));
                }
                // Replaced since it was opened.
                Ok(_) => {}
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, e)) => return Err(e.into()),
            }
        }
        Ok(None)
    }
}

fn found(stat: &FileStat) -> Found {
    let others = Mode::S_IRWXG | Mode::S_IRWXO;
    let is_shared = stat.st_mode & others.bits() != 0;
    if stat.st_nlink == 0 {
        Found::Gone
    } else if is_regular(stat) && is_ours(stat) && stat.st_nlink == 1 && !is_shared {
        Found::Lock
    } else {
        Found::Shared
    }
}

fn is_same(a: &FileStat, b: &FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}
