//! A refusal leaves nothing behind, and tells the line and the way out.

use std::path::Path;

use crate::{Folder, GOOD, status, stderr};

/// Each is a limit that systemd would ignore: the app would run without it.
const LIMITS: &[(&str, &str)] = &[
    ("MemoryMax = \"300MB\"", "write `300M`"),
    ("MemoryMax = \"300m\"", "write `300M`"),
    ("CPUQuota = \"1.5\"", "`150%` is one and a half"),
    ("Nice = \"low\"", "a whole number from -20 to 19"),
];

#[test]
fn a_limit_that_systemd_would_ignore_is_refused_in_its_line() {
    for (limit, remedy) in LIMITS {
        let folder = Folder::with(&format!("{GOOD}[apps.service]\n{limit}\n"));
        let column = limit.find('"').unwrap() + 1;
        for command in [&["check"][..], &["install", "--dry-run"], &["install"]] {
            let output = folder.rsgen(command);
            let told = stderr(&output);
            assert_eq!(status(&output), 3, "{command:?} {limit}: {told}");
            for part in [&format!("ecosystem.toml:7:{column}"), *remedy, "help: "] {
                assert!(told.contains(part), "{part:?} is not in {told}");
            }
        }
    }
}

#[test]
fn without_systemd_an_install_writes_no_file() {
    let output = Folder::with(GOOD).rsgen(&["install"]);
    assert_eq!(status(&output), 4);
    for path in [
        "/etc/rsgen/rsgen-test-app.toml",
        "/etc/systemd/system/rsgen-test-app.service",
        "/etc/systemd/system/rsgen-test-app.socket",
        "/etc/systemd/system/rsgen-test-app@.service",
    ] {
        assert!(!Path::new(path).exists(), "{path}");
    }
}

#[test]
fn words_of_pm2_lead_to_the_command_that_does_it() {
    let folder = Folder::with(GOOD);
    for (words, command) in [
        (&["jlist"][..], "run `rsgen list --json`"),
        (
            &["startOrRestart", "ecosystem.toml"],
            "run `rsgen deploy ecosystem.toml`",
        ),
    ] {
        let output = folder.rsgen(words);
        let told = stderr(&output);
        assert_eq!(status(&output), 2, "{told}");
        assert!(told.contains(command), "{told}");
    }
}
