use std::collections::BTreeMap;

use super::*;
use crate::ecosystem::fake_host::FakeHost;
use crate::ecosystem::parse;
use crate::ecosystem::resolve::{Beyond, FileStatus, resolve};

const WEB: u32 = 1000;
const OTHER: u32 = 1001;

/// A host where the owner, the mode and the target of some paths are given; everything else belongs to root.
#[derive(Clone, Default)]
struct Fake {
    files: BTreeMap<PathBuf, FileStatus>,
    installed: Option<String>,
    is_users: bool,
    is_built: bool,
    /// The folder of the program that the script's first line names.
    tools: Option<&'static str>,
}

impl Fake {
    fn of(files: &[(&str, u32, u32)]) -> Self {
        files
            .iter()
            .fold(Self::default(), |fake, (path, owner, mode)| {
                fake.file(path, *owner, *mode)
            })
    }

    fn file(mut self, path: &str, owner: u32, mode: u32) -> Self {
        let found = FileStatus {
            owner,
            group: owner,
            mode,
            link: None,
            beyond: Beyond::Nothing,
        };
        self.files.insert(path.into(), found);
        self
    }

    fn link(mut self, path: &str, owner: u32, target: &str) -> Self {
        self = self.file(path, owner, 0o777);
        self.files.get_mut(Path::new(path)).unwrap().link = Some(target.into());
        self
    }

    fn beyond(mut self, path: &str, beyond: Beyond) -> Self {
        self.files.get_mut(Path::new(path)).unwrap().beyond = beyond;
        self
    }

    fn installed(mut self, user: &str) -> Self {
        self.installed = Some(user.to_owned());
        self
    }

    /// Resolves an app of `/srv/web`. Returns its user, and the faults.
    fn user_of(&self, keys: &str) -> (Option<String>, Vec<String>) {
        let text = format!("[[apps]]\nname = \"web\"\nlisten = 1\n{keys}");
        let (mut apps, report) = parse("eco.toml", &text);
        assert!(report.diagnostics.is_empty(), "{}", report.render(false));
        let mut faults = Vec::new();
        let mut app = apps.remove(0);
        resolve(&mut app, Path::new("/srv/web"), self, &mut faults);
        let told = faults.into_iter().map(|f| {
            let help = f.help.unwrap_or_default();
            format!("{:?}: {}; {help}", f.severity, f.message)
        });
        (app.user, told.collect())
    }

    fn taken(&self, keys: &str) -> String {
        let (user, told) = self.user_of(keys);
        assert_eq!(told, Vec::<String>::new());
        user.unwrap()
    }

    /// Returns the only fault, in a case where no user is chosen.
    fn told(&self, keys: &str) -> String {
        let (user, mut told) = self.user_of(keys);
        assert_eq!((user, told.len()), (None, 1), "{told:?}");
        told.remove(0)
    }
}

impl FakeHost for Fake {
    fn is_file(&self, path: &Path) -> bool {
        path != Path::new("/srv/web/python3")
    }
    fn search_path(&self) -> Vec<PathBuf> {
        vec![self.tools.unwrap_or("/usr/bin").into()]
    }
    fn first_line(&self, _: &Path) -> Option<String> {
        self.tools.map(|_| "#!/usr/bin/env tool".to_owned())
    }
    fn is_system(&self) -> bool {
        !self.is_users
    }
    fn has_owners(&self) -> bool {
        !self.is_built
    }
    fn status(&self, path: &Path) -> Option<FileStatus> {
        let roots = || Fake::of(&[("/", 0, 0o755)]).files.remove(Path::new("/"));
        self.files.get(path).cloned().or_else(roots)
    }
    fn user(&self, number: u32) -> Option<String> {
        let names = [(WEB, "web"), (OTHER, "other"), (UNMAPPED, "nobody")];
        let mut found = names.iter().filter(|(n, _)| *n == number);
        found.next().map(|(_, name)| (*name).to_owned())
    }
    fn is_own_group(&self, user: Account, group: u32) -> bool {
        user == Account::User(group)
    }
    fn installed_user(&self, _: &str) -> Option<String> {
        self.installed.clone()
    }
    fn name(&self, account: Account) -> String {
        match account {
            Account::User(number) | Account::Group(number) => {
                FakeHost::user(self, number).unwrap_or(number.to_string())
            }
        }
    }
}

const SCRIPT: &str = "script = \"server\"";

/// Returns a host where everything belongs to `web`.
fn webs() -> Fake {
    Fake::of(&[
        ("/srv/web", WEB, 0o755),
        ("/srv/web/server", WEB, 0o755),
        ("/srv/web/venv", WEB, 0o755),
    ])
}

#[test]
fn an_app_without_a_user_is_run_by_the_owner_of_its_script() {
    assert_eq!(webs().taken(SCRIPT), "web");
    let in_roots_folder = Fake::of(&[("/srv/web/server", WEB, 0o755)]);
    assert_eq!(in_roots_folder.taken(SCRIPT), "web");
}

#[test]
fn the_working_directory_decides_where_the_script_is_a_program_of_the_system() {
    for script in ["python3", "/usr/bin/python3", "/bin/sh"] {
        assert_eq!(
            webs().taken(&format!("script = {script:?}")),
            "web",
            "{script}"
        );
    }
    let venv = webs().link("/srv/web/venv/python", WEB, "/usr/bin/python3");
    assert_eq!(venv.taken("script = \"venv/python\""), "web");
}

#[test]
fn what_the_file_says_counts_without_a_word() {
    for user in ["root", "other"] {
        let (found, told) = webs().user_of(&format!("{SCRIPT}\nuser = {user:?}"));
        assert_eq!((found.as_deref(), told.len()), (Some(user), 0));
    }
    let dynamic = webs().user_of(&format!("{SCRIPT}\nservice.DynamicUser = true"));
    assert_eq!(dynamic, (None, Vec::new()));
    let own = Fake {
        is_users: true,
        ..webs()
    };
    assert_eq!(own.user_of(SCRIPT), (None, Vec::new()));
}

#[test]
fn a_script_of_roots_runs_as_root_and_that_is_told() {
    let told = Fake::default().told(SCRIPT);
    let wanted =
        "Warning: `web` runs as root, the owner of `/srv/web/server`; an attacker who takes over";
    assert!(told.starts_with(wanted), "{told}");
    let built = Fake {
        is_built: true,
        ..webs()
    };
    assert!(
        built
            .told(SCRIPT)
            .starts_with("Warning: `web` runs as root; ")
    );
}

#[test]
fn nobody_is_taken_where_somebody_else_decides_what_is_run() {
    let others: [(Fake, &str); 9] = [
        (
            webs().file("/srv/web/server", WEB, 0o757),
            "`/srv/web/server` may be written by everybody",
        ),
        (
            webs().file("/srv/web/server", OTHER, 0o755),
            "`/srv/web` may be written by its owner `web`",
        ),
        (
            webs().file("/srv/web/server", 0, 0o755),
            "`/srv/web` may be written by its owner `web`",
        ),
        (
            webs().file("/srv", 0, 0o777),
            "`/srv` may be written by everybody",
        ),
        (
            webs().file("/srv", OTHER, 0o755),
            "`/srv` may be written by its owner `other`",
        ),
        (
            webs().beyond("/srv/web", Beyond::Server),
            "by the server of its file system",
        ),
        (
            webs()
                .file("/srv/web/server", WEB, 0o775)
                .beyond("/srv/web/server", Beyond::Acl),
            "by an entry of its ACL",
        ),
        // The link leads to somebody else's file, and can be replaced.
        (
            webs().link("/srv/web/server", WEB, "/home/other/run").file(
                "/home/other/run",
                OTHER,
                0o755,
            ),
            "`/srv/web` may be written by its owner `web`",
        ),
        // The link belongs to another user, in a folder where everybody may make links.
        (
            webs()
                .file("/srv", 0, 0o1777)
                .link("/srv/web/server", OTHER, "/home/web/run")
                .file("/home/web/run", WEB, 0o755),
            "`/srv/web/server` may be written by its owner `other`",
        ),
    ];
    for (fake, why) in others {
        let told = fake.told(SCRIPT);
        assert!(
            told.starts_with("Error: `web` has no `user`, and ") && told.contains(why),
            "{why}: {told}"
        );
        assert!(told.contains("write `user = "), "{told}");
    }
}

#[test]
fn nor_where_somebody_else_decides_what_the_interpreter_is() {
    let elsewhere = webs().file("/opt/venv/python", OTHER, 0o755);
    let told = elsewhere.told(&format!("{SCRIPT}\ninterpreter = \"/opt/venv/python\""));
    assert!(
        told.contains("`/opt/venv/python` may be written by its owner `other`"),
        "{told}"
    );
}

#[test]
fn nor_where_somebody_else_decides_what_runs_the_script_by_its_first_line() {
    for (fake, user) in [(webs(), "web"), (Fake::default(), "root")] {
        let mut fake = fake.file("/opt/venv/bin", OTHER, 0o755);
        fake.tools = Some("/opt/venv/bin");
        let told = fake.told(SCRIPT);
        let why =
            format!("belongs to `{user}`, but `/opt/venv/bin` may be written by its owner `other`");
        assert!(told.starts_with("Error: ") && told.contains(&why), "{told}");
    }
}

#[test]
fn a_private_group_and_the_sticky_bit_leave_the_user_alone_in_deciding() {
    let group = webs().file("/srv/web", WEB, 0o2775);
    assert_eq!(group.taken(SCRIPT), "web");
    let sticky = webs().file("/srv", 0, 0o1777);
    assert_eq!(sticky.taken(SCRIPT), "web");
    let working = webs().file("/srv/web", WEB, 0o1777);
    assert!(
        working
            .told("script = \"python3\"")
            .contains("by everybody")
    );
}

#[test]
fn an_owner_without_an_account_is_no_user() {
    for number in [77, UNMAPPED] {
        let told = webs().file("/srv/web/server", number, 0o755).told(SCRIPT);
        assert!(
            told.contains(&format!("belongs to the user ID {number}")),
            "{told}"
        );
    }
}

#[test]
fn what_was_installed_as_root_stays_roots_until_a_user_is_written() {
    let told = webs().installed("root").told(SCRIPT);
    let wanted = "Warning: `web` still runs as root, although `/srv/web/server` belongs to `web`";
    assert!(told.starts_with(wanted), "{told}");
    let told = webs().file("/srv", 0, 0o777).installed("root").told(SCRIPT);
    assert!(
        told.starts_with("Warning: `web` runs as root, as which"),
        "{told}"
    );
}

#[test]
fn a_change_of_the_owner_is_followed_and_told() {
    assert_eq!(webs().installed("web").taken(SCRIPT), "web");
    let (user, told) = webs().installed("other").user_of(SCRIPT);
    assert_eq!(user.as_deref(), Some("web"));
    let wanted = "will run as `web`, the owner of `/srv/web/server`, and no longer as `other`";
    assert!(told.len() == 1 && told[0].contains(wanted), "{told:?}");
}

#[test]
fn one_that_was_installed_as_another_user_does_not_go_on_as_root() {
    let open = webs().file("/srv/web/server", WEB, 0o757);
    let told = open.clone().installed("other").told(SCRIPT);
    assert!(told.starts_with("Error: `web` has no `user`"), "{told}");
    let told = open.installed("root").told(SCRIPT);
    assert!(
        told.contains("runs as root, as which it was installed"),
        "{told}"
    );
}

#[test]
fn the_help_names_the_account_that_others_would_act_as() {
    let roots = webs().file("/srv/web/server", 0, 0o755).told(SCRIPT);
    assert!(
        roots.contains("with `user = \"root\"` anybody who may write there is root"),
        "{roots}"
    );
    let webs = webs().file("/srv/web/server", WEB, 0o757).told(SCRIPT);
    assert!(
        webs.contains("everybody who may write there may act as `web`"),
        "{webs}"
    );
}

#[test]
fn a_program_that_was_found_by_its_name_decides_nothing() {
    let tools = Fake {
        tools: Some("/opt/tools"),
        ..webs()
    };
    assert_eq!(tools.taken("script = \"python3\""), "web");
}
