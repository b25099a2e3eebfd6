//! The entrance to an app's folders: whether its user may go where the script is, and read it there.

use std::ops::Range;
use std::path::Path;

use super::app::App;
use super::diagnostic::{Diagnostic, Severity};
use super::openers;
use super::resolve::{Beyond, FileStatus, Ids, Probe};
use super::search;
use super::way::{self, Closed};
use crate::unit;

/// Refuses an app if its user may not enter a folder above the script, or the working directory, or may not read the script.
/// Root may do all that, so the administrator does not notice during the install, and the start fails. If something unknown
/// may give the user access, it is a warning. Returns whether this settles the question which programs that user may run.
pub(super) fn refuse(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) -> bool {
    let is_of_program =
        |fault: &Diagnostic| fault.severity == Severity::Error && fault.span == app.script_span;
    if faults.iter().any(is_of_program) {
        return false;
    }
    // The files of a package have other owners and modes while it is built.
    if !probe.has_owners() {
        return true;
    }
    let Some(entrance) = Entrance::of(app, probe) else {
        return false;
    };
    let Some(shut) = entrance.shut() else {
        let fault = entrance.unread();
        let is_any = fault.is_some();
        faults.extend(fault);
        return is_any;
    };
    if !is_given(app, &shut.closed.folder) {
        faults.push(entrance.told(shut));
    }
    true
}

/// A folder that the user may not enter.
struct Shut<'a> {
    closed: Closed,
    /// The file or folder that the user has to reach through it.
    path: &'a Path,
    span: &'a Range<usize>,
    /// The beginning of the remedy, which continues with a place that the user may enter.
    remedy: &'static str,
}

/// An app, and the user that has to get in.
struct Entrance<'a> {
    app: &'a App,
    user: &'a str,
    ids: Ids,
    probe: &'a dyn Probe,
}

impl<'a> Entrance<'a> {
    fn of(app: &'a App, probe: &'a dyn Probe) -> Option<Self> {
        let user = app.user.as_deref().filter(|_| !app.is_dynamic())?;
        let ids = probe.ids(user, app.group.as_deref())?;
        Some(Self {
            app,
            user,
            ids,
            probe,
        })
    }

    fn look(&self) -> impl Fn(&Path) -> Option<FileStatus> {
        |path| self.probe.status(path)
    }

    /// Returns the script, unless it is found by its name: everybody may run such programs.
    fn script(&self) -> Option<&'a Path> {
        Some(Path::new(&self.app.program.script)).filter(|script| script.is_absolute())
    }

    fn shut(&self) -> Option<Shut<'a>> {
        let app = self.app;
        let find = |path, is_folder, span, remedy| {
            let closed = way::closed(path, is_folder, &self.ids, self.probe)?;
            Some(Shut {
                closed,
                path,
                span,
                remedy,
            })
        };
        let script = self.script();
        let of_script = script.and_then(|path| find(path, false, &app.script_span, "put the app"));
        of_script.or_else(|| {
            let cwd = Path::new(app.program.cwd.as_deref()?);
            find(cwd, true, &app.cwd_span, "write a `cwd`")
        })
    }

    fn told(&self, shut: Shut<'_>) -> Diagnostic {
        let user = self.user;
        let Shut {
            closed: Closed { folder, beyond },
            path,
            span,
            remedy,
        } = shut;
        let doubt = match beyond {
            Beyond::Acl => Some("unless an entry of its ACL allows it, see getfacl(1)"),
            Beyond::Elsewhere => Some(BY_SERVER),
            Beyond::Nothing | Beyond::Server => openers::doubt(self.app, self.probe),
        };
        let what = if folder == path {
            "the working directory".to_owned()
        } else {
            format!("and `{}` is there", path.display())
        };
        let fault = format!("`{user}` may not enter `{}`, {what}", folder.display());
        let help = format!(
            "{remedy} where `{user}` has access, such as below /srv, or grant access: `setfacl -m u:{user}:x {}`",
            search::word(&folder)
        );
        told(doubt, span, &fault).help(help)
    }

    fn unread(&self) -> Option<Diagnostic> {
        let Self { app, user, .. } = self;
        let script = self.script()?;
        if way::is_readable(script, &self.ids, &self.look()) != Some(false) {
            return None;
        }
        let line = self.probe.first_line(script);
        let is_text = line.is_some_and(|line| line.starts_with("#!"));
        if !is_text && app.program.interpreter.is_none() {
            return None;
        }
        let is_program =
            !is_text && way::is_executable(script, &self.ids, &self.look()) == Some(true);
        let end = way::end(script, &self.look());
        let doubt = if end.is_some_and(|(_, file)| file.beyond == Beyond::Elsewhere) {
            Some(BY_SERVER)
        } else {
            // As with nice(1), for a program that the user may execute but not read.
            is_program.then_some("unless its interpreter only executes it")
        };
        let opener = || openers::doubt(app, self.probe);
        let fault = format!("`{user}` may not read `{}`", script.display());
        let help = format!(
            "let that user read the file: `chmod a+r {}`",
            search::word(script)
        );
        Some(told(doubt.or_else(opener), &app.script_span, &fault).help(help))
    }
}

/// The doubt if, for instance, a file system belongs to another host.
const BY_SERVER: &str = "unless the server of its file system allows it";

/// Whether systemd gives a folder to the user of the unit before each start, see `RuntimeDirectory=` in systemd.exec(5).
fn is_given(app: &App, folder: &Path) -> bool {
    const GIVEN: [(&str, &str); 4] = [
        ("CacheDirectory", "/var/cache"),
        ("LogsDirectory", "/var/log"),
        ("RuntimeDirectory", "/run"),
        ("StateDirectory", "/var/lib"),
    ];
    GIVEN.iter().any(|(directive, above)| {
        let lists = app.assigned(directive).list().into_iter();
        let mut names = lists.flat_map(unit::words);
        names.any(|name| {
            let name = name.split(':').next().unwrap_or_default();
            !name.is_empty() && folder.starts_with(Path::new(above).join(name))
        })
    })
}

fn told(doubt: Option<&str>, span: &Range<usize>, fault: &str) -> Diagnostic {
    let fault = format!("{fault}, so the app cannot start");
    match doubt {
        None => Diagnostic::error(span.clone(), fault),
        Some(doubt) => Diagnostic::warning(span.clone(), format!("{fault} {doubt}")),
    }
}

#[cfg(test)]
mod tests;
