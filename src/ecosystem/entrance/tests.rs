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
    /// The access control list of the place.
    list: Option<Vec<u8>>,
    /// The first line of the script.
    line: &'static str,
    /// The directives of a drop-in.
    drop_in: &'static [&'static str],
}

impl Fake {
    fn of(place: &'static str, mode: u32) -> Self {
        let beyond = Beyond::Nothing;
        Self {
            place,
            mode,
            beyond,
            has_owners: true,
            list: None,
            line: "#!/usr/bin/python3",
            drop_in: &[],
        }
    }

    /// Returns the faults of an app in this folder.
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
        Some(self.line.to_owned())
    }
    fn access_list(&self, path: &Path) -> Option<Vec<u8>> {
        self.list.clone().filter(|_| path == Path::new(self.place))
    }
    fn has_drop_in(&self, _: &str, directives: &[&str]) -> bool {
        self.drop_in.iter().any(|own| directives.contains(own))
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

/// The name of a release, chosen by the deployment.
const HOSTILE: &str = "/srv/$(reboot);'id`";

const WWW: &str = "user = \"www\"\n";

#[test]
fn a_folder_that_the_user_may_not_enter_is_named_with_the_remedy() {
    let root = Fake::of("/root", 0o700);
    for folder in ["/root/app", "/srv/current"] {
        let told = root.told(folder, WWW);
        let fault = format!(
            "`www` may not enter `/root`, and `{folder}/server.js` is there, so the app cannot start; put the app where `www` has access, \
             such as below /srv, or grant access: `setfacl -m u:www:x /root`"
        );
        assert_eq!(told, [(Severity::Error, fault)]);
    }
    assert_eq!(root.told("/srv/app", WWW), []);
    assert_eq!(root.told("/root/app", "user = \"root\"\n"), []);
    // By its group.
    let home = Fake::of("/home/x", 0o750);
    assert_eq!(home.told("/home/x/app", "user = \"admin\"\n"), []);
    assert_eq!(home.told("/home/x/app", WWW).len(), 1);
    // Everybody may pass through, but not list the folder.
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
    for (beyond, doubt) in [
        (Beyond::Acl, "unless an entry of its ACL allows it"),
        (
            Beyond::Elsewhere,
            "unless the server of its file system allows it",
        ),
    ] {
        let place = Fake {
            beyond,
            ..Fake::of("/root", 0o710)
        };
        let told = place.told("/root/app", WWW);
        assert_eq!(told[0].0, Severity::Warning);
        assert!(told[0].1.contains(doubt), "{told:?}");
    }
    for lines in [
        "service.BindReadOnlyPaths = \"/root/app\"\n",
        "service.SupplementaryGroups = \"adm\"\n",
        "service.TemporaryFileSystem = \"/root\"\n",
        "service.ExecStartPre = \"-+/usr/bin/setfacl -m u:www:x /root\"\n",
    ] {
        let told = Fake::of("/root", 0o700).told("/root/app", &format!("{WWW}{lines}"));
        assert_eq!(told[0].0, Severity::Warning, "{lines}");
        assert!(told[0].1.contains("unless `[apps.service]` allows it"));
    }
    // A command that runs as the app's user does not change that.
    let own = format!("{WWW}service.ExecStartPre = \"/usr/bin/make a+b\"\n");
    let told = Fake::of("/root", 0o700).told("/root/app", &own);
    assert_eq!(told[0].0, Severity::Error);
    let of_a_server = Fake {
        beyond: Beyond::Server,
        ..Fake::of("/root", 0)
    };
    assert_eq!(of_a_server.told("/root/app", WWW), []);
}

#[test]
fn a_drop_in_that_may_let_the_user_in_makes_it_a_warning() {
    let told = |drop_in| {
        let host = Fake {
            drop_in,
            ..Fake::of("/root", 0o700)
        };
        host.told("/root/app", WWW).remove(0)
    };
    for directive in [&["SupplementaryGroups"], &["BindPaths"], &["User"]] {
        let (severity, text) = told(directive);
        assert_eq!(severity, Severity::Warning, "{directive:?}");
        assert!(text.contains("unless a drop-in of its unit allows it"));
    }
    assert_eq!(told(&["MemoryMax"]).0, Severity::Error);
}

#[test]
fn what_the_list_of_a_folder_says_is_certain() {
    let host = |user: u32| {
        let none = u32::MAX;
        let entries = [
            (0x01_u16, 7_u16, none),
            (0x02, 1, user),
            (0x04, 0, none),
            (0x10, 1, none),
            (0x20, 0, none),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(bits.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        Fake {
            beyond: Beyond::Acl,
            list: Some(list),
            ..Fake::of("/root", 0o710)
        }
    };
    // As `setfacl -m u:www:x /root` has left it, which is the remedy.
    assert_eq!(host(33).told("/root/app", WWW), []);
    assert_eq!(host(99).told("/root/app", WWW)[0].0, Severity::Error);
}

#[test]
fn a_folder_that_systemd_gives_to_the_user_at_the_start_is_no_fault() {
    let keys = |named: &str| format!("{WWW}service.StateDirectory = \"{named}\"\n");
    let before = Fake::of("/var/lib/web", 0o700);
    assert_eq!(before.told("/var/lib/web", &keys("a web:link")), []);
    let told = before.told("/var/lib/web", &keys("other"));
    assert_eq!(told[0].0, Severity::Error);
}

#[test]
fn a_script_that_the_user_may_not_read_is_named() {
    let mut script = Fake::of("/srv/app/server.js", 0o711);
    let told = script.told("/srv/app", WWW);
    assert_eq!(told[0].0, Severity::Error);
    assert!(
        told[0]
            .1
            .starts_with("`www` may not read `/srv/app/server.js`, so the app cannot start; "),
        "{told:?}"
    );
    // A program, which nice(1) only executes.
    script.line = "\u{7f}ELF";
    let told = script.told(
        "/srv/app",
        &format!("{WWW}interpreter = \"/usr/bin/nice\"\n"),
    );
    assert_eq!(told[0].0, Severity::Warning);
    assert!(
        told[0]
            .1
            .contains("unless its interpreter only executes it")
    );
    assert_eq!(
        script.told("/srv/app", &format!("{WWW}interpreter = \"none\"\n")),
        []
    );
    script.mode = 0o600;
    let told = script.told(
        "/srv/app",
        &format!("{WWW}interpreter = \"/usr/bin/node\"\n"),
    );
    assert_eq!(told[0].0, Severity::Error);
}

#[test]
fn what_is_to_be_pasted_runs_no_command_that_the_name_of_a_folder_has() {
    let told = Fake::of(HOSTILE, 0o700).told("/srv/newest", WWW);
    let (_, command) = told[0].1.split_once("grant access: `").unwrap();
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
