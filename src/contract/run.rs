//! `rsgen-worker run`, which is `ExecStart=` of an instance.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::flags::Words;
use super::{Cpus, Drain, Handover, Line, Ready, Request, Usage, Value};

/// The conditions under which an instance is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long an instance has to live after READY for its earlier deaths to be forgotten.
    pub min_uptime: Duration,
    /// How many quick deaths in a row are too many.
    pub max_restarts: u32,
    /// The first pause before a restart; it grows by half with each death, up to 15 s.
    pub backoff: Option<Duration>,
}

/// The values that the worker needs in a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal<F = PathBuf> {
    /// The socket to which the worker reports. When the reader closes the connection, the program is ended.
    pub report: F,
    /// The stop signal of the app, for instance `SIGINT`.
    pub signal: String,
    /// The time between that signal and SIGKILL.
    pub kill_timeout: Duration,
}

/// `rsgen-worker run`: how an instance is started. In a template unit `N` and `F` are [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<N = u32, F = PathBuf> {
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub instance: N,
    /// The state folder of the app.
    pub state: F,
    /// How the program gets the sockets.
    pub handover: Handover,
    /// The event that makes the instance READY.
    pub ready: Ready,
    /// How long the instance may take from its start to READY.
    pub listen_timeout: Duration,
    /// When the instance is given up.
    pub brake: Policy,
    /// Whether Node programs are informed when they are drained.
    pub preload: bool,
    /// Environment files that systemd must not read as root. Variables of a later file override those of an earlier
    /// one.
    pub env_files: Vec<F>,
    /// Variables whose values count, see [`super::count`].
    pub counted: Vec<String>,
    /// The CPUs of the instance, if it does not have all.
    pub cpus: Option<Cpus>,
    /// Set in a rehearsal: no socket is handed over, the program's bind(2) has no effect, and the address is reported.
    pub rehearsal: Option<Rehearsal<F>>,
    /// The program and its arguments.
    pub program: Vec<OsString>,
}

impl<N: Value, F: Value> Run<N, F> {
    /// `run --app=web … -- program arguments`.
    #[must_use]
    pub fn line(&self) -> Line {
        let Self {
            app,
            instance,
            state,
            handover,
            ready,
            listen_timeout,
            brake,
            preload,
            env_files,
            counted,
            cpus,
            rehearsal,
            program,
        } = self;
        let Policy {
            min_uptime,
            max_restarts,
            backoff,
        } = brake;
        let line = Line::of("run")
            .flag("--app", app)
            .flag("--instance", instance)
            .flag("--state", state)
            .flag("--handover", handover)
            .flag("--ready", ready)
            .flag("--listen-timeout", listen_timeout)
            .flag("--min-uptime", min_uptime)
            .flag("--max-restarts", max_restarts)
            .flag("--preload", preload)
            .optional("--backoff", backoff.as_ref())
            .optional("--cpus", cpus.as_ref());
        let line = match rehearsal {
            Some(rehearsal) => line
                .flag("--report", &rehearsal.report)
                .flag("--kill-signal", &rehearsal.signal)
                .flag("--kill-timeout", &rehearsal.kill_timeout),
            None => line,
        };
        let line = env_files
            .iter()
            .fold(line, |line, file| line.flag("--env-file", file));
        counted
            .iter()
            .fold(line, |line, name| line.flag("--counted", name))
            .rest(program)
    }
}

impl Run {
    /// Reads what [`Run::line`] writes, and what older versions wrote.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("run", words)?;
        let run = Self {
            app: words.flag("--app")?,
            instance: words.flag("--instance")?,
            state: words.flag("--state")?,
            handover: words.flag("--handover")?,
            ready: words.flag("--ready")?,
            listen_timeout: words.flag("--listen-timeout")?,
            brake: Policy {
                min_uptime: words.flag("--min-uptime")?,
                max_restarts: words.flag("--max-restarts")?,
                backoff: words.optional("--backoff")?,
            },
            // Before version 1, no program was informed.
            preload: words.since(1, "--preload")?.unwrap_or(false),
            cpus: words.optional("--cpus")?,
            rehearsal: match words.optional("--report")? {
                Some(report) => Some(Rehearsal {
                    report,
                    signal: words.flag("--kill-signal")?,
                    kill_timeout: words.flag("--kill-timeout")?,
                }),
                None => None,
            },
            env_files: words.every("--env-file")?,
            counted: words.every("--counted")?,
            program: words.program()?,
        };
        words.end()?;
        Ok(run)
    }

    /// Returns the drain that the helper of this instance carries out on request. The helper's own command line decides
    /// which instance is drained; the request says only how.
    #[must_use]
    pub fn drain(&self, asked: Request) -> Drain {
        let Request {
            timeout,
            way,
            signal,
        } = asked;
        Drain {
            app: self.app.clone(),
            instance: self.instance,
            state: self.state.clone(),
            handover: self.handover,
            timeout,
            way,
            signal,
            message: None,
        }
    }
}
