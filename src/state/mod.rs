//! The files below `/run/rsgen`: their names, and the one way to open them.
//!
//! Root writes them and every user may read most of them; below `systemd --user` both are the user. Older versions
//! made folders and files with the umask of whoever ran them, so others may have been let in. Hence nothing that
//! lies there is believed before it was opened and looked at, and nothing here depends on the umask: whatever is
//! not ours is removed where we write, and is not there where we read.
//!
//! This room never follows a link below `/run`, never waits for a FIFO, and knows nothing of what the files say.

mod folder;
mod lock;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use folder::Folder;
pub use lock::Lock;

/// More than is ever written into a file but these two: the progress of a walk, and the text of an app.
const LONGEST: u64 = 64 << 10;
/// More than fits an app, its drop-ins included.
const LONGEST_TEXT: u64 = 4 << 20;

/// A file in the state folder of an app. The numbers are those of instances, of `Dead` that of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The lock of a walk, see [`Lock`].
    Lock,
    /// The progress of the walk, one JSON object a line.
    Walk,
    /// When the last walk that succeeded began, and by which plan.
    Done,
    /// The number of the canary, as long as a walk has one.
    Canary,
    /// Why the cluster unit is being stopped.
    Verdict,
    /// How often the app failed to start, and when the last time was.
    Failures,
    /// The generator's last good text.
    Good,
    /// Quick deaths in a row.
    Deaths(u32),
    /// The sockets that the worker was handed.
    Sockets(u32),
    /// The socket over which the helper is asked to drain.
    Helper(u32),
    /// A socket file that is gone a moment later.
    Dead(u32),
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("lock"),
            Self::Walk => f.write_str("walk.jsonl"),
            Self::Done => f.write_str("walk.done"),
            Self::Canary => f.write_str("canary"),
            Self::Verdict => f.write_str("verdict"),
            Self::Failures => f.write_str("failures"),
            Self::Good => f.write_str("good.toml"),
            Self::Deaths(number) => write!(f, "{number}.deaths"),
            Self::Sockets(number) => write!(f, "{number}.sockets"),
            Self::Helper(number) => write!(f, "{number}.helper"),
            Self::Dead(pid) => write!(f, "{pid}.dead"),
        }
    }
}

impl Name {
    fn limit(self) -> u64 {
        match self {
            Self::Walk | Self::Good => LONGEST_TEXT,
            _ => LONGEST,
        }
    }
}

/// Where a file of an app's state is, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    folder: PathBuf,
    name: Name,
}

impl Entry {
    /// `folder` is that of the app: `/run/rsgen/APP`.
    #[must_use]
    pub fn new(folder: &Path, name: Name) -> Self {
        Self {
            folder: folder.to_owned(),
            name,
        }
    }

    /// For people; not to be opened by.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name.to_string())
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] also when something is there that is not ours.
    pub fn open(&self) -> io::Result<File> {
        Folder::look(&self.folder)?.open(&self.name.to_string())
    }

    /// The whole text.
    ///
    /// # Errors
    /// As [`Entry::open`], and when it is no UTF-8 or longer than it can be.
    pub fn read(&self) -> io::Result<String> {
        text(self.open()?, self.name.limit())
    }

    /// Writes it whole or not at all, for everybody to read.
    ///
    /// # Errors
    /// Those of the file system, and [`io::ErrorKind::PermissionDenied`] for who may not write there.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let folder = Folder::make(&self.folder)?;
        folder.put(&self.name.to_string(), text).map(|_| ())
    }

    /// Puts an empty file in its place, to be written as things go on.
    ///
    /// # Errors
    /// As [`Entry::write`].
    pub fn begin(&self) -> io::Result<File> {
        Folder::make(&self.folder)?.put(&self.name.to_string(), "")
    }

    /// Removes it; not being there is as good.
    ///
    /// # Errors
    /// As [`Entry::write`].
    pub fn remove(&self) -> io::Result<()> {
        match Folder::mend(&self.folder) {
            Ok(folder) => folder.remove(&self.name.to_string()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// The text of a file that has at most so many bytes.
///
/// # Errors
/// When it has more, or is no UTF-8.
pub fn text(file: impl Read, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        let fault = format!("it is longer than {} KiB", limit >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
    }
    let fault = "it is not UTF-8";
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, fault))
}

/// Forgets the quick deaths of one instance, or of the whole app and how often it failed to start.
pub fn forget_deaths(folder: &Path, number: Option<u32>) {
    // Without a folder there is nothing to forget.
    let Ok(folder) = Folder::mend(folder) else {
        return;
    };
    let names = match number {
        Some(number) => vec![Name::Deaths(number).to_string()],
        None => folder.names().unwrap_or_default(),
    };
    for name in names {
        if name.ends_with(".deaths") || name == Name::Failures.to_string() {
            // Gone already is as good.
            let _ = folder.remove(&name);
        }
    }
}

/// The folder of [`Notice`]s to the programs of all apps, beside the folders of the apps.
#[must_use]
pub fn drain(folder: &Path) -> PathBuf {
    folder.parent().unwrap_or(folder).join("drain")
}

/// A file in the folder [`drain`], which tells the programs of one instance by being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The instance drains.
    Drain,
    /// The instance shuts down, as PM2's message of that name says. units/drain.js adds the suffix by itself.
    Shutdown,
}

impl Notice {
    /// The file for an instance of the app that has this folder.
    #[must_use]
    pub fn path(self, folder: &Path, app: &str, instance: u32) -> PathBuf {
        let name = match self {
            Self::Drain => format!("{app}@{instance}"),
            Self::Shutdown => format!("{app}@{instance}.shutdown"),
        };
        drain(folder).join(name)
    }
}
