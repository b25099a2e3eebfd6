//! The worker's command line, as the templates write it. Small, since it runs before every program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use crate::brake::Policy;

/// How the program gets the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// At `bind`.
    Bind,
    /// As `sd_listen_fds(3)` has it.
    Fds,
}

/// What makes the instance READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// `listen` on every declared address, `bind` for datagrams.
    Listen,
    /// The program says so itself.
    Notify,
    /// `process.send('ready')` over Node's channel.
    Message,
    /// Started is ready.
    Exec,
}

/// `rsgen-worker run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The app.
    pub app: String,
    /// The number of the instance.
    pub instance: u32,
    /// The state folder of the app.
    pub state: PathBuf,
    /// How the program gets the sockets.
    pub handover: Handover,
    /// What makes it READY.
    pub ready: Ready,
    /// From now to READY.
    pub listen_timeout: Duration,
    /// When the instance is given up.
    pub brake: Policy,
    /// Whether Node programs are told when they drain.
    pub preload: bool,
    /// Files of variables that systemd must not read as root; a later one goes over an earlier one.
    pub env_files: Vec<PathBuf>,
    /// The program and its arguments.
    pub program: Vec<OsString>,
}

/// Reads `run --app=web … -- program args`.
///
/// # Errors
/// [`Error::Usage`] when it is not what units write.
pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Run, Error> {
    let usage = |text: &str| {
        Error::Usage(format!(
            "{text}; it is run by the units of rsgen, see rsgen(1)"
        ))
    };
    if arguments.next().is_none_or(|a| a != "run") {
        return Err(usage("the first argument is not `run`"));
    }
    let mut run = Run {
        app: String::new(),
        instance: 0,
        state: PathBuf::new(),
        handover: Handover::Bind,
        ready: Ready::Listen,
        listen_timeout: Duration::from_secs(30),
        brake: Policy {
            min_uptime: Duration::from_secs(1),
            max_restarts: 16,
            backoff: None,
        },
        preload: false,
        env_files: Vec::new(),
        program: Vec::new(),
    };
    for argument in arguments.by_ref() {
        if argument == "--" {
            break;
        }
        let text = argument.to_str().unwrap_or_default();
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        set(&mut run, key, value).ok_or_else(|| usage(&format!("`{text}` is no argument")))?;
    }
    run.program = arguments.collect();
    if run.app.is_empty() || run.program.is_empty() {
        return Err(usage("the app or its program is missing"));
    }
    Ok(run)
}

fn set(run: &mut Run, key: &str, value: &str) -> Option<()> {
    match key {
        "--app" => value.clone_into(&mut run.app),
        "--instance" => run.instance = value.parse().ok()?,
        "--state" => run.state = value.into(),
        "--handover" => run.handover = handover(value)?,
        "--ready" => {
            run.ready = match value {
                "listen" => Ready::Listen,
                "notify" => Ready::Notify,
                "message" => Ready::Message,
                "exec" => Ready::Exec,
                _ => return None,
            }
        }
        "--listen-timeout" => run.listen_timeout = time(value)?,
        "--min-uptime" => run.brake.min_uptime = time(value)?,
        "--max-restarts" => run.brake.max_restarts = value.parse().ok()?,
        "--preload" => run.preload = value.parse().ok()?,
        "--env-file" => run.env_files.push(value.into()),
        "--backoff" => run.brake.backoff = Some(time(value)?),
        _ => return None,
    }
    Some(())
}

/// `bind` or `fds`.
pub(super) fn handover(text: &str) -> Option<Handover> {
    match text {
        "bind" => Some(Handover::Bind),
        "fds" => Some(Handover::Fds),
        _ => None,
    }
}

/// The times that the templates write: one number, one unit.
pub(super) fn time(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(
        number.parse::<u64>().ok()?.checked_mul(micros)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Run, Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn it_reads_what_the_templates_write() {
        let run = parsed("run --app=web --instance=3 --state=/run/rsgen/web --handover=fds --ready=exec --listen-timeout=1500ms --env-file=/a --env-file=/b=c -- node a -- b").unwrap();
        assert_eq!(
            (run.instance, run.handover, run.ready),
            (3, Handover::Fds, Ready::Exec)
        );
        assert_eq!(run.listen_timeout, Duration::from_millis(1500));
        assert_eq!(run.env_files, [PathBuf::from("/a"), "/b=c".into()]);
        assert_eq!(run.program, ["node", "a", "--", "b"]);
    }

    #[test]
    fn it_refuses_what_they_never_write() {
        for line in [
            "",
            "start --app=web -- x",
            "run --app=web",
            "run --app=web --",
            "run --app=web --nope=1 -- x",
            "run --app=web --ready=soon -- x",
        ] {
            assert!(matches!(parsed(line), Err(Error::Usage(_))), "{line}");
        }
    }
}
