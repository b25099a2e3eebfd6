//! The link to the deployed release of an app, such as `/srv/app/current`: where it points, and how a rollback makes it point elsewhere.
//!
//! Root changes a link in a folder that the user of the app may own. So the folder is opened once, without following any link on the
//! way, and everything happens in that folder: nobody can make root write anywhere else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self as inode, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::output::Failure;

/// Returns the last link on a path, and the folder that it points to.
pub(super) fn of(cwd: &Path) -> Option<(PathBuf, PathBuf)> {
    let is_link = |path: &&Path| path.is_symlink();
    let link = cwd.ancestors().find(is_link)?;
    let folder = fs::canonicalize(link).ok()?;
    Some((link.to_owned(), folder))
}

/// A link that is going to lead to another folder.
pub(super) struct Link {
    path: PathBuf,
    above: OwnedFd,
    name: OsString,
    owner: (Uid, Gid),
    /// The target before.
    before: PathBuf,
    after: PathBuf,
}

impl Link {
    /// Looks at a link that is to lead to this folder.
    pub(super) fn to(path: &Path, folder: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let refuse = |why: String| {
            Failure::failed(format!("the link {shown} cannot be changed: {why}")).help(format!(
                "point the link to {} yourself, and run `rsgen reload`",
                folder.display()
            ))
        };
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(refuse("it has no folder".to_owned()));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = inode::openat2(inode::CWD, above, flags, Mode::empty(), resolve);
        let dir = opened.map_err(|e| {
            refuse(match e {
                Errno::LOOP => format!("there is another link on the way, in {}", above.display()),
                e => format!("{}: {e}", above.display()),
            })
        })?;
        let stat = inode::fstat(&dir).map_err(|e| refuse(e.to_string()))?;
        if stat.st_mode & 0o002 != 0 {
            return Err(refuse(format!("everybody may write {}", above.display())));
        }
        let target = inode::readlinkat(&dir, name, Vec::new()).map_err(|e| {
            refuse(match e {
                Errno::INVAL => "it is not a link any more".to_owned(),
                e => e.to_string(),
            })
        })?;
        let own = inode::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let own = own.map_err(|e| refuse(e.to_string()))?;
        let before = PathBuf::from(OsString::from_vec(target.into_bytes()));
        let below = folder.strip_prefix(above).ok();
        let after = below
            .filter(|_| before.is_relative())
            .unwrap_or(folder)
            .to_owned();
        Ok(Self {
            path: path.to_owned(),
            name: name.to_owned(),
            owner: (Uid::from_raw(own.st_uid), Gid::from_raw(own.st_gid)),
            above: dir,
            before,
            after,
        })
    }

    /// Has the link lead to the other folder, at one moment.
    pub(super) fn move_on(&self) -> Result<(), Failure> {
        self.put(&self.before, &self.after)
    }

    /// Makes the link point to its previous target.
    pub(super) fn put_back(&self) -> Result<(), Failure> {
        self.put(&self.after, &self.before)
    }

    /// Says where the link points now and will point.
    pub(super) fn told(&self) -> String {
        let Self { path, after, .. } = self;
        format!("link {} to {}", path.display(), after.display())
    }

    fn put(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        let shown = self.path.display();
        let now = inode::readlinkat(&self.above, &self.name, Vec::new());
        let is_as_it_was = now.is_ok_and(|now| OsStr::from_bytes(now.as_bytes()) == from);
        if !is_as_it_was {
            return Err(
                Failure::failed(format!("the link {shown} was changed meanwhile"))
                    .help("run it again"),
            );
        }
        let mut temporary = OsString::from(".");
        temporary.push(&self.name);
        temporary.push(".rsgen-new");
        let done = || -> rustix::io::Result<()> {
            match inode::unlinkat(&self.above, &temporary, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
            inode::symlinkat(to, &self.above, &temporary)?;
            self.give(&temporary)?;
            inode::renameat(&self.above, &temporary, &self.above, &self.name)
        };
        done().map_err(|e| {
            let _ = inode::unlinkat(&self.above, &temporary, AtFlags::empty());
            Failure::failed(format!("the link {shown} cannot be changed: {e}"))
        })
    }

    /// Gives a new link to the owner of the one before. Anybody who may write to the folder can put a file of another user in its place at
    /// any moment, so nothing but a link is given away, and by its descriptor.
    fn give(&self, name: &OsStr) -> rustix::io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = inode::openat(&self.above, name, flags, Mode::empty())?;
        let mode = inode::fstat(&opened)?.st_mode;
        if FileType::from_raw_mode(mode) != FileType::Symlink {
            return Err(Errno::EXIST);
        }
        let (user, group) = self.owner;
        inode::chownat(&opened, "", Some(user), Some(group), AtFlags::EMPTY_PATH)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder with two releases, and a link to the first.
    fn releases(relative: bool) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        for name in ["1", "2"] {
            fs::create_dir_all(path.join("releases").join(name)).unwrap();
        }
        let first = if relative {
            "releases/1".into()
        } else {
            path.join("releases/1")
        };
        symlink(first, path.join("current")).unwrap();
        (root, path)
    }

    #[test]
    fn the_last_link_on_the_way_is_the_one() {
        let (_root, path) = releases(true);
        fs::create_dir(path.join("releases/1/bin")).unwrap();
        let found = of(&path.join("current/bin"));
        assert_eq!(found, Some((path.join("current"), path.join("releases/1"))));
        assert_eq!(of(&path.join("releases/1")), None);
    }

    #[test]
    fn a_link_is_moved_and_put_back_in_its_own_manner() {
        for relative in [true, false] {
            let (_root, path) = releases(relative);
            let current = path.join("current");
            let before = fs::read_link(&current).unwrap();
            let link = Link::to(&current, &path.join("releases/2")).unwrap();
            link.move_on().unwrap();
            let now = fs::read_link(&current).unwrap();
            assert_eq!(now.is_relative(), relative, "{}", now.display());
            assert_eq!(current.canonicalize().unwrap(), path.join("releases/2"));
            assert!(link.move_on().is_err(), "it was changed meanwhile");
            link.put_back().unwrap();
            assert_eq!(fs::read_link(&current).unwrap(), before);
            let left = fs::read_dir(&path).unwrap().count();
            assert_eq!(left, 2, "nothing else is left");
        }
    }

    #[test]
    fn what_is_put_in_the_place_of_the_new_link_is_not_given_away() {
        let (_root, path) = releases(true);
        let link = Link::to(&path.join("current"), &path.join("releases/2")).unwrap();
        fs::write(path.join("planted"), "secret").unwrap();
        for planted in ["planted", "releases"] {
            assert_eq!(link.give(OsStr::new(planted)), Err(Errno::EXIST));
        }
        symlink("planted", path.join("new")).unwrap();
        assert_eq!(link.give(OsStr::new("new")), Ok(()));
    }

    #[test]
    fn nothing_but_a_link_in_a_folder_that_is_reached_without_links_is_moved() {
        let (_root, path) = releases(true);
        let folder = path.join("releases/2");
        let message = |link: &Path| Link::to(link, &folder).err().unwrap().message;
        assert!(message(&folder).contains("not a link any more"));
        symlink(path.join("releases"), path.join("planted")).unwrap();
        symlink("1", path.join("releases/current")).unwrap();
        let planted = message(&path.join("planted/current"));
        assert!(planted.contains("another link on the way"), "{planted}");
        let open = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(&path, open).unwrap();
        assert!(message(&path.join("current")).contains("everybody may write"));
    }
}
