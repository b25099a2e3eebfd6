//! `rsgen unit …`: the commands of the cluster unit and of the brake unit, and `ExecStopPost=` of an instance.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::flags::Words;
use super::{
    Amount, Instances, Job, Line, OnFailure, Pause, Policy, Recycle, Resume, Scale, Statuses,
    Usage, Value, Watch,
};

/// [`Start::step_timeout`] for units of older versions, which lack the flag.
const PATIENCE: Duration = Duration::from_mins(10);

/// `ExecStart=` of the cluster unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The app.
    pub app: String,
    /// The number of instances.
    pub instances: Instances,
    /// How long the start waits for the other instances once one of them serves.
    pub step_timeout: Duration,
    /// The longest time that the app's own limits allow for stopping an instance; `None` in units of an older version.
    pub longest_stop: Option<Duration>,
}

/// `ExecReload=` of the cluster unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// The app.
    pub app: String,
    /// The number of instances.
    pub instances: Instances,
    /// How many extra instances serve while others are replaced.
    pub surge: Amount,
    /// How many instances are replaced at a time.
    pub parallel: Amount,
    /// How long a new instance has to stay up before the next one is replaced.
    pub settle: Duration,
    /// The action of the reload when an instance has failed twice.
    pub on_failure: OnFailure,
    /// How many instances may fail before the reload ends; `None` for none.
    pub max_failures: Option<u32>,
    /// The limit for one step, which stops an instance and starts it until READY.
    pub step_timeout: Duration,
    /// As [`Start::longest_stop`].
    pub longest_stop: Option<Duration>,
}

/// `ExecStop=` and `ExecStopPost=` of the cluster unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The app.
    pub app: String,
    /// As [`Start::longest_stop`].
    pub longest_stop: Option<Duration>,
}

/// `ExecStopPost=` of an instance. In a template unit `N` and `F` are [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended<N = u32, F = PathBuf> {
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub number: N,
    /// As [`Policy::min_uptime`].
    pub min_uptime: Duration,
    /// As [`Policy::max_restarts`].
    pub max_restarts: u32,
    /// Whether systemd restarts the instance.
    pub autorestart: bool,
    /// The environment files that systemd reads. A missing one explains why an instance ended without its program
    /// having run.
    pub env_files: Vec<F>,
    /// Exit statuses after which systemd does not restart the instance.
    pub stop_exit_codes: Statuses,
    /// Whether the instance has a listener of its own, so that other instances take over its connections.
    pub own_listener: Option<bool>,
}

/// `ExecStart=` of the brake unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// The app.
    pub app: String,
    /// As [`Policy::max_restarts`].
    pub max_restarts: u32,
}

/// `ExecStopPost=` of the brake unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Braked {
    /// The app.
    pub app: String,
}

/// `ExecStopPost=` of the unit of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// The app.
    pub app: String,
    /// The number of the rehearsal.
    pub number: u32,
}

/// A command of `rsgen unit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<N = u32, F = PathBuf> {
    /// `start`.
    Start(Start),
    /// `reload`.
    Reload(Reload),
    /// `stop`.
    Stop(Stop),
    /// `stopped`.
    Stopped(Stop),
    /// `ended`.
    Ended(Ended<N, F>),
    /// `brake`.
    Brake(Brake),
    /// `braked`.
    Braked(Braked),
    /// `watch`.
    Watch(Watch),
    /// `job`.
    Job(Job),
    /// `recycle`.
    Recycle(Recycle),
    /// `rehearsed`.
    Rehearsed(Rehearsed),
    /// `pause`.
    Pause(Pause),
    /// `resume`.
    Resume(Resume),
    /// `scale`.
    Scale(Scale),
}

impl<N: Value, F: Value> Step<N, F> {
    /// Returns the words after `rsgen unit`.
    #[must_use]
    pub fn line(&self) -> Line {
        match self {
            Self::Start(start) => start.line(),
            Self::Reload(reload) => reload.line(),
            Self::Stop(stop) => stop.line("stop"),
            Self::Stopped(stop) => stop.line("stopped"),
            Self::Ended(ended) => ended.line(),
            Self::Brake(brake) => brake.line(),
            Self::Braked(braked) => braked.line(),
            Self::Watch(watch) => watch.line(),
            Self::Job(job) => job.line(),
            Self::Recycle(recycle) => recycle.line(),
            Self::Rehearsed(rehearsed) => rehearsed.line(),
            Self::Pause(pause) => pause.line(),
            Self::Resume(resume) => resume.line(),
            Self::Scale(scale) => scale.line(),
        }
    }
}

impl Step {
    /// Reads what [`Step::line`] writes, and what older versions wrote.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = words.into_iter().peekable();
        match words.peek().and_then(|word| word.to_str()) {
            Some("start") => Start::parse(words).map(Self::Start),
            Some("reload") => Reload::parse(words).map(Self::Reload),
            Some("stop") => Stop::parse("stop", words).map(Self::Stop),
            Some("stopped") => Stop::parse("stopped", words).map(Self::Stopped),
            Some("ended") => Ended::parse(words).map(Self::Ended),
            Some("brake") => Brake::parse(words).map(Self::Brake),
            Some("braked") => Braked::parse(words).map(Self::Braked),
            Some("watch") => Watch::parse(words).map(Self::Watch),
            Some("job") => Job::parse(words).map(Self::Job),
            Some("recycle") => Recycle::parse(words).map(Self::Recycle),
            Some("rehearsed") => Rehearsed::parse(words).map(Self::Rehearsed),
            Some("pause") => Pause::parse(words).map(Self::Pause),
            Some("resume") => Resume::parse(words).map(Self::Resume),
            Some("scale") => Scale::parse(words).map(Self::Scale),
            _ => Err(Usage(
                "the first argument is not `start`, `reload`, `stop`, `stopped`, `ended`, `brake`, `braked`, `job`, `watch`, `recycle`, `rehearsed`, `pause`, `resume` or `scale`"
                    .to_owned(),
            )),
        }
    }
}

impl Start {
    fn line(&self) -> Line {
        let Self {
            app,
            instances,
            step_timeout,
            longest_stop,
        } = self;
        Line::of("start")
            .word(app)
            .flag("--instances", instances)
            .flag("--step-timeout", step_timeout)
            .optional("--longest-stop", longest_stop.as_ref())
    }

    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("start", words)?;
        let start = Self {
            app: words.word("the app")?,
            instances: words.flag("--instances")?,
            step_timeout: words.since(1, "--step-timeout")?.unwrap_or(PATIENCE),
            longest_stop: words.since(1, "--longest-stop")?,
        };
        words.end()?;
        Ok(start)
    }
}

impl Reload {
    fn line(&self) -> Line {
        let Self {
            app,
            instances,
            surge,
            parallel,
            settle,
            on_failure,
            max_failures,
            step_timeout,
            longest_stop,
        } = self;
        Line::of("reload")
            .word(app)
            .flag("--instances", instances)
            .flag("--surge", surge)
            .flag("--parallel", parallel)
            .flag("--settle", settle)
            .flag("--on-failure", on_failure)
            .optional("--max-failures", max_failures.as_ref())
            .flag("--step-timeout", step_timeout)
            .optional("--longest-stop", longest_stop.as_ref())
    }

    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("reload", words)?;
        let reload = Self {
            app: words.word("the app")?,
            instances: words.flag("--instances")?,
            surge: words.flag("--surge")?,
            parallel: words.flag("--parallel")?,
            settle: words.flag("--settle")?,
            on_failure: words.flag("--on-failure")?,
            max_failures: words.optional("--max-failures")?,
            step_timeout: words.flag("--step-timeout")?,
            longest_stop: words.since(1, "--longest-stop")?,
        };
        words.end()?;
        Ok(reload)
    }
}

impl Stop {
    fn line(&self, command: &str) -> Line {
        let Self { app, longest_stop } = self;
        Line::of(command)
            .word(app)
            .optional("--longest-stop", longest_stop.as_ref())
    }

    fn parse(
        command: &'static str,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Usage> {
        let mut words = Words::of(command, words)?;
        let stop = Self {
            app: words.word("the app")?,
            longest_stop: words.since(1, "--longest-stop")?,
        };
        words.end()?;
        Ok(stop)
    }
}

impl Brake {
    fn line(&self) -> Line {
        let Self { app, max_restarts } = self;
        Line::of("brake")
            .word(app)
            .flag("--max-restarts", max_restarts)
    }

    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("brake", words)?;
        let brake = Self {
            app: words.word("the app")?,
            max_restarts: words.flag("--max-restarts")?,
        };
        words.end()?;
        Ok(brake)
    }
}

impl Braked {
    fn line(&self) -> Line {
        Line::of("braked").word(&self.app)
    }

    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("braked", words)?;
        let braked = Self {
            app: words.word("the app")?,
        };
        words.end()?;
        Ok(braked)
    }
}

impl Rehearsed {
    fn line(&self) -> Line {
        Line::of("rehearsed").word(&self.app).word(&self.number)
    }

    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("rehearsed", words)?;
        let rehearsed = Self {
            app: words.word("its app")?,
            number: words.word("the number of the rehearsal")?,
        };
        words.end()?;
        Ok(rehearsed)
    }
}

impl<N: Value, F: Value> Ended<N, F> {
    fn line(&self) -> Line {
        let Self {
            app,
            number,
            min_uptime,
            max_restarts,
            autorestart,
            env_files,
            stop_exit_codes,
            own_listener,
        } = self;
        let line = Line::of("ended")
            .word(app)
            .word(number)
            .flag("--min-uptime", min_uptime)
            .flag("--max-restarts", max_restarts)
            .flag("--autorestart", autorestart)
            .optional("--stop-exit-codes", stop_exit_codes.named())
            .optional("--own-listener", own_listener.as_ref());
        env_files
            .iter()
            .fold(line, |line, file| line.flag("--env-file", file))
    }
}

impl Ended {
    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("ended", words)?;
        let ended = Self {
            app: words.word("the app")?,
            number: words.word("the number of the instance")?,
            min_uptime: words.flag("--min-uptime")?,
            max_restarts: words.flag("--max-restarts")?,
            autorestart: words.flag("--autorestart")?,
            env_files: words.every("--env-file")?,
            stop_exit_codes: words.optional("--stop-exit-codes")?.unwrap_or_default(),
            own_listener: words.optional("--own-listener")?,
        };
        words.end()?;
        Ok(ended)
    }

    /// Returns the conditions under which the instance is given up. They include no pause, because the worker pauses
    /// before the next start.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            min_uptime: self.min_uptime,
            max_restarts: self.max_restarts,
            backoff: None,
        }
    }
}
