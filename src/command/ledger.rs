//! The releases that apps have served: for each app the last few installed files, and the folders that the link to the deployed release
//! led to. `rsgen rollback` goes back to one of them.
//!
//! A file may contain variables that are nobody's business, so only the owner may read what is kept. It is written like all files of
//! rsgen: a reader, and a host that loses power, sees the old text or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::generate::files;
use crate::layout::Layout;
use crate::output::Failure;
use crate::plan::diff::Content;
use crate::state;
use crate::unit::name::Units;

/// How many releases of an app are kept.
pub(super) const KEEP: usize = 5;
/// The limit in bytes for the file of an app.
const LONGEST: u64 = 16 << 20;

/// The file of an app that serves, and its release if there is a link to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Served {
    /// The installed file, with the number of instances that its own file has.
    pub(super) file: String,
    /// The link to the deployed release.
    pub(super) link: Option<PathBuf>,
    /// The folder that the link led to.
    pub(super) folder: Option<PathBuf>,
}

impl Served {
    /// Returns whether the link now points to another folder, or nowhere.
    pub(super) fn is_left_by_its_link(&self) -> bool {
        let both = self.link.as_ref().zip(self.folder.as_ref());
        both.is_some_and(|(link, folder)| !fs::canonicalize(link).is_ok_and(|now| now == *folder))
    }
}

/// A release that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    /// The name of the folder; without one a number.
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) deployed: u64,
    /// The user who deployed it; `None` if that was seen only later.
    pub(super) by: Option<String>,
    /// Whether a rollback has left it.
    pub(super) left: bool,
    #[serde(flatten)]
    pub(super) served: Served,
}

/// The releases of one app, the last one that was deployed at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) releases: Vec<Release>,
    /// The name of the release that the app serves.
    pub(super) current: String,
    /// The name of the release that a rollback has left, until something else is deployed.
    pub(super) back_from: Option<String>,
    /// The ecosystem file that installed the app, by its absolute path; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
}

impl Ledger {
    /// The file of an app.
    pub(super) fn path(layout: &Layout, app: &str) -> PathBuf {
        layout.kept.join(format!("{app}.json"))
    }

    /// Reads what is kept for an app; nothing if there is no file.
    pub(super) fn read(layout: &Layout, app: &str) -> Result<Self, Failure> {
        let path = Self::path(layout, app);
        let read = files::open(&path).and_then(|file| state::text(file, LONGEST));
        let text = match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(|e| cannot("read", &path, &e))?,
        };
        serde_json::from_str(&text).map_err(|e| {
            Failure::failed(format!("{}: {e}", path.display())).help(
                "remove the file; the next deploy begins a new one, without the releases before",
            )
        })
    }

    /// Writes the file of an app.
    pub(super) fn write(&self, layout: &Layout, app: &str) -> Result<(), Failure> {
        let path = Self::path(layout, app);
        // A path that is not UTF-8 has no place in JSON. What was kept before stays.
        let text = serde_json::to_string(self).map_err(|e| {
            Failure::failed(format!("{} cannot be written: {e}", path.display()))
                .help("give the folder of the release, and its link, names in UTF-8")
        })?;
        put(&layout.kept, &path, &text).map_err(|e| cannot("written", &path, &e))
    }

    /// Removes what is kept for an app.
    pub(super) fn remove(layout: &Layout, app: &str) {
        // A file that stays is only in the way of a new app of this name, whose releases are added to it.
        let _ = fs::remove_file(Self::path(layout, app));
        // Fails as long as there are others.
        let _ = fs::remove_dir(&layout.kept);
    }

    pub(super) fn find(&self, name: &str) -> Option<&Release> {
        self.releases.iter().find(|release| release.name == name)
    }

    /// The release that a rollback without a name goes to: the last one before the present that no rollback has left.
    pub(super) fn before(&self) -> Option<&Release> {
        let current = self.releases.iter().position(|r| r.name == self.current);
        let before = self
            .releases
            .iter()
            .take(current.unwrap_or(self.releases.len()));
        before.rev().find(|release| !release.left)
    }

    /// Notes what the app has been serving, before that changes. What is known already is not moved.
    pub(super) fn see(&mut self, served: Served) {
        match self.name_of(&served) {
            Some(name) => self.current = name,
            None => self.add(served, now(), None),
        }
    }

    /// Notes what was deployed. Returns the name of the release that this replaces, if a rollback had gone back to that.
    pub(super) fn deploy(&mut self, served: Served, by: String) -> Option<String> {
        let known = self.name_of(&served);
        if known.as_ref() == Some(&self.current) {
            return None;
        }
        let back_to = self.back_from.take().map(|_| self.current.clone());
        if let Some(name) = known {
            // Deployed again, it is the last, regardless of what followed it before.
            self.releases.retain(|release| release.name != name);
            let (deployed, by) = (now(), Some(by));
            self.push(Release {
                name,
                deployed,
                by,
                left: false,
                served,
            });
        } else {
            self.add(served, now(), Some(by));
        }
        back_to
    }

    /// Notes that the app has gone back to a release. Those that were deployed after it are left.
    pub(super) fn go_back(&mut self, name: &str) {
        let index = |of: &str| self.releases.iter().position(|r| r.name == of);
        let (Some(to), from) = (index(name), index(&self.current)) else {
            return;
        };
        let from = from.unwrap_or(to);
        for (index, release) in self.releases.iter_mut().enumerate() {
            release.left = (release.left || index <= from) && index > to;
        }
        if name != self.current {
            self.back_from =
                (to < from).then(|| std::mem::replace(&mut self.current, name.to_owned()));
            name.clone_into(&mut self.current);
        }
    }

    fn name_of(&self, served: &Served) -> Option<String> {
        let mut known = self.releases.iter().rev();
        known
            .find(|release| release.served == *served)
            .map(|release| release.name.clone())
    }

    fn add(&mut self, served: Served, deployed: u64, by: Option<String>) {
        let name = self.free_name(&served);
        self.push(Release {
            name,
            deployed,
            by,
            left: false,
            served,
        });
    }

    fn push(&mut self, release: Release) {
        self.current.clone_from(&release.name);
        self.releases.push(release);
        let surplus = self.releases.len().saturating_sub(KEEP);
        self.releases.drain(..surplus);
    }

    /// The name of the folder, with a number if another release has the name because its file differs.
    fn free_name(&self, served: &Served) -> String {
        let folder = served.folder.as_deref().and_then(Path::file_name);
        let base = folder.map(|name| name.to_string_lossy().into_owned());
        let is_free = |name: &String| self.find(name).is_none();
        let Some(base) = base else {
            let numbers = self
                .releases
                .iter()
                .filter_map(|r| r.name.parse::<u64>().ok());
            return (numbers.max().unwrap_or(0).saturating_add(1)).to_string();
        };
        let further = (2_u32..).map(|n| format!("{base}.{n}"));
        let mut names = std::iter::once(base.clone()).chain(further);
        names.find(is_free).unwrap_or(base)
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    let what = if what == "read" { "read" } else { "written" };
    let failure = Failure::failed(format!("{} cannot be {what}: {error}", path.display()));
    if error.kind() == io::ErrorKind::PermissionDenied {
        failure.help("run it as root: only root may read the releases of an app")
    } else {
        failure.help("check that the file system is writable and not full")
    }
}

/// Writes a file that only the owner may read, in a folder that only the owner may enter.
fn put(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let temporary = path.with_extension("json.new");
    // A command that was killed may have left one.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&temporary, path));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed.and_then(|()| File::open(folder)?.sync_all())
}

/// Returns the app that `rsgen install` has installed, with its installed text; `None` for one whose file or units are of others.
pub(super) fn installed(layout: &Layout, app: &str) -> Option<String> {
    let is_ours = files::is_ours(&layout.units.join(Units::of(app).cluster()));
    match files::content(&layout.file(app)) {
        Some(Content::File(text)) if is_ours => Some(text),
        _ => None,
    }
}

/// Whether an app has never served. Of one whose releases cannot be read nothing is known.
pub(super) fn never_served(layout: &Layout, app: &str) -> bool {
    Ledger::read(layout, app).is_ok_and(|kept| kept.releases.is_empty())
}

#[cfg(test)]
mod tests;
