//! A script on the command line that has the name of an installed app, and files that are not there.

use std::path::Path;

use super::stage::{Recorder, Stage};
use crate::command::input::{COMMAND_LINE, Input};
use crate::command::namesake::refuse;
use crate::command::selection::{Selected, choose_environment};
use crate::ecosystem;
use crate::output::Failure;

fn input(shown: &str) -> Input {
    Input {
        shown: shown.into(),
        text: String::new(),
        folder: "/".into(),
        root: None,
        origin: None,
    }
}

/// The outcome of an install of this script as `web`, with this address, where the server of `Stage` listens on 3000.
fn install(shown: &str, is_named: bool, script: &str, port: u16) -> (Result<(), Failure>, String) {
    let stage = Stage::running(&[]);
    stage.write_app("listen = 3000\n");
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\ninterpreter = \"none\"\nlisten = {port}\n"
    );
    let (mut apps, report) = ecosystem::parse("", &text);
    assert!(!report.has_errors(), "{}", report.render(false));
    let selected = Selected {
        app: apps.remove(0),
        pinned: String::new(),
        installed: None,
    };
    let sink = Recorder::default();
    let refused = refuse(&stage.layout, &input(shown), is_named, &[selected], &sink);
    (refused, sink.told().join("\n"))
}

#[test]
fn another_program_takes_the_place_of_an_app_only_at_the_same_address_or_by_a_name_that_was_given()
{
    let (same, told) = install(COMMAND_LINE, false, "/srv/web/server", 3001);
    assert!(same.is_ok() && told.is_empty(), "{told}");
    let (refused, _) = install(COMMAND_LINE, false, "/srv/b/server", 3001);
    let failure = refused.unwrap_err();
    let message = "`web` is the name of an installed app, which runs /srv/web/server";
    assert_eq!(failure.message, message);
    assert!(failure.help.unwrap().contains("`--name web` to replace it"));
    let (replaced, told) = install(COMMAND_LINE, false, "/srv/b/server", 3000);
    assert!(replaced.is_ok());
    let note = "replaces /srv/web/server; `rsgen rollback web` restores it";
    assert!(told.contains(note), "{told}");
    for (shown, is_named) in [(COMMAND_LINE, true), ("eco.toml", false)] {
        let (meant, told) = install(shown, is_named, "/srv/b/server", 3001);
        assert!(meant.is_ok() && told.is_empty(), "{shown}: {told}");
    }
}

#[test]
fn a_missing_file_is_made_of_the_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let help = |path: &Path| Input::read(path).err().unwrap().help.unwrap();
    let file = folder.path().join("ecosystem.toml");
    let none = help(&file);
    assert_eq!(none, "name an ecosystem file or a script");
    std::fs::write(folder.path().join("package.json"), "{}").unwrap();
    assert!(help(&file).starts_with("make it from the package: "));
    std::fs::write(folder.path().join("ecosystem.config.js"), "").unwrap();
    assert!(help(&file).starts_with("make it from the PM2 file: "));
    let here = help(Path::new("ecosystem.toml"));
    assert!(here.starts_with("name a script, as in "), "{here}");
}

#[test]
fn an_environment_of_a_script_alone_needs_a_file_and_one_of_standard_input_has_it() {
    let help = |shown: &str| {
        let text = "[[apps]]\nname = \"web\"\nscript = \"/bin/web\"\nlisten = 1\n";
        let (mut apps, _) = ecosystem::parse("", text);
        let chosen = choose_environment(&input(shown), Some("red"), &mut apps);
        chosen.unwrap_err().help.unwrap()
    };
    let alone = help(COMMAND_LINE);
    assert!(alone.starts_with("a script alone has none: "), "{alone}");
    let file = help("standard input");
    assert_eq!(file, "add a table `[apps.env_red]` to an app");
}
