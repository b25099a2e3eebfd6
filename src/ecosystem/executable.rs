//! Checks that the kernel can execute a script that has no interpreter. systemd would only find out at the start, with
//! status 203.

use std::path::Path;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::Probe;

/// Extensions of source files that have no default interpreter, and what to write for them.
const SOURCES: &[(&[&str], &str)] = &[
    (
        &["ts", "mts", "cts", "tsx"],
        "write `interpreter = \"node\"` and `interpreter_args = \"--import tsx\"`, or run the JavaScript that is built from it",
    ),
    (&["php"], "write `interpreter = \"php\"`"),
    (&["pl"], "write `interpreter = \"perl\"`"),
    (
        &["jar"],
        "write `interpreter = \"java\"` and `interpreter_args = \"-jar\"`",
    ),
];

/// Adds the fault of a script at `path` that is to be executed itself, and cannot be.
pub(super) fn check(app: &App, path: &Path, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    if app.program.interpreter.is_some() {
        return;
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let source = SOURCES.iter().find(|(names, _)| names.contains(&extension));
    let shown = path.display();
    let (message, help) = match source {
        Some((_, help)) if !probe.has_run_bit(path) || !probe.names_interpreter(path) => (
            format!("`{shown}` has no interpreter, and cannot be executed itself"),
            (*help).to_owned(),
        ),
        None if !probe.has_run_bit(path) => (
            format!("`{shown}` is not executable"),
            format!("run `chmod +x {shown}`, or write what runs it as `interpreter`"),
        ),
        _ => return,
    };
    faults.push(Diagnostic::error(app.script_span.clone(), message).help(help));
}
