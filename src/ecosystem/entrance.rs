//! The entrance to an app's folders: whether its user may go where the script is, and read it there.

use std::ops::Range;
use std::path::Path;

use super::app::App;
use super::diagnostic::{Diagnostic, Severity};
use super::resolve::Probe;
use super::search::{self, OPENERS};
use super::way::{self, Closed};

/// Refuses an app whose user may not enter a folder above the script, or the working directory, or not read the script. Root may do all
/// that, so whoever installs the app does not notice, and the start fails. Returns whether something was told.
pub(super) fn refuse(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) -> bool {
    let fault = fault(app, probe, faults);
    let is_any = fault.is_some();
    faults.extend(fault);
    is_any
}

fn fault(app: &App, probe: &dyn Probe, faults: &[Diagnostic]) -> Option<Diagnostic> {
    let is_of_program =
        |fault: &Diagnostic| fault.severity == Severity::Error && fault.span == app.script_span;
    if faults.iter().any(is_of_program) {
        return None;
    }
    // The folders of a package that is being put together belong to somebody else.
    let user = app.user.as_deref();
    let user = user.filter(|_| !app.is_dynamic() && probe.has_owners())?;
    let ids = probe.ids(user, app.group.as_deref())?;
    let look = |path: &Path| probe.status(path);
    let script = Path::new(&app.program.script);
    // What is found by its name is what everybody runs.
    let script = Some(script).filter(|script| script.is_absolute());
    let of_script = script.and_then(|script| {
        let closed = way::closed(script, false, &ids, &look)?;
        Some((closed, script, &app.script_span, "put the app"))
    });
    let of_cwd = || {
        let cwd = Path::new(app.program.cwd.as_deref()?);
        let closed = way::closed(cwd, true, &ids, &look)?;
        Some((closed, cwd, &app.cwd_span, "write a `cwd`"))
    };
    if let Some((closed, path, span, remedy)) = of_script.or_else(of_cwd) {
        let Closed { folder, has_list } = closed;
        let what = if folder == path {
            "the working directory".to_owned()
        } else {
            format!("and `{}` is there", path.display())
        };
        let fault = format!("`{user}` may not enter `{}`, {what}", folder.display());
        let help = format!(
            "{remedy} where `{user}` may go, as below /srv, or let that user in: `setfacl -m u:{user}:x {}`",
            search::word(&folder)
        );
        let doubt = if has_list { Some(LIST) } else { opener(app) };
        return Some(told(doubt, span, &fault).help(help));
    }
    let is_read = app.program.interpreter.is_some()
        || script.is_some_and(|script| probe.names_interpreter(script));
    let script = script.filter(|_| is_read)?;
    if way::is_readable(script, &ids, &look) != Some(false) {
        return None;
    }
    let fault = format!("`{user}` may not read `{}`", script.display());
    let help = format!(
        "let that user read the file: `chmod a+r {}`",
        search::word(script)
    );
    Some(told(opener(app), &app.script_span, &fault).help(help))
}

/// The doubt where a folder has an access control list.
const LIST: &str = "unless an entry of its ACL allows it, see getfacl(1)";

/// More directives than [`OPENERS`] that may bring the folders, groups or rights that the user needs. systemd gives the folders of
/// `StateDirectory=` and the like to the user at each start.
const MORE_OPENERS: [&str; 10] = [
    "CacheDirectory",
    "ExecCondition",
    "ExecStartPre",
    "LogsDirectory",
    "PAMName",
    "RootMStack",
    "RuntimeDirectory",
    "StateDirectory",
    "SupplementaryGroups",
    "TemporaryFileSystem",
];

/// The doubt where the unit brings what the user needs.
fn opener(app: &App) -> Option<&'static str> {
    let openers = OPENERS.iter().chain(&MORE_OPENERS);
    let mut named = openers.filter(|opener| app.assigned(opener).is_named());
    named.next().map(|_| "unless `[apps.service]` allows it")
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
