//! Checks that the kernel can execute a script that has no interpreter. systemd would only find out at the start, with
//! status 203.

use std::path::Path;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::search::Search;

const TYPESCRIPT: &[&str] = &["ts", "mts", "cts", "tsx"];

/// Extensions of source files that have no default interpreter, and what to write for them.
const SOURCES: &[(&[&str], &str)] = &[
    (
        TYPESCRIPT,
        "write `interpreter = \"node\"` and `interpreter_args = \"--import tsx\"` (`npm install tsx`), or run the JavaScript that is built from it; Node needs no tsx from 22.18 and 23.6 on",
    ),
    (&["php"], "write `interpreter = \"php\"`"),
    (&["pl"], "write `interpreter = \"perl\"`"),
    (
        &["jar"],
        "write `interpreter = \"java\"` and `interpreter_args = \"-jar\"`",
    ),
    (&["java"], "write `interpreter = \"java\"`"),
    (&["dll"], "write `interpreter = \"dotnet\"`"),
    (&["lua"], "write `interpreter = \"lua\"`"),
    (
        &["go"],
        "build it with `go build`, and write the program that this makes as `script`",
    ),
    (
        &["rs"],
        "build it with `cargo build --release`, and write the program below target/release as `script`",
    ),
];

/// Adds the fault of a script at `path` that is to be executed itself, and cannot be.
pub(super) fn check(app: &App, path: &Path, search: &Search<'_>, faults: &mut Vec<Diagnostic>) {
    let probe = search.probe;
    if app.program.interpreter.is_some() {
        return;
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let source = SOURCES.iter().find(|(names, _)| names.contains(&extension));
    let shown = path.display();
    let (message, help) = match source {
        Some((_, help)) if !probe.has_run_bit(path) || !probe.names_interpreter(path) => (
            format!("`{shown}` has no interpreter and is not an executable program"),
            help_with_node(path, search).unwrap_or_else(|| (*help).to_owned()),
        ),
        None if !probe.has_run_bit(path) => (
            format!("`{shown}` is not executable"),
            format!("run `chmod +x {shown}`, or write what runs it as `interpreter`"),
        ),
        _ => return,
    };
    faults.push(Diagnostic::error(app.script_span.clone(), message).help(help));
}

/// The way to run a script of TypeScript with Node; `None` for other scripts.
pub(super) fn help_with_node(script: &Path, search: &Search<'_>) -> Option<String> {
    let extension = script.extension()?.to_str()?;
    let (_, help) = SOURCES
        .iter()
        .find(|(names, _)| *names == TYPESCRIPT && names.contains(&extension))?;
    let stripped = stripping_node(search).filter(|_| extension != "tsx");
    Some(stripped.unwrap_or_else(|| (*help).to_owned()))
}

/// The help if the Node that is found runs TypeScript by itself: 22.18, 23.6 and newer strip the types.
fn stripping_node(search: &Search<'_>) -> Option<String> {
    let found = search.find("node")?;
    let of_path = Path::new(&found).iter().filter_map(|part| part.to_str());
    let version = of_path.rev().find_map(numbers);
    let version = version.or_else(|| numbers(search.probe.node_version()?.trim()));
    let (major, minor) = version?;
    let strips =
        major > 23 || (major, minor) >= (22, 18) && major == 22 || (major, minor) >= (23, 6);
    strips.then(|| {
        format!(
            "write `interpreter = \"node\"`, which is {major}.{minor} here and leaves the types out by itself; for `enum` and other syntax that is more than types, add `interpreter_args = \"--import tsx\"`"
        )
    })
}

/// The first two numbers of a version of three.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.');
    let first = numbers.next()?.parse().ok()?;
    let second = numbers.next()?.parse().ok()?;
    numbers.next().map(|_| (first, second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::fake_host::FakeHost;
    use crate::ecosystem::parse;
    use crate::ecosystem::resolve::{Account, FileStatus};

    /// A host whose files may be executed or not, and begin with `#!` or not.
    struct Host(bool, bool);

    impl FakeHost for Host {
        fn is_system(&self) -> bool {
            false
        }

        fn status(&self, _: &Path) -> Option<FileStatus> {
            None
        }

        fn user(&self, _: u32) -> Option<String> {
            None
        }

        fn name(&self, _: Account) -> String {
            String::new()
        }

        fn has_run_bit(&self, _: &Path) -> bool {
            self.0
        }

        fn names_interpreter(&self, _: &Path) -> bool {
            self.1
        }
    }

    #[test]
    fn a_program_has_to_be_executable_and_source_text_to_name_its_interpreter_too() {
        let no_interpreter =
            "`/srv/app.ts` has no interpreter and is not an executable program".to_owned();
        let not_executable = "`/srv/app` is not executable".to_owned();
        let not_built =
            "`/srv/main.go` has no interpreter and is not an executable program".to_owned();
        for (script, is_executable, names_interpreter, told) in [
            ("app.ts", true, true, None),
            ("app.ts", true, false, Some(&no_interpreter)),
            ("app.ts", false, true, Some(&no_interpreter)),
            ("main.go", false, false, Some(&not_built)),
            ("app", true, false, None),
            ("app", false, false, Some(&not_executable)),
            ("app", false, true, Some(&not_executable)),
        ] {
            let text = format!("[[apps]]\nname = \"web\"\nlisten = 1\nscript = \"{script}\"\n");
            let (apps, _) = parse("eco.toml", &text);
            let host = Host(is_executable, names_interpreter);
            let search = Search::new(&apps[0], Path::new("/srv"), &host);
            let mut faults = Vec::new();
            check(
                &apps[0],
                &Path::new("/srv").join(script),
                &search,
                &mut faults,
            );
            let fault = faults.pop();
            if script == "main.go" {
                let help = fault.as_ref().and_then(|fault| fault.help.clone());
                assert!(help.unwrap_or_default().contains("`go build`"));
            }
            let found = fault.map(|fault| fault.message);
            assert_eq!(
                found.as_ref(),
                told,
                "{script}: {is_executable}, {names_interpreter}"
            );
        }
    }
}
