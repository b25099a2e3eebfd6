//! `rsgen unit job`: `ExecStart=` of the cluster unit of a job.

use std::ffi::OsString;

use super::flags::Words;
use super::{Instances, Line, Usage};

/// `ExecStart=` of the cluster unit of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The app.
    pub app: String,
    /// How many instances run at once.
    pub instances: Instances,
}

impl Job {
    pub(super) fn line(&self) -> Line {
        let Self { app, instances } = self;
        Line::of("job").word(app).flag("--instances", instances)
    }

    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("job", words)?;
        let job = Self {
            app: words.word("its app")?,
            instances: words.flag("--instances")?,
        };
        words.end()?;
        Ok(job)
    }
}
