//! `rsgen unit watch`: `ExecStart=` of the unit that reloads an app when its files change.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::flags::Words;
use super::{Line, Usage};

/// `ExecStart=` of the watch unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The app.
    pub app: String,
    /// The absolute paths of the files and folders that are watched.
    pub paths: Vec<PathBuf>,
    /// Patterns of files below these paths that are ignored.
    pub ignore: Vec<String>,
    /// How long nothing must change before the app is reloaded.
    pub delay: Duration,
}

impl Watch {
    pub(super) fn line(&self) -> Line {
        let Self {
            app,
            paths,
            ignore,
            delay,
        } = self;
        let line = Line::of("watch").word(app).flag("--delay", delay);
        let line = paths
            .iter()
            .fold(line, |line, path| line.flag("--path", path));
        ignore
            .iter()
            .fold(line, |line, pattern| line.flag("--ignore", pattern))
    }

    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("watch", words)?;
        let watch = Self {
            app: words.word("its app")?,
            paths: words.every("--path")?,
            ignore: words.every("--ignore")?,
            delay: words.flag("--delay")?,
        };
        words.end()?;
        Ok(watch)
    }
}
