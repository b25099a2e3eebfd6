//! The generator on folders of a test: what it writes, and that no fault makes it take anything away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

struct Root {
    folder: tempfile::TempDir,
}

const WEB: &str = "[[apps]]\nname = \"web\"\nscript = \"/srv/web.js\"\ncwd = \"/srv\"\nlisten = 3000\ninstances = 2\n";

impl Root {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for dir in [
            "etc/rsgen",
            "etc/systemd/system",
            "run",
            "usr/lib/rsgen",
            "out",
        ] {
            fs::create_dir_all(folder.path().join(dir)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    /// Runs the generator on an empty output folder, as systemd does; its exit status.
    fn generate(&self) -> i32 {
        let out = self.path("out");
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_rsgen-generator"))
            .args([&out, &out, &out])
            .env("RSGEN_GENERATOR_ROOT", self.folder.path())
            .status()
            .unwrap();
        status.code().unwrap()
    }

    fn written(&self) -> BTreeSet<String> {
        fn walk(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    walk(root, &entry.path(), found);
                } else {
                    found.insert(
                        entry
                            .path()
                            .strip_prefix(root)
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .to_owned(),
                    );
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(&self.path("out"), &self.path("out"), &mut found);
        found
    }
}

const ALL_OF_WEB: [&str; 7] = [
    "multi-user.target.wants/web.service",
    "sockets.target.wants/web.socket",
    "web.service",
    "web.service.wants/web@0.service",
    "web.service.wants/web@1.service",
    "web.socket",
    "web@.service",
];

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn an_app_that_is_not_pinned_gets_its_whole_set() {
    let root = Root::new();
    root.write("usr/lib/rsgen/web.toml", WEB);
    assert_eq!(root.generate(), 0);
    assert_eq!(root.written(), set(ALL_OF_WEB));
    let unit = fs::read_to_string(root.path("out/web.service")).unwrap();
    let source = root.path("usr/lib/rsgen/web.toml");
    assert!(
        unit.contains(&format!("SourcePath={}", source.display())),
        "{unit}"
    );
}

#[test]
fn running_it_twice_changes_nothing() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    root.generate();
    let first = (
        root.written(),
        fs::read_to_string(root.path("out/web@.service")).unwrap(),
    );
    root.generate();
    assert_eq!(
        first,
        (
            root.written(),
            fs::read_to_string(root.path("out/web@.service")).unwrap()
        )
    );
}

#[test]
fn a_file_that_no_longer_parses_keeps_the_units_of_its_last_good_text() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    assert_eq!(root.generate(), 0);
    for broken in ["[[apps", "", "[[apps]]\nname = \"web\"\n"] {
        root.write("etc/rsgen/web.toml", broken);
        assert_ne!(root.generate(), 0, "{broken}");
        assert_eq!(root.written(), set(ALL_OF_WEB), "{broken}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_gone_keeps_its_units_for_this_boot() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    root.generate();
    fs::remove_file(root.path("etc/rsgen/web.toml")).unwrap();
    root.generate();
    assert_eq!(root.written(), set(ALL_OF_WEB));
    symlink("web.toml", root.path("etc/rsgen/web.toml")).unwrap();
    root.generate();
    assert_eq!(root.written(), set(ALL_OF_WEB));
}

#[test]
fn a_broken_file_does_not_touch_the_other_apps() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    root.write("etc/rsgen/broken.toml", "[[apps");
    assert_ne!(root.generate(), 0);
    assert_eq!(root.written(), set(ALL_OF_WEB));
}

#[test]
fn the_administrators_file_goes_before_the_packages_and_a_link_to_null_masks_it() {
    let root = Root::new();
    root.write("usr/lib/rsgen/web.toml", WEB);
    root.write("etc/rsgen/web.toml", &WEB.replace("3000", "4000"));
    root.generate();
    assert!(
        fs::read_to_string(root.path("out/web.socket"))
            .unwrap()
            .contains("ListenStream=4000")
    );
    fs::remove_file(root.path("etc/rsgen/web.toml")).unwrap();
    symlink("/dev/null", root.path("etc/rsgen/web.toml")).unwrap();
    assert_eq!(root.generate(), 0);
    assert_eq!(root.written(), set([]));
}

#[test]
fn a_drop_in_goes_over_the_file() {
    let root = Root::new();
    root.write("usr/lib/rsgen/web.toml", WEB);
    fs::create_dir(root.path("etc/rsgen/web.toml.d")).unwrap();
    root.write("etc/rsgen/web.toml.d/scale.toml", "instances = 3\n");
    assert_eq!(root.generate(), 0);
    assert!(root.written().contains("web.service.wants/web@2.service"));
}

#[test]
fn a_directive_that_is_not_in_the_list_needs_a_systemd_newer_than_the_list() {
    let root = Root::new();
    fs::create_dir_all(root.path("usr/bin")).unwrap();
    let newest = rsgen::unit::directive::NEWEST;
    let runs = |version: u32| {
        root.write(
            "usr/bin/systemctl",
            &format!("#!/bin/sh\necho \"systemd {version} ($*)\"\n"),
        );
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.path("usr/bin/systemctl"), executable).unwrap();
    };
    root.write(
        "etc/rsgen/web.toml",
        &format!("{WEB}[apps.service]\nRestartLotteryPercent = 5\n"),
    );
    runs(newest);
    assert_ne!(root.generate(), 0);
    assert_eq!(root.written(), set([]));
    runs(newest + 1);
    assert_eq!(root.generate(), 0);
    let unit = fs::read_to_string(root.path("out/web@.service")).unwrap();
    assert!(unit.contains("\nRestartLotteryPercent=5\n"), "{unit}");
}

#[test]
fn a_pinned_app_is_only_sized() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", "what a user broke");
    root.write(
        "etc/systemd/system/web.service",
        "# Written by rsgen for web\n[Unit]\n\n[X-rsgen]\nApp=web\nInstances=3\n",
    );
    fs::create_dir(root.path("etc/systemd/system/web.service.wants")).unwrap();
    symlink(
        "../web@.service",
        root.path("etc/systemd/system/web.service.wants/web@0.service"),
    )
    .unwrap();
    assert_eq!(root.generate(), 0);
    assert_eq!(
        root.written(),
        set([
            "web.service.wants/web@1.service",
            "web.service.wants/web@2.service"
        ])
    );
}

#[test]
fn a_unit_that_is_not_the_clusters_own_pins_no_app() {
    let root = Root::new();
    root.write("usr/lib/rsgen/web.toml", WEB);
    let mark = "[X-rsgen]\nApp=web\nInstances=9\n";
    for (unit, text) in [
        // A copy, and one that somebody else wrote.
        (
            "other",
            format!("# Written by rsgen for web\n[Unit]\n\n{mark}"),
        ),
        ("foreign", format!("[Unit]\n\n{mark}")),
    ] {
        root.write(&format!("etc/systemd/system/{unit}.service"), &text);
        assert_eq!(root.generate(), 0);
        assert_eq!(root.written(), set(ALL_OF_WEB), "{unit}");
    }
    root.write(
        "etc/systemd/system/web.service",
        &format!("[Unit]\n\n{mark}"),
    );
    assert_ne!(root.generate(), 0);
    assert_eq!(root.written(), set([]));
}

#[test]
fn a_name_that_another_unit_has_is_left_alone() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    root.write(
        "etc/systemd/system/web.socket",
        "[Socket]\nListenStream=80\n",
    );
    assert_ne!(root.generate(), 0);
    assert_eq!(root.written(), set([]));
}

#[test]
fn nothing_is_written_in_an_initrd() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    let status = Command::new(env!("CARGO_BIN_EXE_rsgen-generator"))
        .arg(root.path("out"))
        .env("RSGEN_GENERATOR_ROOT", root.folder.path())
        .env("SYSTEMD_IN_INITRD", "1")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(root.written(), set([]));
}

fn problems(root: &Root) -> Vec<String> {
    let layout = rsgen::layout::Layout::system(root.folder.path());
    let host = rsgen::plan::Host::of_this_machine();
    rsgen::generate::run(&layout, &root.path("out"), host)
}

#[test]
fn what_is_no_regular_file_is_a_fault_in_one_line_and_nobody_waits_for_it() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    let all = nix::sys::stat::Mode::from_bits_truncate(0o666);
    for pipe in ["etc/rsgen/pipe.toml", "etc/systemd/system/other.service"] {
        nix::unistd::mkfifo(&root.path(pipe), all).unwrap();
    }
    symlink("/dev/zero", root.path("etc/rsgen/endless.toml")).unwrap();
    fs::create_dir(root.path("etc/rsgen/folder.toml")).unwrap();
    let huge = fs::File::create(root.path("etc/rsgen/huge.toml")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let problems = problems(&root);
    for (file, fault) in [
        ("endless", "it is not a regular file"),
        ("folder", "it is not a regular file"),
        ("huge", "it is longer than 4096 KiB"),
        ("pipe", "it is not a regular file"),
    ] {
        let path = root.path("etc/rsgen").join(format!("{file}.toml"));
        let of = |p: &&String| p.contains(&path.display().to_string()) && p.contains(fault);
        assert_eq!(problems.iter().filter(of).count(), 1, "{problems:?}");
    }
    assert!(problems.len() == 4 && problems.iter().all(|p| p.lines().count() == 1));
    assert!(root.path("out/web.socket").exists());
}

#[test]
fn the_last_good_text_is_used_from_a_folder_that_an_older_version_left_open() {
    let root = Root::new();
    root.write("etc/rsgen/web.toml", WEB);
    assert_eq!(problems(&root), Vec::<String>::new());
    for folder in ["run/rsgen", "run/rsgen/web"] {
        fs::set_permissions(root.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let sockets = || root.path("out/web.socket").exists();
    for fault in ["[[apps", ""] {
        root.write("etc/rsgen/web.toml", fault);
        if fault.is_empty() {
            fs::remove_file(root.path("etc/rsgen/web.toml")).unwrap();
        }
        fs::remove_dir_all(root.path("out")).unwrap();
        let _ = problems(&root);
        assert!(sockets(), "{fault}");
    }
    let mode = fs::metadata(root.path("run/rsgen/web")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn what_others_left_in_the_state_folder_before_it_was_closed_is_no_app() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let root = Root::new();
    let give = |path: &str| std::os::unix::fs::lchown(root.path(path), Some(65534), None).unwrap();
    fs::create_dir_all(root.path("run/rsgen/web.toml.d")).unwrap();
    fs::create_dir_all(root.path("run/rsgen/shop.toml.d")).unwrap();
    root.write("usr/lib/rsgen/web.toml", WEB);
    root.write(
        "usr/lib/rsgen/shop.toml",
        &WEB.replace("web", "shop").replace("3000", "3001"),
    );
    root.write("run/rsgen/evil.toml", &WEB.replace("web", "evil"));
    symlink("/dev/null", root.path("run/rsgen/web.toml")).unwrap();
    root.write("run/rsgen/web.toml.d/evil.toml", "instances = 9\n");
    root.write("run/rsgen/shop.toml.d/evil.toml", "instances = 9\n");
    for path in [
        "evil.toml",
        "web.toml",
        "web.toml.d",
        "shop.toml.d/evil.toml",
    ] {
        give(&format!("run/rsgen/{path}"));
    }
    let problems = problems(&root);
    let told = |file: &&str| {
        problems
            .iter()
            .any(|p| p.contains(*file) && p.contains("another user's"))
    };
    assert_eq!(
        ["evil.toml", "web.toml"].iter().filter(|f| told(f)).count(),
        2,
        "{problems:?}"
    );
    let written = root.written();
    for unit in [
        "web@.service",
        "web.service.wants/web@1.service",
        "shop@.service",
    ] {
        assert!(written.contains(unit), "{unit}: {written:?}");
    }
    let is_evil = |unit: &&String| unit.contains("evil") || unit.contains("@2");
    assert_eq!(written.iter().find(is_evil), None);
    // Root's own count.
    root.write(
        "run/rsgen/own.toml",
        &WEB.replace("web", "own").replace("3000", "3002"),
    );
    let _ = crate::problems(&root);
    assert!(root.written().contains("own@.service"));
}

#[test]
fn a_link_in_the_place_of_the_last_good_text_is_not_followed() {
    let root = Root::new();
    fs::create_dir_all(root.path("run/rsgen/web")).unwrap();
    symlink(root.path("elsewhere"), root.path("run/rsgen/web/good.toml")).unwrap();
    root.write("elsewhere", WEB);
    assert_eq!(problems(&root), Vec::<String>::new());
    assert!(!root.path("out/web.socket").exists());
}
