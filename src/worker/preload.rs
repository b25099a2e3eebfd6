//! Lets the keep-alive connections of Node programs end when the instance drains, see `units/drain.js`.
//!
//! Such a connection ends by itself only if its client wants that, and only the program can inform the
//! client. So the program watches a folder that only root writes, and the drain puts a file there: a
//! descriptor would not reach the children of `npm start`, and the program may use the signal itself.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::contract::Run;
use crate::state::Notice;

/// The variable with the path of the file.
const VARIABLE: &str = "RSGEN_DRAIN";
/// Node itself, and programs that start it.
const NODES: &[&str] = &[
    "node", "nodejs", "npm", "npx", "yarn", "pnpm", "tsx", "ts-node",
];
/// The kernel cuts longer first lines as well, see execve(2).
const FIRST_LINE: usize = 256;

/// Adds the variables for Node to the environment; none for any other program.
pub(super) fn add(environment: &mut Vec<(OsString, OsString)>, run: &Run) {
    let worker = std::env::current_exe().ok().filter(|_| run.preload);
    let Some(script) = worker.and_then(|worker| script(&worker)) else {
        return;
    };
    if run.program.first().is_some_and(|p| is_node(Path::new(p))) {
        let notice = Notice::Drain.path(&run.state, &run.app, run.instance);
        extend(environment, &run.program, &script, notice);
    }
}

/// `drain.js` lies in the folder above `bin`, and beside the copy of the worker that units of 0.1.0 name.
fn script(worker: &Path) -> Option<PathBuf> {
    let folders = worker.ancestors().skip(1).take(2);
    let mut scripts = folders.map(|folder| folder.join("drain.js"));
    scripts.find(|script| File::open(script).is_ok())
}

fn extend(
    environment: &mut Vec<(OsString, OsString)>,
    program: &[OsString],
    script: &Path,
    notice: PathBuf,
) {
    let known = environment.iter().position(|(k, _)| k == "NODE_OPTIONS");
    let own = known.and_then(|at| environment.get(at));
    let own = own.map(|(_, value)| value.clone()).unwrap_or_default();
    // Node's permission model forbids the file, so Node would not start. Its options are separated by spaces.
    let is_restricted = |text: &OsStr| text.to_string_lossy().contains("-permission");
    if is_restricted(&own) || program.iter().any(|a| is_restricted(a)) {
        return;
    }
    let mut options = own;
    if !options.is_empty() {
        options.push(" ");
    }
    // Before Node 12, the form with `=` is not an option, and the program does not start.
    options.push("--require ");
    options.push(script);
    // Of two variables with the same name, getenv(3) finds the first.
    environment.retain(|(key, _)| key != "NODE_OPTIONS" && key != VARIABLE);
    environment.push(("NODE_OPTIONS".into(), options));
    environment.push((VARIABLE.into(), notice.into()));
}

fn is_node(program: &Path) -> bool {
    let named = |name: &OsStr| name.to_str().is_some_and(|n| NODES.contains(&n));
    program.file_name().is_some_and(named) || interpreter(program).is_some_and(|i| named(&i))
}

/// The name of the interpreter in the first line of a script.
fn interpreter(program: &Path) -> Option<OsString> {
    let mut start = [0; FIRST_LINE];
    // If the script is a FIFO, there is no wait for a writer: it cannot be executed, which is reported.
    let mut how = OpenOptions::new();
    let how = how.read(true).custom_flags(libc::O_NONBLOCK);
    let length = how.open(program).ok()?.read(&mut start).ok()?;
    let text = String::from_utf8_lossy(start.get(..length)?).into_owned();
    let line = text.lines().next()?.strip_prefix("#!")?.to_owned();
    line.split_whitespace()
        .map(|word| Path::new(word).file_name().unwrap_or_default().to_owned())
        .find(|name| name != "env" && !name.to_string_lossy().starts_with('-'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn extended(own: &str, program: &[&str]) -> Vec<(OsString, OsString)> {
        let mut environment = vec![("A".into(), "b".into())];
        if !own.is_empty() {
            environment.push(("NODE_OPTIONS".into(), own.into()));
        }
        let program: Vec<OsString> = program.iter().map(OsString::from).collect();
        let notice = Notice::Drain.path(Path::new("/run/rsgen/web"), "web", 3);
        extend(
            &mut environment,
            &program,
            Path::new("/lib/drain.js"),
            notice,
        );
        environment
    }

    #[test]
    fn a_pipe_in_the_place_of_a_program_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("server");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(interpreter(&pipe), None);
    }

    #[test]
    fn options_of_the_programs_own_stay() {
        let environment = extended("--max-old-space-size=64 --require=\"/a b.js\"", &["node"]);
        let options = "--max-old-space-size=64 --require=\"/a b.js\" --require /lib/drain.js";
        let wanted = [
            ("A", "b"),
            ("NODE_OPTIONS", options),
            ("RSGEN_DRAIN", "/run/rsgen/drain/web@3"),
        ]
        .map(|(k, v)| (OsString::from(k), OsString::from(v)));
        assert_eq!(environment, wanted);
    }

    #[test]
    fn the_variable_is_there_once_whatever_a_file_of_variables_holds() {
        let given = ["/tmp/mine", "/tmp/other"];
        let mut environment = given.map(|v| (VARIABLE.into(), v.into())).to_vec();
        let script = Path::new("/lib/drain.js");
        extend(&mut environment, &["node".into()], script, "/run/it".into());
        environment.retain(|(key, _)| key == VARIABLE);
        assert_eq!(environment, [(VARIABLE.into(), "/run/it".into())]);
    }

    /// An old Node does not start with a script that it cannot read.
    #[test]
    fn the_script_is_written_as_node_8_reads_it() {
        let script = include_str!("../../units/drain.js");
        for new in [
            "?.", "??", "catch {", "async ", "...", "matchAll", "import ",
        ] {
            assert!(!script.contains(new), "{new}");
        }
        for line in script.lines().filter(|l| l.contains("require(")) {
            let known = ["'path'", "'fs'", "'http'", "(name)"];
            assert!(known.iter().any(|k| line.contains(k)), "{line}");
        }
    }

    #[test]
    fn a_program_under_nodes_permission_model_is_left_alone() {
        assert_eq!(extended("", &["node", "--permission", "a.js"]).len(), 1);
        assert_eq!(extended("--experimental-permission", &["node"]).len(), 2);
    }

    #[test]
    fn node_is_known_by_its_name_or_by_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let script = |line: &str| {
            let path = folder.path().join("script");
            fs::write(&path, line).unwrap();
            is_node(&path)
        };
        assert!(is_node(Path::new("/opt/node20/bin/node")) && is_node(Path::new("npm")));
        assert!(!is_node(Path::new("/usr/bin/python3")) && !is_node(Path::new("nodemon2")));
        assert!(script("#!/usr/bin/env node\n") && script("#!/usr/bin/env -S node --a\n"));
        assert!(script("#!/usr/bin/node\n"));
        assert!(!script("#!/bin/sh\nnode server.js\n") && !script("node"));
    }
}
