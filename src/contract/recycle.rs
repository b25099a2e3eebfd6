//! `rsgen unit recycle`: `ExecStart=` of the unit that replaces instances which use too much memory or have run for too long.

use std::ffi::OsString;
use std::time::Duration;

use super::flags::Words;
use super::{Amount, Bytes, Instances, Line, Usage};

/// `ExecStart=` of the recycling unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recycle {
    /// The app.
    pub app: String,
    /// The number of instances.
    pub instances: Instances,
    /// The memory above which an instance is replaced.
    pub max_memory: Option<Bytes>,
    /// The time after which an instance is replaced.
    pub max_uptime: Option<Duration>,
    /// How many extra instances a reload has. Recycling has one, unless a reload has none.
    pub surge: Amount,
    /// How long a new instance has to stay up.
    pub settle: Duration,
    /// The limit for one step, which stops an instance and starts it until READY.
    pub step_timeout: Duration,
    /// The longest time that the app's own limits allow for stopping an instance.
    pub longest_stop: Duration,
}

impl Recycle {
    pub(super) fn line(&self) -> Line {
        let Self {
            app,
            instances,
            max_memory,
            max_uptime,
            surge,
            settle,
            step_timeout,
            longest_stop,
        } = self;
        Line::of("recycle")
            .word(app)
            .flag("--instances", instances)
            .optional("--max-memory", max_memory.as_ref())
            .optional("--max-uptime", max_uptime.as_ref())
            .flag("--surge", surge)
            .flag("--settle", settle)
            .flag("--step-timeout", step_timeout)
            .flag("--longest-stop", longest_stop)
    }

    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("recycle", words)?;
        let recycle = Self {
            app: words.word("the app")?,
            instances: words.flag("--instances")?,
            max_memory: words.optional("--max-memory")?,
            max_uptime: words.optional("--max-uptime")?,
            surge: words.flag("--surge")?,
            settle: words.flag("--settle")?,
            step_timeout: words.flag("--step-timeout")?,
            longest_stop: words.flag("--longest-stop")?,
        };
        words.end()?;
        Ok(recycle)
    }
}
