//! An installed app of the name that a script on the command line would have: another program would take its place.

use super::input::{self, Input};
use super::script;
use super::selection::Selected;
use crate::ecosystem::App;
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::{Failure, Notice, Sink};

/// Refuses to replace an app by a program at another address, which is hardly a new version of it, and reports any other program
/// that takes the place of one. A name that was given is meant.
pub(super) fn refuse(
    layout: &Layout,
    input: &Input,
    is_named: bool,
    selected: &[Selected],
    sink: &dyn Sink,
) -> Result<(), Failure> {
    if is_named || input.shown != input::COMMAND_LINE {
        return Ok(());
    }
    for Selected { app, .. } in selected {
        let source = sources::find(layout, &app.name);
        let installed = source.and_then(|source| sources::load(layout, &source).ok());
        let Some((_, installed)) = installed.filter(|(_, old)| !is_same(old, app)) else {
            continue;
        };
        let name = &app.name;
        let old = script::script_of(&installed);
        let old = old.display();
        if addresses(&installed) != addresses(app) {
            let message = format!("`{name}` is the name of an installed app, which runs {old}");
            return Err(Failure::failed(message).help(format!(
                "add `--name NAME` to install this program beside it, or `--name {name}` to replace it"
            )));
        }
        let note = format!(
            "replaces {old}; `rsgen rollback {name}` restores it, and `--name NAME` creates a separate app"
        );
        sink.notice(&Notice::Noted(name, &note));
    }
    Ok(())
}

/// Returns whether two apps run the same script. What a program does that is found by its name, such as npm, its arguments say.
fn is_same(old: &App, new: &App) -> bool {
    let is_by_name = !new.program.script.contains('/');
    let has_same_args = old.program.args == new.program.args;
    script::script_of(old) == script::script_of(new) && (has_same_args || !is_by_name)
}

fn addresses(app: &App) -> Vec<String> {
    let mut all: Vec<String> = app.listen.iter().map(ToString::to_string).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem;

    fn app(keys: &str) -> App {
        let text = format!("[[apps]]\nname = \"server\"\n{keys}\n");
        let (mut apps, report) = ecosystem::parse("", &text);
        assert!(!report.has_errors(), "{}", report.render(false));
        apps.remove(0)
    }

    #[test]
    fn of_another_folder_or_with_other_arguments_of_a_program_is_another_app() {
        let in_a = app("script = \"/srv/a/server.js\"\nlisten = 1\nargs = \"-v\"");
        let again = app("script = \"/srv/a/server.js\"\nlisten = 1");
        let in_b = app("script = \"/srv/b/server.js\"\nlisten = 1");
        assert!(is_same(&in_a, &again) && !is_same(&in_a, &in_b));
        let npm = |cwd: &str, args: &str| {
            app(&format!(
                "script = \"npm\"\nlisten = 1\ncwd = \"{cwd}\"\nargs = \"{args}\""
            ))
        };
        assert!(is_same(&npm("/srv/a", "start"), &npm("/srv/a", "start")));
        assert!(!is_same(&npm("/srv/a", "start"), &npm("/srv/b", "start")));
        assert!(!is_same(
            &npm("/srv/a", "start"),
            &npm("/srv/a", "run mail")
        ));
    }
}
