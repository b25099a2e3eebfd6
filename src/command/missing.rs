//! Finds environment files that systemd will not find when it starts an app.

use std::fs;
use std::io::ErrorKind;

use crate::ecosystem::{App, Diagnostic, Severity, env_files};

/// Directives by which a file that is missing now can exist before the program starts: a command may create it, or the
/// unit may see other files at its path.
const MAKERS: [&str; 8] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "ExecCondition",
    "ExecStartPre",
    "ExtensionDirectories",
    "ExtensionImages",
    "MountImages",
    "TemporaryFileSystem",
];

/// Returns the faults of an app whose paths have been made absolute.
pub(super) fn faults(app: &App) -> Vec<Diagnostic> {
    let mut faults = missing(app);
    let maker = MAKERS
        .iter()
        .find(|directive| app.assigned(directive).is_named());
    if let Some(maker) = maker {
        for fault in &mut faults {
            fault.severity = Severity::Warning;
            fault.message = format!("{} unless `{maker}` provides the file", fault.message);
        }
    }
    faults
}

fn missing(app: &App) -> Vec<Diagnostic> {
    let own = app.env_file.iter().filter_map(|file| {
        let fault = fault(file)?;
        let fault = Diagnostic::error(
            app.env_file_span.clone(),
            format!("`{file}`, a file of `env_file`, {fault}, so the app cannot start"),
        );
        Some(fault.help("create it, or take it out of `env_file`"))
    });
    // Only systemd knows what a specifier expands to.
    let passed = env_files::passed(app)
        .into_iter()
        .filter(|file| !file.contains('%'));
    let passed = passed.filter_map(|file| {
        let fault = fault(file)?;
        let fault = Diagnostic::error(
            app.span.clone(),
            format!("`{file}`, which `EnvironmentFile` names, {fault}, so the app cannot start"),
        );
        Some(fault.help(format!(
            "create it, or write `-{file}` if the app can start without it"
        )))
    });
    own.chain(passed).collect()
}

/// Returns what is wrong with a file; `None` where the caller may not look.
fn fault(file: &str) -> Option<&'static str> {
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => Some("is a folder"),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Some("does not exist")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_an_error_in_its_place() {
        let text = "[[apps]]\nscript = \"x\"\nlisten = 1\nenv_file = [\"/etc/passwd\", \"/nowhere\", \"/etc\"]\n\
             [apps.service]\nEnvironmentFile = [\"/no/a\", \"-/no/b\", \"/no/*\", \"/no/%i\"]\n";
        let (apps, _) = crate::ecosystem::parse("ecosystem.toml", text);
        let faults = faults(&apps[0]);
        let told: Vec<&str> = faults.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "`/nowhere`, a file of `env_file`, does not exist, so the app cannot start",
                "`/etc`, a file of `env_file`, is a folder, so the app cannot start",
                "`/no/a`, which `EnvironmentFile` names, does not exist, so the app cannot start",
            ]
        );
        let place = faults[0].span.clone();
        assert!(text[place].starts_with("[\"/etc/passwd\""), "{faults:?}");
        assert!(faults.iter().all(|f| f.severity == Severity::Error));
        let help = faults[2].help.as_deref().unwrap();
        assert!(help.contains("`-/no/a`"), "{help}");
    }
    #[test]
    fn one_that_a_command_may_make_before_the_start_is_a_warning() {
        let text = "[[apps]]\nscript = \"x\"\nlisten = 1\nenv_file = \"/nowhere\"\nservice.ExecStartPre = \"/bin/fetch\"\n";
        let (apps, _) = crate::ecosystem::parse("ecosystem.toml", text);
        let faults = faults(&apps[0]);
        assert_eq!(faults[0].severity, Severity::Warning);
        let told = &faults[0].message;
        assert!(
            told.ends_with("cannot start unless `ExecStartPre` provides the file"),
            "{told}"
        );
    }

    #[test]
    fn one_that_cannot_be_looked_for_is_not_called_missing() {
        let path = format!("/{}", "x".repeat(300));
        assert_eq!(fault(&path), None);
    }
}
