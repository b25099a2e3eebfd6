//! Folders and scripts that the user of an app may not reach.

use std::path::PathBuf;

use super::*;
use crate::ecosystem::fake_host::FakeHost;
use crate::ecosystem::parse;
use crate::ecosystem::resolve::{Account, Beyond, FileStatus, Ids, resolve};

/// A host on which one place has this mode, and all others are open to everybody.
struct Fake {
    place: &'static str,
    mode: u32,
    beyond: Beyond,
    has_owners: bool,
}

impl Fake {
    fn of(place: &'static str, mode: u32) -> Self {
        let beyond = Beyond::Nothing;
        Self {
            place,
            mode,
            beyond,
            has_owners: true,
        }
    }

    /// Returns what is said of an app in this folder.
    fn told(&self, folder: &str, keys: &str) -> Vec<(Severity, String)> {
        let script = if keys.contains("script") {
            ""
        } else {
            "script = \"server.js\"\n"
        };
        let text = format!("[[apps]]\nlisten = 1\n{script}{keys}");
        let (mut apps, report) = parse("eco.toml", &text);
        assert!(!report.has_errors(), "{}", report.render(false));
        let mut faults = Vec::new();
        resolve(&mut apps[0], Path::new(folder), self, &mut faults);
        let about = |f: &Diagnostic| f.message.contains("may not");
        let faults = faults.into_iter().filter(about);
        faults
            .map(|f| (f.severity, format!("{}; {}", f.message, f.help.unwrap())))
            .collect()
    }
}

impl FakeHost for Fake {
    fn is_system(&self) -> bool {
        true
    }
    fn status(&self, path: &Path) -> Option<FileStatus> {
        let is_place = path == Path::new(self.place);
        Some(FileStatus {
            owner: 0,
            group: 4,
            mode: if is_place { self.mode } else { 0o755 },
            link: match path.to_str() {
                Some("/srv/current") => Some(PathBuf::from("/root/app")),
                Some("/srv/newest") => Some(PathBuf::from(HOSTILE)),
                _ => None,
            },
            beyond: if is_place {
                self.beyond
            } else {
                Beyond::Nothing
            },
        })
    }
    fn has_owners(&self) -> bool {
        self.has_owners
    }
    fn first_line(&self, _: &Path) -> Option<String> {
        Some("#!/usr/bin/python3".to_owned())
    }
    fn user(&self, number: u32) -> Option<String> {
        (number == 0).then(|| "root".to_owned())
    }
    fn name(&self, _: Account) -> String {
        "root".to_owned()
    }
    fn ids(&self, user: &str, _: Option<&str>) -> Option<Ids> {
        let (user, groups) = match user {
            "root" => (0, vec![0]),
            "admin" => (34, vec![34, 4]),
            _ => (33, vec![33]),
        };
        Some(Ids { user, groups })
    }
}

/// The name of a release that whoever deploys has chosen.
const HOSTILE: &str = "/srv/$(reboot);'id`";

const WWW: &str = "user = \"www\"\n";

#[test]
fn a_folder_that_the_user_may_not_enter_is_named_with_the_remedy() {
    let root = Fake::of("/root", 0o700);
    for folder in ["/root/app", "/srv/current"] {
        let told = root.told(folder, WWW);
        let fault = format!(
            "`www` may not enter `/root`, and `{folder}/server.js` is there, so the app cannot start; put the app where `www` may go, as \
             below /srv, or let that user in: `setfacl -m u:www:x /root`"
        );
        assert_eq!(told, [(Severity::Error, fault)]);
    }
    assert_eq!(root.told("/srv/app", WWW), []);
    assert_eq!(root.told("/root/app", "user = \"root\"\n"), []);
    // By its group.
    let home = Fake::of("/home/x", 0o750);
    assert_eq!(home.told("/home/x/app", "user = \"admin\"\n"), []);
    assert_eq!(home.told("/home/x/app", WWW).len(), 1);
    // Everybody may pass, and not list what is there.
    assert_eq!(Fake::of("/home/x", 0o711).told("/home/x/app", WWW), []);
}

#[test]
fn the_working_directory_counts_as_well() {
    let keys = format!("{WWW}cwd = \"/root/work\"\nscript = \"/srv/server.js\"\n");
    let told = Fake::of("/root/work", 0o700).told("/srv", &keys);
    assert_eq!(told.len(), 1);
    let fault = "`www` may not enter `/root/work`, the working directory, so the app cannot start; write a `cwd` where";
    assert!(told[0].1.starts_with(fault), "{told:?}");
}

#[test]
fn what_is_not_certain_is_a_warning() {
    let listed = Fake {
        beyond: Beyond::Acl,
        ..Fake::of("/root", 0o710)
    };
    let told = listed.told("/root/app", WWW);
    assert_eq!(told[0].0, Severity::Warning);
    assert!(told[0].1.contains("unless an entry of its ACL allows it"));
    let bound = format!("{WWW}service.BindReadOnlyPaths = \"/root/app\"\n");
    let told = Fake::of("/root", 0o700).told("/root/app", &bound);
    assert_eq!(told[0].0, Severity::Warning);
    for directive in ["StateDirectory", "ExecStartPre", "TemporaryFileSystem"] {
        let keys =
            format!("{WWW}service.{directive} = \"/srv\"\n").replace("y = \"/srv", "y = \"srv");
        let told = Fake::of("/root", 0o700).told("/root/app", &keys);
        assert_eq!(told[0].0, Severity::Warning, "{directive}");
        assert!(told[0].1.contains("unless `[apps.service]` allows it"));
    }
    let of_a_server = Fake {
        beyond: Beyond::Server,
        ..Fake::of("/root", 0)
    };
    assert_eq!(of_a_server.told("/root/app", WWW), []);
}

#[test]
fn a_script_that_the_user_may_not_read_is_named() {
    let script = Fake::of("/srv/app/server.js", 0o711);
    let told = script.told("/srv/app", WWW);
    assert_eq!(told[0].0, Severity::Error);
    assert!(
        told[0]
            .1
            .starts_with("`www` may not read `/srv/app/server.js`, so the app cannot start; "),
        "{told:?}"
    );
}

#[test]
fn what_is_to_be_pasted_runs_no_command_that_the_name_of_a_folder_has() {
    let told = Fake::of(HOSTILE, 0o700).told("/srv/newest", WWW);
    let (_, command) = told[0].1.split_once("let that user in: `").unwrap();
    let command = command.strip_suffix('`').unwrap();
    let words = shlex::split(command).unwrap();
    assert_eq!(words, ["setfacl", "-m", "u:www:x", HOSTILE]);
    assert!(!command.contains(" /srv/$"), "{command}");
}

#[test]
fn nothing_is_said_of_folders_whose_owners_are_those_of_another_host() {
    let package = Fake {
        has_owners: false,
        ..Fake::of("/root", 0o700)
    };
    let keys = format!("{WWW}cwd = \"/root\"\nscript = \"/srv/server.js\"\n");
    assert_eq!(package.told("/srv", &keys), []);
    let here = Fake::of("/root", 0o700).told("/srv", &keys);
    assert_eq!(here.len(), 1);
}
