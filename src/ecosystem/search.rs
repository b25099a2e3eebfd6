//! Where programs are that an ecosystem file names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::{Probe, show};

/// The folders in which systemd looks for programs by default, see `$PATH` in systemd.exec(5).
const SYSTEM_PATH: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Finds the interpreter of an app; one that is not there is a fault.
pub(super) fn resolve_interpreter(app: &mut App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let Some(interpreter) = app.program.interpreter.clone() else {
        return;
    };
    let found = if interpreter.contains('/') {
        probe
            .is_file(Path::new(&interpreter))
            .then_some(interpreter.clone())
    } else {
        find(&interpreter, &app.env, probe)
    };
    match found {
        Some(found) => app.program.interpreter = Some(found),
        None => faults.push(
            Diagnostic::error(
                app.script_span.clone(),
                format!("the interpreter `{interpreter}` is not there"),
            )
            .help("install it, or write its absolute path as `interpreter`"),
        ),
    }
}

/// A program by name: the bare name where systemd finds it by itself, so that an upgrade that moves
/// it is followed; else its absolute path.
pub(super) fn find(
    name: &str,
    env: &BTreeMap<String, String>,
    probe: &dyn Probe,
) -> Option<String> {
    let search = match env.get("PATH") {
        Some(own) => own.split(':').map(PathBuf::from).collect(),
        None => probe.search_path(),
    };
    let own = env.contains_key("PATH");
    let system = SYSTEM_PATH.iter().map(PathBuf::from).collect::<Vec<_>>();
    if own && search.iter().any(|dir| probe.is_file(&dir.join(name))) {
        return Some(name.to_owned());
    }
    // The caller's own choice first: nvm and its kin put theirs before the system's.
    let found = search
        .iter()
        .chain(&system)
        .find(|dir| dir.is_absolute() && probe.is_file(&dir.join(name)))?;
    if system.contains(found) {
        Some(name.to_owned())
    } else {
        Some(show(&found.join(name)))
    }
}
