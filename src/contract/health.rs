//! `rsgen-worker health`: the commands that check whether an instance serves, before the instance gets connections.

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use super::flags::Words;
use super::{Line, Usage, Value, words};

/// The beginning of a unit's `STATUS=` if an instance did not become healthy. The text after it says why.
pub const UNHEALTHY: &str = "unhealthy: ";

words! {
    /// How the instance is checked.
    Ask {
        /// By a connection, which it has to accept.
        Accepts = "accepts",
        /// Over HTTP.
        Path = "path",
        /// By a command of the app.
        Command = "command",
    }
}

/// `rsgen-worker health`: the instance to check, how, and for how long. In a template unit `N` and `F` are [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health<N = u32, F = PathBuf> {
    /// How the instance is checked.
    pub ask: Ask,
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub instance: N,
    /// The state folder of the app.
    pub state: F,
    /// The addresses over which the instance can be chosen, see [`super::steer`].
    pub addresses: Vec<SocketAddrV4>,
    /// The time limit for the whole check.
    pub timeout: Duration,
    /// The pause between two checks; `None` if there is only one check.
    pub interval: Option<Duration>,
    /// The number of good answers in a row that make the instance healthy; `None` for one.
    pub after: Option<u32>,
    /// The path that is requested over HTTP.
    pub path: Option<String>,
    /// The environment files that the worker reads for the program, and this command for the command of the app.
    pub env_files: Vec<F>,
    /// The variables that have a different number in each instance.
    pub counted: Vec<String>,
    /// The words of the command of the app; empty without one.
    pub command: Vec<OsString>,
}

impl<N: Value, F: Value> Health<N, F> {
    /// `health accepts --app=web …`.
    #[must_use]
    pub fn line(&self) -> Line {
        let Self {
            ask,
            app,
            instance,
            state,
            addresses,
            timeout,
            interval,
            after,
            path,
            env_files,
            counted,
            command,
        } = self;
        let line = Line::of("health")
            .word(ask)
            .flag("--app", app)
            .flag("--instance", instance)
            .flag("--state", state);
        let line = addresses
            .iter()
            .fold(line, |line, address| line.flag("--address", address))
            .flag("--timeout", timeout)
            .optional("--interval", interval.as_ref())
            .optional("--after", after.as_ref())
            .optional("--path", path.as_ref());
        let line = env_files
            .iter()
            .fold(line, |line, file| line.flag("--env-file", file));
        let line = counted
            .iter()
            .fold(line, |line, name| line.flag("--counted", name));
        if command.is_empty() {
            line
        } else {
            line.rest(command)
        }
    }
}

impl Health {
    /// Reads what [`Health::line`] writes.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("health", words)?;
        let ask = words.word("how to ask")?;
        let health = Self {
            ask,
            app: words.flag("--app")?,
            instance: words.flag("--instance")?,
            state: words.flag("--state")?,
            addresses: words.every("--address")?,
            timeout: words.flag("--timeout")?,
            interval: words.optional("--interval")?,
            after: words.optional("--after")?,
            path: words.optional("--path")?,
            env_files: words.every("--env-file")?,
            counted: words.every("--counted")?,
            command: match ask {
                Ask::Command => words.program()?,
                Ask::Accepts | Ask::Path => Vec::new(),
            },
        };
        words.end()?;
        Ok(health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let accepts = Health {
            ask: Ask::Accepts,
            app: "web".to_owned(),
            instance: 3,
            state: "/run/rsgen/web".into(),
            addresses: vec![
                "127.0.0.1:3000".parse().unwrap(),
                "10.0.0.1:80".parse().unwrap(),
            ],
            timeout: Duration::from_secs(30),
            interval: None,
            after: None,
            path: None,
            env_files: Vec::new(),
            counted: Vec::new(),
            command: Vec::new(),
        };
        let path = Health {
            ask: Ask::Path,
            interval: Some(Duration::from_millis(500)),
            after: Some(2),
            path: Some("/a b=%i".to_owned()),
            ..accepts.clone()
        };
        let command = Health {
            ask: Ask::Command,
            path: None,
            env_files: ["/srv/a.env", "/srv/b=c.env"].map(PathBuf::from).to_vec(),
            counted: vec!["PORT".to_owned()],
            command: ["/srv/check", "--at={address}", "--", "-x"]
                .map(OsString::from)
                .to_vec(),
            ..path.clone()
        };
        for health in [accepts, path, command] {
            assert_eq!(Health::parse(health.line().words()).unwrap(), health);
        }
        for line in [
            "health",
            "health accepts --app=web",
            "health maybe --app=web",
        ] {
            let words = line.split(' ').map(OsString::from);
            assert!(Health::parse(words).is_err(), "{line}");
        }
    }
}
