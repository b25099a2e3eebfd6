//! Finds the programs that an ecosystem file names, as the user who installs the app would.
//!
//! The path is written into the installed file, and its folder goes first in the app's `PATH`, so that programs that
//! start others, such as `npm start`, find the same interpreter. The search executes nothing, and neither a reload nor
//! a boot repeats it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::app::App;
use super::diagnostic::{Diagnostic, Severity};
use super::executable;
use super::managers;
use super::openers;
use super::owner::Script;
use super::resolve::{Account, Probe, normal, show};
use super::way;

/// The folders in which systemd looks for programs by default, see `$PATH` in systemd.exec(5).
const SYSTEM_PATH: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Folders with temporary entries: fnm creates links to a version for each shell.
const PASSING: &[&str] = &["/run", "/tmp", "/var/run", "/var/tmp"];

/// The places that a search for a program looks at.
pub(super) struct Search<'a> {
    pub(super) probe: &'a dyn Probe,
    /// The working directory of the app.
    pub(super) cwd: &'a Path,
    /// The home of the app's user, and that of the caller. Version managers may keep programs there.
    home: Option<PathBuf>,
    callers_home: Option<PathBuf>,
    /// The `PATH` in the app's own variables.
    own: Option<Vec<PathBuf>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(app: &App, cwd: &'a Path, probe: &'a dyn Probe) -> Self {
        let owner = || {
            let (_, found) = way::end(cwd, &|path| probe.status(path))?;
            Some(probe.name(Account::User(found.owner)))
        };
        let user = app.user.clone().or_else(owner);
        let own = app.env.get("PATH");
        Self {
            probe,
            cwd,
            home: user.and_then(|user| probe.home(Some(&user))),
            callers_home: probe.home(None),
            own: own.map(|own| own.split(':').map(PathBuf::from).collect()),
        }
    }

    /// Finds a program by name. Returns the bare name if systemd finds the program itself, so that an upgrade may move
    /// it, otherwise the absolute path.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        let has =
            |folder: &&PathBuf| folder.is_absolute() && self.probe.is_file(&folder.join(name));
        if let Some(own) = &self.own
            && own.iter().any(|folder| has(&folder))
        {
            return Some(name.to_owned());
        }
        if let Some(path) = managers::asked_for(name, self, &self.homes()) {
            return Some(show(&path));
        }
        let search = self.own.clone().unwrap_or_else(|| self.probe.search_path());
        let system: Vec<PathBuf> = SYSTEM_PATH.iter().map(PathBuf::from).collect();
        // The caller's `PATH` comes first, because nvm and similar tools put their folders before the system's.
        match search.iter().chain(&system).find(has) {
            Some(folder) if system.contains(folder) => Some(name.to_owned()),
            Some(folder) => Some(show(&self.lasting(folder).join(name))),
            None => managers::installed(name, self, &self.all_homes()).map(|path| show(&path)),
        }
    }

    /// Returns the path of a program that systemd finds by itself.
    fn of_system(&self, name: &str) -> Option<PathBuf> {
        let mut paths = SYSTEM_PATH
            .iter()
            .map(|folder| Path::new(folder).join(name));
        paths.find(|path| self.probe.is_file(path))
    }

    fn homes(&self) -> Vec<&Path> {
        self.home.as_deref().into_iter().collect()
    }

    /// Returns the homes to search. The caller's is the last resort, since the app's user may not be able to run
    /// programs there.
    fn all_homes(&self) -> Vec<&Path> {
        let callers = self.callers_home.as_deref();
        self.homes().into_iter().chain(callers).collect()
    }

    /// Returns the folder or, if it will not last, the folder that it links to.
    fn lasting(&self, folder: &Path) -> PathBuf {
        let is_passing = PASSING.iter().any(|passing| folder.starts_with(passing))
            || folder.iter().any(|part| part == "fnm_multishells");
        let end = || way::end(folder, &|path| self.probe.status(path));
        let end = is_passing.then(end).flatten();
        end.map_or_else(|| folder.to_owned(), |(end, _)| end)
    }
}

/// Finds the interpreter of an app. A missing interpreter is a fault.
pub(super) fn resolve_interpreter(
    app: &mut App,
    search: &Search<'_>,
    faults: &mut Vec<Diagnostic>,
) {
    let Some(interpreter) = app.program.interpreter.clone() else {
        return;
    };
    let found = if interpreter.contains('/') {
        let path = normal(&search.cwd.join(&interpreter));
        search.probe.is_file(&path).then(|| show(&path))
    } else {
        let script = Path::new(&app.program.script).parent();
        let folders = script.into_iter().chain([search.cwd]);
        let own = (!app.program.names_interpreter)
            .then(|| managers::of_venv(&interpreter, folders, search.probe));
        let own = own.flatten().map(|path| show(&path));
        own.or_else(|| search.find(&interpreter))
    };
    let Some(found) = found else {
        let usual = "install it, or write its absolute path as `interpreter`";
        let with_node = executable::help_with_node(Path::new(&app.program.script), search);
        let help = match with_node.filter(|_| interpreter == "bun") {
            Some(with_node) => format!("{usual}; or {with_node}"),
            None => usual.to_owned(),
        };
        let fault = format!("the interpreter `{interpreter}` was not found");
        faults.push(Diagnostic::error(app.script_span.clone(), fault).help(help));
        return;
    };
    app.program.interpreter = Some(found);
}

/// Puts the folder of a program that systemd would not find first in `PATH`.
pub(super) fn extend_path(
    app: &mut App,
    script: Script,
    search: &Search<'_>,
    faults: &mut Vec<Diagnostic>,
) {
    let is_set = |value: &str| value.contains("PATH=");
    if search.own.is_some() || app.assigned("Environment").list().iter().any(|v| is_set(v)) {
        return;
    }
    let program = match (&app.program.interpreter, script) {
        (Some(interpreter), _) => Some(interpreter.clone()),
        // systemd finds the program by itself, but its interpreter may be elsewhere, as for the npm of a distribution.
        (None, Script::Named) if !app.program.script.contains('/') => {
            let path = search.of_system(&app.program.script);
            path.and_then(|path| by_first_line(app, &path, search, faults))
        }
        (None, Script::Named) => Some(app.program.script.clone()),
        (None, Script::AtPath) => {
            by_first_line(app, Path::new(&app.program.script), search, faults)
        }
    };
    let Some(program) = program.map(PathBuf::from) else {
        return;
    };
    let folder = program.parent().filter(|folder| folder.is_absolute());
    let Some(folder) = folder.filter(|f| !SYSTEM_PATH.iter().any(|s| Path::new(s) == *f)) else {
        return;
    };
    let path = format!("{}:{}", show(folder), SYSTEM_PATH.join(":"));
    app.env.insert("PATH".to_owned(), path);
    app.first_in_path = Some(show(&program));
}

/// Finds the program that a first line `#!/usr/bin/env NAME` runs a script with.
fn by_first_line(
    app: &App,
    script: &Path,
    search: &Search<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<String> {
    let line = search.probe.first_line(script)?;
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    words.next().filter(|program| program.ends_with("/env"))?;
    let is_name = |word: &&str| !word.starts_with('-') && !word.contains(['=', '/']);
    let name = words.find(is_name)?;
    let found = search.find(name);
    if found.is_none() {
        let script = script.display();
        let fault = format!("`{script}` is run by `{name}`, which was not found");
        faults.push(
            Diagnostic::error(app.script_span.clone(), fault).help(format!(
                "install it, or write its folder: `env = {{ PATH = \"/folder/of/{name}:{}\" }}`",
                SYSTEM_PATH.join(":")
            )),
        );
    }
    found
}

/// A path as a word of a command that can be pasted. The target of a link may have any name, perhaps chosen by another user.
pub(super) fn word(path: &Path) -> String {
    let path = path.display().to_string();
    shlex::try_quote(&path).map_or_else(|_| path.clone(), Cow::into_owned)
}

/// Refuses a program that the app's user may not run, unless another fault of the program has been found: its
/// remedy may name another program.
pub(super) fn refuse_closed(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let is_of_program =
        |fault: &Diagnostic| fault.severity == Severity::Error && fault.span == app.script_span;
    if faults.iter().any(is_of_program) {
        return;
    }
    let Some(user) = app.user.as_deref().filter(|_| !app.is_dynamic()) else {
        return;
    };
    let program = app
        .program
        .interpreter
        .as_ref()
        .unwrap_or(&app.program.script);
    let program = Path::new(program);
    let ids = || probe.ids(user, app.group.as_deref());
    let Some(ids) = program.is_absolute().then(ids).flatten() else {
        return;
    };
    let look = |path: &Path| probe.status(path);
    if way::is_executable(program, &ids, &look) != Some(false) {
        return;
    }
    let fault = format!(
        "`{user}` may not run `{}`, so the app cannot start",
        program.display()
    );
    let help = match way::barrier(program, &ids, &look) {
        Some(folder) => format!(
            "that user may not enter `{}`: install the program for all users, as a package or below /usr/local, recreate the virtual environment with it, and write it as `interpreter`",
            folder.display()
        ),
        None => format!(
            "let `{user}` execute the file: `chmod a+rx {}`",
            word(program)
        ),
    };
    let place = app.script_span.clone();
    let fault = match openers::doubt(app, probe) {
        Some(doubt) => Diagnostic::warning(place, format!("{fault} {doubt}")),
        None => Diagnostic::error(place, fault),
    };
    faults.push(fault.help(help));
}

#[cfg(test)]
mod tests;
