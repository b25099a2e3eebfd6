//! `health_command` as a command of the unit.

use std::fs;
use std::process::{Command, Output};

use testbed::wait_until;

const WORKER: &str = env!("CARGO_BIN_EXE_rsgen-worker");

/// Asks by a script, beside a main process that lives.
fn ask(flags: &[&str], script: &str) -> Output {
    let line = "health command --app=web --instance=3 --state=/nonexistent/web --address=127.0.0.1:3000 --timeout=5s --interval=9s";
    Command::new(WORKER)
        .args(line.split(' '))
        .args(flags)
        .args(["--", "/bin/sh", "-c", script])
        .env("MAINPID", std::process::id().to_string())
        .env("PORT", "{4000 + 3}")
        .env("NOTIFY_SOCKET", "/nonexistent/notify")
        .output()
        .unwrap()
}

#[test]
fn the_command_has_the_variables_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.env");
    fs::write(&file, "TOKEN=two words\n").unwrap();
    let files = format!("--env-file={}", file.display());
    let flags = [files.as_str(), "--counted=PORT"];
    let asked = ask(&flags, "echo $TOKEN, $PORT, $NOTIFY_SOCKET.; exit 1");
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("`two words, 4003, .`"), "{said}");
    fs::remove_file(&file).unwrap();
    let asked = ask(&flags, "true");
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && said.contains("a.env"), "{said}");
}

#[test]
fn nothing_that_the_command_starts_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let script = format!(
        "setsid sh -c 'echo $$ >{0}; (setsid sleep 1000 & echo $! >>{0}); sleep 1000' >/dev/null 2>&1 & \
         until [ \"$(wc -l <{0})\" = 2 ]; do sleep 0.01; done",
        note.display()
    );
    fs::write(&note, "").unwrap();
    for end in ["true", "false"] {
        let asked = ask(&[], &format!("{script}; {end}"));
        assert_eq!(asked.status.success(), end == "true", "{asked:?}");
        let pids = fs::read_to_string(&note).unwrap();
        assert_eq!(pids.lines().count(), 2, "{pids}");
        for pid in pids.lines() {
            let folder = std::path::PathBuf::from(format!("/proc/{pid}"));
            wait_until(std::time::Duration::from_secs(5), "its end", || {
                !folder.exists()
            });
        }
        fs::write(&note, "").unwrap();
    }
}
