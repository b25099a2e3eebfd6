//! The users who may redirect files that root reads or creates for an app.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::ecosystem::diagnostic::Severity;
use crate::ecosystem::fake_host::FakeHost;
use crate::ecosystem::resolve::{Beyond, FileStatus, Ids, resolve};
use crate::ecosystem::{Report, parse};

const ROOT: (u32, u32) = (0, 0);
const APP: (u32, u32) = (33, 33);

struct Fake {
    entries: BTreeMap<PathBuf, FileStatus>,
    is_system: bool,
}

impl Fake {
    fn of(entries: &[(&str, (u32, u32), u32)], links: &[(&str, &str)]) -> Self {
        let plain = |owner, group, mode| FileStatus {
            owner,
            group,
            mode,
            link: None,
            beyond: Beyond::Nothing,
        };
        let mut all: BTreeMap<PathBuf, FileStatus> = ["/srv", "/srv/web", "/etc", "/var", "/tmp"]
            .map(|path| (path.into(), plain(0, 0, 0o755)))
            .into();
        for (path, (owner, group), mode) in entries {
            all.insert(path.into(), plain(*owner, *group, *mode));
        }
        for (path, target) in links {
            let link = Some(target.into());
            all.insert(
                path.into(),
                FileStatus {
                    link,
                    ..plain(0, 0, 0o777)
                },
            );
        }
        Self {
            entries: all,
            is_system: true,
        }
    }
}

impl FakeHost for Fake {
    fn is_system(&self) -> bool {
        self.is_system
    }
    fn status(&self, path: &Path) -> Option<FileStatus> {
        self.entries.get(path).cloned()
    }
    fn user(&self, number: u32) -> Option<String> {
        (number < 100).then(|| number.to_string())
    }
    fn name(&self, account: Account) -> String {
        match account {
            Account::User(number) | Account::Group(number) => number.to_string(),
        }
    }
    fn ids(&self, user: &str, _: Option<&str>) -> Option<Ids> {
        let user = match user {
            "root" => 0,
            number => number.parse().unwrap_or(33),
        };
        Some(Ids {
            user,
            groups: vec![user],
        })
    }
    fn is_own_group(&self, user: Account, group: u32) -> bool {
        user == Account::User(group)
    }
}

fn told(keys: &str, fake: &Fake) -> Vec<String> {
    let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{keys}");
    let (mut apps, report) = parse("eco.toml", &text);
    assert!(report.diagnostics.is_empty(), "{}", report.render(false));
    let mut faults = Vec::new();
    resolve(&mut apps[0], Path::new("/srv/web"), fake, &mut faults);
    let report = Report::new("eco.toml", &text, faults);
    assert!(!report.has_errors(), "{}", report.render(false));
    report
        .located()
        .map(|l| format!("{}: {}", l.line, l.message))
        .collect()
}

fn told_of_www(keys: &str, fake: &Fake) -> String {
    told(&format!("user = \"www\"\n{keys}"), fake).join("\n")
}

#[test]
fn a_file_of_variables_is_for_root_alone_with_every_folder_above_it() {
    let keys = "env_file = \".env\"";
    let weak = |entry: (&str, (u32, u32), u32)| told_of_www(keys, &Fake::of(&[entry], &[]));
    for (entry, by) in [
        (
            ("/srv/web/.env", APP, 0o400),
            "`/srv/web/.env` may be written by its owner `33`",
        ),
        (
            ("/srv/web/.env", (0, 33), 0o660),
            "`/srv/web/.env` may be written by its group `33`",
        ),
        (
            ("/srv/web", APP, 0o755),
            "`/srv/web` may be written by its owner `33`",
        ),
        (("/srv", ROOT, 0o1777), "`/srv` may be written by everybody"),
    ] {
        let said = weak(entry);
        assert!(said.starts_with("5: ") && said.ends_with(by), "{said}");
    }
    assert_eq!(weak(("/srv/web/.env", (0, 33), 0o640)), "");
    assert_eq!(weak(("/srv/web/.env", ROOT, 0o664)), "");
}

#[test]
fn the_app_is_told_to_fail_where_its_user_may_not_read_such_a_file() {
    let keys = "env_file = \".env\"";
    let told = |mode| told_of_www(keys, &Fake::of(&[("/srv/web/.env", (7, 7), mode)], &[]));
    assert!(told(0o600).contains("`www` may not read `/srv/web/.env`"));
    assert!(!told(0o604).contains("may not read"));
    let other = format!("{keys}\nservice.SupplementaryGroups = \"x\"");
    let fake = Fake::of(&[("/srv/web/.env", (7, 7), 0o600)], &[]);
    assert!(!told_of_www(&other, &fake).contains("may not read"));
}

#[test]
fn one_that_systemd_reads_does_not_go_over_one_that_the_worker_reads() {
    let fake = Fake::of(
        &[("/srv/web/.env", APP, 0o644), ("/etc/key", ROOT, 0o600)],
        &[],
    );
    let said = told_of_www("env_file = [\".env\", \"/etc/key\"]", &fake);
    assert!(said.contains("`/srv/web/.env` overrides `/etc/key`, although it comes first"));
    let said = told_of_www("env_file = [\"/etc/key\", \".env\"]", &fake);
    assert!(!said.contains("overrides"), "{said}");
}

#[test]
fn root_reads_such_a_file_only_for_a_directive_and_with_a_root_folder_of_the_apps_own() {
    let fake = Fake::of(&[("/var/own", APP, 0o755)], &[]);
    let keys = "env_file = \"/var/own/env\"";
    let by_root = "`/var/own/env` is read by root at each start";
    assert!(!told_of_www(keys, &fake).contains(by_root));
    let directive = "service.EnvironmentFile = \"/var/own/env\"";
    assert!(told_of_www(directive, &fake).contains(by_root));
    let rooted = format!("{keys}\nservice.RootDirectory = \"/srv\"");
    assert!(told_of_www(&rooted, &fake).contains(by_root));
}

#[test]
fn a_command_of_the_socket_unit_and_its_links_are_roots() {
    let fake = Fake::of(&[("/srv/web", APP, 0o755)], &[]);
    let told = |lines: &str| told_of_www(lines, &fake);
    for (value, place) in [
        (
            "ExecStartPre = \"/srv/web/open\"",
            "5: others control the path of `ExecStartPre`",
        ),
        (
            "ExecStopPost = [\"-/etc/a\", \"/usr/bin/sh /srv/web/a.sh\"]",
            "5: others control the path of `ExecStopPost`",
        ),
        (
            "Symlinks = \"/run/a /srv/web/b.sock\"",
            "5: others control the path of `Symlinks`",
        ),
    ] {
        let said = told(&format!("socket.{value}"));
        let by = ": `/srv/web` may be written by its owner `33`";
        assert!(said.contains(&format!("{place}{by}")), "{said}");
    }
    for safe in [
        "ExecStartPre = \"/etc/open\"",
        "Symlinks = \"/etc/a.sock %t/b.sock\"",
        "Backlog = 7",
    ] {
        assert_eq!(told(&format!("socket.{safe}")), "", "{safe}");
    }
    let as_www = |command: &str| {
        told(&format!(
            "socket.User = \"www\"\nsocket.ExecStartPre = \"{command}\""
        ))
    };
    assert_eq!(as_www("/srv/web/open"), "");
    assert!(as_www("+/srv/web/open").contains("others control the path of `ExecStartPre`"));
}

#[test]
fn a_socket_that_others_can_redirect_is_refused_and_one_that_its_user_can_is_told() {
    let own = [
        ("/srv/web", APP, 0o755),
        ("/srv/web/run", APP, 0o755),
        ("/tmp", ROOT, 0o1777),
        ("/tmp/own", APP, 0o755),
    ];
    let fake = Fake::of(&own, &[]);
    let told = |user: &str, path: &str| {
        let app = format!("[[apps]]\nname = \"web\"\nscript = \"a\"\nlisten = {path:?}\n{user}");
        let (mut apps, _) = parse("eco.toml", &app);
        let mut faults = Vec::new();
        warn(&apps.remove(0), &fake, &mut faults);
        faults.pop().map(|f| (f.severity, f.message))
    };
    let (theirs, of_another) = ("user = \"www\"", "user = \"7\"");
    let by = "systemd makes the socket `/srv/web/run/x.sock` as root, and `/srv/web` may be written by its owner `33`";
    for (user, severity) in [
        (theirs, Severity::Warning),
        (of_another, Severity::Error),
        ("", Severity::Error),
    ] {
        let told = told(user, "/srv/web/run/x.sock");
        assert_eq!(told, Some((severity, by.to_owned())), "{user}");
    }
    let severity = |path| told(theirs, path).map(|(severity, _)| severity);
    // Nobody else can rename the user's files in a folder with the sticky bit, but anybody can create them first.
    assert_eq!(severity("/tmp/own/x.sock"), Some(Severity::Warning));
    assert_eq!(severity("/tmp/gone/x.sock"), Some(Severity::Error));
    for path in ["/srv/web/x.sock", "/tmp/x.sock", "/etc/x.sock"] {
        assert_eq!(told(of_another, path), None, "{path}");
    }
}

#[test]
fn the_group_of_the_apps_user_alone_is_not_others() {
    let severity = |user: &str, group: u32| {
        let shared = [
            ("/srv/web", (0, group), 0o775),
            ("/srv/web/run", ROOT, 0o755),
        ];
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"a\"\nlisten = \"/srv/web/run/x.sock\"\n{user}"
        );
        let (mut apps, _) = parse("eco.toml", &text);
        let mut faults = Vec::new();
        warn(&apps.remove(0), &Fake::of(&shared, &[]), &mut faults);
        faults.pop().map(|fault| fault.severity)
    };
    let theirs = "user = \"www\"";
    assert_eq!(severity(theirs, 33), Some(Severity::Warning));
    assert_eq!(severity(theirs, 7), Some(Severity::Error));
    assert_eq!(severity("", 33), Some(Severity::Error));
}

#[test]
fn a_socket_is_where_its_path_says_unless_others_may_change_the_way_to_its_folder() {
    let told = |path: &str, fake: &Fake| of_socket(Path::new(path), fake);
    let own = [
        ("/srv/web", APP, 0o755),
        ("/srv/web/run", APP, 0o755),
        ("/tmp", ROOT, 0o1777),
        ("/tmp/own", APP, 0o755),
    ];
    let fake = Fake::of(&own, &[("/srv/link", "/srv/web/run")]);
    for path in ["/srv/web/x.sock", "/tmp/x.sock", "/etc/x.sock"] {
        assert_eq!(told(path, &fake), None, "{path}");
    }
    for path in [
        "/srv/web/run/x.sock",
        "/srv/link/x.sock",
        "/srv/web/gone/x.sock",
    ] {
        let by = "`/srv/web` may be written by its owner `33`";
        assert_eq!(told(path, &fake).as_deref(), Some(by), "{path}");
    }
    let by = "`/tmp` may be written by everybody";
    assert_eq!(told("/tmp/own/x.sock", &fake).as_deref(), Some(by));
}

#[test]
fn links_on_the_way_are_followed() {
    let keys = "env_file = \"current/.env\"";
    let link = [("/srv/web/current", "../releases/7")];
    let releases = [
        ("/srv/releases", ROOT, 0o755),
        ("/srv/releases/7", APP, 0o755),
    ];
    let said = told_of_www(keys, &Fake::of(&releases, &link));
    assert!(said.contains("`/srv/releases/7` may be written"), "{said}");
    let around = [("/srv/web/current", "/srv/web/current")];
    assert_eq!(told_of_www(keys, &Fake::of(&[], &around)), "");
}

#[test]
fn so_is_what_takes_the_place_of_the_systems_folders() {
    let fake = Fake::of(
        &[
            ("/srv/web/usr", APP, 0o755),
            ("/var/own", APP, 0o755),
            ("/var/own/log", APP, 0o644),
        ],
        &[],
    );
    for weak in [
        "RootDirectory = \"/srv/web\"",
        "RootImage = \"/var/own/image\"",
        "ExtensionImages = \"/srv /var/own/image\"",
        "ExtensionDirectories = \"/var/own\"",
        "BindPaths = \"/var/own:/usr/lib\"",
        "BindReadOnlyPaths = \"-/var/own:/etc/ssl /srv:/x\"",
        "StandardOutput = \"append:/var/own/log\"",
        "EnvironmentFile = \"-/var/own/env\"",
        "PIDFile = \"/var/own/pid\"",
        "LoadCredential = \"key:/var/own/key\"",
        "OpenFile = \"/var/own/data:data:read-only\"",
        "ExecStartPre = \"-+/var/own/prepare now\"",
        "ExecStopPost = \"!/bin/sh -e /var/own/clean\"",
    ] {
        let said = told_of_www(&format!("service.{weak}"), &fake);
        assert!(
            said.starts_with("5: ") && said.contains("may be written by its owner `33`"),
            "{weak}: {said}"
        );
    }
    for good in [
        "RootDirectory = \"/srv\"",
        "BindPaths = \"/var/own:/data\"",
        "StandardOutput = \"append:/var/log\"",
        "StandardOutput = \"journal\"",
        "ExecStartPre = [\"/var/own/prepare\", \"+/bin/chown www /var/own\", \"+/bin/sh -c x\"]",
        "EnvironmentFile = \"/var/own/%i/env\"",
        // An assignment that a later one takes back has no effect.
        "RootDirectory = [\"/srv/web\", \"\"]",
        "EnvironmentFile = [\"/var/own/env\", \"\"]",
        "StandardOutput = [\"append:/var/own/log\", \"journal\"]",
    ] {
        assert_eq!(told_of_www(&format!("service.{good}"), &fake), "", "{good}");
    }
}

#[test]
fn each_is_told_with_what_others_can_do_there() {
    for (directive, help) in [
        (
            "PIDFile = \"/var/own/pid\"",
            "a FIFO there can make systemd",
        ),
        (
            "StandardError = \"file:/var/own/log\"",
            "systemd opens the file as root",
        ),
        (
            "OpenFile = \"/var/own/data\"",
            "systemd opens the file as root for the program",
        ),
        (
            "ExecStartPre = \"+/var/own/prepare\"",
            "the command runs as root",
        ),
        (
            "RootDirectory = \"/var/own\"",
            "commands of this unit that run as root",
        ),
    ] {
        let keys = "[[apps]]\nuser = \"www\"\nscript = \"x\"\nlisten = 1\nservice";
        let mut app = parse("eco.toml", &format!("{keys}.{directive}"))
            .0
            .remove(0);
        let mut faults = Vec::new();
        let fake = Fake::of(&[("/var/own", APP, 0o755)], &[]);
        resolve(&mut app, Path::new("/srv/web"), &fake, &mut faults);
        let helps: Vec<String> = faults.into_iter().filter_map(|f| f.help).collect();
        assert!(helps.len() == 1 && helps[0].starts_with(help), "{helps:?}");
    }
}

#[test]
fn an_access_control_list_gives_no_more_than_the_groups_bits() {
    for (mode, is_told) in [(0o660, true), (0o640, false)] {
        let mut fake = Fake::of(&[("/etc/key", ROOT, mode)], &[]);
        let key = fake.entries.get_mut(Path::new("/etc/key")).unwrap();
        key.beyond = Beyond::Acl;
        let said = told_of_www("env_file = \"/etc/key\"", &fake);
        assert_eq!(said.contains("an entry of its ACL"), is_told, "{said}");
    }
}
