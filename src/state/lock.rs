//! The lock of a walk. No other user may open the file, because every process that can open a file can hold its lock, see flock(2).

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};

use super::Name;
use super::folder::{ATTEMPTS, Folder, OWN, is_ours, is_regular};

/// The lock, held as long as this value lives; the kernel releases it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// The state of a file that has the name of the lock.
enum Found {
    /// The file is the lock.
    Lock,
    /// The file was removed or replaced since it was opened.
    Gone,
    /// Another user may have the file open.
    Shared,
}

impl Lock {
    /// Takes the lock in the folder of an app, or `None` when another walk of this app has it.
    ///
    /// A file that others could open, as older versions made it, is replaced. Otherwise any user could hold the lock and
    /// block every walk. Two walks may then run at once: one of the older version, which holds the replaced file, beside a
    /// new one, or two that replace the file at the same moment. Either needs a walk started by hand, because systemd runs
    /// one reload of a unit at a time, and then instances are replaced twice, but none is lost.
    ///
    /// # Errors
    /// The errors of the file system, and [`io::ErrorKind::PermissionDenied`] for a user who may not write there.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        let folder = Folder::make(folder)?;
        for _ in 0..ATTEMPTS {
            let how = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
            let file = match folder.open_as(&Name::Lock.to_string(), how) {
                Ok(file) => file,
                // A link, a folder or a socket. A FIFO can be opened, and is recognised below as not being a regular file.
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
                // The file was replaced between open and lock, so this lock protects nothing.
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
