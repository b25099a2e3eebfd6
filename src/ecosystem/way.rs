//! The way to a file, folder by folder: who may change what is found at its end, and who gets there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::resolve::{Account, Beyond, FileStatus, Ids, Probe};

/// The kernel's own limit, see `path_resolution(7)`.
const MOST_LINKS: u32 = 40;

/// Looks up what there is at a path, a link for itself.
pub(super) type Look<'a> = &'a dyn Fn(&Path) -> Option<FileStatus>;

/// The places on the way to a path, links followed, as far as they are there.
struct Way<'a> {
    look: Look<'a>,
    left: VecDeque<OsString>,
    at: PathBuf,
    links: u32,
    /// Whether a place is not there, or links lead round in a circle.
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

    /// Follows a link; whether there were not too many.
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

impl Iterator for Way<'_> {
    type Item = (PathBuf, FileStatus);

    fn next(&mut self) -> Option<Self::Item> {
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
            if let Some(target) = &status.link {
                self.is_cut = !self.follow(target);
                continue;
            }
            self.at.clone_from(&place);
            return Some((place, status));
        }
        None
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

/// A place that others than root may write to.
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
    /// The account that may change the inode, if it is not root alone. A sticky bit does not prevent a new file.
    pub(super) fn writer(&self) -> Option<Writer> {
        if self.beyond == Beyond::Server {
            Some(Writer::Server)
        } else if self.owner != 0 {
            Some(Writer::Owner(self.owner))
        } else if self.mode & 0o002 != 0 {
            Some(Writer::Everybody)
        } else if self.mode & 0o020 != 0 && self.group != 0 {
            Some(Writer::Group(self.group))
        } else if self.mode & 0o020 != 0 && self.beyond == Beyond::Acl {
            Some(Writer::Acl)
        } else {
            None
        }
    }

    /// Whether a permission bit, as it is for others, is given to a process with these numbers.
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

/// The first place on the way to a path that others than root may write to. Where nothing is yet, the folder above it
/// decides.
pub(super) fn weak_spot(path: &Path, look: Look<'_>) -> Option<Spot> {
    Way::to(path, look).find_map(|(path, status)| {
        let by = status.writer()?;
        Some(Spot { path, by })
    })
}

/// Whether a file can be read with these numbers; `None` when it is not there, or when more than its bits decides.
pub(super) fn is_readable(path: &Path, ids: &Ids, look: Look<'_>) -> Option<bool> {
    let mut way = Way::to(path, look);
    let places: Vec<FileStatus> = way.by_ref().map(|(_, status)| status).collect();
    let (file, folders) = places.split_last().filter(|_| !way.is_cut)?;
    if places.iter().any(|place| place.beyond != Beyond::Nothing) {
        return None;
    }
    Some(file.gives(4, ids) && folders.iter().all(|folder| folder.gives(1, ids)))
}
