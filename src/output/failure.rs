//! The reason why a command failed, and the exit status by which scripts recognise it.

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

/// A failure, as a command reports it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// A line, lower case, no full stop. Empty when everything has been reported already.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// Whether every instance that served before still serves unchanged.
    pub untouched: bool,
    /// The apps for which the command has still done its work, if it works on several.
    pub done: Vec<String>,
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
    done: &'a [String],
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

    /// Returns the meaning of the exit status, for `--help` and the manual pages.
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
    /// Makes a failure with this exit status.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            help: None,
            untouched: false,
            done: Vec::new(),
            report: None,
        }
    }

    /// Adds another hint after the next step.
    #[must_use]
    pub fn help_also(self, more: Option<String>) -> Self {
        let help = match (self.help, more) {
            (Some(help), Some(more)) => Some(format!("{help}; {more}")),
            (help, more) => help.or(more),
        };
        Self { help, ..self }
    }

    /// Adds a hint before the present next step.
    #[must_use]
    pub fn help_first(self, first: Option<String>) -> Self {
        let more = self.help.clone();
        match first {
            Some(first) => self.help(first).help_also(more),
            None => self,
        }
    }

    /// Notes for which apps the command has still done its work.
    #[must_use]
    pub fn beside(self, done: Vec<String>) -> Self {
        Self { done, ..self }
    }

    /// Makes a failure with the status 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Makes a failure for an invalid file.
    #[must_use]
    pub fn invalid(report: Report) -> Self {
        let message = format!("{} is invalid", report.path);
        Self {
            report: Some(Box::new(report)),
            ..Self::new(Exit::Invalid, message)
        }
    }

    /// Combines the failures of a command that works on this many apps; `None` if there are none.
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

    /// Removes everything except the exit status, because everything has been reported.
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
            done: &self.done,
            diagnostics: self.report.iter().flat_map(|r| r.located()).collect(),
        }
    }
}
