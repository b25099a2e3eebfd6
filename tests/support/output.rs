//! What a command in a machine left behind.

use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

/// The end of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command, as one would type it.
    pub command: String,
    /// Its exit status; 124 when it had to be stopped after its time.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
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

    /// Panics unless `part` is in what the command wrote, on either channel.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        let said = self.stdout.contains(part) || self.stderr.contains(part);
        assert!(said, "expected to read {part:?} in\n{self}");
        self
    }

    /// Standard output without the white space around it.
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

/// A command that goes on in a machine.
pub struct Running(pub(crate) JoinHandle<Output>);

impl Running {
    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end.
    pub fn wait(self) -> Output {
        self.0.join().expect("a command's thread ends well")
    }
}
