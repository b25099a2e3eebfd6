//! `rsgen-worker drain`, as the template of an instance writes it.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::run::{Handover, Run, handover, time};

/// How the instance is kept from accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A dead socket takes the listener's place in the program.
    Auto,
    /// The program's epoll sets forget the listener, and the program is never stopped for it.
    Epoll,
    /// It is not.
    Off,
}

impl Display for Way {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Epoll => "epoll",
            Self::Off => "off",
        })
    }
}

/// What to drain, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub instance: u32,
    /// The state folder of the app.
    pub state: PathBuf,
    /// How the program got its sockets, which says how many seccomp filters it is under.
    pub handover: Handover,
    /// The drain is over by then, whatever is left.
    pub timeout: Duration,
    /// How the instance is kept from accepting.
    pub way: Way,
    /// Then the program is sent the message `shutdown`, and has so much time to act on it.
    pub message: Option<Duration>,
}

impl Drain {
    /// Whether the unit is one of the system's manager. The command line is root's, the environment is not.
    pub(crate) fn is_systems(&self) -> bool {
        self.state.starts_with("/run/rsgen")
    }

    /// The manager, as systemctl(1) names it.
    pub(crate) fn scope(&self) -> &'static str {
        if self.is_systems() {
            "--system"
        } else {
            "--user"
        }
    }

    /// How the helper is asked for it, see [`of_request`].
    #[must_use]
    pub fn request(&self) -> String {
        let micros = self.timeout.as_micros();
        format!("--timeout={micros}us --way={}\n", self.way)
    }
}

/// Reads what stands after `drain`.
///
/// # Errors
/// [`Error::Usage`] when it is not what units write.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Drain, Error> {
    let mut drain = Drain {
        app: String::new(),
        instance: 0,
        state: PathBuf::new(),
        handover: Handover::Bind,
        timeout: Duration::from_secs(10),
        way: Way::Auto,
        message: None,
    };
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default();
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        set(&mut drain, key, value).ok_or_else(|| {
            Error::Usage(format!(
                "`{text}` is no argument of `drain`; it is run by the units of rsgen, see rsgen(1)"
            ))
        })?;
    }
    if drain.app.is_empty() {
        return Err(Error::Usage(
            "`drain` is told no app; it is run by the units of rsgen, see rsgen(1)".into(),
        ));
    }
    Ok(drain)
}

/// Reads what the helper of an instance is asked. The instance is the helper's own; only how it drains is asked.
///
/// # Errors
/// [`Error::Usage`] when there is no such way, or no such time.
pub fn of_request(run: &Run, line: &str) -> Result<Drain, Error> {
    let words = line.trim_end().split(' ');
    let words = words.filter(|w| w.starts_with("--timeout=") || w.starts_with("--way="));
    let app = format!("--app={}", run.app);
    let asked = std::iter::once(app.as_str()).chain(words);
    Ok(Drain {
        instance: run.instance,
        state: run.state.clone(),
        handover: run.handover,
        ..parse(asked.map(OsString::from))?
    })
}

fn set(drain: &mut Drain, key: &str, value: &str) -> Option<()> {
    match key {
        "--app" => value.clone_into(&mut drain.app),
        "--instance" => drain.instance = value.parse().ok()?,
        "--state" => drain.state = value.into(),
        "--handover" => drain.handover = handover(value)?,
        "--timeout" => drain.timeout = time(value)?,
        "--message" => drain.message = Some(time(value)?),
        "--way" => {
            drain.way = match value {
                "auto" => Way::Auto,
                "epoll" => Way::Epoll,
                "off" => Way::Off,
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Drain, Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn it_reads_what_the_template_writes() {
        let drain =
            parsed("--app=web --instance=3 --state=/run/rsgen/web --handover=fds --timeout=2500ms --way=epoll --message=5s")
                .unwrap();
        assert_eq!(
            drain,
            Drain {
                app: "web".into(),
                instance: 3,
                state: "/run/rsgen/web".into(),
                handover: Handover::Fds,
                timeout: Duration::from_millis(2500),
                way: Way::Epoll,
                message: Some(Duration::from_secs(5)),
            }
        );
        assert_eq!(parsed("--app=web").unwrap().way, Way::Auto);
    }

    #[test]
    fn anything_else_is_refused() {
        for line in ["", "--instance=1", "--app=web --way=none", "--app=web now"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
