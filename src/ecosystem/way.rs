//! The way to a file, folder by folder: who may change the file at its end, and who can reach it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::acl;
use super::resolve::{Account, Beyond, FileStatus, Ids, Probe};

/// The kernel's own limit, see `path_resolution(7)`.
const MOST_LINKS: u32 = 40;

/// Looks up the inode at a path, without following a link at its end.
pub(super) type Look<'a> = &'a dyn Fn(&Path) -> Option<FileStatus>;

/// The places on the way to a path, with links followed, as far as they exist.
struct Way<'a> {
    look: Look<'a>,
    left: VecDeque<OsString>,
    at: PathBuf,
    links: u32,
    /// Whether a place is missing, or links form a circle.
    is_cut: bool,
}

impl<'a> Way<'a> {
    fn to(path: &Path, look: Look<'a>) -> Self {
        Self {
            look,
            left: parts(path),
            at: PathBuf::from("/"),
            links: 0,
            is_cut: false,
        }
    }

    /// Follows a link. Returns false after too many links.
    fn follow(&mut self, target: &Path) -> bool {
        self.links += 1;
        if target.is_absolute() {
            self.at = PathBuf::from("/");
        }
        let mut way = parts(target);
        way.append(&mut self.left);
        self.left = way;
        self.links <= MOST_LINKS
    }
}

impl Way<'_> {
    /// Returns the next place. A link is a place of its own.
    fn step(&mut self) -> Option<(PathBuf, FileStatus)> {
        while !self.is_cut {
            let part = self.left.pop_front()?;
            if part == ".." {
                self.at.pop();
                continue;
            }
            let place = self.at.join(&part);
            let Some(status) = (self.look)(&place) else {
                self.is_cut = true;
                return None;
            };
            match &status.link {
                Some(target) => self.is_cut = !self.follow(target),
                None => self.at.clone_from(&place),
            }
            return Some((place, status));
        }
        None
    }
}

impl Iterator for Way<'_> {
    type Item = (PathBuf, FileStatus);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (place, status) = self.step()?;
            if status.link.is_none() {
                return Some((place, status));
            }
        }
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    named.collect()
}

/// A place that users other than root may write to.
pub(super) struct Spot {
    pub(super) path: PathBuf,
    pub(super) by: Writer,
}

pub(super) enum Writer {
    Owner(u32),
    Group(u32),
    Everybody,
    Acl,
    Server,
}

impl Spot {
    pub(super) fn told(&self, probe: &dyn Probe) -> String {
        let name = |account| probe.name(account);
        let by = match self.by {
            Writer::Owner(number) => format!("its owner `{}`", name(Account::User(number))),
            Writer::Group(number) => format!("its group `{}`", name(Account::Group(number))),
            Writer::Everybody => "everybody".to_owned(),
            Writer::Acl => "an entry of its ACL, see getfacl(1)".to_owned(),
            Writer::Server => "the server of its file system".to_owned(),
        };
        format!("`{}` may be written by {by}", self.path.display())
    }
}

impl FileStatus {
    /// Returns the account that may change the inode, unless only root may. A sticky bit does not prevent the creation
    /// of a new file.
    pub(super) fn writer(&self) -> Option<Writer> {
        self.writer_beside(0, &|_| false)
    }

    /// Returns the account that may change the inode, unless only root and this user may. `is_own` returns whether a
    /// group has no member but this user.
    fn writer_beside(&self, user: u32, is_own: &dyn Fn(u32) -> bool) -> Option<Writer> {
        if self.beyond == Beyond::Server {
            Some(Writer::Server)
        } else if self.owner != 0 && self.owner != user {
            Some(Writer::Owner(self.owner))
        } else if self.mode & 0o002 != 0 {
            Some(Writer::Everybody)
        } else if self.mode & 0o020 != 0 && self.group != 0 && !is_own(self.group) {
            Some(Writer::Group(self.group))
        } else if self.mode & 0o020 != 0 && self.beyond == Beyond::Acl {
            Some(Writer::Acl)
        } else {
            None
        }
    }

    /// Returns whether a process with these IDs has a permission, given as the bit for others.
    fn gives(&self, bit: u32, ids: &Ids) -> bool {
        let shift = if ids.user == self.owner {
            6
        } else if ids.groups.contains(&self.group) {
            3
        } else {
            0
        };
        ids.user == 0 || self.mode >> shift & bit != 0
    }
}

/// Returns the first place on the way to a path that users other than root may write to. If the path does not
/// exist yet, the folder above decides.
pub(super) fn weak_spot(path: &Path, look: Look<'_>) -> Option<Spot> {
    Way::to(path, look).find_map(|(path, status)| {
        let by = status.writer()?;
        Some(Spot { path, by })
    })
}

/// Returns the first place on the way to a folder where users other than root decide which folder the way
/// leads to. Write access to the folder itself does not matter.
pub(super) fn weak_way(folder: &Path, look: Look<'_>) -> Option<Spot> {
    let mut way = Way::to(folder, look);
    let mut places: Vec<_> = way.by_ref().collect();
    if !way.is_cut {
        places.pop();
    }
    places.into_iter().find_map(|(path, status)| {
        let by = status.writer()?;
        Some(Spot { path, by })
    })
}

/// Returns the inode at the end of a path, with links followed, and its path without links.
pub(super) fn end(path: &Path, look: Look<'_>) -> Option<(PathBuf, FileStatus)> {
    let mut way = Way::to(path, look);
    let last = way.by_ref().last();
    last.filter(|_| !way.is_cut)
}

/// Returns the first place where a user other than root and this one decides which file is at the end of a path.
pub(super) fn spot_of_others(
    path: &Path,
    user: u32,
    is_own: &dyn Fn(u32) -> bool,
    look: Look<'_>,
) -> Option<Spot> {
    of_others(path, true, user, is_own, look)
}

/// The first place on the way to a folder from which a user other than root and this one decides which folder
/// that is, see [`weak_way`].
pub(super) fn way_of_others(
    folder: &Path,
    user: u32,
    is_own: &dyn Fn(u32) -> bool,
    look: Look<'_>,
) -> Option<Spot> {
    of_others(folder, false, user, is_own, look)
}

fn of_others(
    path: &Path,
    does_end_count: bool,
    user: u32,
    is_own: &dyn Fn(u32) -> bool,
    look: Look<'_>,
) -> Option<Spot> {
    const STICKY: u32 = 0o1000;
    let mut way = Way::to(path, look);
    let places: Vec<_> = std::iter::from_fn(|| way.step()).collect();
    let last = places.len().saturating_sub(1);
    let counted = if does_end_count || way.is_cut {
        places.len()
    } else {
        last
    };
    places
        .into_iter()
        .take(counted)
        .enumerate()
        .find_map(|(at, (path, status))| {
            let by = match status.writer_beside(user, is_own)? {
                // A link itself is never written to, and in a folder with the sticky bit only its owner can replace it.
                Writer::Group(_) | Writer::Everybody if status.link.is_some() => None,
                // The next place on the way belongs to root or the user, so with the sticky bit nobody else can replace
                // it.
                Writer::Group(_) | Writer::Everybody if at < last && status.mode & STICKY != 0 => {
                    None
                }
                by => Some(by),
            };
            by.map(|by| Spot { path, by })
        })
}

/// Returns whether a process with these IDs can read a file; `None` if the file does not exist, or if more than its
/// mode decides.
pub(super) fn is_readable(path: &Path, ids: &Ids, look: Look<'_>) -> Option<bool> {
    gives(path, 4, ids, look)
}

/// Does the same as [`is_readable`] for executing.
pub(super) fn is_executable(path: &Path, ids: &Ids, look: Look<'_>) -> Option<bool> {
    gives(path, 1, ids, look)
}

/// The first folder on the way to a path that a program of these accounts may not enter.
pub(super) fn barrier(path: &Path, ids: &Ids, look: Look<'_>) -> Option<PathBuf> {
    let mut places: Vec<(PathBuf, FileStatus)> = Way::to(path, look).collect();
    // The file itself is not a folder.
    places.pop();
    let closed = places.into_iter().find(|(_, place)| !place.gives(1, ids));
    closed.map(|(folder, _)| folder)
}

/// A folder on the way to a path that keeps a program of these accounts from it.
pub(super) struct Closed {
    pub(super) folder: PathBuf,
    /// An unknown fact that may still let the program in.
    pub(super) beyond: Beyond,
}

/// Returns the first folder on the way to a path, or the folder at its end if `is_folder`, that a program of
/// these accounts may not enter by its mode and its list. The decisions of a server are not known.
pub(super) fn closed(path: &Path, is_folder: bool, ids: &Ids, probe: &dyn Probe) -> Option<Closed> {
    let look = |path: &Path| probe.status(path);
    let mut way = Way::to(path, &look);
    let mut places: Vec<(PathBuf, FileStatus)> = way.by_ref().collect();
    if !is_folder && !way.is_cut {
        places.pop();
    }
    let closed = places
        .into_iter()
        .find_map(|(folder, place)| is_closed(folder, &place, ids, probe));
    closed.filter(|closed| closed.beyond != Beyond::Server)
}

fn is_closed(folder: PathBuf, place: &FileStatus, ids: &Ids, probe: &dyn Probe) -> Option<Closed> {
    let by_list = || {
        let list = probe.access_list(&folder)?;
        acl::gives(&list, place, 1, ids)
    };
    let by_list = (place.beyond == Beyond::Acl).then(by_list).flatten();
    if by_list.unwrap_or_else(|| place.gives(1, ids)) {
        return None;
    }
    // A decision by the list leaves nothing unknown.
    let beyond = match by_list {
        Some(_) => Beyond::Nothing,
        None => place.beyond,
    };
    Some(Closed { folder, beyond })
}

/// The same as [`is_readable`] for writing.
pub(super) fn is_writable(path: &Path, ids: &Ids, look: Look<'_>) -> Option<bool> {
    gives(path, 2, ids, look)
}

fn gives(path: &Path, bit: u32, ids: &Ids, look: Look<'_>) -> Option<bool> {
    let mut way = Way::to(path, look);
    let places: Vec<FileStatus> = way.by_ref().map(|(_, status)| status).collect();
    let (file, folders) = places.split_last().filter(|_| !way.is_cut)?;
    let is_more = |place: &FileStatus| matches!(place.beyond, Beyond::Acl | Beyond::Server);
    if places.iter().any(is_more) {
        return None;
    }
    Some(file.gives(bit, ids) && folders.iter().all(|folder| folder.gives(1, ids)))
}
