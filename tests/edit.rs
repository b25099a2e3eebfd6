//! `rsgen edit --dry-run` as far as it needs neither systemd nor a terminal: what an editor leaves behind decides what happens to the text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The folders of a user who has an app.
struct Home(tempfile::TempDir);

impl Home {
    fn with_an_app() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for folder in ["config/rsgen", "run"] {
            fs::create_dir_all(home.path(folder)).unwrap();
        }
        let script = home.path("server");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"{}\"\ninterpreter = \"none\"\nlisten = 3000\ninstances = 2\n",
            script.display()
        );
        fs::write(home.file(), text).unwrap();
        home
    }

    fn path(&self, part: &str) -> PathBuf {
        self.0.path().join(part)
    }

    fn file(&self) -> PathBuf {
        self.path("config/rsgen/web.toml")
    }

    fn copy(&self) -> PathBuf {
        self.path("run/rsgen/:edit:web/1/web.toml")
    }

    /// Edits `web` by a script of sh(1), to which the copy is `$0`.
    fn edit(&self, script: &str, more: &[&str]) -> Output {
        let editor = format!("sh -c {}", shlex::try_quote(script).unwrap());
        Command::new(env!("CARGO_BIN_EXE_rsgen"))
            .args(["--user", "edit", "web"])
            .args(more)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("HOME", self.0.path())
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .env_remove("SYSTEMD_EDITOR")
            .env_remove("VISUAL")
            .env("EDITOR", editor)
            .output()
            .unwrap()
    }
}

/// The exit status, and everything that was written.
fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

const KEPT: &str = "the edited text is kept in ";

#[test]
fn a_text_that_says_nothing_else_is_not_kept() {
    for script in ["true", ": >\"$0\"", "printf '\\n \\n' >\"$0\""] {
        let home = Home::with_an_app();
        let (status, said) = told(&home.edit(script, &["--dry-run"]));
        assert_eq!(status, 0, "{script}: {said}");
        let nothing = "nothing to do; for new code, run `rsgen --user reload web`\n";
        assert_eq!(said, nothing, "{script}");
        assert!(!home.copy().exists(), "{script}");
    }
}

#[test]
fn a_valid_text_is_shown_as_a_diff_and_kept_by_a_dry_run() {
    let home = Home::with_an_app();
    let before = fs::read_to_string(home.file()).unwrap();
    let (status, said) = told(&home.edit("sed -i 's/3000/3001/' \"$0\"", &["--dry-run"]));
    assert_eq!(status, 0, "{said}");
    let kept = format!("web: {KEPT}{}", home.copy().display());
    for part in ["-listen = 3000\n+listen = 3001", &kept] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(fs::read_to_string(home.file()).unwrap(), before);
    let kept = fs::read_to_string(home.copy()).unwrap();
    assert_eq!(kept, before.replace("3000", "3001"));
}

/// Editors that leave a text which cannot be applied, the exit status after each, and what is told.
const REFUSED: &[(&str, i32, &str)] = &[
    (
        "sed -i 's/^instances = .*/instances = \"two\"/' \"$0\"",
        3,
        "`two` is not a number of instances",
    ),
    ("printf '# \\351\\n' >>\"$0\"", 3, "help: save it as UTF-8"),
    (
        "rm \"$0\"; mkdir \"$0\"",
        3,
        "help: save it as a text in a file of its own",
    ),
    (
        "sed -i 's/\"web\"/\"shop\"/' \"$0\"",
        3,
        "an edit cannot rename `web` to `shop`",
    ),
    (
        "echo >>\"$0\"; exit 7",
        1,
        "the editor `sh` ended with status 7",
    ),
];

#[test]
fn a_text_that_cannot_be_applied_is_kept_and_the_remedy_says_where() {
    for (script, status, said) in REFUSED {
        let home = Home::with_an_app();
        let before = fs::read_to_string(home.file()).unwrap();
        let (code, text) = told(&home.edit(script, &["--dry-run"]));
        assert_eq!(code, *status, "{script}: {text}");
        assert!(text.contains(said), "{script}: {text}");
        let kept = format!("{KEPT}{}", home.copy().display());
        let remedy = text
            .split_once("help: ")
            .unwrap_or_else(|| panic!("{text}"));
        assert!(remedy.1.contains(&kept), "{script}: {text}");
        assert!(home.copy().exists(), "{script}");
        assert_eq!(fs::read_to_string(home.file()).unwrap(), before);
    }
}

#[test]
fn a_copy_that_the_editor_removed_was_given_up() {
    let home = Home::with_an_app();
    let (status, said) = told(&home.edit("rm \"$0\"", &["--dry-run"]));
    assert_eq!(status, 1, "{said}");
    let removed = "the editor has removed the file, so nothing was changed";
    assert!(said.contains(removed), "{said}");
    assert!(!said.contains(KEPT), "{said}");
}

/// Nobody types in vain what could not be applied.
#[test]
fn without_systemd_only_a_dry_run_starts_the_editor() {
    let home = Home::with_an_app();
    let trace = home.path("started");
    let script = format!("touch {}", trace.display());
    let (status, said) = told(&home.edit(&script, &[]));
    assert_eq!(status, 4, "{said}");
    assert!(!trace.exists(), "{said}");
    let (status, said) = told(&home.edit(&script, &["--dry-run"]));
    assert_eq!(status, 0, "{said}");
    assert!(trace.exists());
}
