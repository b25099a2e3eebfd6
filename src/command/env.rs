//! `rsgen env`: the variables that the program of a running instance was started with, secrets included. The kernel decides who
//! may read them, see `PTRACE_MODE_READ_FSCREDS` in proc(5): root, and the app's own user.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

use clap::Args;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::Serialize;

use super::context::Context;
use super::manual::{self, Manual};
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use crate::output::{Exit, Failure, Shown, Style};
use crate::procfs::{Group, Tree};
use crate::unit::name::Units;
use crate::visible::Visible;

/// The most that is read, in bytes. execve(2) passes on less.
const LONGEST: u64 = 8 << 20;

/// Show the variables that the program of an instance was started with
#[derive(Debug, Args)]
pub(super) struct Env {
    /// The instance, as APP@N; for an app, its first running instance
    #[arg(value_name = "INSTANCE")]
    instance: String,
}

/// The variables of a program, as scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Variables {
    pub(super) app: String,
    pub(super) instance: u32,
    pub(super) pid: u32,
    /// The names and values, in the order in which the program got them. Bytes that are not UTF-8 are replaced.
    pub(super) environment: Vec<(String, String)>,
}

impl Shown for Variables {
    fn shown(&self, _: Style) -> Option<Visible> {
        let lines = self.environment.iter();
        let lines =
            lines.map(|(name, value)| Visible::line(&format!("{name}={value}")).to_string());
        Some(Visible::composed(lines.collect::<Vec<_>>().join("\n")))
    }
}

impl Subcommand for Env {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen env web@2",
                "Shows the variables of instance 2, passwords included, one per line.",
            ),
            (
                "rsgen env --json web",
                "Shows those of the first instance that runs, for scripts.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let known = targets::known(&context.layout);
        let target = targets::app_or_instance(&self.instance, &known)?;
        let app = target.app();
        let units = Units::of(app);
        let (number, pid, group) = main_process(context, &target)?;
        let unit = units.instance(number);
        let text = read(Path::new("/proc"), pid, &group).map_err(|e| refused(&e, &unit))?;
        context.sink.answer(&Variables {
            app: app.to_owned(),
            instance: number,
            pid,
            environment: variables(&text),
        });
        Ok(())
    }
}

/// The instance that is meant, the PID of its program, and its control group.
fn main_process(context: &mut Context<'_>, target: &Target) -> Result<(u32, u32, String), Failure> {
    let units = Units::of(target.app());
    let manager = context.manager()?;
    let mut numbers = match target {
        Target::Instance(_, number) => vec![*number],
        Target::App(_) => {
            let loaded = manager.units(&units.instances())?;
            loaded
                .iter()
                .filter_map(|brief| units.number(&brief.name))
                .collect()
        }
    };
    numbers.sort_unstable();
    for number in numbers {
        let unit = manager.unit(&units.instance(number))?;
        if unit.main_pid != 0 {
            return Ok((number, unit.main_pid, unit.control_group));
        }
    }
    let app = target.app();
    Err(
        Failure::failed(format!("`{target}` has no running program"))
            .help(format!("run `rsgen list {app}` to see its instances")),
    )
}

/// Reads the variables of a process in this control group or below it. Everything is read below one descriptor of the process's
/// folder, so by then the PID cannot have become that of another process.
fn read(proc: &Path, pid: u32, group: &str) -> io::Result<Vec<u8>> {
    let folder = File::open(proc.join(pid.to_string()));
    let folder = folder.map_err(|e| if is_hidden(pid) { hidden() } else { e })?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let mut groups = String::new();
    File::open(path.join("cgroup"))?
        .take(LONGEST)
        .read_to_string(&mut groups)?;
    let is_in = |tree| {
        let path = group.to_owned();
        Group { tree, path }.holds(&groups)
    };
    if group.is_empty() || ![Tree::Unified, Tree::Systemd].into_iter().any(is_in) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut text = Vec::new();
    File::open(path.join("environ"))?
        .take(LONGEST)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// Whether there is a process of another user with this PID. Where /proc is mounted with `hidepid`, such a process has no folder there.
fn is_hidden(pid: u32) -> bool {
    let pid = i32::try_from(pid).map(Pid::from_raw);
    pid.is_ok_and(|pid| kill(pid, None) == Err(Errno::EPERM))
}

fn hidden() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

/// Splits the text of `/proc/PID/environ`. A program may have written anything there; text that is not an assignment has no name.
fn variables(text: &[u8]) -> Vec<(String, String)> {
    let entries = text
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty());
    let entries = entries.map(|entry| {
        let entry = String::from_utf8_lossy(entry);
        let (name, value) = entry.split_once('=').unwrap_or(("", &entry));
        (name.to_owned(), value.to_owned())
    });
    entries.collect()
}

fn refused(error: &io::Error, unit: &str) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let message = format!("only root and the user of the app may read the variables of {unit}");
        return Failure::new(Exit::Unreachable, message).help("run it with sudo");
    }
    let is_gone =
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
    let why = if is_gone {
        "its program has ended".to_owned()
    } else {
        error.to_string()
    };
    Failure::failed(format!("the variables of {unit} cannot be read: {why}")).help("run it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_shown_escaped_and_in_their_order() {
        let text = b"B=1\0A=x=\x1b[2J\ny\0\0odd\0C=\xff\0";
        let environment = variables(text);
        let shown = Variables {
            app: "web".into(),
            instance: 0,
            pid: 1,
            environment,
        };
        let shown = shown.shown(Style::Plain).unwrap();
        assert_eq!(shown.as_str(), "B=1\nA=x=\\x1b[2J\\x0ay\n=odd\nC=\u{fffd}");
    }

    #[test]
    fn only_a_process_of_the_unit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("7");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("environ"), "A=1\0").unwrap();
        let unit = "/system.slice/system-web.slice/web@0.service";
        for (group, is_read) in [
            (format!("0::{unit}\n"), true),
            (format!("4:memory:/\n1:name=systemd:{unit}\n"), true),
            (format!("0::{unit}/workers\n"), true),
            (
                "0::/system.slice/system-web.slice/web@1.service\n".into(),
                false,
            ),
            // A user's group may have any name.
            ("0::/user.slice/web@0.service/own\n".into(), false),
            (format!("0::/user.slice{unit}\n"), false),
            ("0::/\n".into(), false),
        ] {
            std::fs::write(own.join("cgroup"), &group).unwrap();
            let text = read(folder.path(), 7, unit);
            assert_eq!(text.ok(), is_read.then(|| b"A=1\0".to_vec()), "{group}");
            assert!(read(folder.path(), 7, "").is_err(), "no group");
        }
        // No process has a PID beyond the largest that there can be.
        let gone = read(folder.path(), 1 << 30, unit).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        for gone in [gone, io::Error::from_raw_os_error(libc::ESRCH)] {
            let told = refused(&gone, "web@0.service").message;
            assert!(told.ends_with(": its program has ended"), "{told}");
        }
        let told = refused(&io::Error::other("odd"), "web@0.service").message;
        assert!(told.ends_with(" cannot be read: odd"), "{told}");
        let told = refused(&io::ErrorKind::PermissionDenied.into(), "web@0.service");
        assert_eq!(
            (told.exit, told.help.as_deref()),
            (Exit::Unreachable, Some("run it with sudo"))
        );
    }
}
