//! The result of a command in a machine.

use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

/// The result of a command that has ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as one would type it.
    pub command: String,
    /// The exit status; 124 when the time limit ended the command.
    pub status: i32,
    /// The text on standard output.
    pub stdout: String,
    /// The text on standard error.
    pub stderr: String,
    /// How long the command ran.
    pub took: Duration,
}

impl Output {
    /// Panics unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Panics unless the command ended with this status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert!(
            self.status == status,
            "expected exit status {status} of\n{self}"
        );
        self
    }

    /// Panics unless standard output or standard error contains `part`.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        let said = self.stdout.contains(part) || self.stderr.contains(part);
        assert!(said, "expected to read {part:?} in\n{self}");
        self
    }

    /// Standard output without white space at both ends.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        for text in [&self.stdout, &self.stderr] {
            for line in text.lines() {
                writeln!(f, "  {line}")?;
            }
        }
        write!(
            f,
            "  [status {} after {:.2} s]",
            self.status,
            self.took.as_secs_f64()
        )
    }
}

/// A command that is running in a machine.
pub struct Running(pub(crate) JoinHandle<Output>);

impl Running {
    /// Whether the command has ended.
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the command to end.
    pub fn wait(self) -> Output {
        self.0.join().expect("a command's thread ends well")
    }
}
