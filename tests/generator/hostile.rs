//! Files that other users have put where the generator reads and writes.

use super::*;

fn problems(root: &Root) -> Vec<String> {
    let layout = rsgen::layout::Layout::system(root.folder.path());
    let host = rsgen::plan::Host::of_this_machine();
    rsgen::generate::run(&layout, &root.path("out"), host)
}

#[test]
fn anything_but_a_regular_file_is_a_fault_in_one_line_without_a_wait() {
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
    let lines = problems(&root);
    let told = |file: &&str| {
        lines
            .iter()
            .any(|p| p.contains(*file) && p.contains("belongs to another user"))
    };
    assert_eq!(
        ["evil.toml", "web.toml"].iter().filter(|f| told(f)).count(),
        2,
        "{lines:?}"
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
    // A file of root counts.
    root.write(
        "run/rsgen/own.toml",
        &WEB.replace("web", "own").replace("3000", "3002"),
    );
    let _ = problems(&root);
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
