//! Explains a word of the command line that is the path of a program or of a folder, where an app is meant.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::input;
use crate::ecosystem::App;
use crate::generate::sources;
use crate::import::Kind;
use crate::layout::Layout;
use crate::output::Failure;
use crate::unit::name;

/// File name extensions of scripts.
const SOURCES: &[&str] = &["js", "cjs", "mjs", "ts", "py", "rb", "sh", "php"];

/// How a file begins that the kernel executes: by the interpreter in its first line, or as a binary.
const BEGINNINGS: &[&[u8]] = &[b"#!", b"\x7fELF"];

/// Commands that are written with the name of an app alone.
const OF_AN_APP: &[&str] = &["start", "stop", "restart", "reload", "uninstall", "logs"];

/// Returns whether a word is the path of a program, as `pm2 start` accepts it.
pub(super) fn is_script(word: &str) -> bool {
    let path = Path::new(word);
    if word.contains(".config.") || Kind::is_of_pm2(path) || !path.is_file() {
        return false;
    }
    has_extension_of_a_script(word) || !has_extension(word, "toml") && is_executed(path)
}

fn has_extension(word: &str, extension: &str) -> bool {
    Path::new(word).extension().is_some_and(|e| e == extension)
}

fn has_extension_of_a_script(word: &str) -> bool {
    let is_one = |e: &OsStr| SOURCES.iter().any(|source| e == *source);
    Path::new(word).extension().is_some_and(is_one)
}

/// Returns whether a file is executed as it is. The bit alone does not say so: some file systems set it for each file.
fn is_executed(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut begin));
    read.is_ok() && BEGINNINGS.iter().any(|b| begin.starts_with(b)) && has_run_bit(path)
}

fn has_run_bit(path: &Path) -> bool {
    let bits = path.metadata().map(|m| m.permissions().mode());
    bits.is_ok_and(|mode| mode & 0o111 != 0)
}

/// Returns whether a word names a folder, and not by a bare name, which would be that of an app.
pub(super) fn is_folder(word: &str) -> bool {
    let is_path = word.contains('/') || [".", ".."].contains(&word);
    is_path && Path::new(word).is_dir()
}

/// Refuses a program where a subcommand takes an app.
pub(super) fn refuse(word: &str, command: &str, layout: &Layout) -> Failure {
    let failure = Failure::failed(format!("`{word}` is a script, not an app"));
    let is_for_an_app = OF_AN_APP.contains(&command);
    failure.help(match &apps_of(word, layout)[..] {
        [] if ["start", "restart", "reload"].contains(&command) => {
            format!("run `rsgen install {}`", typed(word))
        }
        [] => "no installed app runs it; `rsgen list` shows the apps".to_owned(),
        [app] if is_for_an_app => format!("`{app}` runs it: `rsgen {command} {app}`"),
        all => format!("write the name of an app that runs it: {}", all.join(", ")),
    })
}

/// A path as it is typed in a shell. The name of a file is chosen by anybody who may write to its folder, and a help is copied.
fn typed(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or(Cow::Borrowed("FILE"))
}

/// Returns the installed apps that run a script.
fn apps_of(word: &str, layout: &Layout) -> Vec<String> {
    let Ok(path) = input::absolute(Path::new(word)) else {
        return Vec::new();
    };
    let (sources, _) = sources::all(layout);
    let apps = sources
        .iter()
        .filter_map(|source| sources::load(layout, source).ok());
    let of_it = apps.filter(|(_, app)| script_of(app) == path);
    of_it.map(|(_, app)| app.name).collect()
}

/// Returns the path of an app's script. For a program that is found in `PATH`, it is one of no file.
pub(super) fn script_of(app: &App) -> PathBuf {
    let cwd = app.program.cwd.as_deref().unwrap_or_default();
    let path = Path::new(cwd).join(&app.program.script);
    std::path::absolute(&path).unwrap_or(path)
}

/// Returns the name of the app if a command line runs a script by an interpreter: that of the script, as in `node server.js`.
pub(super) fn behind_interpreter(command: &[String]) -> Option<String> {
    let [program, script, ..] = command else {
        return None;
    };
    let is_one = !program.contains('/') && has_extension_of_a_script(script);
    let path = Path::new(script);
    let name = path.file_stem().filter(|_| is_one && path.is_file())?;
    let name = name.to_str().filter(|name| name::check(name).is_ok())?;
    Some(name.to_owned())
}

/// The next step if a word that is not the name of an app is the name of a program, with the words behind it, as in `pm2 start npm -- start`.
pub(super) fn help_for_program(word: &str, behind: &[String]) -> Option<String> {
    if word.contains('/') {
        return None;
    }
    if has_extension_of_a_script(word) {
        return Some(format!("there is no file `{word}` in this folder either"));
    }
    let found = is_program_in(&std::env::var_os("PATH")?, word);
    let arguments = shlex::try_join(behind.iter().map(String::as_str)).ok()?;
    found.then(|| match &arguments[..] {
        "" => format!("to make an app of the program, run `rsgen install {word} --name NAME`"),
        some => format!(
            "to make an app of the program, run `rsgen install {word} --name NAME -- {some}`"
        ),
    })
}

/// Returns whether one of these folders, written as in `PATH`, has such a program.
fn is_program_in(path: &OsStr, name: &str) -> bool {
    let is_there = |file: &Path| file.is_file() && has_run_bit(file);
    let mut folders = std::env::split_paths(path);
    folders.any(|folder| folder.is_absolute() && is_there(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, text: &[u8], mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn is_known_by_its_extension_or_by_how_it_begins() {
        let at = tempfile::tempdir().unwrap();
        for (name, text, mode, is_one) in [
            ("server.js", &b"listen()"[..], 0o644, true),
            ("graceful", b"#!/usr/bin/env node\n", 0o755, true),
            ("server", b"\x7fELF\x02", 0o755, true),
            ("web.bin", b"\x7fELF\x02", 0o755, true),
            ("notes", b"#! not executable", 0o644, false),
            ("apps", b"[[apps]]", 0o755, false),
            ("web.toml", b"#!/usr/bin/env rsgen\n", 0o755, false),
            ("ecosystem.config.js", b"", 0o644, false),
            ("web.config.sh", b"", 0o644, false),
            ("Procfile", b"#!/usr/bin/env node\n", 0o755, false),
        ] {
            let path = at.path().join(name);
            write(&path, text, mode);
            assert_eq!(is_script(path.to_str().unwrap()), is_one, "{name}");
        }
        assert!(!is_script(at.path().to_str().unwrap()));
        assert!(is_folder(at.path().to_str().unwrap()) && is_folder(".") && !is_folder("src"));
    }

    #[test]
    fn that_an_app_runs_is_answered_with_the_app() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        fs::create_dir_all(&layout.apps[0]).unwrap();
        let folder = root.path().join("srv");
        fs::create_dir(&folder).unwrap();
        let script = folder.join("server.js");
        let word = script.to_str().unwrap();
        let help = |command: &str| refuse(word, command, &layout).help.unwrap();
        assert_eq!(help("restart"), format!("run `rsgen install {word}`"));
        let hostile = refuse("./a;reboot", "start", &layout).help.unwrap();
        assert_eq!(hostile, "run `rsgen install './a;reboot'`");
        assert_eq!(
            help("stop"),
            "no installed app runs it; `rsgen list` shows the apps"
        );
        let text = |app: &str| {
            let cwd = folder.display();
            format!(
                "[[apps]]\nname = \"{app}\"\nscript = \"server.js\"\ncwd = \"{cwd}\"\nlisten = []\n"
            )
        };
        fs::write(layout.file("web"), text("web")).unwrap();
        assert_eq!(help("restart"), "`web` runs it: `rsgen restart web`");
        assert_eq!(help("signal"), "write the name of an app that runs it: web");
        fs::write(layout.file("api"), text("api")).unwrap();
        assert!(help("stop").ends_with("that runs it: api, web"));
    }

    #[test]
    fn in_path_is_answered_with_the_command_that_makes_an_app_of_it() {
        let help = |word: &str, behind: &[&str]| {
            let behind: Vec<String> = behind.iter().map(|&b| b.to_owned()).collect();
            help_for_program(word, &behind)
        };
        let told = help("sh", &["-c", "exec web"]).unwrap();
        assert!(
            told.ends_with("`rsgen install sh --name NAME -- -c 'exec web'`"),
            "{told}"
        );
        assert!(
            help("sh", &[])
                .unwrap()
                .ends_with("`rsgen install sh --name NAME`")
        );
        assert_eq!(
            help("nope.js", &[]).unwrap(),
            "there is no file `nope.js` in this folder either"
        );
        assert_eq!(help("xyzzy-web", &[]), None);
        assert_eq!(help("/bin/sh", &[]), None);
    }

    #[test]
    fn in_path_is_a_file_that_may_be_executed() {
        let at = tempfile::tempdir().unwrap();
        write(&at.path().join("web"), b"#!/bin/sh\n", 0o755);
        write(&at.path().join("notes"), b"#!/bin/sh\n", 0o644);
        fs::create_dir(at.path().join("lib")).unwrap();
        let path = format!("/nonexistent:{}", at.path().display());
        let is_one = |name| is_program_in(OsStr::new(&path), name);
        assert!(is_one("web"));
        assert!(!is_one("notes") && !is_one("lib") && !is_one("api"));
        // Another folder is the present one at another time.
        assert!(!is_program_in(OsStr::new("src"), "lib.rs"));
    }

    #[test]
    fn behind_its_interpreter_gives_the_app_its_name() {
        let at = tempfile::tempdir().unwrap();
        for name in ["server.js", "notes.txt", "-x.js"] {
            write(&at.path().join(name), b"", 0o644);
        }
        let name = |program: &str, script: &str| {
            let script = at.path().join(script).display().to_string();
            behind_interpreter(&[program.to_owned(), script, "--port=3000".to_owned()])
        };
        assert_eq!(name("node", "server.js").as_deref(), Some("server"));
        for (program, script) in [
            ("/usr/bin/node", "server.js"),
            ("cat", "notes.txt"),
            ("node", "absent.js"),
            ("node", "-x.js"),
        ] {
            assert_eq!(name(program, script), None, "{program} {script}");
        }
    }
}
