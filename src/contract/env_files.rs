//! `rsgen-worker env-files`: `ExecStartPre=` of an instance for which systemd reads environment files.

use std::ffi::OsString;
use std::path::PathBuf;

use super::flags::Words;
use super::{Line, Usage, Value};

/// `rsgen-worker env-files`: the files to check. In a template unit, `F` is [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFiles<F = PathBuf> {
    /// The state folder of the app, which shows whether the unit belongs to the system manager.
    pub state: F,
    /// The environment files that systemd reads.
    pub files: Vec<F>,
}

impl<F: Value> EnvFiles<F> {
    /// Returns `env-files --state=… --env-file=…`.
    #[must_use]
    pub fn line(&self) -> Line {
        let Self { state, files } = self;
        let line = Line::of("env-files").flag("--state", state);
        files
            .iter()
            .fold(line, |line, file| line.flag("--env-file", file))
    }
}

impl EnvFiles {
    /// Reads what [`EnvFiles::line`] writes.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("env-files", words)?;
        let files = Self {
            state: words.flag("--state")?,
            files: words.every("--env-file")?,
        };
        words.end()?;
        Ok(files)
    }

    /// Returns whether the unit belongs to the system manager. The command line decides, because root wrote it; the app
    /// can change the environment.
    #[must_use]
    pub fn is_systems(&self) -> bool {
        self.state.starts_with("/run/rsgen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_state_tells_the_manager() {
        let of = |state: &str| EnvFiles {
            state: state.into(),
            files: Vec::new(),
        };
        assert!(of("/run/rsgen/web").is_systems());
        assert!(!of("/run/user/1000/rsgen/web").is_systems());
        assert!(!of("/run/rsgen2/web").is_systems());
    }
}
