//! Directives of the user that lead root to a place: their list, and how each names the place.

use std::ops::Range;
use std::path::Path;

use super::{read_as_root, weak_spot};
use crate::ecosystem::app::App;
use crate::ecosystem::diagnostic::Diagnostic;
use crate::ecosystem::env_files;
use crate::ecosystem::resolve::Probe;
use crate::ecosystem::way::Spot;
use crate::unit;

pub(super) fn warn(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let single = SINGLE
        .iter()
        .filter_map(|d| Some((*d, app.assigned(d).one()?)));
    let listed = LISTED.iter().flat_map(|d| {
        let values = app.assigned(d).list();
        values.into_iter().map(|value| (*d, value))
    });
    for (directive, value) in single.chain(listed) {
        let span = app.service_spans.get(directive).unwrap_or(&app.span);
        faults.extend(of_directive(directive, value, span, probe));
    }
    for directive in OF_SOCKETS {
        let span = app.socket_spans.get(*directive).unwrap_or(&app.span);
        let values = unit::assigned(&app.socket, directive).list();
        let found = values
            .into_iter()
            .filter_map(|value| of_socket(app, directive, value, span, probe));
        faults.extend(found);
    }
}

/// The directives of a socket unit that name such a place. systemd runs the commands as root unless the unit has a `User=`.
const OF_SOCKETS: &[&str] = &[
    "ExecStartPre",
    "ExecStartPost",
    "ExecStopPre",
    "ExecStopPost",
    "Symlinks",
];

fn of_socket(
    app: &App,
    directive: &str,
    value: &str,
    span: &Range<usize>,
    probe: &dyn Probe,
) -> Option<Diagnostic> {
    let (spot, help) = if directive == "Symlinks" {
        let weak = |path: &String| weak_spot(absolute(path)?.parent()?, probe);
        let help = "systemd creates the link as root, and a planted link can redirect it to any folder: keep it where only root may write, such as below /run";
        (unit::words(value).iter().find_map(weak)?, help)
    } else {
        let user = unit::assigned(&app.socket, "User").one();
        let is_root = matches!(user, None | Some("root" | "0"));
        let help = "the command runs as root: keep its program where only root may write, or set `User` in the same table";
        (run_as_root(value, is_root, probe)?, help)
    };
    Some(told(directive, &spot, span, probe).help(help))
}

fn told(directive: &str, spot: &Spot, span: &Range<usize>, probe: &dyn Probe) -> Diagnostic {
    let message = format!(
        "others control the path of `{directive}`: {}",
        spot.told(probe)
    );
    Diagnostic::warning(span.clone(), message)
}

/// The folders in which `+` commands, which run as root, are found. A sandbox that mounts something there mounts it for
/// those commands as well.
const SYSTEM: &[&str] = &["/bin", "/etc", "/lib", "/lib64", "/run", "/sbin", "/usr"];

/// The help if another user may write the file of a credential.
const CREDENTIAL: &str = "anybody who may write there sets the credential, and can make root read another file: keep it where only root may write, such as /etc";

/// The directives that name such a place, and hold one value.
const SINGLE: &[&str] = &[
    "PIDFile",
    "RootDirectory",
    "RootImage",
    "RootMStack",
    "StandardError",
    "StandardInput",
    "StandardOutput",
];

/// The directives that name such a place, and collect all values that are assigned to them.
const LISTED: &[&str] = &[
    "BindPaths",
    "BindReadOnlyPaths",
    "EnvironmentFile",
    "ExecCondition",
    "ExecReload",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
    "ExtensionDirectories",
    "ExtensionImages",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "MountImages",
    "OpenFile",
];

/// Programs that run the file that their first argument names.
const INTERPRETERS: &[&str] = &[
    "bash", "dash", "node", "perl", "php", "python3", "ruby", "sh",
];

fn of_directive(
    directive: &str,
    value: &str,
    span: &Range<usize>,
    probe: &dyn Probe,
) -> Option<Diagnostic> {
    let spot = match directive {
        "RootDirectory" => root(value, probe)?,
        "RootImage" | "RootMStack" => weak_spot(absolute(value)?, probe)?,
        "EnvironmentFile" => {
            return read_as_root(absolute(value)?, env_files::BY_ROOT, span, probe);
        }
        "LoadCredential" | "LoadCredentialEncrypted" => {
            let file = absolute(value.split_once(':')?.1)?;
            return read_as_root(file, CREDENTIAL, span, probe);
        }
        "ExtensionImages" | "ExtensionDirectories" => mounted(value, |_| true, probe)?,
        "MountImages" | "BindPaths" | "BindReadOnlyPaths" => mounted(value, is_of_system, probe)?,
        "PIDFile" => weak_spot(absolute(value)?.parent()?, probe)?,
        "OpenFile" => weak_spot(absolute(value.split(':').next()?)?, probe)?,
        directive if directive.starts_with("Exec") => run_as_root(value, false, probe)?,
        "StandardOutput" | "StandardError" | "StandardInput" => {
            let file = value
                .split_once(':')
                .filter(|(way, _)| matches!(*way, "file" | "append" | "truncate"));
            weak_spot(absolute(file?.1)?.parent()?, probe)?
        }
        _ => return None,
    };
    let help = match directive {
        "PIDFile" => {
            "a FIFO there can make systemd, and so the machine, hang: leave `PIDFile` out; systemd already knows the main process"
        }
        "OpenFile" => {
            "systemd opens the file as root for the program, and a link there can redirect it to any file: keep it where only root may write"
        }
        directive if directive.starts_with("Exec") => {
            "the command runs as root: keep its program where only root may write, or leave out `+` and `!`"
        }
        "StandardOutput" | "StandardError" | "StandardInput" => {
            "systemd opens the file as root, and a link there can redirect it to any file: keep it where only root may write, as in /var/log"
        }
        _ => {
            "commands of this unit that run as root load their programs and libraries from there: allow only root to write to it"
        }
    };
    Some(told(directive, &spot, span, probe).help(help))
}

/// A path that systemd uses literally: a specifier can be anything.
fn absolute(value: &str) -> Option<&Path> {
    let path = value.trim_start_matches('-').trim_matches('"');
    (path.starts_with('/') && !path.contains('%')).then_some(Path::new(path))
}

/// The program or the script of a command that runs as root, because the unit `is_root` or despite `User=`,
/// see "Command lines" in systemd.service(5).
fn run_as_root(value: &str, is_root: bool, probe: &dyn Probe) -> Option<Spot> {
    let command = value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefix = value.strip_suffix(command)?;
    if !is_root && !prefix.contains(['+', '!']) {
        return None;
    }
    let words = unit::words(command);
    let program = absolute(words.first()?)?;
    let name = program.file_name()?.to_str()?;
    let script = || {
        let mut words = words.iter().skip(1);
        let first = words.find(|word| !word.starts_with('-'))?;
        weak_spot(absolute(first)?, probe)
    };
    weak_spot(program, probe).or_else(|| INTERPRETERS.contains(&name).then(script)?)
}

/// A folder that becomes `/`, with the folders of it that programs are loaded from.
fn root(value: &str, probe: &dyn Probe) -> Option<Spot> {
    let root = absolute(value)?;
    let inside = || {
        SYSTEM.iter().find_map(|folder| {
            let path = root.join(folder.trim_start_matches('/'));
            let status = probe.status(&path).filter(|s| s.link.is_none())?;
            Some(Spot {
                by: status.writer()?,
                path,
            })
        })
    };
    weak_spot(root, probe).or_else(inside)
}

/// The first of several `source:destination` with a source that others may write.
fn mounted(value: &str, counts: fn(&Path) -> bool, probe: &dyn Probe) -> Option<Spot> {
    unit::words(value).iter().find_map(|word| {
        let mut fields = word.split(':');
        let source = absolute(fields.next()?)?;
        let destination = fields.next().map_or(source, Path::new);
        counts(destination).then(|| weak_spot(source, probe))?
    })
}

fn is_of_system(path: &Path) -> bool {
    path == Path::new("/") || SYSTEM.iter().any(|folder| path.starts_with(folder))
}
