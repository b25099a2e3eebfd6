//! PM2 files of the kind that people have, and the ecosystem file that each becomes: `tests/import/CASE/`.
//!
//! `RSGEN_BLESS=1 cargo test --test import` writes the expected files; read them in the diff.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "import/javascript.rs"]
mod javascript;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rsgen::ecosystem::{Severity, parse};

/// An account of every Debian, which the user namespace maps.
const DAEMON: u32 = 1;
/// Somebody whom root does not trust.
const NOBODY: u32 = 65534;

/// A folder with a PM2 file in it. Where the tests run as root, the folder belongs to somebody else, because rsgen runs no
/// JavaScript as root.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(name: &str, text: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        if nix::unistd::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), None).unwrap();
            chown(folder.path().join(name), Some(NOBODY), None).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rsgen"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("SUDO_UID")
            // Wherever the tests run, there is no bus.
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
        command
    }

    fn rsgen(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

/// The only file of a case apart from the expected result.
fn input(case: &Path) -> PathBuf {
    let files = fs::read_dir(case).unwrap().map(|e| e.unwrap().path());
    let mut inputs = files.filter(|path| path.file_name().unwrap() != "expected.toml");
    let input = inputs.next().unwrap();
    assert_eq!(inputs.next(), None, "{}", case.display());
    input
}

#[test]
fn each_file_becomes_the_expected_ecosystem_file() {
    let bless = std::env::var_os("RSGEN_BLESS").is_some();
    for case in cases() {
        let input = input(&case);
        let name = input.file_name().unwrap().to_str().unwrap();
        let folder = Folder::with(name, &fs::read(&input).unwrap());
        let output = folder.rsgen(&["import", name]);
        assert!(
            output.status.success(),
            "{}: {}",
            case.display(),
            stderr(&output)
        );
        let made = fs::read_to_string(folder.path("ecosystem.toml")).unwrap();
        let made = made.replace(folder.0.path().to_str().unwrap(), "/FOLDER");
        let expected = case.join("expected.toml");
        if bless {
            fs::write(&expected, &made).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(made, expected, "{}", case.display());
    }
}

/// Errors about what a PM2 file does not contain, and about keys that only some versions read.
const LEFT_TO_THE_HOST: &[&str] = &[
    "this app has no `listen`",
    "`listen` is empty",
    "unknown key `reload_schedule`",
    "unknown key `ignore_watch`",
    "unknown key `schedule`",
    "unknown key `watch`",
    "unknown key `watch_delay`",
];

/// The result of an import has to be usable without an edit, as far as the imported file contains what is needed.
#[test]
fn what_is_written_is_a_good_ecosystem_file() {
    for case in cases() {
        let path = case.join("expected.toml");
        let text = fs::read_to_string(&path).unwrap();
        let (_, report) = parse(path.to_str().unwrap(), &text);
        let is_left = |message: &str| LEFT_TO_THE_HOST.iter().any(|left| message.contains(left));
        let errors = report
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error);
        let mut errors = errors
            .map(|d| d.message.as_str())
            .filter(|message| !is_left(message));
        let is_hostile = case.ends_with("hostile");
        assert_eq!(errors.next().is_some(), is_hostile, "{}", case.display());
    }
}

const CONFIG: &str = "console.log('noise'); module.exports = { apps: [{ script: 'a.js', env: { UID: String(process.getuid()), \
    TTY: String(process.stdout.isTTY), PORT: 3000 } }] };\n";

#[test]
fn a_file_that_is_there_stays_unless_the_user_says_otherwise() {
    let folder = Folder::with("ecosystem.config.js", CONFIG.as_bytes());
    let target = folder.path("ecosystem.toml");
    fs::write(&target, "mine").unwrap();
    let output = folder.rsgen(&["import"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("already exists"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    let printed = folder.rsgen(&["import", "--output", "-"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    assert!(folder.rsgen(&["import", "--force"]).status.success());
    let written = fs::read(&target).unwrap();
    assert_eq!(
        String::from_utf8(printed.stdout).unwrap(),
        String::from_utf8(written).unwrap()
    );
    // An import does not follow a link at its target.
    fs::remove_file(&target).unwrap();
    symlink(folder.path("elsewhere"), &target).unwrap();
    assert_eq!(folder.rsgen(&["import"]).status.code(), Some(1));
    assert!(!folder.path("elsewhere").exists());
}

#[test]
fn what_others_may_not_read_stays_so() {
    let folder = Folder::with("Procfile", b"web: ./serve --port 3000\n");
    fs::set_permissions(folder.path("Procfile"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(folder.rsgen(&["import", "Procfile"]).status.success());
    let mode = folder
        .path("ecosystem.toml")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn other_commands_lead_from_a_file_of_pm2s_to_the_import() {
    let folder = Folder::with("ecosystem.config.js", CONFIG.as_bytes());
    for arguments in [
        &["check", "ecosystem.config.js"][..],
        &["install", "ecosystem.config.js"],
        &["reload", "ecosystem.config.js"],
        &["check"],
    ] {
        let output = folder.rsgen(arguments);
        let said = stderr(&output);
        assert!(!output.status.success());
        assert!(
            said.contains("`rsgen import ecosystem.config.js`"),
            "{arguments:?}: {said}"
        );
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
}

#[test]
fn an_install_imports_when_it_is_asked_to() {
    let folder = Folder::with("ecosystem.config.js", CONFIG.as_bytes());
    fs::write(folder.path("a.js"), "").unwrap();
    // Installed by root, the app runs as the owner of its script, who has to be an account and to own the folder as well.
    for path in ["", "ecosystem.config.js", "a.js"] {
        let _ = chown(folder.path(path), Some(DAEMON), None);
    }
    let install = ["install", "ecosystem.config.js", "--import", "--dry-run"];
    let output = folder.rsgen(&install);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("+ListenStream=3000"), "{shown}");
    assert!(
        !folder.path("ecosystem.toml").exists(),
        "nothing was to change"
    );
    fs::write(folder.path("ecosystem.toml"), "").unwrap();
    let said = stderr(&folder.rsgen(&install));
    assert!(said.contains("`rsgen install ecosystem.toml`"), "{said}");
}

#[test]
fn a_dump_holds_secrets_so_only_the_owner_reads_what_it_becomes() {
    let dump = br#"[{"name":"web","pm_exec_path":"/srv/a.js"}]"#;
    let folder = Folder::with("dump.pm2", dump);
    fs::set_permissions(folder.path("dump.pm2"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(folder.rsgen(&["import", "dump.pm2"]).status.success());
    let made = folder.path("ecosystem.toml").metadata().unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    let gone = folder.rsgen(&["import", "gone.json", "--output", "-"]);
    assert_eq!(gone.status.code(), Some(3));
    let said = stderr(&gone);
    assert!(
        said.contains("name the file that `pm2 start` takes"),
        "{said}"
    );
}

#[test]
fn plain_json_needs_no_node() {
    let folder = Folder::with("pm2.json", br#"[{"script":"a.js"}]"#);
    // Root runs no file of its own.
    let _ = chown(folder.path("pm2.json"), Some(0), None);
    let mut command = folder.command(&["import", "pm2.json", "--output", "-"]);
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_file_in_another_folder_names_the_folder_of_the_imported_one() {
    let folder = Folder::with("Procfile", b"web: ./serve --port 3000\n");
    fs::create_dir(folder.path("other")).unwrap();
    for (output, is_moved) in [("other/eco.toml", true), ("./eco.toml", false)] {
        let made = folder.rsgen(&["import", "Procfile", "--output", output]);
        assert!(made.status.success(), "{}", stderr(&made));
        let made = fs::read_to_string(folder.path(output)).unwrap();
        assert_eq!(made.contains("\ncwd = "), is_moved, "{made}");
    }
}

#[test]
fn a_script_that_is_where_rsgen_is_called_is_taken_as_pm2_takes_it() {
    let folder = Folder::with("a.js", b"");
    fs::create_dir(folder.path("config")).unwrap();
    let apps = r#"{ "apps": [{ "script": "a.js" }] }"#;
    fs::write(folder.path("config/ecosystem.json"), apps).unwrap();
    let made = folder.rsgen(&["import", "config/ecosystem.json"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let made = fs::read_to_string(folder.path("config/ecosystem.toml")).unwrap();
    assert!(made.contains("\ncwd = \"/"), "{made}");
    // Where the file is imported in its own folder, there is one script.
    fs::write(folder.path("ecosystem.json"), apps).unwrap();
    let made = folder.rsgen(&["import", "-o", "-", "ecosystem.json"]);
    let made = String::from_utf8(made.stdout).unwrap();
    assert!(made.contains("a.js") && !made.contains("as well"), "{made}");
}

#[test]
fn several_instances_of_a_program_with_socket_io_are_warned_of() {
    let package = r#"{ "dependencies": { "socket.io": "^4.8.1" } }"#;
    let imported = |procfile: &str, package: &str| {
        let folder = Folder::with("Procfile", procfile.as_bytes());
        fs::write(folder.path("package.json"), package).unwrap();
        let output = folder.rsgen(&["import", "Procfile"]);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    // A Procfile says nothing of a number, so that there is one instance.
    let one = imported("web: node chat.js\n", package);
    assert!(!one.contains("socket.io"), "{one}");
    let text = r#"{ "apps": [{ "name": "chat", "script": "chat.js", "instances": 4 }] }"#;
    for (package, is_told) in [(package, true), ("{}", false)] {
        let folder = Folder::with("pm2.json", text.as_bytes());
        fs::write(folder.path("package.json"), package).unwrap();
        let output = folder.rsgen(&["import", "pm2.json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = stderr(&output);
        let line = "warning: `chat` uses socket.io, and its clients begin with polling";
        assert_eq!(said.contains(line), is_told, "{said}");
        assert_eq!(said.contains("write `instances = 1`"), is_told, "{said}");
    }
}
