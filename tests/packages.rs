//! The packages as files: their contents, the findings of linters, and that each build has the same bytes.
//!
//! `tests/machines/packages.rs` installs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use testbed::build_dir;
use testbed::packages::{Packages, make, packages, source};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn this() -> Packages {
    packages(VERSION)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(source())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; run `make deps`"))
}

fn stdout(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files and links of a package, except documents that only packages have.
fn content(list: &str) -> BTreeSet<String> {
    let only_in_packages = [
        "/usr/share/doc/",
        "/usr/share/lintian/",
        "/usr/share/licenses/",
    ];
    list.lines()
        .map(|l| l.trim_start_matches('.').trim_end_matches(".gz").to_owned())
        .filter(|l| !l.ends_with('/') && !only_in_packages.iter().any(|p| l.starts_with(p)))
        .collect()
}

#[test]
fn both_hold_what_make_install_installs() {
    let root = tempfile::tempdir().unwrap();
    let build = format!("BUILD={}", build_dir().display());
    let dest = format!("DESTDIR={}", root.path().display());
    stdout("make", &["--silent", "install", &build, &dest]);
    let find = ["-C", root.path().to_str().unwrap(), "-c", "."];
    let tar = Command::new("tar").args(find).output().unwrap();
    let list = root.path().with_extension("tar");
    fs::write(&list, tar.stdout).unwrap();
    let installed = content(&stdout("tar", &["-tf", list.to_str().unwrap()]));
    fs::remove_file(&list).unwrap();

    let archive = list.with_extension("data");
    let deb = run(
        "dpkg-deb",
        &["--fsys-tarfile", this().deb.to_str().unwrap()],
    );
    fs::write(&archive, deb.stdout).unwrap();
    let in_deb = content(&stdout("tar", &["-tf", archive.to_str().unwrap()]));
    fs::remove_file(&archive).unwrap();
    assert_eq!(in_deb, installed);
    // rpm lists folders, too, those without a slash.
    let files = "[%{FILEMODES:perms} %{FILENAMES}\\n]";
    let in_rpm = stdout(
        "rpm",
        &["-qp", "--queryformat", files, this().rpm.to_str().unwrap()],
    );
    let in_rpm: String = in_rpm
        .lines()
        .filter(|l| !l.starts_with('d'))
        .filter_map(|l| Some(format!("{}\n", l.split_once(' ')?.1)))
        .collect();
    assert_eq!(content(&in_rpm), installed);
    assert!(installed.len() > 15, "{installed:?}");
}

#[test]
fn lintian_and_rpmlint_find_nothing_beyond_the_listed_exceptions() {
    let found = run(
        "make",
        &[
            "--silent",
            "lint-packages",
            &format!("PACKAGES={}", this().folder.display()),
        ],
    );
    let told = String::from_utf8_lossy(&found.stdout);
    assert!(
        found.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&found.stderr)
    );
    // An exception without a finding could hide a later fault.
    assert!(!told.contains("unused-override"), "{told}");
}

/// Root runs the programs in the environment of an app, which a dynamic loader would read.
#[test]
fn no_program_has_a_loader_or_needs_a_library() {
    let root = tempfile::tempdir().unwrap();
    let unpacked = root.path().to_str().unwrap();
    stdout("dpkg-deb", &["-x", this().deb.to_str().unwrap(), unpacked]);
    let programs = [
        "usr/bin/rsgen",
        "usr/lib/rsgen/bin/rsgen-worker",
        "usr/lib/systemd/system-generators/rsgen-generator",
    ];
    for program in programs {
        let path = root.path().join(program);
        let headers = stdout("readelf", &["-hld", path.to_str().unwrap()]);
        assert!(headers.contains("Position-Independent"), "{headers}");
        for word in ["INTERP", "(NEEDED)", "(RPATH)", "(RUNPATH)"] {
            assert!(!headers.contains(word), "{program}: {headers}");
        }
    }
    let in_rpm = stdout("rpm", &["-qp", "--requires", this().rpm.to_str().unwrap()]);
    assert!(!in_rpm.contains(".so"), "{in_rpm}");
}

#[test]
fn two_builds_have_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    // One after the other, because both use the same stage.
    let first = this();
    let again = make(VERSION, folder.path());
    for (a, b) in [(&first.deb, &again.deb), (&first.rpm, &again.rpm)] {
        assert!(
            fs::read(a).unwrap() == fs::read(b).unwrap(),
            "{} differs",
            a.display()
        );
    }
}

#[test]
fn the_debian_package_says_what_it_needs_and_what_is_new() {
    let deb = this().deb;
    let field = |name| stdout("dpkg-deb", &["-f", deb.to_str().unwrap(), name]);
    assert_eq!(field("Version").trim(), format!("{VERSION}-1"));
    let needs = field("Depends");
    assert_eq!(needs.trim(), "systemd (>= 249)");
    let changelog = Command::new("packaging/changelog")
        .current_dir(source())
        .stdin(fs::File::open(source().join("CHANGELOG.md")).unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8(changelog.stdout).unwrap();
    assert!(text.starts_with(&format!("rsgen ({VERSION}-1) ")), "{text}");
    assert!(text.lines().all(|l| l.len() <= 80), "{text}");
}

#[test]
fn a_release_needs_its_entry_in_the_changelog() {
    let told = run("packaging/release", &["check", "9.9.9", "/nonexistent"]);
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(
        told.contains("Cargo.toml says 9.9.9, CHANGELOG.md begins with"),
        "{told}"
    );
}

#[test]
fn example_ecosystem_files_are_valid() {
    let mut seen = 0;
    for entry in fs::read_dir(source().join("packaging/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = fs::read_to_string(&path).unwrap();
            let (_, report) = rsgen::ecosystem::parse(&path.display().to_string(), &text);
            assert!(!report.has_errors(), "{}", report.render(false));
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

/// Runs `packaging/may-be-removed` on a system; returns the exit status and the message.
fn may_be_removed(root: &Path) -> (i32, String) {
    let script = source().join("packaging/may-be-removed");
    let told = Command::new(script).arg(root).output().unwrap();
    (
        told.status.code().unwrap(),
        String::from_utf8(told.stderr).unwrap(),
    )
}

#[test]
fn a_removal_is_refused_for_every_kind_of_app_and_for_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let path = |p: &str| root.path().join(p);
    assert_eq!(may_be_removed(root.path()).0, 0);
    for dir in [
        "etc/rsgen/web.toml.d",
        "run/rsgen/web",
        "usr/lib/rsgen/bin",
        "etc/systemd/system",
    ] {
        fs::create_dir_all(path(dir)).unwrap();
    }
    fs::write(path("usr/lib/rsgen/bin/rsgen-worker"), "").unwrap();
    fs::write(path("etc/rsgen/web.toml.d/more.toml"), "").unwrap();
    fs::write(path("run/rsgen/web/good.toml"), "").unwrap();
    fs::write(path("etc/systemd/system/other.service"), "[Service]\n").unwrap();
    symlink("/dev/null", path("etc/rsgen/masked.toml")).unwrap();
    assert_eq!(may_be_removed(root.path()), (0, String::new()));

    for app in [
        "etc/rsgen/web.toml",
        "usr/lib/rsgen/web.toml",
        "etc/systemd/system/web.service",
    ] {
        fs::write(path(app), "[[apps]]\n[X-rsgen]\nApp=web\n").unwrap();
        let (status, told) = may_be_removed(root.path());
        assert_eq!(status, 1);
        assert!(told.contains(&format!("  /{app}\n")), "{told}");
        assert!(told.contains("run `rsgen uninstall all`"), "{told}");
        fs::remove_file(path(app)).unwrap();
    }
}

/// Runs a maintainer script of the Debian package on the system below a folder.
fn maintainer_script(name: &str, arguments: &[&str], root: &Path) {
    let script = source().join("packaging/deb").join(name);
    let mut command = Command::new("sh");
    command.arg(script).args(arguments).env("DPKG_ROOT", root);
    assert!(command.status().unwrap().success(), "{name} {arguments:?}");
}

/// dpkg creates links before files, and until then the link at the old path of the worker must not lead to nothing.
#[test]
fn the_old_workers_path_leads_to_a_worker_while_dpkg_unpacks() {
    let root = tempfile::tempdir().unwrap();
    let lib = root.path().join("usr/lib/rsgen");
    let (old, new) = (lib.join("rsgen-worker"), lib.join("bin/rsgen-worker"));
    fs::create_dir_all(&lib).unwrap();
    maintainer_script("preinst", &["install"], root.path());
    assert!(!new.exists());

    fs::write(&old, "0.1.0").unwrap();
    maintainer_script("preinst", &["upgrade", "0.1.0-1"], root.path());
    assert_eq!(fs::read_to_string(&new).unwrap(), "0.1.0");
    maintainer_script("postrm", &["abort-upgrade", "0.1.0-1"], root.path());
    assert!(!lib.join("bin").exists() && old.exists());

    maintainer_script("preinst", &["upgrade", "0.1.0-1"], root.path());
    fs::remove_file(&old).unwrap();
    symlink("bin/rsgen-worker", &old).unwrap();
    assert_eq!(fs::read_to_string(&old).unwrap(), "0.1.0");
    // After the upgrade the file belongs to the package.
    fs::write(&new, "0.2.1").unwrap();
    maintainer_script("preinst", &["upgrade", "0.2.1-1"], root.path());
    maintainer_script("postrm", &["abort-upgrade", "0.2.1-1"], root.path());
    assert_eq!(fs::read_to_string(&old).unwrap(), "0.2.1");
}
