//! An app as it is meant: every value checked, every default in place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::values::{Drain, Handover, Instances, Listen, OnFailure, Ready, Sandbox};
use crate::unit::{self, Assigned};

/// How the program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The script or program: absolute, or a name that `$PATH` knows.
    pub script: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What runs the script; none for a program that runs itself.
    pub interpreter: Option<String>,
    /// Arguments of the interpreter.
    pub interpreter_args: Vec<String>,
    /// The working directory; `None` until it was resolved against the file's folder.
    pub cwd: Option<String>,
}

impl Program {
    /// The whole command line, the program first.
    #[must_use]
    pub fn command_line(&self) -> Vec<String> {
        let mut line = Vec::new();
        if let Some(interpreter) = &self.interpreter {
            line.push(interpreter.clone());
            line.extend(self.interpreter_args.iter().cloned());
        }
        line.push(self.script.clone());
        line.extend(self.args.iter().cloned());
        line
    }
}

/// When instances start, stop and are given up; all times as systemd.service(5) means them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The signal that asks an instance to end, e.g. `SIGINT`.
    pub kill_signal: String,
    /// From that signal to SIGKILL.
    pub kill_timeout: Duration,
    /// What comes before that signal.
    pub drain: Drain,
    /// For so long the connections of an instance may finish.
    pub drain_timeout: Duration,
    /// Whether Node programs let their keep-alive connections end in a drain.
    pub preload: bool,
    /// Whether they get the message `shutdown` after the drain, and `kill_timeout` to act on it, before
    /// the signal.
    pub message: bool,
    /// From start to READY; its end is a failure.
    pub listen_timeout: Duration,
    /// Between a death and the next start.
    pub restart_delay: Duration,
    /// Whether an instance that ended is started again.
    pub autorestart: bool,
    /// Dying sooner than this after READY is a quick death.
    pub min_uptime: Duration,
    /// So many quick deaths in a row, and the instance is given up as errored.
    pub max_restarts: u32,
    /// The first pause after a quick death; each is half as long again as the one before, up to 15 s.
    pub backoff: Option<Duration>,
}

impl Lifecycle {
    /// The longest that a stop takes: the drain, the stop signal, SIGKILL.
    #[must_use]
    pub fn longest_stop(&self) -> Duration {
        let drain = match self.drain {
            Drain::Off => Duration::ZERO,
            Drain::Auto | Drain::Epoll => self.drain_timeout,
        };
        let message = if self.message {
            self.kill_timeout
        } else {
            Duration::ZERO
        };
        drain + message + self.kill_timeout * 2
    }
}

/// How a reload walks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Extra instances that serve while others are replaced: 0 or 1.
    pub surge: u32,
    /// Instances replaced at a time.
    pub parallel: u32,
    /// How long a new instance must stay up before the next is touched.
    pub settle: Duration,
    /// After an instance failed twice.
    pub on_failure: OnFailure,
}

/// Directives passed through to the units, as they are: `(directive, value)`.
pub type Directives = Vec<(String, String)>;

/// One app of an ecosystem file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// The name of its units.
    pub name: String,
    /// Where the app's table or name stands in the text.
    pub span: Range<usize>,
    /// How it is started.
    pub program: Program,
    /// Where `script` stands in the text.
    pub script_span: Range<usize>,
    /// How many.
    pub instances: Instances,
    /// The variable that tells an instance its number; none if unwanted.
    pub instance_var: Option<String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Files of further variables, absolute once resolved.
    pub env_file: Vec<String>,
    /// Where `env_file` stands in the text.
    pub env_file_span: Range<usize>,
    /// `User=`
    pub user: Option<String>,
    /// `Group=`
    pub group: Option<String>,
    /// Where `user` stands in the text; where there is none, the app.
    pub user_span: Range<usize>,
    /// Which directives the units have of their own accord.
    pub sandbox: Sandbox,
    /// The shared sockets; never empty.
    pub listen: Vec<Listen>,
    /// Where `listen` stands in the text.
    pub listen_span: Range<usize>,
    /// How the program gets them.
    pub handover: Handover,
    /// What makes an instance READY.
    pub ready: Ready,
    /// Starting, stopping, giving up.
    pub lifecycle: Lifecycle,
    /// Reloading.
    pub rollout: Rollout,
    /// `[Unit]` of the instances.
    pub unit: Directives,
    /// `[Service]` of the instances.
    pub service: Directives,
    /// Where each directive of `service` stands in the text.
    pub service_spans: BTreeMap<String, Range<usize>>,
    /// `[Socket]` of the socket.
    pub socket: Directives,
}

impl App {
    /// What the user's own table assigns to a directive of `[Service]`.
    #[must_use]
    pub fn assigned(&self, directive: &str) -> Assigned<'_> {
        unit::assigned(&self.service, directive)
    }

    /// Whether systemd makes a user for each start, see `DynamicUser=` in systemd.exec(5).
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.assigned("DynamicUser").boolean() == Some(true)
    }

    /// Whether an app of the system runs as root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        let named = self.user.as_deref();
        !self.is_dynamic() && named.is_none_or(|user| user == "root" || user == "0")
    }
}
