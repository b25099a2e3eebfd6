//! The files below `/run/rsgen`: their names, and the one way to open them.
//!
//! Root writes these files, and every user may read most of them; below `systemd --user` the user does both. Older
//! versions created folders and files with the umask of their caller, so other users may have been able to write
//! there. Hence a file is trusted only after its owner and mode were checked on the open descriptor, and nothing
//! here depends on the umask: a writer removes any file that is not ours, and a reader treats it as missing.
//!
//! This room never follows a link below `/run`, never waits for a FIFO, and never interprets the content of the files.

mod draft;
mod folder;
mod lock;
mod present;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use draft::Draft;
pub use folder::Folder;
pub use lock::Lock;
pub use present::Present;

/// The limit in bytes for every file but the progress of a walk and the text of an app.
const LONGEST: u64 = 64 << 10;
/// The limit in bytes for these two; an app with all its drop-ins is shorter.
const LONGEST_TEXT: u64 = 4 << 20;

/// A file in the state folder of an app. A number is that of an instance, in `Scaled` one of instances, and in `Dead` and
/// `Rehearsal` the PID of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The lock of a walk, see [`Lock`].
    Lock,
    /// The progress of the walk, one JSON object a line.
    Walk,
    /// The time when the last successful walk began, and its plan.
    Done,
    /// The numbers of the canaries, while a walk has any.
    Canary,
    /// The number of instances before `rsgen scale`, until that command has done its work.
    Scaling,
    /// The request for the next walk, if it is not to replace all instances.
    Asked,
    /// Why the cluster unit is being stopped.
    StopReason,
    /// The user who has requested the queued job of the cluster unit.
    AskedBy,
    /// The time when the start of an app began whose address is corrected if its program binds another.
    Trial,
    /// The start and the end of the pause, and the instances that were stopped for it.
    Pause,
    /// A note that the pause unit is about to be started. Without the note, that unit does nothing.
    PauseAsked,
    /// How often the app failed to start, and when the last time was.
    Failures,
    /// The generator's last good text.
    Good,
    /// The time when, after a failure, instances may be replaced by themselves again.
    Recycling,
    /// The runs of the instances that the brake unit has seen.
    Runs,
    /// The instance's quick deaths in a row.
    Deaths(u32),
    /// The text of that file when it was removed: whoever compares runs has to know which death was counted.
    Forgotten(u32),
    /// Why the instance did not become healthy at its last start.
    Unhealthy(u32),
    /// Why the instance could not be added to those that get connections, or removed from them, at the last attempt.
    Unbalanced(u32),
    /// The release that the instance was started with.
    Release(u32),
    /// The run of the instance whose successor is to have the same release.
    Recycled(u32),
    /// The result of the last scale unit for this number of instances; 0 stands for one on each CPU.
    Scaled(u32),
    /// The run in which the instance has done its work, and the job of the cluster unit meanwhile.
    Finished(u32),
    /// The sockets that the worker was handed.
    Sockets(u32),
    /// The socket over which the helper is asked to drain.
    Helper(u32),
    /// The socket file of an unreachable socket, which is removed as soon as the socket is bound.
    Dead(u32),
    /// The report of a rehearsal, in the folder [`rehearsals`].
    Rehearsal(u32),
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("lock"),
            Self::Walk => f.write_str("walk.jsonl"),
            Self::Done => f.write_str("walk.done"),
            Self::Canary => f.write_str("canary"),
            Self::Scaling => f.write_str("scaling"),
            Self::Asked => f.write_str("walk.asked"),
            Self::Recycling => f.write_str("recycling"),
            Self::StopReason => f.write_str("stop.reason"),
            Self::AskedBy => f.write_str("asked"),
            Self::Trial => f.write_str("trial"),
            Self::Pause => f.write_str("pause"),
            Self::PauseAsked => f.write_str("pause.asked"),
            Self::Failures => f.write_str("failures"),
            Self::Good => f.write_str("good.toml"),
            Self::Runs => f.write_str("runs"),
            Self::Deaths(number) => write!(f, "{number}.deaths"),
            Self::Forgotten(number) => write!(f, "{number}.forgotten"),
            Self::Unhealthy(number) => write!(f, "{number}.unhealthy"),
            Self::Unbalanced(number) => write!(f, "{number}.unbalanced"),
            Self::Release(number) => write!(f, "{number}.release"),
            Self::Recycled(number) => write!(f, "{number}.recycled"),
            Self::Scaled(instances) => write!(f, "{instances}.scaled"),
            Self::Finished(number) => write!(f, "{number}.finished"),
            Self::Sockets(number) => write!(f, "{number}.sockets"),
            Self::Helper(number) => write!(f, "{number}.helper"),
            Self::Dead(pid) => write!(f, "{pid}.dead"),
            Self::Rehearsal(pid) => write!(f, "{pid}.report"),
        }
    }
}

/// Whether a path is one that an unreachable socket was bound to: a file that was [`Name::Dead`], through a descriptor of the
/// process that bound it.
#[must_use]
pub fn is_unreachable(path: &Path) -> bool {
    let below = path.strip_prefix("/proc/self/fd").ok();
    let name = below.and_then(Path::file_name).and_then(OsStr::to_str);
    let pid = name.and_then(|name| name.strip_suffix(".dead"));
    pid.is_some_and(|pid| {
        pid.parse()
            .is_ok_and(|pid| name == Some(&*Name::Dead(pid).to_string()))
    })
}

impl Name {
    fn limit(self) -> u64 {
        match self {
            Self::Walk | Self::Good => LONGEST_TEXT,
            _ => LONGEST,
        }
    }
}

/// A file of an app's state, whether it exists or not.
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

    /// The path to show to a user. Never open it: [`Entry::open`] and [`Entry::write`] check the file first.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name.to_string())
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] also if the file is not ours.
    pub fn open(&self) -> io::Result<File> {
        Folder::look(&self.folder)?.open(&self.name.to_string())
    }

    /// The whole text.
    ///
    /// # Errors
    /// As [`Entry::open`], and when the text is not UTF-8 or exceeds the limit of this file.
    pub fn read(&self) -> io::Result<String> {
        text(self.open()?, self.name.limit())
    }

    /// Writes the file atomically, readable for everybody.
    ///
    /// # Errors
    /// The errors of the file system, and [`io::ErrorKind::PermissionDenied`] for a user who may not write there.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let folder = Folder::make(&self.folder)?;
        folder.put(&self.name.to_string(), text).map(|_| ())
    }

    /// Replaces the file by an empty one, and returns that for writing as events happen.
    ///
    /// # Errors
    /// As [`Entry::write`].
    pub fn begin(&self) -> io::Result<File> {
        Folder::make(&self.folder)?.put(&self.name.to_string(), "")
    }

    /// Removes the file.
    ///
    /// # Errors
    /// As [`Entry::write`]; a missing file is not an error.
    pub fn remove(&self) -> io::Result<()> {
        match Folder::mend(&self.folder) {
            Ok(folder) => folder.remove(&self.name.to_string()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// When the file is longer, or not UTF-8.
pub fn text(file: impl Read, limit: u64) -> io::Result<String> {
    // Most files are read by one call.
    let mut bytes = Vec::with_capacity(4096);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        let fault = format!("it is longer than {} KiB", limit >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
    }
    let fault = "it is not UTF-8";
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, fault))
}

/// Forgets the quick deaths of one instance; without a number those of the whole app, and how often it failed to start.
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
        let number = name.strip_suffix(".deaths");
        if number.is_none() && name != Name::Failures.to_string() {
            continue;
        }
        let known = folder.open(&name).and_then(|file| text(file, LONGEST));
        if let (Some(number), Ok(known)) = (number, known) {
            // Without the copy, a death may be told twice.
            let _ = folder.put(&format!("{number}.forgotten"), &known);
        }
        // Best effort: if the file cannot be removed, its deaths still count.
        let _ = folder.remove(&name);
    }
}

/// Forgets the releases that the instances of an app were started with.
pub fn forget_releases(folder: &Path) {
    // Without a folder there is nothing to forget.
    let Ok(folder) = Folder::mend(folder) else {
        return;
    };
    let names = folder.names().unwrap_or_default();
    for name in names.iter().filter(|name| name.ends_with(".release")) {
        // Best effort: a file that cannot be removed is removed at the next requested end.
        let _ = folder.remove(name);
    }
}

/// The folder of the [`Notice`]s to the programs of all apps. It is beside the folders of the apps.
#[must_use]
pub fn drain(folder: &Path) -> PathBuf {
    folder.parent().unwrap_or(folder).join("drain")
}

/// The folder of the reports of rehearsals below `/run/rsgen`. No app has a name with a colon, and the address of a socket has
/// too little room for the folder of an app.
#[must_use]
pub fn rehearsals(run: &Path) -> PathBuf {
    run.join(":rehearsals")
}

/// The folder of the [`Lock`] under which commands write the files of apps, below `/run/rsgen`. No app has a name with a colon.
#[must_use]
pub fn files(run: &Path) -> PathBuf {
    run.join(":files")
}

/// The folder of the [`Lock`] of a command that runs a part of an app's reload, below `/run/rsgen`. No app has a name with a colon.
#[must_use]
pub fn part(run: &Path, app: &str) -> PathBuf {
    run.join(format!(":part:{app}"))
}

/// A file in the folder [`drain`]. Its existence is a message to the programs of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The instance drains.
    Drain,
    /// The instance shuts down: units/drain.js, which knows the suffix of this file, emits PM2's message `shutdown`.
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
