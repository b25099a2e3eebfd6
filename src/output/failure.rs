//! The reason for which a command did not do what it was asked, and the exit status by which scripts know it.

use serde::Serialize;

use super::Shown;
use crate::ecosystem::Report;
use crate::ecosystem::diagnostic::Located;

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

/// A failure as a command tells it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// One line: lower case, no full stop. Empty when everything has been said already.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// Whether every instance that served before still serves the same.
    pub untouched: bool,
    /// The faults of an invalid file.
    pub report: Option<Box<Report>>,
}

/// A failure as scripts read it.
#[derive(Serialize)]
pub(crate) struct JsonFailure<'a> {
    error: &'a str,
    status: u8,
    help: Option<&'a str>,
    untouched: bool,
    diagnostics: Vec<Located<'a>>,
}

impl Shown for JsonFailure<'_> {}

impl Exit {
    /// Every exit status, in order.
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Invalid,
        Self::Unreachable,
        Self::TimedOut,
    ];

    /// The meaning of the exit status, as `--help` and the manual pages give it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "the operation failed",
            Self::Usage => "the command line is wrong",
            Self::Invalid => "the ecosystem file is invalid",
            Self::Unreachable => "systemd cannot be reached or permission is missing",
            Self::TimedOut => "timed out waiting for ready",
        }
    }
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

    /// One more thing to look at, behind the next step.
    #[must_use]
    pub fn help_also(self, more: Option<String>) -> Self {
        let help = match (self.help, more) {
            (Some(help), Some(more)) => Some(format!("{help}; {more}")),
            (help, more) => help.or(more),
        };
        Self { help, ..self }
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

    /// The failure of a command that has failed for some of so many apps; none where it has failed for no app.
    #[must_use]
    pub fn of_several(mut failures: Vec<Self>, apps: usize) -> Option<Self> {
        if failures.len() < 2 {
            return failures.pop();
        }
        let messages: Vec<&str> = failures.iter().map(|f| f.message.as_str()).collect();
        let message = format!(
            "{} of {apps} apps failed: {}",
            failures.len(),
            messages.join("; ")
        );
        let untouched = failures.iter().all(|f| f.untouched);
        let first = failures.into_iter().next()?;
        Some(Self {
            message,
            untouched,
            report: None,
            ..first
        })
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Leaves only the exit status, since everything has been said.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.message.clear();
        self
    }

    pub(crate) fn as_json(&self) -> JsonFailure<'_> {
        JsonFailure {
            error: &self.message,
            status: self.exit as u8,
            help: self.help.as_deref(),
            untouched: self.untouched,
            diagnostics: self.report.iter().flat_map(|r| r.located()).collect(),
        }
    }
}
