//! Finds environment files that systemd will not find when it starts an app, or of which it will leave lines out.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use crate::ecosystem::{App, Diagnostic, Severity, env_files};
use crate::worker;
use crate::worker::assignments::Found;

/// The largest number of line numbers in a message.
const NAMED: usize = 8;

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
    // What is there now may be what a command has made before.
    let unusable = |file: &str| content(file, &app.env_file_span);
    faults.extend(app.env_file.iter().flat_map(|file| unusable(file)));
    faults
}

/// Returns what is wrong within a file. The lines themselves are not shown, since they may be part of a secret.
fn content(file: &str, span: &Range<usize>) -> Vec<Diagnostic> {
    // What the caller may not read, another reads at the start.
    let found = match worker::examine(Path::new(file)) {
        Ok(Ok(found)) => found,
        Ok(Err(fault)) => {
            let message = format!("`{file}`, a file of `env_file`, cannot be used: {fault}");
            let help =
                "systemd refuses such a file as a whole, and the app cannot start: correct it";
            return vec![Diagnostic::warning(span.clone(), message).help(help)];
        }
        Err(_) => return Vec::new(),
    };
    let Found {
        ignored, exports, ..
    } = found;
    // Both are in order, and either may have hundreds of thousands.
    let is_other = |line: &usize| exports.binary_search(line).is_err();
    let others: Vec<usize> = ignored.into_iter().filter(is_other).collect();
    let kinds = [
        (
            exports,
            "begins with `export`, as for a shell",
            "leave `export` out",
        ),
        (
            others,
            "does not have a valid variable name",
            "write `NAME=value`, with letters, digits and `_` in the name",
        ),
    ];
    let kinds = kinds.into_iter().filter(|(lines, ..)| !lines.is_empty());
    let told = kinds.map(|(lines, fault, help)| {
        let message = format!(
            "{} of `{file}`, a file of `env_file`, {fault}, so systemd sets nothing there",
            numbered(&lines)
        );
        Diagnostic::warning(span.clone(), message).help(help)
    });
    told.collect()
}

fn numbered(lines: &[usize]) -> String {
    let word = if lines.len() == 1 {
        "line"
    } else {
        "each of the lines"
    };
    let shown: Vec<String> = lines.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if lines.len() > NAMED { " and more" } else { "" };
    format!("{word} {}{more}", shown.join(", "))
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

/// Returns what is wrong with a file; `None` if the caller may not look.
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
    fn lines_that_systemd_leaves_out_are_told_by_their_numbers_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        let file = path.to_str().unwrap();
        let told = |text: &str| {
            fs::write(&path, text).unwrap();
            let faults = content(file, &(0..1));
            assert!(faults.iter().all(|f| f.severity == Severity::Warning));
            let line = |f: Diagnostic| format!("{}; {}", f.message, f.help.unwrap());
            faults.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(told("A=1\n# export B=2\n"), Vec::<String>::new());
        assert_eq!(
            told("A=1\nexport B=hush\n"),
            [format!(
                "line 2 of `{file}`, a file of `env_file`, begins with `export`, as for a shell, so systemd sets nothing there; leave \
                 `export` out"
            )]
        );
        let both = told("export B=2\nexport C=3\nA-B=hush\n");
        assert!(both[0].starts_with("each of the lines 1, 2 of"), "{both:?}");
        assert!(both[1].starts_with("line 3 of") && both[1].contains("write `NAME=value`"));
        // As many as a file may have: nobody waits for long.
        let many = told(&"export B=\n".repeat(400_000));
        assert!(many[0].starts_with("each of the lines 1, 2, 3, 4, 5, 6, 7, 8 and more of"));
        assert_eq!(many.len(), 1);
        let refused = told("A=\0\n");
        assert!(refused[0].contains("cannot be used: it contains a null byte"));
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(content(file, &(0..1)).len(), 0, "nobody waits for a FIFO");
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
