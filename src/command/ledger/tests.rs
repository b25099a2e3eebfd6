//! What is kept of the releases of an app.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn served(file: &str, folder: Option<&str>) -> Served {
    Served {
        file: file.into(),
        link: folder.map(|_| "/srv/app/current".into()),
        folder: folder.map(|name| format!("/srv/app/releases/{name}").into()),
    }
}

fn names(ledger: &Ledger) -> Vec<&str> {
    ledger.releases.iter().map(|r| r.name.as_str()).collect()
}

/// The name that a rollback without one goes to.
fn before(ledger: &Ledger) -> Option<&str> {
    ledger.before().map(|release| release.name.as_str())
}

#[test]
fn a_release_has_the_name_of_its_folder_or_a_number() {
    let mut ledger = Ledger::default();
    for (file, folder) in [
        ("a", Some("7")),
        ("b", Some("7")),
        ("b", Some("7b")),
        ("c", None),
    ] {
        ledger.deploy(served(file, folder), "root".into());
    }
    assert_eq!(names(&ledger), ["7", "7.2", "7b", "8"]);
    assert_eq!(ledger.current, "8");
}

#[test]
fn the_last_few_are_kept_and_the_same_one_is_kept_once() {
    let mut ledger = Ledger::default();
    for file in ["a", "b", "b", "c", "d", "e", "f", "c"] {
        ledger.deploy(served(file, None), "root".into());
    }
    assert_eq!(names(&ledger), ["2", "4", "5", "6", "3"]);
    assert_eq!(ledger.current, "3");
}

#[test]
fn a_rollback_goes_one_back_each_time_and_never_to_one_that_was_left() {
    let mut ledger = Ledger::default();
    for file in ["a", "b", "c"] {
        ledger.deploy(served(file, None), "root".into());
    }
    assert_eq!(before(&ledger), Some("2"));
    ledger.go_back("2");
    assert_eq!(ledger.back_from.as_deref(), Some("3"));
    assert_eq!(before(&ledger), Some("1"));
    let told = ledger.deploy(served("d", None), "root".into());
    assert_eq!(told.as_deref(), Some("2"), "what it replaces is told");
    assert_eq!(ledger.back_from, None);
    assert_eq!(before(&ledger), Some("2"), "not the one that was left");
    // Deployed once more, it is as good as any other.
    ledger.deploy(served("c", None), "root".into());
    ledger.deploy(served("e", None), "root".into());
    assert_eq!(before(&ledger), Some("3"));
}

#[test]
fn a_rollback_may_go_forward_again() {
    let mut ledger = Ledger::default();
    for file in ["a", "b", "c"] {
        ledger.deploy(served(file, None), "root".into());
    }
    ledger.go_back("1");
    assert_eq!(before(&ledger), None);
    ledger.go_back("3");
    assert_eq!(ledger.back_from, None);
    assert!(ledger.releases.iter().all(|release| !release.left));
    assert_eq!(before(&ledger), Some("2"));
}

#[test]
fn what_is_seen_before_a_change_is_kept_where_it_is() {
    let mut ledger = Ledger::default();
    ledger.see(served("a", None));
    ledger.deploy(served("b", None), "root".into());
    ledger.see(served("a", None));
    assert_eq!(names(&ledger), ["1", "2"]);
    assert_eq!(ledger.current, "1");
}

#[test]
fn only_the_owner_may_read_what_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::system(root.path());
    assert_eq!(
        Ledger::read(&layout, "web").unwrap(),
        Ledger::default(),
        "nothing is kept"
    );
    let mut ledger = Ledger::default();
    ledger.deploy(served("PASSWORD", Some("7")), "root".into());
    ledger.write(&layout, "web").unwrap();
    assert_eq!(Ledger::read(&layout, "web").unwrap(), ledger);
    let path = Ledger::path(&layout, "web");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::write(&path, "{").unwrap();
    let fault = Ledger::read(&layout, "web").unwrap_err();
    assert!(
        fault.message.contains("var/lib/rsgen/web.json"),
        "{}",
        fault.message
    );
}

#[test]
fn a_release_is_left_by_its_link_once_that_leads_elsewhere_or_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (old, new, link) = (root.join("1"), root.join("2"), root.join("current"));
    for folder in [&old, &new] {
        fs::create_dir(folder).unwrap();
    }
    let served = |link, folder| Served {
        file: String::new(),
        link,
        folder,
    };
    let release = served(Some(link.clone()), Some(old.clone()));
    let mut left = Vec::new();
    for folder in [&old, &new, &root.join("3")] {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(folder, &link).unwrap();
        left.push(release.is_left_by_its_link());
    }
    assert_eq!(left, [false, true, true]);
    assert!(!served(None, None).is_left_by_its_link());
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_none() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::system(root.path());
    assert_eq!(Ledger::read(&layout, "web").ok(), Some(Ledger::default()));
    let path = Ledger::path(&layout, "web");
    fs::create_dir_all(&path).unwrap();
    let failure = Ledger::read(&layout, "web").unwrap_err();
    let told = format!("{} cannot be read: ", path.display());
    assert!(failure.message.starts_with(&told), "{}", failure.message);
    let failure = Ledger::default().write(&layout, "web").unwrap_err();
    let told = format!("{} cannot be written: ", path.display());
    assert!(failure.message.starts_with(&told), "{}", failure.message);
    for (kind, word) in [
        (io::ErrorKind::PermissionDenied, "run it as root"),
        (io::ErrorKind::StorageFull, "check that the file system"),
    ] {
        let help = cannot("read", &path, &kind.into()).help.unwrap();
        assert!(help.starts_with(word), "{help}");
    }
}

#[test]
fn what_is_kept_of_an_app_goes_with_it_and_the_folder_with_the_last_app() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::system(root.path());
    for app in ["api", "web"] {
        Ledger::default().write(&layout, app).unwrap();
    }
    Ledger::remove(&layout, "web");
    assert!(!Ledger::path(&layout, "web").exists());
    assert!(Ledger::path(&layout, "api").exists());
    Ledger::remove(&layout, "api");
    assert!(!layout.kept.exists());
}

/// The present release was among those that are kept no more.
#[test]
fn a_rollback_from_a_release_that_is_not_kept_is_back_from_none() {
    let mut ledger = Ledger::default();
    for file in ["a", "b"] {
        ledger.deploy(served(file, None), "root".into());
    }
    ledger.current = "0".into();
    ledger.go_back("2");
    assert_eq!((ledger.current.as_str(), ledger.back_from), ("2", None));
}
