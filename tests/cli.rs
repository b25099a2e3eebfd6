//! The command line as far as it needs no systemd: its output and its exit statuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

#[path = "cli/refused.rs"]
mod refused;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("server.js");
        fs::write(&script, "").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("ecosystem.toml"), text).unwrap();
        Self(folder)
    }

    fn rsgen(&self, arguments: &[&str]) -> Output {
        // There is no bus, wherever this test runs.
        Command::new(env!("CARGO_BIN_EXE_rsgen"))
            .args(arguments)
            .current_dir(self.0.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
            .output()
            .unwrap()
    }
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const GOOD: &str = "[[apps]]\nname = \"rsgen-test-app\"\nscript = \"server.js\"\ninterpreter = \"none\"\nlisten = 3000\n";

#[test]
fn all_faults_are_reported_at_once_with_their_place_and_remedy() {
    let folder = Folder::with(
        "[[apps]]\nnme = \"web\"\nscript = \"sever.js\"\ninterpreter = \"none\"\nlisten = \"localhost:3000\"\nkill_timeout = \"5\"\nexec_mode = \"cluster\"\n\
         [apps.service]\nMemoryMx = \"1G\"\n\n[[apps]]\nname = \"a b\"\nscript = \"server.js\"\nlisten = 70000\n",
    );
    let output = folder.rsgen(&["check"]);
    assert_eq!(status(&output), 3);
    let told = stderr(&output);
    for part in [
        "ecosystem.toml:2:1",
        "did you mean `name`?",
        "sever.js",
        "did you mean `server.js`?",
        "127.0.0.1:3000",
        "has no unit",
        "leave it out",
        "did you mean `MemoryMax`?",
        "cannot be the name of a unit",
        "ecosystem.toml:14:10",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn a_folder_or_an_account_that_is_missing_is_shown_in_its_own_line() {
    let folder = Folder::with(&format!(
        "{GOOD}cwd = \"/nonexistent\"\nuser = \"rsgen-nobody\"\ngroup = \"rsgen-nobody\"\n"
    ));
    let told = stderr(&folder.rsgen(&["check"]));
    for (line, fault) in [
        (6, "the working directory `/nonexistent` does not exist"),
        (7, "there is no user `rsgen-nobody`"),
        (8, "there is no group `rsgen-nobody`"),
    ] {
        let place = format!("ecosystem.toml:{line}:");
        let faults: Vec<&str> = told.split("error: ").collect();
        assert!(
            faults
                .iter()
                .any(|f| f.starts_with(fault) && f.contains(&place)),
            "{fault} in line {line}: {told}"
        );
    }
}

#[test]
fn a_script_that_cannot_be_executed_is_found_before_its_start() {
    for (script, mode, start, told) in [
        (
            "server.ts",
            0o644,
            "#!/usr/bin/env node\n",
            Some("`interpreter_args = \"--import tsx\"`"),
        ),
        (
            "server.ts",
            0o755,
            "export {};\n",
            Some("`interpreter = \"node\"`"),
        ),
        ("server.ts", 0o755, "#!/usr/bin/env sh\n", None),
        (
            "index.php",
            0o644,
            "<?php\n",
            Some("write `interpreter = \"php\"`"),
        ),
        ("run", 0o644, "#!/bin/sh\n", Some("run `chmod +x ")),
        ("run", 0o755, "#!/bin/sh\n", None),
    ] {
        let app =
            format!("[[apps]]\nname = \"rsgen-test-app\"\nscript = \"{script}\"\nlisten = 3000\n");
        let folder = Folder::with(&app);
        let path = folder.0.path().join(script);
        fs::write(&path, start).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let output = folder.rsgen(&["check"]);
        let said = stderr(&output);
        assert_eq!(
            status(&output),
            if told.is_some() { 3 } else { 0 },
            "{script}: {said}"
        );
        let told = told.unwrap_or_default();
        assert!(said.contains(told), "{told} is not in {said}");
        let is_in_its_line = told.is_empty() || said.contains("ecosystem.toml:3:10");
        assert!(is_in_its_line, "{said}");
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_wherever_it_comes_from() {
    let long = format!("{GOOD}# {}\n", "x".repeat(4 << 20));
    let folder = Folder::with(&long);
    let told = |output: &Output| {
        assert_eq!(status(output), 3);
        let told = stderr(output);
        let is_told = told.contains("longer than 4096 KiB") && told.contains("help: split it");
        assert!(is_told, "{told}");
    };
    told(&folder.rsgen(&["check"]));
    let file = fs::File::open(folder.0.path().join("ecosystem.toml")).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_rsgen"));
    told(&check.args(["check", "-"]).stdin(file).output().unwrap());
}

#[test]
fn a_file_with_very_many_apps_is_refused() {
    let apps = |number: usize| -> String {
        let app = |i| format!("[[apps]]\nname = \"a{i}\"\nscript = \"server.js\"\nlisten = {i}\n");
        (1..=number).map(app).collect()
    };
    let output = Folder::with(&apps(1001)).rsgen(&["check"]);
    assert_eq!(status(&output), 3);
    let told = stderr(&output);
    assert!(told.contains("ecosystem.toml:4001:1"), "{told}");
    assert!(told.contains("lists more than 1000 apps"), "{told}");
}

#[test]
fn of_very_many_faults_a_person_sees_the_first_and_a_script_all() {
    let faults: Vec<String> = (0..300).map(|i| format!("key{i} = 1\n")).collect();
    let folder = Folder::with(&format!("{GOOD}{}", faults.concat()));
    let told = stderr(&folder.rsgen(&["check"]));
    assert!(told.contains("unknown key `key99`"), "{told}");
    assert!(!told.contains("unknown key `key100`"), "{told}");
    assert!(
        told.contains("more errors and warnings are not shown"),
        "{told}"
    );
    let json = folder.rsgen(&["check", "--json"]).stdout;
    assert!(String::from_utf8(json).unwrap().contains("`key299`"));
}

#[test]
fn json_has_the_same_faults_for_scripts() {
    let folder = Folder::with("[[apps]]\nscript = \"server.js\"\nlisten = 0\nuser = 0\n");
    let output = folder.rsgen(&["check", "--json"]);
    assert_eq!(status(&output), 3);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["valid"], false);
    assert_eq!(json["diagnostics"][0]["line"], 3);
    assert_eq!(json["diagnostics"][0]["column"], 10);
}

#[test]
fn exit_statuses_are_those_of_the_manual() {
    let folder = Folder::with(GOOD);
    for (arguments, wanted) in [
        (&["check"][..], 0),
        (&["check", "nowhere.toml"], 3),
        (&["check", "--nonsense"], 2),
        (&["nonsense"], 2),
        (&["install", "ecosystem.toml", "--listen", "3000"], 2),
        (&["install", "server.js", "--dry-run"], 0),
        (&["install", "--only", "other"], 2),
        (&["install", "--dry-run"], 0),
        (&["install"], 4),
        (&["reload", "rsgen-no-such-app"], 1),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let output = folder.rsgen(arguments);
        assert_eq!(
            status(&output),
            wanted,
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn without_systemd_nothing_is_told_as_done() {
    let folder = Folder::with(GOOD);
    for command in ["install", "list"] {
        let output = folder.rsgen(&[command]);
        assert_eq!(status(&output), 4, "{command}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command}");
        let told = stderr(&output);
        assert!(told.contains("systemd cannot be reached"), "{told}");
    }
}

#[test]
fn a_dry_run_shows_a_diff_and_writes_nothing() {
    let folder = Folder::with(GOOD);
    let output = folder.rsgen(&["install", "--dry-run", "-i", "-1"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("+instances = -1")
            && told.contains("+++ /etc/systemd/system/rsgen-test-app@.service"),
        "{told}"
    );
    assert!(!std::path::Path::new("/etc/rsgen/rsgen-test-app.toml").exists());
}

#[test]
fn generate_writes_units_and_links_and_a_second_run_changes_nothing() {
    let folder = Folder::with(&format!("{GOOD}instances = 2\n"));
    for _ in 0..2 {
        assert_eq!(status(&folder.rsgen(&["generate", "-o", "out"])), 0);
    }
    let out = folder.0.path().join("out");
    assert!(
        fs::read_to_string(out.join("rsgen-test-app.socket"))
            .unwrap()
            .contains("ListenStream=3000")
    );
    assert!(
        fs::read_link(out.join("rsgen-test-app.service.wants/rsgen-test-app@1.service")).is_ok()
    );
    assert!(
        !fs::read_to_string(out.join("rsgen-test-app.service"))
            .unwrap()
            .contains("SourcePath=")
    );
}

#[test]
fn quiet_leaves_out_all_but_the_result() {
    let folder = Folder::with(&format!("{GOOD}user = \"root\"\n"));
    let stdout = |arguments: &[&str]| {
        let output = folder.rsgen(arguments);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(stdout(&["check"]), "ecosystem.toml: good\n");
    assert_eq!(stdout(&["check", "--quiet"]), "");
    let written = stdout(&["generate", "-o", "out"]);
    assert!(written.contains("out/rsgen-test-app.socket\n"), "{written}");
    assert_eq!(stdout(&["generate", "-o", "out", "-q"]), "");
    let result = stdout(&["install", "--dry-run"]);
    assert!(result.contains("+ListenStream=3000"), "{result}");
    assert_eq!(stdout(&["install", "--dry-run", "-q"]), result);
}

#[test]
fn json_is_one_object_on_standard_output_and_nothing_else() {
    let folder = Folder::with(GOOD);
    let object = |arguments: &[&str]| {
        let output = folder.rsgen(arguments);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["version"], 1, "{arguments:?}");
        (json, output)
    };
    let (json, output) = object(&["install", "--dry-run", "--json", "--verbose"]);
    assert_eq!(json["changed"], true);
    assert!(stderr(&output).contains("runs as root"), "a warning");
    let (json, _) = object(&["generate", "-o", "out", "--json"]);
    assert!(!json["files"].as_array().unwrap().is_empty());
    let (json, output) = object(&["check", "--json"]);
    assert_eq!(json["diagnostics"][0]["severity"], "warning");
    assert_eq!(stderr(&output), "");
    let (json, output) = object(&["reload", "rsgen-no-such-app", "--json"]);
    assert_eq!((&json["status"], status(&output)), (&1.into(), 1));
    let error = format!("error: {}\n", json["error"].as_str().unwrap());
    assert!(stderr(&output).starts_with(&error), "{}", stderr(&output));
}

#[test]
fn colours_are_used_when_they_are_asked_for() {
    let folder = Folder::with(GOOD);
    let told = |when| stderr(&folder.rsgen(&["--color", when, "check", "nowhere.toml"]));
    assert!(told("always").starts_with("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: "));
    assert!(told("auto").starts_with("error: ") && told("never") == told("auto"));
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let folder = Folder::with(GOOD);
    let mut child = Command::new(env!("CARGO_BIN_EXE_rsgen"))
        .args(["install", "--dry-run"])
        .current_dir(folder.0.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_package_generates_for_the_host_that_it_will_be_unpacked_on() {
    let folder = Folder::with("");
    let lib = folder.0.path().join("root/usr/lib/hello");
    fs::create_dir_all(&lib).unwrap();
    fs::write(lib.join("server"), "").unwrap();
    let text = "[[apps]]\nname = \"hello\"\nscript = \"server\"\nlisten = 3000\nuser = \"_rsgen-nobody\"\n";
    fs::write(lib.join("ecosystem.toml"), text).unwrap();
    let file = "root/usr/lib/hello/ecosystem.toml";
    assert_eq!(status(&folder.rsgen(&["generate", "-o", "out", file])), 3);
    let output = folder.rsgen(&["generate", "--root", "root", "-o", "out", file]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let unit = fs::read_to_string(folder.0.path().join("out/hello@.service")).unwrap();
    assert!(unit.contains("WorkingDirectory=/usr/lib/hello\n"), "{unit}");
    assert!(unit.contains(" /usr/lib/hello/server"), "{unit}");
    let output = folder.rsgen(&["generate", "--root", "out", "-o", "out", file]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("is not below"));
}

const NOBODY: u32 = 65534;

#[test]
fn only_root_may_work_on_the_apps_of_the_system() {
    let folder = Folder::with(GOOD);
    // The folder of the build may be closed to other users.
    let program = folder.0.path().join("rsgen");
    fs::copy(env!("CARGO_BIN_EXE_rsgen"), &program).unwrap();
    for path in [folder.0.path(), &program] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    // Refused even if there is no app.
    for verb in ["reload", "start", "stop", "restart", "install"] {
        let target = if verb == "install" {
            "ecosystem.toml"
        } else {
            "all"
        };
        let output = Command::new(&program)
            .args([verb, target])
            .current_dir(folder.0.path())
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        let told = stderr(&output);
        assert_eq!(status(&output), 4, "{verb}: {told}");
        let why = format!("only root may {verb} apps of the system");
        assert!(told.contains(&why), "{told}");
    }
}

/// With `sudo -E` root would otherwise follow links of the user, and trust the user's bus.
#[test]
fn root_does_not_work_in_the_session_of_another_user() {
    let folder = Folder::with(GOOD);
    let session = folder.0.path().join("session");
    fs::create_dir(&session).unwrap();
    chown(&session, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rsgen"))
        .args(["--user", "install", "--dry-run"])
        .current_dir(folder.0.path())
        .env("XDG_RUNTIME_DIR", &session)
        .env("HOME", "/root")
        .output()
        .unwrap();
    assert_eq!(status(&output), 4, "{}", stderr(&output));
    let why = format!("`{}` belongs to another user", session.display());
    assert!(stderr(&output).contains(&why), "{}", stderr(&output));
}
