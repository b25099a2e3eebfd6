//! The folders that are watched with inotify(7), and what changes in them.
//!
//! Nothing below a watched folder is trusted: the app's user may put links there at any moment. Folders are therefore opened
//! from the watched folder down, without following a link.

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

/// The limit on the watches of one user, which other programs of the user need as well.
const MOST_WATCHES: &str = "/proc/sys/fs/inotify/max_user_watches";
/// More folders are a mistake, such as a home.
const MOST_FOLDERS: usize = 20_000;
/// Folders that are nested more deeply are not watched: the time and the memory that each takes grow with its depth, and
/// whoever may write to the watched files makes them at no cost.
const DEEPEST: usize = 64;

/// What is looked for in a folder. A file counts when whoever has written it closes it.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// Watched files and folders, with all folders below these.
pub(super) struct Tree {
    inotify: OwnedFd,
    roots: Vec<PathBuf>,
    ignore: Ignore,
    /// The place of each watch.
    folders: HashMap<i32, PathBuf>,
    most: usize,
    /// Whether there are more folders than may be watched.
    pub(super) is_full: bool,
}

impl Tree {
    /// Watches these paths. One that is not there is watched for in the folder above it.
    ///
    /// # Errors
    /// When there may be no more users of inotify(7), or none of the paths can be watched.
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

    /// The number of folders that are watched.
    pub(super) fn count(&self) -> usize {
        self.folders.len()
    }

    /// Waits until something has changed: the path of the last change. `None` after the time without one.
    ///
    /// # Errors
    /// When the kernel does not tell of changes.
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
            // A whole millisecond more, so that what is left is not waited for in a loop.
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

    /// Takes what the kernel has noted so far; the path of the last change.
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

    /// Follows one event; the path if that is a change of what is watched.
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
        // The place of a watched folder may be taken by a link to another.
        if is_new && (events.contains(ReadFlags::ISDIR) || self.roots.contains(&path)) {
            self.look(&path);
        }
        Some(path)
    }

    /// Whether a path is a watched one, or is below one and not ignored.
    fn is_watched(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| {
            path.strip_prefix(root)
                .is_ok_and(|below| !self.ignore.has(below))
        })
    }

    /// No longer watches the folders at and below a path, which are elsewhere now.
    fn forget(&mut self, path: &Path) {
        let gone = self.folders.iter().filter(|(_, at)| at.starts_with(path));
        let gone: Vec<i32> = gone.map(|(watch, _)| *watch).collect();
        for watch in gone {
            // The kernel may have ended the watch by itself.
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

    /// Watches the folder at a path, and all below it, for each watched path that it is part of.
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
            // One that is gone, or that may not be read, has nothing to watch.
            let Ok(folder) = enter(root, &below) else {
                continue;
            };
            // Before its entries are read: one that is made meanwhile is either read or noted.
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

    /// Watches one folder; false if there may be no more.
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

/// Opens a folder below another, without following a link. Not every kernel and filter has openat2(2).
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
