//! Watches folders with inotify(7) and reports what changes in them.
//!
//! Nothing below a watched folder is trusted, since the app's user may put links there at any moment. Folders are
//! therefore opened one by one, from the watched folder down, without following links.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{self as inode, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::ignore::Ignore;

/// The kernel's limit on the watches of one user. The user's other programs need some of them.
const MOST_WATCHES: &str = "/proc/sys/fs/inotify/max_user_watches";
/// The largest number of folders. More indicate a mistake, such as watching a home directory.
const MOST_FOLDERS: usize = 20_000;
/// The depth below which folders are not watched: a watch takes time and memory in proportion to its depth, and whoever
/// may write to the watched folders can nest them at no cost.
const DEEPEST: usize = 64;

/// The events that are watched for. A written file counts as changed when its writer closes it.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// The watched files and folders, with all folders below them.
pub(super) struct Tree {
    inotify: OwnedFd,
    roots: Vec<PathBuf>,
    ignore: Ignore,
    /// The path that belongs to each watch.
    folders: HashMap<i32, PathBuf>,
    most: usize,
    /// Whether there are more folders than may be watched.
    pub(super) is_full: bool,
}

impl Tree {
    /// Watches these paths. The folder above each path is watched too, because a path may be missing and appear later.
    ///
    /// # Errors
    /// When the user has reached the limit of inotify(7) instances, or when none of the paths can be watched.
    pub(super) fn open(roots: &[PathBuf], ignore: &[String]) -> io::Result<Self> {
        let limit = fs::read_to_string(MOST_WATCHES).unwrap_or_default();
        let limit = limit.trim().parse().unwrap_or(MOST_FOLDERS);
        let mut tree = Self {
            inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?,
            roots: roots.to_vec(),
            ignore: Ignore::new(ignore),
            folders: HashMap::new(),
            most: MOST_FOLDERS.min(limit / 2),
            is_full: false,
        };
        tree.look_everywhere();
        if tree.folders.is_empty() {
            let fault = "there is no folder to watch";
            return Err(io::Error::new(io::ErrorKind::NotFound, fault));
        }
        Ok(tree)
    }

    /// Returns the number of watched folders.
    pub(super) fn count(&self) -> usize {
        self.folders.len()
    }

    /// Waits until something changes, and returns the path of the last change; `None` if nothing changed in time.
    ///
    /// # Errors
    /// When the kernel cannot report changes.
    pub(super) fn wait(&mut self, at_most: Option<Duration>) -> io::Result<Option<PathBuf>> {
        let end = at_most.map(|time| Instant::now() + time);
        loop {
            if let Some(changed) = self.read()? {
                return Ok(Some(changed));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            // Rounded up by a millisecond: a rest below one would become a timeout of 0, and the loop would spin.
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Reads the events that the kernel has queued, and returns the path of the last change.
    fn read(&mut self) -> io::Result<Option<PathBuf>> {
        let mut changed = None;
        let mut noted = Vec::new();
        {
            let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
            let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event
                            .file_name()
                            .map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes())));
                        noted.push((event.wd(), event.events(), name));
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
                if noted.len() >= 4096 {
                    break;
                }
            }
        }
        for (watch, events, name) in noted {
            changed = self.note(watch, events, name.as_deref()).or(changed);
        }
        Ok(changed)
    }

    /// Follows one event. Returns the path if the event is a change of something that is watched.
    fn note(&mut self, watch: i32, events: ReadFlags, name: Option<&Path>) -> Option<PathBuf> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.look_everywhere();
            return self.roots.first().cloned();
        }
        if events.contains(ReadFlags::IGNORED) {
            self.folders.remove(&watch);
            return None;
        }
        let path = self.folders.get(&watch)?.join(name?);
        if !self.is_watched(&path) {
            return None;
        }
        if events.contains(ReadFlags::MOVED_FROM) && events.contains(ReadFlags::ISDIR) {
            self.forget(&path);
        }
        let is_new = events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        // A deployment may replace a watched path by a link to another folder: that event has no ISDIR.
        if is_new && (events.contains(ReadFlags::ISDIR) || self.roots.contains(&path)) {
            self.look(&path);
        }
        Some(path)
    }

    /// Returns whether a path is one of the watched paths, or is below one and not ignored.
    fn is_watched(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| {
            path.strip_prefix(root)
                .is_ok_and(|below| !self.ignore.has(below))
        })
    }

    /// Removes the watches at and below a path, whose folders are elsewhere now.
    fn forget(&mut self, path: &Path) {
        let gone = self.folders.iter().filter(|(_, at)| at.starts_with(path));
        let gone: Vec<i32> = gone.map(|(watch, _)| *watch).collect();
        for watch in gone {
            // Fails where the kernel has removed the watch already.
            let _ = inotify::remove_watch(&self.inotify, watch);
            self.folders.remove(&watch);
        }
    }

    fn look_everywhere(&mut self) {
        for root in self.roots.clone() {
            if let Some(above) = root.parent() {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                if let Ok(folder) = inode::open(above, flags, Mode::empty()) {
                    self.add(&folder, above);
                }
            }
            self.look(&root);
        }
    }

    /// Watches the folder at a path and all folders below, for each watched path that they belong to.
    fn look(&mut self, path: &Path) {
        for root in self.roots.clone() {
            let Ok(below) = path.strip_prefix(&root) else {
                continue;
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            if let Ok(folder) = inode::open(&root, flags, Mode::empty()) {
                self.descend(&folder, &root, below);
            }
        }
    }

    fn descend(&mut self, root: &OwnedFd, at: &Path, below: &Path) {
        let mut left = vec![below.to_owned()];
        while let Some(below) = left.pop() {
            if below.iter().count() > DEEPEST {
                continue;
            }
            // A folder that is gone or may not be read has nothing to watch.
            let Ok(folder) = enter(root, &below) else {
                continue;
            };
            // The watch is added before the entries are read, so that a folder made meanwhile is found in one way or
            // the other.
            if !self.add(&folder, &at.join(&below)) {
                return;
            }
            let Ok(entries) = Dir::read_from(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                let is_folder =
                    matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
                let path = below.join(name);
                if is_folder && name != "." && name != ".." && self.is_watched(&at.join(&path)) {
                    left.push(path);
                }
            }
        }
    }

    /// Watches one folder. Returns false when no more can be watched.
    fn add(&mut self, folder: &OwnedFd, path: &Path) -> bool {
        if self.folders.len() >= self.most {
            self.is_full = true;
            return false;
        }
        let place = format!("/proc/self/fd/{}", folder.as_raw_fd());
        match inotify::add_watch(&self.inotify, place, EVENTS) {
            Ok(watch) => {
                self.folders.insert(watch, path.to_owned());
            }
            Err(Errno::NOSPC) => {
                self.is_full = true;
                return false;
            }
            Err(_) => {}
        }
        true
    }
}

/// Opens a folder below another without following links. openat2(2) could do this in one call, but older kernels lack
/// it and seccomp filters often refuse it.
fn enter(root: &OwnedFd, below: &Path) -> rustix::io::Result<OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut folder = inode::openat(root, ".", flags, Mode::empty())?;
    for name in below {
        folder = inode::openat(&folder, name, flags, Mode::empty())?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests;
