//! The keys that define the program to run.

use std::path::Path;

use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::key::{Form, Taken, Wanted, keys, of, text, words};
use super::read::{Fields, Found};
use crate::unit::escape;

keys! {
    /// How the program is started.
    pub struct Program {
        in Program {
            /// The script or program, relative to `cwd`.
            ///
            /// Without an interpreter, the name of a program in `$PATH` is also possible.
            script: String = text("\"server.js\"").read_by(filled).required("the script or program that is run")
                .pm2("`script` is not a shell command; for one, write `script = \"bash\"`, `args = [\"-c\", \"…\"]`")
                .replaces(&["exec", "cmd", "command"], "script", "");

            /// Arguments of the program: a list, or one string, which is split as a shell splits words.
            ///
            /// Variables and wildcards in that string are not expanded.
            args: Vec<String> = words().or_none().pm2("");

            /// The working directory.
            ///
            /// The directory has to exist.
            cwd: Option<String> = of(Form::Text, "\"/srv/web\"", read_cwd)
                .or_as("the folder of the file", |_| None)
                .pm2("");

            /// The program that runs the script; `"none"` for none.
            ///
            /// By extension: node for `.js`, `.cjs` and `.mjs`, python3 for `.py`, ruby for `.rb`, bash for `.sh`; any
            /// other script is executed directly.
            interpreter: Option<String> = of(Form::Text, "\"node\"", read_interpreter)
                .or_as("by extension", by_extension)
                .pm2("")
                .replaces(&["exec_interpreter"], "interpreter", "");

            /// Arguments of the interpreter, written in the same way as `args`.
            interpreter_args: Vec<String> = words().or_none().pm2("")
                .replaces(&["node_args"], "interpreter_args", "");
        }
        with {
            /// Whether the file names the interpreter.
            names_interpreter: bool = |f| f.peek("interpreter").is_some();
        }
    }
}

impl Program {
    /// Returns the working directory; `None` until it has been resolved relative to the file's folder.
    #[must_use]
    pub fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    /// Returns the whole command line, beginning with the program.
    #[must_use]
    pub fn command_line(&self) -> Vec<String> {
        let mut line = Vec::new();
        if let Some(interpreter) = &self.interpreter {
            line.push(interpreter.clone());
            line.extend(self.interpreter_args.iter().cloned());
        }
        line.push(self.script.clone());
        line.extend(self.args.iter().cloned());
        line
    }
}

fn filled(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<String> {
    let found = f.string(wanted)?;
    if found.value.is_empty() {
        let Wanted { key, example, .. } = wanted;
        f.faults.push(
            Diagnostic::error(found.span, format!("`{key}` is empty"))
                .help(format!("write it as in `{key} = {example}`")),
        );
        return None;
    }
    Some(found.value)
}

fn read_cwd(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<String>> {
    let given = f.string(wanted)?;
    clean_path(f, wanted.key, given).map(Some)
}

/// Returns a path if it can be written into a unit.
pub(super) fn clean_path(f: &mut Fields<'_, '_>, key: &str, path: Found<String>) -> Option<String> {
    if path.value.is_empty() || !escape::fits_path(&path.value) {
        let fault = format!(
            "`{key}` is `{}`, which cannot be written into a unit",
            path.value
        );
        f.faults.push(Diagnostic::error(path.span, fault).help(
            "rename the path: no control characters, no blank at its ends, no backslash at its end",
        ));
        return None;
    }
    Some(path.value)
}

fn read_interpreter(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<String>> {
    let given = f.string(wanted)?.value;
    Some(Some(given).filter(|given| !given.is_empty() && given != "none"))
}

fn by_extension(f: &mut Fields<'_, '_>) -> Option<String> {
    let script = f.peek("script").and_then(DeValue::as_str)?;
    let interpreter = match Path::new(script).extension()?.to_str()? {
        "js" | "cjs" | "mjs" => "node",
        "py" => "python3",
        "rb" => "ruby",
        "sh" => "bash",
        _ => return None,
    };
    Some(interpreter.to_owned())
}
