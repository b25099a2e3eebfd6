//! `rsgen-worker balance`: the commands by which an instance with a listener of its own gets connections, and stops getting
//! them.

use std::ffi::OsString;
use std::path::PathBuf;

use super::flags::Words;
use super::{Line, Usage, Value, words};

words! {
    /// The action of the command.
    Act {
        /// Adds the instance's listener, which systemd passes to the command, to those of the app.
        Join = "join",
        /// Lets the instance have connections.
        On = "on",
        /// Keeps new connections from the instance.
        Off = "off",
        /// Like `Off`, and waits until the program has accepted the connections in its queue.
        Leave = "leave",
    }
}

/// `rsgen-worker balance`: an action, and the instance that it concerns. In a template unit `N` and `F` are [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance<N = u32, F = PathBuf> {
    /// The action of the command.
    pub act: Act,
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub instance: N,
    /// The state folder of the app.
    pub state: F,
    /// Whether the client's address chooses the instance.
    pub by_source: Option<bool>,
    /// Whether only a privileged client may reach the instance while it is off; for [`Act::Join`].
    pub guarded: Option<bool>,
}

impl<N: Value, F: Value> Balance<N, F> {
    /// `balance on --app=web …`.
    #[must_use]
    pub fn line(&self) -> Line {
        let Self {
            act,
            app,
            instance,
            state,
            by_source,
            guarded,
        } = self;
        Line::of("balance")
            .word(act)
            .flag("--app", app)
            .flag("--instance", instance)
            .flag("--state", state)
            .optional("--by-source", by_source.as_ref())
            .optional("--guarded", guarded.as_ref())
    }
}

impl Balance {
    /// Reads what [`Balance::line`] writes.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("balance", words)?;
        let balance = Self {
            act: words.word("what to do")?,
            app: words.flag("--app")?,
            instance: words.flag("--instance")?,
            state: words.flag("--state")?,
            by_source: words.optional("--by-source")?,
            guarded: words.optional("--guarded")?,
        };
        words.end()?;
        Ok(balance)
    }
}
