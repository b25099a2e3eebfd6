use super::*;
use crate::ecosystem::fake_host::FakeHost;
use crate::ecosystem::parse;

struct Fake(Vec<&'static str>);

impl FakeHost for Fake {
    fn is_file(&self, path: &Path) -> bool {
        self.0.iter().any(|p| Path::new(p) == path)
    }
    fn is_dir(&self, path: &Path) -> bool {
        self.0.iter().any(|p| Path::new(p).starts_with(path))
    }
    fn names(&self, _: &Path) -> Vec<String> {
        vec!["server.js".into()]
    }
    fn search_path(&self) -> Vec<PathBuf> {
        vec!["/home/me/.nvm/bin".into(), "/usr/bin".into()]
    }
    fn has_user(&self, user: &str) -> bool {
        user == "www"
    }
    fn has_group(&self, group: &str) -> bool {
        group == "www"
    }
    fn is_system(&self) -> bool {
        false
    }
    fn status(&self, _: &Path) -> Option<FileStatus> {
        None
    }
    fn user(&self, _: u32) -> Option<String> {
        None
    }
    fn name(&self, _: Account) -> String {
        String::new()
    }
}

fn resolved(text: &str, files: &[&'static str]) -> (App, Vec<String>) {
    let (mut apps, report) = parse("eco.toml", text);
    assert!(!report.has_errors(), "{}", report.render(false));
    let mut faults = Vec::new();
    let mut app = apps.remove(0);
    resolve(
        &mut app,
        Path::new("/srv/web"),
        &Fake(files.to_vec()),
        &mut faults,
    );
    (
        app,
        faults
            .into_iter()
            .map(|f| format!("{}: {}", f.message, f.help.unwrap_or_default()))
            .collect(),
    )
}

#[test]
fn relative_paths_become_absolute_against_the_files_folder() {
    let (app, faults) = resolved(
        "[[apps]]\nscript = \"./src/../server.js\"\nlisten = 1\nenv_file = \".env\"",
        &["/srv/web/server.js", "/usr/bin/node"],
    );
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(app.program.command_line(), ["node", "/srv/web/server.js"]);
    assert_eq!(app.program.cwd.as_deref(), Some("/srv/web"));
    assert_eq!(app.env_file, ["/srv/web/.env"]);
}

#[test]
fn an_interpreter_outside_the_systems_path_is_named_in_full() {
    let (app, _) = resolved(
        "[[apps]]\nscript = \"server.js\"\nlisten = 1",
        &[
            "/srv/web/server.js",
            "/home/me/.nvm/bin/node",
            "/usr/bin/node",
        ],
    );
    assert_eq!(
        app.program.interpreter.as_deref(),
        Some("/home/me/.nvm/bin/node")
    );
}

#[test]
fn what_is_not_there_is_named_with_the_nearest_that_is() {
    let (_, faults) = resolved(
        "[[apps]]\nscript = \"sever.js\"\nlisten = 1\nuser = \"nobdy\"\ninterpreter = \"/opt/node\"",
        &["/srv/web/server.js"],
    );
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(
        faults[0].contains("/srv/web/sever.js") && faults[0].contains("did you mean `server.js`")
    );
    assert!(faults[1].contains("/opt/node"));
    assert!(faults[2].contains("nobdy"));
}

#[test]
fn an_account_that_systemd_makes_itself_need_not_exist() {
    let faults = |value: &str| {
        let keys = "script = \"caddy\"\nlisten = 1\nuser = \"ghost\"";
        let text = format!("[[apps]]\n{keys}\nservice.DynamicUser = {value}");
        resolved(&text, &["/usr/bin/caddy", "/srv/web/x"]).1
    };
    for value in [
        "true",
        "\"y\"",
        "\"t\"",
        "\"True\"",
        "1",
        "[false, true]",
        "[true, \"maybe\"]",
    ] {
        assert_eq!(faults(value), Vec::<String>::new(), "{value}");
    }
    for value in [
        "false",
        "[true, false]",
        "[\"yes\", \"N\"]",
        "\"maybe\"",
        "[]",
    ] {
        let said = faults(value);
        assert_eq!(said.len(), 1, "{value}: {said:?}");
        assert!(said[0].contains("there is no user `ghost`"), "{said:?}");
    }
}

#[test]
fn a_program_without_a_script_is_found_by_its_name() {
    let (app, faults) = resolved(
        "[[apps]]\nscript = \"caddy\"\nargs = \"run\"\nlisten = 1",
        &["/usr/bin/caddy", "/srv/web/x"],
    );
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(app.program.command_line(), ["caddy", "run"]);
}

#[test]
fn a_group_has_to_exist_as_well() {
    let faults = |group: &str| {
        let keys = "script = \"caddy\"\nlisten = 1\nuser = \"www\"";
        let text = format!("[[apps]]\n{keys}\ngroup = {group}");
        resolved(&text, &["/usr/bin/caddy", "/srv/web/x"]).1
    };
    let said = faults("\"ghosts\"");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("there is no group `ghosts`: "),
        "{said:?}"
    );
    assert_eq!(faults("\"www\""), Vec::<String>::new());
    let dynamic = "\"ghosts\"\nservice.DynamicUser = true";
    assert_eq!(faults(dynamic), Vec::<String>::new());
}

#[test]
fn only_a_bare_name_without_an_interpreter_is_looked_for_in_the_path() {
    let files = [
        "/usr/bin/caddy",
        "/usr/bin/bin/caddy",
        "/usr/bin/bash",
        "/srv/web/x",
    ];
    for keys in [
        "script = \"caddy\"\ninterpreter = \"bash\"",
        "script = \"bin/caddy\"",
    ] {
        let (_, faults) = resolved(&format!("[[apps]]\n{keys}\nlisten = 1"), &files);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("caddy` does not exist"), "{faults:?}");
    }
}

#[test]
fn a_path_that_a_shell_would_complete_is_told_as_one() {
    for keys in [
        "script = \"$HOME/server\"",
        "script = \"~/server\"",
        "script = \"x\"\ncwd = \"~/web\"",
    ] {
        let text = format!("[[apps]]\n{keys}\nlisten = 1\nuser = \"www\"");
        let (_, faults) = resolved(&text, &["/srv/web/x"]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("no shell replaces `~`"), "{faults:?}");
    }
}

#[test]
fn a_command_that_is_nowhere_is_not_taken_for_a_file() {
    let app = "[[apps]]\nname = \"web\"\nlisten = 1\nuser = \"www\"\n";
    let told = |lines: &str| resolved(&format!("{app}{lines}"), &["/srv/web/x"]).1;
    let npm = told("script = \"npm\"");
    assert!(
        npm[0].starts_with("the script `npm` is neither in `/srv/web` nor in `PATH`: install")
            && npm[0].contains("`command -v npm`"),
        "{npm:?}"
    );
    let file = told("script = \"./npm\"");
    assert!(
        file[0].starts_with("the script `/srv/web/npm` does not exist: write its path from "),
        "{file:?}"
    );
    let folder = told("script = \"/srv/web\"");
    assert!(
        folder.contains(&"the script `/srv/web` is a folder: write the path of the file in it that is to be started".to_owned()),
        "{folder:?}"
    );
    let words = told("script = \"node server.js\"");
    assert!(
        words[0].ends_with("write `script = \"node\"` and `args = \"server.js\"`"),
        "{words:?}"
    );
    // An absolute path is not a command line, whatever the names of its folders contain.
    let path = told("script = \"/opt/my app/run.js\"");
    assert!(
        path.iter()
            .any(|fault| fault.starts_with("the script `/opt/my app/run.js` does not exist: ")),
        "{path:?}"
    );
    assert!(
        path.iter().all(|fault| !fault.contains("`args = ")),
        "{path:?}"
    );
    // A file in a missing folder is not a second fault.
    let folder = told("script = \"x\"\ncwd = \"/nowhere\"");
    assert_eq!(
        folder,
        ["the working directory `/nowhere` does not exist: create it, or change `cwd`"]
    );
}
