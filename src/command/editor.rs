//! The editor of the caller, which `rsgen edit` starts with the caller's rights.
//!
//! `begin` takes `$EDITOR` and its like from the environment of every command, so that no library of ours acts on them. Here they are meant:
//! anybody who may run this command as root may run a program as root. A rule of sudoers(5) that allows it allows everything, as one for
//! `systemctl edit` does, and docs/security.md says so.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::output::{Exit, Failure};
use crate::sys::{Unbroken, entry};
use crate::visible::Visible;

/// The variables that name an editor, in the order of systemctl(1).
const VARIABLES: [&str; 3] = ["SYSTEMD_EDITOR", "EDITOR", "VISUAL"];
/// The editors that are tried without such a variable, in the order of systemctl(1).
const USUAL: [&str; 4] = ["editor", "nano", "vim", "vi"];

/// An editor, which has not been started yet.
pub(super) struct Editor {
    /// The variable that names it; `None` for one of the usual editors.
    variable: Option<&'static str>,
    /// The command lines that are tried, one after the other.
    lines: Vec<Vec<String>>,
    /// Whether standard output is for scripts, and not for the editor.
    is_for_scripts: bool,
}

impl Editor {
    /// Returns the editor that the environment of the caller names.
    ///
    /// # Errors
    /// When it names none and there is no terminal, or when its words cannot be told apart.
    pub(super) fn of_caller(is_for_scripts: bool) -> Result<Self, Failure> {
        Self::named(&entry::value, io::stdin().is_terminal(), is_for_scripts)
    }

    fn named(
        value: &dyn Fn(&str) -> Option<OsString>,
        has_terminal: bool,
        is_for_scripts: bool,
    ) -> Result<Self, Failure> {
        let is_blank = |text: &OsString| text.to_string_lossy().trim().is_empty();
        let given = VARIABLES.into_iter().find_map(|variable| {
            let text = value(variable).filter(|text| !is_blank(text))?;
            Some((variable, text))
        });
        let Some((variable, text)) = given else {
            if !has_terminal {
                let message = "the editor needs a terminal";
                return Err(Failure::new(Exit::Usage, message).help(
                    "name a program in `EDITOR` that edits without one, or run `rsgen install` with the changed file",
                ));
            }
            return Ok(Self {
                variable: None,
                lines: USUAL.iter().map(|name| vec![(*name).to_owned()]).collect(),
                is_for_scripts,
            });
        };
        let words = text.to_str().and_then(shlex::split);
        let words = words.filter(|words| !words.is_empty()).ok_or_else(|| {
            let shown = Visible::line(&text.to_string_lossy());
            let message = format!(
                "`{variable}` is `{}`, which is not a command",
                shown.as_str()
            );
            Failure::new(Exit::Usage, message).help("close its quotes, as for a shell")
        })?;
        Ok(Self {
            variable: Some(variable),
            lines: vec![words],
            is_for_scripts,
        })
    }

    /// Lets the caller edit a file, and returns once the editor has ended well. The keys that end the editor do not end this program.
    ///
    /// # Errors
    /// When the editor cannot be started or ends in another way.
    pub(super) fn edit(&self, path: &Path) -> Result<(), Failure> {
        let _unbroken = Unbroken::begin();
        for line in &self.lines {
            let Some((program, arguments)) = line.split_first() else {
                continue;
            };
            let mut command = Command::new(program);
            command
                .args(arguments)
                .arg(path)
                .env_clear()
                .envs(entry::environment());
            if self.is_for_scripts {
                command.stdout(Stdio::from(io::stderr()));
            }
            let program = Visible::line(program);
            match command.status() {
                Ok(status) if status.success() => return Ok(()),
                Ok(status) => return Err(failed(program.as_str(), status)),
                Err(e) if e.kind() == io::ErrorKind::NotFound && self.variable.is_none() => {}
                Err(e) => return Err(self.unstarted(program.as_str(), &e)),
            }
        }
        let message = format!("none of the editors {} is installed", USUAL.join(", "));
        Err(Failure::failed(message).help("install one, or name yours in `EDITOR`"))
    }

    fn unstarted(&self, program: &str, error: &io::Error) -> Failure {
        let message = format!("the editor `{program}` cannot be started: {error}");
        let help = match self.variable {
            Some(variable) => format!("change `{variable}`, which names it"),
            None => "name another one in `EDITOR`".to_owned(),
        };
        Failure::failed(message).help(help)
    }
}

fn failed(program: &str, status: ExitStatus) -> Failure {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "did not end".to_owned(),
    };
    let message = format!("the editor `{program}` {how}, so nothing was changed");
    Failure::failed(message).help("save, and leave the editor as usual")
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Held while an editor runs, because all threads have their signal handlers in common.
    static HANDLERS: Mutex<()> = Mutex::new(());

    fn lines(pairs: &[(&str, &str)], has_terminal: bool) -> Result<Vec<Vec<String>>, Failure> {
        let value = |name: &str| {
            let found = pairs.iter().find(|(variable, _)| *variable == name)?;
            Some(OsString::from(found.1))
        };
        Editor::named(&value, has_terminal, false).map(|editor| editor.lines)
    }

    #[test]
    fn the_variables_count_in_the_order_of_systemctl_and_empty_ones_do_not() {
        let all = [("VISUAL", "v"), ("EDITOR", "e"), ("SYSTEMD_EDITOR", "s")];
        assert_eq!(lines(&all, false).unwrap(), [["s"]]);
        assert_eq!(lines(&all[..2], false).unwrap(), [["e"]]);
        let blank = [("EDITOR", " "), ("VISUAL", "code --wait 'a b'")];
        assert_eq!(lines(&blank, false).unwrap(), [["code", "--wait", "a b"]]);
        let usual = lines(&[("EDITOR", "")], true).unwrap();
        assert_eq!(usual, [["editor"], ["nano"], ["vim"], ["vi"]]);
    }

    #[test]
    fn what_is_no_command_and_what_nobody_could_type_into_is_refused() {
        let quote = lines(&[("EDITOR", "vim 'a")], true).unwrap_err();
        assert_eq!(
            quote.message,
            "`EDITOR` is `vim 'a`, which is not a command"
        );
        assert_eq!(quote.exit, Exit::Usage);
        let nobody = lines(&[], false).unwrap_err();
        assert_eq!(nobody.message, "the editor needs a terminal");
        assert_eq!(nobody.exit, Exit::Usage);
    }

    #[test]
    fn an_end_that_is_no_success_is_told() {
        let _alone = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let told = |line: &[&str]| {
            let editor = Editor {
                variable: Some("EDITOR"),
                lines: vec![line.iter().map(|&word| word.to_owned()).collect()],
                is_for_scripts: true,
            };
            let end = editor.edit(&folder.path().join("web.toml"));
            end.map_err(|failure| failure.message)
        };
        assert_eq!(told(&["true"]), Ok(()));
        let nothing = "so nothing was changed";
        let status = format!("the editor `sh` ended with status 7, {nothing}");
        assert_eq!(told(&["sh", "-c", "exit 7"]), Err(status));
        let signal = format!("the editor `sh` was ended by signal 9, {nothing}");
        assert_eq!(told(&["sh", "-c", "kill -9 $$"]), Err(signal));
        let missing = told(&["/nowhere/vim"]).unwrap_err();
        assert!(
            missing.starts_with("the editor `/nowhere/vim` cannot be started: "),
            "{missing}"
        );
        // The keys of the terminal are the editor's, as long as it runs.
        // Which thread takes the signal is the kernel's choice, so the editor ends once one has.
        let key =
            "kill -INT $PPID; while grep -q '^ShdPnd:.*[2367abef]$' /proc/$PPID/status; do :; done";
        assert_eq!(told(&["sh", "-c", key]), Ok(()));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:\t"));
        let caught = u64::from_str_radix(caught.unwrap(), 16).unwrap();
        assert_eq!(caught & 0b11 << (libc::SIGINT - 1), 0, "{caught:x}");
    }

    #[test]
    fn of_the_usual_editors_the_first_that_is_installed_is_started() {
        let _alone = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let edit = |names: &[&str]| {
            let editor = Editor {
                variable: None,
                lines: names.iter().map(|&name| vec![name.to_owned()]).collect(),
                is_for_scripts: true,
            };
            let end = editor.edit(&folder.path().join("web.toml"));
            end.map_err(|failure| failure.message)
        };
        assert_eq!(edit(&["/nowhere/editor", "true", "false"]), Ok(()));
        let none = edit(&["/nowhere/editor"]).unwrap_err();
        assert!(none.ends_with("is installed"), "{none}");
        // An editor that is there and cannot be started is told.
        let folder = edit(&["/", "true"]).unwrap_err();
        assert!(
            folder.starts_with("the editor `/` cannot be started: "),
            "{folder}"
        );
    }
}
