use super::*;

fn change(path: PathBuf, new: Option<&str>) -> Change {
    Change {
        old: content(&path),
        new: new.map(|text| Content::File(text.to_owned())),
        path,
    }
}

#[test]
fn a_group_that_cannot_be_kept_may_do_no_more_than_others() {
    for (mode, closed) in [
        (0o640, 0o600),
        (0o644, 0o644),
        (0o664, 0o644),
        (0o674, 0o644),
        (0o604, 0o604),
        (0o2755, 0o2755),
    ] {
        assert_eq!(closed_to_the_group(mode), closed, "{mode:o}");
    }
}

#[test]
fn changes_that_cannot_all_be_made_leave_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("changed"), "old\n").unwrap();
    fs::write(path("removed"), "old\n").unwrap();
    // No file can be created below a file.
    let impossible = path("changed/below");
    let changes = [
        change(path("changed"), Some("new\n")),
        change(path("removed"), None),
        change(path("created"), Some("new\n")),
        change(impossible.clone(), Some("new\n")),
    ];
    let fault = apply(&changes).unwrap_err().to_string();
    assert!(
        fault.starts_with(&format!("{}: ", impossible.display())),
        "{fault}"
    );
    for kept in ["changed", "removed"] {
        assert_eq!(fs::read_to_string(path(kept)).unwrap(), "old\n", "{kept}");
    }
    let names = fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 2, "nothing new is there");
}

#[test]
fn a_file_that_is_closed_to_others_stays_so_and_no_other_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.toml");
    let mode = || path.metadata().unwrap().permissions().mode() & 0o7777;
    write_new(&path, "new\n").unwrap();
    let usual = mode();
    for (before, after) in [(0o600, 0o600), (0o640, usual & 0o640), (0o777, usual)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        write_new(&path, "newer\n").unwrap();
        assert_eq!(mode(), after, "{before:o}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "newer\n");
}

#[test]
fn a_file_stays_with_its_group_which_may_read_it_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.toml");
    write_new(&path, "old\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    // Only root and the members of a group may give a file to that group.
    let _ = std::os::unix::fs::chown(&path, None, Some(7));
    let is_of = || path.metadata().map(|m| (m.gid(), m.mode())).unwrap();
    let before = is_of();
    write_new(&path, "new\n").unwrap();
    assert_eq!(is_of(), before);
}

#[test]
fn what_a_killed_command_has_left_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.toml");
    let other = folder.path().join("other");
    fs::write(&other, "other\n").unwrap();
    std::os::unix::fs::symlink(&other, beside(&path).unwrap()).unwrap();
    write_new(&path, "new\n").unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "other\n");
    assert!(path.symlink_metadata().unwrap().is_file());
}

#[test]
fn what_is_gone_is_removed_already_and_what_cannot_be_removed_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let gone = change(folder.path().join("gone"), None);
    assert!(apply(&[gone]).is_ok());
    let stays = folder.path().join("folder");
    fs::create_dir(&stays).unwrap();
    let fault = apply(&[change(stays.clone(), None)])
        .unwrap_err()
        .to_string();
    assert!(fault.starts_with(&stays.display().to_string()), "{fault}");
    assert!(stays.exists());
}

#[test]
fn the_last_link_takes_its_folder_along_and_another_folder_stays() {
    let folder = tempfile::tempdir().unwrap();
    for (name, stays) in [("web.service.wants", false), ("units", true)] {
        let dir = folder.path().join(name);
        fs::create_dir(&dir).unwrap();
        for link in ["web@0.service", "web@1.service"] {
            std::os::unix::fs::symlink("../web@.service", dir.join(link)).unwrap();
        }
        apply(&[change(dir.join("web@0.service"), None)]).unwrap();
        assert!(dir.exists(), "{name} is not empty");
        apply(&[change(dir.join("web@1.service"), None)]).unwrap();
        assert_eq!(dir.exists(), stays, "{name}");
    }
}

#[test]
fn a_link_of_the_administrators_is_no_instance_of_the_app() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::system(root.path());
    let wants = layout.units.join(plan::wants_dir("web"));
    fs::create_dir_all(&wants).unwrap();
    let (ours, template) = plan::instance_link("web", 0);
    std::os::unix::fs::symlink(template, layout.units.join(&ours)).unwrap();
    std::os::unix::fs::symlink("../other.service", wants.join("other.service")).unwrap();
    let found: Vec<PathBuf> = installed(&layout, "web").into_keys().collect();
    assert_eq!(found, [layout.units.join(ours)]);
}
