//! A folder below `/run/rsgen`, held by a descriptor, so that every operation reaches the folder whose owner
//! and mode were checked, even if the path leads elsewhere by then.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::Name;

/// The mode of folders, as in units/rsgen.conf.
const FOLDER: Mode = Mode::from_bits_truncate(0o755);
/// The mode of files: everybody may read them.
const FILE: Mode = Mode::from_bits_truncate(0o644);
/// The mode of files that only the owner may open.
pub(super) const OWN: Mode = Mode::from_bits_truncate(0o600);
/// The mode of a socket to which everybody may connect.
const ALL: Mode = Mode::from_bits_truncate(0o666);
/// The bits of a mode that let users other than the owner write.
const OTHERS_WRITE: u32 = 0o022;
/// How often a change is retried: another process may be removing the same planted file at the same time.
pub(super) const ATTEMPTS: u32 = 8;
/// The age at which the writer of a temporary file must have been killed: no writer takes this long to rename its file.
const ABANDONED: Duration = Duration::from_mins(1);

/// Distinguishes the temporary names of this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The folder of an app, or the one for the [`Notice`](super::Notice)s to its programs.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder for writing, and creates it if there is none. Owner and mode of the folder, of
    /// everything in it, and of the folder above are corrected.
    ///
    /// # Errors
    /// The errors of the file system, and [`io::ErrorKind::PermissionDenied`] for a folder like /tmp, which everybody may write.
    pub fn make(path: &Path) -> io::Result<Self> {
        Self::to_write(path, true)
    }

    /// As [`Folder::make`], but only if there is a folder.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    pub fn mend(path: &Path) -> io::Result<Self> {
        Self::to_write(path, false)
    }

    /// Corrects the folder of all apps, if there is one. `path` is `/run/rsgen`.
    ///
    /// # Errors
    /// As [`Folder::make`].
    pub fn mend_all(path: &Path) -> io::Result<()> {
        let (run, name) = path
            .parent()
            .zip(path.file_name())
            .ok_or(io::ErrorKind::InvalidInput)?;
        match open_dir(run).and_then(|run| upper(&run, name, false)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn to_write(path: &Path, is_made: bool) -> io::Result<Self> {
        let (run, above, name) = parts(path)?;
        let above = upper(&run, above, is_made)?;
        let folder = own_folder(&above, name, is_made)?;
        sweep(&folder.fd);
        Ok(Self(folder.fd))
    }

    /// Opens the folder for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] also for a folder that others could write.
    pub fn look(path: &Path) -> io::Result<Self> {
        let (run, above, name) = parts(path)?;
        let look = |dir: &OwnedFd, name: &OsStr| {
            let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let fd = openat(dir, name, how, Mode::empty())?;
            if is_trusted(&fstat(&fd)?) {
                Ok(fd)
            } else {
                Err(foreign())
            }
        };
        Ok(Self(look(&look(&run, above)?, name)?))
    }

    /// Removes the folder of an app with everything in it.
    ///
    /// # Errors
    /// The errors of the file system; a missing folder is not an error.
    pub fn discard(path: &Path) -> io::Result<()> {
        let (run, above, name) = parts(path)?;
        match upper(&run, above, false) {
            Ok(above) => displace(&above, name),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] also for a link, a FIFO, or a file that others may have written.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let how = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = match self.open_as(name, how) {
            Err(Errno::ELOOP | Errno::ENXIO) => return Err(foreign()),
            fd => fd?,
        };
        let stat = fstat(&fd)?;
        // No link is left of a file that was replaced a moment ago. More than one may be a hard link that somebody planted.
        if is_regular(&stat) && is_trusted(&stat) && stat.st_nlink <= 1 {
            Ok(fd.into())
        } else {
            Err(foreign())
        }
    }

    pub(super) fn open_as(&self, name: &str, how: OFlag) -> nix::Result<OwnedFd> {
        openat(&self.0, name, how | OFlag::O_CLOEXEC, OWN)
    }

    /// Writes a file of this name, replaces whatever has the name, and returns the file, open for more.
    ///
    /// The text is written under a temporary name first: rename(2) replaces a link or a FIFO instead of following it, and a
    /// reader never sees half a file.
    ///
    /// # Errors
    /// The errors of the file system; then nothing has changed.
    pub fn put(&self, name: &str, text: &str) -> io::Result<File> {
        let temporary = temporary(name);
        let placed = self.fill(&temporary, text).and_then(|file| {
            let name = OsStr::new(name);
            match renameat(&self.0, temporary.as_str(), &self.0, name) {
                Err(Errno::EISDIR) => {
                    displace(&self.0, name)?;
                    renameat(&self.0, temporary.as_str(), &self.0, name)?;
                }
                renamed => renamed?,
            }
            Ok(file)
        });
        if placed.is_err() {
            let _ = unlinkat(&self.0, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        placed
    }

    fn fill(&self, name: &str, text: &str) -> io::Result<File> {
        // Left by a process that had the PID of this one and was killed.
        displace(&self.0, OsStr::new(name))?;
        let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let fd = openat(&self.0, name, how | OFlag::O_CLOEXEC, FILE)?;
        set_mode(&fd, &fstat(&fd)?, FILE)?;
        let mut file = File::from(fd);
        file.write_all(text.as_bytes())?;
        Ok(file)
    }

    /// Removes whatever has this name.
    ///
    /// # Errors
    /// The errors of the file system; an unused name is not an error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        displace(&self.0, OsStr::new(name))
    }

    /// The names of everything in the folder.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let names = names(&self.0)?.into_iter();
        Ok(names.filter_map(|name| name.into_string().ok()).collect())
    }

    /// A path into exactly this folder, for calls that take no descriptor. The path is valid as long as this value lives.
    #[must_use]
    pub fn path_of(&self, name: Name) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }

    /// Sets who may connect to the socket of this name, which is not a link: everybody, or only its owner.
    ///
    /// # Errors
    /// The errors of chmod(2).
    pub fn open_to(&self, name: Name, everybody: bool) -> io::Result<()> {
        let mode = if everybody { ALL } else { OWN };
        let follow = FchmodatFlags::FollowSymlink;
        Ok(fchmodat(&self.0, name.to_string().as_str(), mode, follow)?)
    }

    pub(super) fn stat(&self, name: &str) -> nix::Result<FileStat> {
        fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }
}

/// Splits `/run/rsgen/APP`: `/run`, which is trusted and opened as it is, and the two names below it.
fn parts(path: &Path) -> io::Result<(OwnedFd, &OsStr, &OsStr)> {
    let above = path.parent();
    let names = above.and_then(Path::file_name).zip(path.file_name());
    let (above, (upper, name)) = above.zip(names).ok_or(io::ErrorKind::InvalidInput)?;
    let run = open_dir(above.parent().unwrap_or(Path::new("")))?;
    Ok((run, upper, name))
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let is_here = path.as_os_str().is_empty();
    let path = if is_here { Path::new(".") } else { path };
    Ok(open(path, how, Mode::empty())?)
}

/// Opens the folder of all apps for writing.
fn upper(run: &OwnedFd, name: &OsStr, is_made: bool) -> io::Result<OwnedFd> {
    let opened = own_folder(run, name, is_made)?;
    // Another user's files are removed only if others could write here: a file that root has given away stays.
    if opened.was_open {
        for name in names(&opened.fd)? {
            let stat = fstatat(&opened.fd, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|stat| !is_ours(&stat)) {
                displace(&opened.fd, OsStr::from_bytes(name.to_bytes()))?;
            }
        }
    }
    Ok(opened.fd)
}

struct Opened {
    fd: OwnedFd,
    /// Whether others could write to the folder until now.
    was_open: bool,
}

/// Opens a folder that is ours and that nobody else may write to; anything else of that name is replaced by one.
fn own_folder(dir: &OwnedFd, name: &OsStr, is_made: bool) -> io::Result<Opened> {
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for _ in 0..ATTEMPTS {
        match openat(dir, name, how, Mode::empty()) {
            Ok(fd) => {
                let stat = fstat(&fd)?;
                if is_ours(&stat) {
                    return put_right(fd, &stat);
                }
            }
            Err(Errno::ENOENT) if is_made => {
                match mkdirat(dir, name, FOLDER) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(e) => return Err(e.into()),
                }
                continue;
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(e) => return Err(e.into()),
        }
        displace(dir, name)?;
    }
    Err(Errno::EBUSY.into())
}

fn put_right(fd: OwnedFd, stat: &FileStat) -> io::Result<Opened> {
    // A folder with the sticky bit, like /tmp, is meant for everybody. It is not one of ours, so its mode stays.
    if stat.st_mode & Mode::S_ISVTX.bits() != 0 {
        let fault = "everybody may write to the state folder";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, fault));
    }
    set_mode(&fd, stat, FOLDER)?;
    Ok(Opened {
        fd,
        was_open: stat.st_mode & OTHERS_WRITE != 0,
    })
}

fn set_mode(fd: &impl AsFd, stat: &FileStat, mode: Mode) -> io::Result<()> {
    if stat.st_mode & 0o7777 != mode.bits() {
        fchmod(fd, mode)?;
    }
    Ok(())
}

/// Removes from one of our folders what others may have written, and corrects the modes of the rest. An error is ignored:
/// readers do not open what could not be removed, and a writer of that name reports the error.
fn sweep(dir: &OwnedFd) {
    for name in names(dir).unwrap_or_default() {
        let Ok(stat) = fstatat(dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
            continue;
        };
        let bytes = name.to_bytes();
        // `Lock::take` decides whether a lock is replaced: a walk may hold this one.
        let is_lock = bytes == Name::Lock.to_string().as_bytes() && is_ours(&stat);
        let is_abandoned = is_temporary(bytes) && age(&stat) > ABANDONED;
        if is_abandoned || !is_lock && !is_sound(&stat) {
            let _ = displace(dir, OsStr::from_bytes(bytes));
        } else if !is_lock && is_regular(&stat) && stat.st_mode & 0o7777 != FILE.bits() {
            // Removing by name is safe: nobody else could have put another file there since, because the folder is ours by now.
            let _ = fchmodat(dir, name.as_c_str(), FILE, FchmodatFlags::FollowSymlink);
        }
    }
}

fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut open = Dir::openat(dir, ".", how, Mode::empty())?;
    let names = open.iter().flatten().map(|e| e.file_name().to_owned());
    Ok(names
        .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
        .collect())
}

/// Frees a name: removes whatever has it. A folder is renamed before it is emptied, so that the name is free
/// even if the folder's owner keeps filling it.
pub(super) fn displace(dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        // Another user's file stays, even if a capability would allow removing it: a unit may have given a
        // capability to a program of an ordinary user.
        Ok(stat) if !geteuid().is_root() && !is_ours(&stat) => return Err(Errno::EACCES.into()),
        Ok(_) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(e) => return Err(e.into()),
    }
    for _ in 0..ATTEMPTS {
        let aside = temporary("removed");
        match renameat(dir, name, dir, aside.as_str()) {
            Ok(()) => {
                let aside = format!("/proc/self/fd/{}/{aside}", dir.as_raw_fd());
                let _ = fs::remove_dir_all(aside);
                return Ok(());
            }
            Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Errno::EBUSY.into())
}

/// A name that nothing else has.
fn temporary(name: &str) -> String {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".{name}.{}-{count}-new", std::process::id())
}

fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(b".") && name.ends_with(b"-new")
}

fn age(stat: &FileStat) -> Duration {
    let changed = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().saturating_sub(changed)
}

/// Whether the user of this process owns the file: root, or below `systemd --user` the owner of this folder.
pub(super) fn is_ours(stat: &FileStat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

pub(super) fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// Whether only root or the reader can have written it. The reader's own file may have any mode, because older versions
/// made it with any umask: it is in a folder that nobody else may enter, see `$XDG_RUNTIME_DIR` in environment.d(5).
fn is_trusted(stat: &FileStat) -> bool {
    match stat.st_uid {
        0 => stat.st_mode & OTHERS_WRITE == 0,
        uid => uid == geteuid().as_raw(),
    }
}

/// Whether the file may stay in one of our folders. A file that others could write is not trusted even if root owns it.
fn is_sound(stat: &FileStat) -> bool {
    is_ours(stat) && (!is_regular(stat) || is_trusted(stat) && stat.st_nlink <= 1)
}

fn foreign() -> io::Error {
    let fault = "there is a file that rsgen has not written";
    io::Error::new(io::ErrorKind::NotFound, fault)
}
