//! Why a command did not do what it was asked, and the exit status that tells scripts.

use serde::Serialize;

use crate::ecosystem::Report;

/// The exit statuses, which are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The operation failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The ecosystem file is invalid.
    Invalid = 3,
    /// systemd cannot be reached, or permission is missing.
    Unreachable = 4,
    /// Timed out waiting for READY.
    TimedOut = 5,
}

/// A failure as people and scripts are told of it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// Lower case, no full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Whether every instance that served before still serves the same.
    pub untouched: bool,
    /// For an invalid file: everything that is wrong with it.
    pub report: Option<Box<Report>>,
}

#[derive(Serialize)]
pub(super) struct Json<'a> {
    error: &'a str,
    status: u8,
    help: Option<&'a str>,
    untouched: bool,
    diagnostics: Vec<crate::ecosystem::diagnostic::Located<'a>>,
}

impl Failure {
    /// A failure with this exit status.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            help: None,
            untouched: false,
            report: None,
        }
    }

    /// The operation failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The file is invalid.
    #[must_use]
    pub fn invalid(report: Report) -> Self {
        let message = format!("{} is invalid", report.path);
        Self {
            report: Some(Box::new(report)),
            ..Self::new(Exit::Invalid, message)
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Leaves the exit status only: everything has been said.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.message.clear();
        self
    }

    pub(super) fn as_json(&self) -> Json<'_> {
        Json {
            error: &self.message,
            status: self.exit as u8,
            help: self.help.as_deref(),
            untouched: self.untouched,
            diagnostics: self.report.iter().flat_map(|r| r.located()).collect(),
        }
    }
}
