//! What a key changes: each is a command line of rsgen, which runs as a process of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use super::super::targets::Target;
use super::{News, Sender};
use crate::layout::Scope;
use crate::sys::process;
use crate::visible::Visible;

/// This program, also after an upgrade has replaced its file.
const OWN: &str = "/proc/self/exe";
/// The longest line in bytes that is read.
const LONGEST: u64 = 16 << 10;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// A reload of an app.
    Reload(Target),
    /// One instance more.
    More(Target),
    /// One instance fewer.
    Fewer(Target),
    /// A restart of an app or of an instance.
    Restart(Target),
}

impl Action {
    /// Returns what changes.
    pub(super) fn target(&self) -> &Target {
        match self {
            Self::Reload(of) | Self::More(of) | Self::Fewer(of) | Self::Restart(of) => of,
        }
    }

    /// The words of the command line.
    pub(super) fn words(&self) -> Vec<String> {
        let (verb, number) = match self {
            Self::Reload(_) => ("reload", None),
            Self::More(_) => ("scale", Some("+1")),
            Self::Fewer(_) => ("scale", Some("-1")),
            Self::Restart(_) => ("restart", None),
        };
        let target = self.target().to_string();
        let words = [Some(verb), Some(target.as_str()), number];
        words.into_iter().flatten().map(str::to_owned).collect()
    }

    /// The command line for people.
    pub(super) fn line(&self) -> String {
        format!("rsgen {}", self.words().join(" "))
    }

    /// Says what a reload does not do, before the user agrees.
    pub(super) fn warning(&self) -> &'static str {
        match self {
            Self::Restart(_) => " (at once: connections end)",
            _ => "",
        }
    }
}

/// Begins an action, and sends what its command says and how it ends.
pub(super) fn begin(action: &Action, scope: Scope, sender: Sender) {
    let words = action.words();
    thread::spawn(move || {
        let ended = run(&words, scope, &sender);
        let ended = ended.unwrap_or_else(|error| Err(format!("cannot be run: {error}")));
        sender.send(News::Over(ended));
    });
}

fn run(words: &[String], scope: Scope, sender: &Sender) -> io::Result<Result<(), String>> {
    let (out, inside) = io::pipe()?;
    let mut command = Command::new(OWN);
    command
        .arg0("rsgen")
        .args((scope == Scope::User).then_some("--user"))
        .args(words)
        .stdin(Stdio::null())
        .stdout(inside.try_clone()?)
        .stderr(inside)
        // The change is not cut short when the terminal goes away.
        .process_group(0);
    let mut child = process::unblock_signals(&mut command).spawn()?;
    // It has the end of the pipe that the child writes to.
    drop(command);
    for line in lines(out) {
        sender.send(News::Said(line));
    }
    Ok(told(child.wait()?))
}

/// The lines that a command of rsgen prints, without those that are empty.
fn lines(out: impl Read) -> impl Iterator<Item = Visible> {
    let mut out = BufReader::new(out);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = out.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        let is_there = read.is_ok_and(|count| count > 0);
        is_there.then(|| Visible::again(String::from_utf8_lossy(&line).trim_end()))
    })
    .filter(|line| !line.as_str().is_empty())
}

fn told(status: ExitStatus) -> Result<(), String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, Some(signal)) => Err(format!("ended by signal {signal}")),
        (None, None) => Err("ended".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_a_command_line_of_the_program() {
        let web = || Target::App("web".to_owned());
        for (action, line) in [
            (Action::Reload(web()), "rsgen reload web"),
            (Action::More(web()), "rsgen scale web +1"),
            (Action::Fewer(web()), "rsgen scale web -1"),
            (
                Action::Restart(Target::Instance("web".to_owned(), 1)),
                "rsgen restart web@1",
            ),
        ] {
            assert_eq!(action.line(), line);
            let command = crate::command::command_line().command;
            let words = std::iter::once("rsgen".to_owned()).chain(action.words());
            assert!(command.try_get_matches_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_a_command_says_is_harmless_and_bounded() {
        let long = "x".repeat(usize::try_from(LONGEST).unwrap());
        let text = format!("  web: ready\n\n\x1b[31mred\n{long}y\n");
        let said: Vec<String> = lines(text.as_bytes()).map(|l| l.to_string()).collect();
        let expected = ["  web: ready", r"\x1b[31mred", &long, "y"];
        assert_eq!(said, expected);
    }

    #[test]
    fn how_a_command_ended_is_told() {
        for (raw, expected) in [
            (0, Ok(())),
            (0x400, Err("exit status 4".to_owned())),
            (9, Err("ended by signal 9".to_owned())),
        ] {
            assert_eq!(told(ExitStatus::from_raw(raw)), expected);
        }
    }
}
