use super::*;

#[test]
fn an_account_is_in_its_own_groups_and_in_that_of_the_app() {
    let probe = HostProbe::new(None, &Layout::system("/nonexistent".as_ref()));
    let groups = |group| probe.ids("root", group).unwrap().groups;
    let text = std::fs::read_to_string("/etc/group").unwrap();
    let line = text.lines().find(|line| line.starts_with("daemon:"));
    let daemon = line.unwrap().split(':').nth(2).unwrap().parse().unwrap();
    assert_eq!(
        groups(Some("daemon")),
        [groups(None), vec![daemon]].concat()
    );
    assert!(probe.ids("rsgen-no-such-user", None).is_none());
}

#[test]
fn an_account_is_asked_for_once() {
    let probe = HostProbe::new(None, &Layout::system("/nonexistent".as_ref()));
    let nobody = "rsgen-no-such-account";
    let ids = |groups: &[u32]| Ids {
        user: 7,
        groups: groups.to_vec(),
    };
    // As if these accounts had been looked up before.
    probe.users.get(nobody.into(), |_| Some(ids(&[8])));
    probe.groups.get(nobody.into(), |_| Some(9));
    probe.listed.get(("passwd", nobody.into()), |_| true);
    probe.names.get(Account::User(0), |_| "zero".into());
    assert_eq!(probe.ids(nobody, None), Some(ids(&[8])));
    assert_eq!(probe.ids(nobody, Some(nobody)), Some(ids(&[8, 9])));
    assert!(probe.has_user(nobody) && !probe.has_group(nobody));
    assert_eq!(probe.name(Account::User(0)), "zero");
    assert_eq!(probe.name(Account::Group(0)), "root");
    let known = probe.users.get(nobody.into(), |_| unreachable!());
    assert_eq!(known, Some(ids(&[8])));
}

#[test]
fn a_group_is_private_that_has_the_users_name_and_nobody_else() {
    let groups = "root:x:0:\nweb:x:1000:\nstaff:x:50:\nci:x:1001:ci\nops:x:1002:ci\n";
    assert!(is_private(groups, "web", 1000) && is_private(groups, "ci", 1001));
    assert!(!is_private(groups, "web", 50) && !is_private(groups, "ops", 1002));
    assert!(!is_private(groups, "web", 1003));
}

#[test]
fn a_user_is_asked_for_by_number() {
    assert_eq!(user(0).as_deref(), Some("root"));
    assert_eq!(user(4_000_000_000), None);
}

#[test]
fn a_host_is_asked_for_what_it_has() {
    let probe = HostProbe::new(None, &Layout::system("/nonexistent".as_ref()));
    assert!(probe.is_dir("/etc".as_ref()) && !probe.is_dir("/etc/group".as_ref()));
    assert!(probe.is_file("/etc/group".as_ref()) && !probe.is_file("/etc".as_ref()));
    let path = probe.search_path();
    assert!(path.iter().any(|folder| folder.join("sh").is_file()));
    let status = probe.status("/".as_ref()).unwrap();
    assert_eq!((status.owner, status.link), (0, None));
    assert!(probe.has_group("root") && probe.has_group("4000000000"));
    assert!(!probe.has_group("rsgen-no-such-group"));
    let text = std::fs::read_to_string("/etc/group").unwrap();
    for group in ["daemon", "mail"] {
        let line = text.lines().find_map(|l| l.strip_prefix(group));
        let there = line.and_then(|fields| fields.split(':').nth(2)?.parse().ok());
        assert!(there.is_some(), "{group}");
        assert_eq!(number(group), there, "{group}");
    }
}

#[test]
fn a_pipe_in_the_place_of_a_script_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("server.py");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let probe = HostProbe::new(None, &Layout::system("/nonexistent".as_ref()));
    assert!(probe.names_interpreter(&pipe), "unknown");
}

#[test]
fn of_a_host_that_is_being_put_together_nothing_is_known() {
    let root = Some(PathBuf::from("/nonexistent"));
    let probe = HostProbe::new(root, &Layout::system("/nonexistent".as_ref()));
    assert!(probe.has_group("rsgen-no-such-group"));
    assert!(probe.status("/".as_ref()).is_none());
}

#[test]
fn only_the_apps_of_the_system_are_read_by_root() {
    let of = |layout: &Layout| HostProbe::new(None, layout).is_system();
    assert!(of(&Layout::system("/".as_ref())));
    assert!(!of(&Layout::user("/c".as_ref(), "/r".as_ref())));
}

/// A probe of this host, and a folder with the file `script`, which has this text, and the link `link` to it.
fn with_a_script(text: &str) -> (HostProbe, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, text).unwrap();
    std::os::unix::fs::symlink("script", folder.path().join("link")).unwrap();
    let probe = HostProbe::new(None, &Layout::system(folder.path()));
    (probe, folder, script)
}

#[test]
fn the_files_of_this_host_are_read() {
    let (probe, folder, script) = with_a_script("#!/bin/sh\nexit\n");
    assert!(probe.names_interpreter(&script));
    let text = probe.text(&script);
    assert_eq!(text.as_deref(), Some("#!/bin/sh\nexit\n"));
    assert_eq!(probe.first_line(&script).as_deref(), Some("#!/bin/sh"));
    let link = (folder.path().join("link"), PathBuf::from("script"));
    assert_eq!(probe.links(folder.path()), [link]);
    let (probe, _folder, script) = with_a_script("exit\n");
    assert!(!probe.names_interpreter(&script));
    let (probe, _folder, script) = with_a_script("");
    assert!(probe.names_interpreter(&script), "unknown");
}

#[test]
fn the_accounts_of_this_host_are_asked_for() {
    let probe = HostProbe::new(None, &Layout::system("/nonexistent".as_ref()));
    assert!(probe.has_owners());
    assert_eq!(probe.user(0).as_deref(), Some("root"));
    assert!(probe.is_own_group(Account::User(0), 0));
    assert!(!probe.is_own_group(Account::User(0), 1));
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let root = users.lines().find(|line| line.starts_with("root:"));
    let home = root.unwrap().split(':').nth(5).map(PathBuf::from);
    assert_eq!(probe.home(Some("root")), home);
    assert_eq!(probe.home(Some("rsgen-no-such-user")), None);
}

#[test]
fn a_package_has_neither_the_owners_nor_the_files_of_the_host_that_builds_it() {
    let (probe, _folder, script) = with_a_script("#!/bin/sh\n");
    let probe = probe.for_a_package();
    assert!(!probe.has_owners());
    assert_eq!(probe.home(Some("root")), None);
    assert_eq!(probe.text(&script), None);
    assert_eq!(probe.first_line(&script), None);
}

#[test]
fn whoever_called_sudo_is_known_to_root_alone() {
    let called = |uid: &str, is_root| invoker(Some(uid.to_owned()), is_root);
    assert_eq!(called("1000", true).as_deref(), Some("1000"));
    assert_eq!(called("1000", false), None);
    assert_eq!(called("web", true), None);
    assert_eq!(invoker(None, true), None);
}

#[test]
fn the_controllers_are_those_of_this_host_and_of_no_other() {
    let layout = Layout::system("/nonexistent".as_ref());
    let probe = || HostProbe::new(None, &layout);
    let tree = Path::new(controllers::TREE);
    for name in ["cpu", "memory", "no-such-controller"] {
        let here = controllers::has(tree, layout.scope, name);
        assert_eq!(probe().has_controller(name), here, "{name}");
        assert_eq!(probe().for_a_package().has_controller(name), None);
        let elsewhere = HostProbe::new(Some("/nonexistent".into()), &layout);
        assert_eq!(elsewhere.has_controller(name), None);
    }
}
