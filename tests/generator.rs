//! The generator on folders of a test: the units that it writes, and that no fault makes it leave out units.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "generator/hostile.rs"]
mod hostile;

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
            "usr/lib/systemd/system",
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

    /// Runs the generator on an empty output folder, as systemd does; returns the exit status.
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

const ALL_OF_WEB: [&str; 8] = [
    "multi-user.target.wants/web.service",
    "sockets.target.wants/web.socket",
    "web.service",
    "web.service.wants/web@0.service",
    "web.service.wants/web@1.service",
    "web.socket",
    "web:brake.service",
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
fn a_job_is_started_by_its_timer_alone() {
    let root = Root::new();
    let job = WEB.replace("listen = 3000", "schedule = \"daily\"");
    root.write("usr/lib/rsgen/web.toml", &job);
    assert_eq!(root.generate(), 0);
    let units = ["web.service", "web.timer", "web@.service"];
    let link = "timers.target.wants/web.timer";
    assert_eq!(root.written(), set(units.into_iter().chain([link])));
    // Pinned, no instance is wanted for this machine's number either.
    for unit in units {
        let text = fs::read(root.path("out").join(unit)).unwrap();
        fs::write(root.path("etc/systemd/system").join(unit), text).unwrap();
    }
    assert_eq!(root.generate(), 0);
    assert_eq!(root.written(), set([]));
}

#[test]
fn a_timer_of_somebody_elses_is_in_the_way_of_a_schedule_only() {
    let root = Root::new();
    root.write("etc/systemd/system/web.timer", "[Timer]\nOnBootSec=1h\n");
    root.write("usr/lib/rsgen/web.toml", WEB);
    root.generate();
    assert_eq!(root.written(), set(ALL_OF_WEB));
    let scheduled = format!("{WEB}reload_schedule = \"daily\"\n");
    root.write("usr/lib/rsgen/web.toml", &scheduled);
    root.generate();
    assert_eq!(root.written(), set([]));
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
fn the_administrators_file_overrides_the_packages_and_a_link_to_null_masks_it() {
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
fn a_drop_in_overrides_the_file() {
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
        // A copy of a cluster unit, and a unit that somebody else wrote.
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
    for folder in ["etc/systemd/system", "usr/lib/systemd/system"] {
        let root = Root::new();
        root.write("etc/rsgen/web.toml", WEB);
        root.write(
            &format!("{folder}/web.socket"),
            "[Socket]\nListenStream=80\n",
        );
        assert_ne!(root.generate(), 0, "{folder}");
        assert_eq!(root.written(), set([]), "{folder}");
    }
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

/// `rsgen generate` where the caller's mask forbids nothing.
#[test]
fn what_a_command_writes_may_be_written_by_nobody_else() {
    let root = Root::new();
    let text =
        "[[apps]]\nname = \"web\"\nscript = \"/bin/cat\"\ninterpreter = \"none\"\nlisten = 3000\n";
    root.write("ecosystem.toml", text);
    let script = "umask 0; exec \"$0\" generate -o made";
    let output = Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_rsgen")])
        .current_dir(root.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for path in ["made", "made/web.service"] {
        let mode = root.path(path).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "{path}");
    }
}
