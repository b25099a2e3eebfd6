//! `rsgen unit pause` and `rsgen unit resume`: the commands of the unit that exists while an app is paused.

use std::ffi::OsString;
use std::time::Duration;

use super::flags::Words;
use super::{Line, Usage};

/// `ExecStart=` of the pause unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The app.
    pub app: String,
    /// How long the app is paused once its instances have ended.
    pub time: Duration,
}

/// `ExecStopPost=` of the pause unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The app.
    pub app: String,
}

impl Pause {
    pub(super) fn line(&self) -> Line {
        let Self { app, time } = self;
        Line::of("pause").word(app).flag("--for", time)
    }

    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("pause", words)?;
        let pause = Self {
            app: words.word("the app")?,
            time: words.flag("--for")?,
        };
        words.end()?;
        Ok(pause)
    }
}

impl Resume {
    pub(super) fn line(&self) -> Line {
        Line::of("resume").word(&self.app)
    }

    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("resume", words)?;
        let resume = Self {
            app: words.word("the app")?,
        };
        words.end()?;
        Ok(resume)
    }
}
