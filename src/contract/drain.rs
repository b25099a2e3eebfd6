//! `rsgen-worker drain`, which is `ExecStop=` of an instance, and the request by which the drain asks the instance's helper.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::flags::Words;
use super::{Handover, Line, Usage, Value, Way};

/// `rsgen-worker drain`: which instance to drain, how, and for how long. In a template unit `N` and `F` are [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain<N = u32, F = PathBuf> {
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub instance: N,
    /// The state folder of the app.
    pub state: F,
    /// How the program got its sockets. A handover at bind adds a seccomp filter, which the drain has to count.
    pub handover: Handover,
    /// The bound: the drain ends after this time, whatever connections are left.
    pub timeout: Duration,
    /// How the instance is kept from accepting.
    pub way: Way,
    /// The signal on which the program finishes its connections and ends by itself, for instance `SIGQUIT`; `None` for no
    /// signal before the stop.
    pub signal: Option<String>,
    /// How long the program may take after PM2's message `shutdown`, which follows the drain; `None` for no message.
    pub message: Option<Duration>,
}

impl<N: Value, F: Value> Drain<N, F> {
    /// `drain --app=web …`.
    #[must_use]
    pub fn line(&self) -> Line {
        let Self {
            app,
            instance,
            state,
            handover,
            timeout,
            way,
            signal,
            message,
        } = self;
        Line::of("drain")
            .flag("--app", app)
            .flag("--instance", instance)
            .flag("--state", state)
            .flag("--handover", handover)
            .flag("--timeout", timeout)
            .flag("--way", way)
            .optional("--signal", signal.as_ref())
            .optional("--message", message.as_ref())
    }
}

impl Drain {
    /// Reads what [`Drain::line`] writes, and what older versions wrote.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("drain", words)?;
        let drain = Self {
            app: words.flag("--app")?,
            instance: words.flag("--instance")?,
            // Before version 1, neither Node programs nor the helper took part in a drain.
            state: words.since(1, "--state")?.unwrap_or_default(),
            // Before version 2, the drain took every program for one that binds.
            handover: words.since(2, "--handover")?.unwrap_or(Handover::Bind),
            timeout: words.flag("--timeout")?,
            way: words.flag("--way")?,
            signal: words.optional("--signal")?,
            message: words.optional("--message")?,
        };
        words.end()?;
        Ok(drain)
    }

    /// Returns whether the unit belongs to the system manager. The command line decides, because root wrote it; the app
    /// can change the environment.
    #[must_use]
    pub fn is_systems(&self) -> bool {
        // Before `--state` was written, only the system's units had a drain.
        self.state.starts_with("/run/rsgen") || self.state.as_os_str().is_empty()
    }

    /// Returns the option of systemctl(1) that selects the unit's manager.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        if self.is_systems() {
            "--system"
        } else {
            "--user"
        }
    }

    /// Returns the request to the helper of the instance.
    #[must_use]
    pub fn request(&self) -> Request {
        Request {
            timeout: self.timeout,
            way: self.way,
            signal: self.signal.clone(),
        }
    }
}

/// A request to the helper of an instance, which says how to drain the instance. Everyone who can write to the helper's
/// socket may send one, so a request never says which instance is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As [`Drain::timeout`].
    pub timeout: Duration,
    /// As [`Drain::way`].
    pub way: Way,
    /// As [`Drain::signal`].
    pub signal: Option<String>,
}

impl Request {
    const TIMEOUT: &str = "--timeout=";
    const WAY: &str = "--way=";
    const SIGNAL: &str = "--signal=";

    /// Returns the request as one line, with its newline.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            timeout,
            way,
            signal,
        } = self;
        let micros = timeout.as_micros();
        let signal = signal.as_ref().map(|s| format!(" {}{s}", Self::SIGNAL));
        let signal = signal.unwrap_or_default();
        format!("{}{micros}us {}{way}{signal}\n", Self::TIMEOUT, Self::WAY)
    }

    /// Reads such a line. A helper lives as long as its instance, and the drain that asks may be of a later version, so
    /// unknown words are skipped.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim_end().split(' ');
        let timeout = words.clone().find_map(|w| w.strip_prefix(Self::TIMEOUT))?;
        let way = words.clone().find_map(|w| w.strip_prefix(Self::WAY))?;
        let signal = words.find_map(|w| w.strip_prefix(Self::SIGNAL));
        Some(Self {
            timeout: Value::read(timeout)?,
            way: Value::read(way)?,
            signal: signal.map(str::to_owned),
        })
    }
}
