mod host;

use std::collections::BTreeMap;

use super::*;
use crate::ecosystem::Severity;
use crate::ecosystem::parse;
use crate::ecosystem::resolve::{Beyond, FileStatus, Ids, resolve};
use host::Fake;

const SCRIPT: &str = "script = \"server.js\"";
const SERVER: (&str, &str) = ("/srv/web/server.js", "");
const V18: (&str, &str) = ("/home/web/.nvm/versions/node/v18.2.0/bin/node", "");
const V20: (&str, &str) = ("/home/web/.nvm/versions/node/v20.9.0/bin/node", "");
const V20_10: (&str, &str) = ("/home/web/.nvm/versions/node/v20.10.1/bin/node", "");
const SYSTEMS: (&str, &str) = ("/usr/bin/node", "");

fn folder_of(node: (&str, &str)) -> (String, Option<String>) {
    let folder = Path::new(node.0).parent().unwrap();
    (node.0.to_owned(), Some(show(folder)))
}

#[test]
fn an_interpreter_that_systemd_finds_by_itself_changes_no_path() {
    let fake = Fake::of(&[SERVER, SYSTEMS, V20]);
    assert_eq!(fake.run_by(SCRIPT), ("node".to_owned(), None));
    let whole = format!("{SCRIPT}\ninterpreter = \"/usr/bin/node\"");
    assert_eq!(fake.run_by(&whole), ("/usr/bin/node".to_owned(), None));
}

#[test]
fn an_interpreter_of_the_callers_path_comes_first_in_the_apps_path() {
    let mut fake = Fake::of(&[SERVER, SYSTEMS, V20]);
    fake.search_path = vec!["/home/web/.nvm/versions/node/v20.9.0/bin".into()];
    assert_eq!(fake.run_by(SCRIPT), folder_of(V20));
    // A `PATH` in the app's variables is left as it is.
    let (app, _) = fake.resolved(&format!("{SCRIPT}\nenv = {{ PATH = \"/usr/bin\" }}"));
    assert_eq!(
        (app.env["PATH"].as_str(), app.first_in_path),
        ("/usr/bin", None)
    );
}

#[test]
fn a_folder_that_is_a_link_for_one_shell_is_followed() {
    let mut fake = Fake::of(&[SERVER, ("/run/user/0/fnm_multishells/7/node", ""), V20]);
    fake.search_path = vec!["/run/user/0/fnm_multishells/7".into()];
    let target = "/home/web/.nvm/versions/node/v20.9.0/bin";
    fake.links = [("/run/user/0/fnm_multishells/7", target)].into();
    assert_eq!(fake.run_by(SCRIPT), folder_of(V20));
}

#[test]
fn the_version_that_the_project_asks_of_nvm_goes_before_the_systems() {
    for (asked, node) in [
        ("v18", V18),
        ("20\n", V20_10),
        ("20.9 # the last one that works", V20),
        ("lts/iron", V20_10),
        ("lts/*", V20_10),
        ("node", V20_10),
        ("99", SYSTEMS),
        ("../../../etc/passwd", SYSTEMS),
        ("lts/round", SYSTEMS),
    ] {
        let aliases = [
            ("/home/web/.nvm/alias/lts/iron", "v20.10.1\n"),
            ("/home/web/.nvm/alias/lts/*", "lts/iron\n"),
            ("/home/web/.nvm/alias/lts/round", "lts/round\n"),
        ];
        let files = [SERVER, SYSTEMS, V18, V20, V20_10, ("/srv/.nvmrc", asked)];
        let found = Fake::of(&[&files[..], &aliases[..]].concat()).run_by(SCRIPT);
        let wanted = if node == SYSTEMS {
            ("node".to_owned(), None)
        } else {
            folder_of(node)
        };
        assert_eq!(found, wanted, "{asked}");
    }
}

#[test]
fn so_does_the_one_that_it_asks_of_asdf() {
    let asdf = "/home/web/.asdf/installs/python/3.12.1/bin/python3";
    let asked = (
        "/srv/web/.tool-versions",
        "# ours\nnodejs 20.9.0\npython 3.12.1 system\n",
    );
    let fake = Fake::of(&[("/srv/web/app.py", ""), asked, (asdf, "")]);
    assert_eq!(fake.run_by("script = \"app.py\""), folder_of((asdf, "")));
    let outside = ("/srv/web/.tool-versions", "python ../../evil");
    let evil = ("/home/web/.asdf/installs/python/../../evil/bin/python3", "");
    let fake = Fake::of(&[("/srv/web/app.py", ""), outside, evil]);
    assert_eq!(fake.run_by("script = \"app.py\"").0, "python3");
}

#[test]
fn without_any_other_the_default_of_nvm_is_taken() {
    let default = ("/home/web/.nvm/alias/default", "18");
    let fake = Fake::of(&[SERVER, V18, V20, default]);
    assert_eq!(fake.run_by(SCRIPT), folder_of(V18));
    assert_eq!(Fake::of(&[SERVER, V18, V20]).run_by(SCRIPT), folder_of(V20));
    let callers = ("/home/me/.nvm/versions/node/v20.9.0/bin/node", "");
    let fake = |files: &[_]| Fake::of(&[&[SERVER, callers][..], files].concat());
    assert_eq!(fake(&[]).run_by(SCRIPT), folder_of(callers));
    // The caller's own program is the last resort.
    let asked = ("/srv/web/.nvmrc", "20");
    assert_eq!(fake(&[asked, SYSTEMS]).run_by(SCRIPT).0, "node");
    let (_, told) = Fake::of(&[SERVER]).resolved(SCRIPT);
    assert_eq!(told, ["the interpreter `node` was not found"]);
}

#[test]
fn where_bun_is_not_there_the_way_with_node_is_told() {
    let fake = Fake::of(&[SERVER, ("/srv/web/app.ts", ""), ("/srv/web/app.bin", "")]);
    let help = |script: &str| {
        let (_, faults) = fake.faults(&format!("script = \"{script}\"\ninterpreter = \"bun\""));
        let help = faults.into_iter().next().and_then(|fault| fault.help);
        help.unwrap_or_default()
    };
    assert!(help("app.ts").contains("; or write `interpreter = \"node\"`"));
    assert!(help("app.bin").ends_with("as `interpreter`"));
}

#[test]
fn a_virtual_environment_beside_the_script_runs_it() {
    let venv = ("/srv/web/.venv/bin/python3", "");
    let files = [
        ("/srv/web/app.py", ""),
        venv,
        ("/srv/web/.venv/pyvenv.cfg", ""),
    ];
    let fake = Fake::of(&files);
    assert_eq!(fake.run_by("script = \"app.py\""), folder_of(venv));
    let named = "script = \"app.py\"\ninterpreter = \"python3\"";
    assert_eq!(fake.run_by(named), ("python3".to_owned(), None));
    assert_eq!(
        Fake::of(&files[..2]).run_by("script = \"app.py\"").0,
        "python3"
    );
    for path in [".venv/bin/python3", "./.venv/bin/python3"] {
        let below = format!("script = \"app.py\"\ninterpreter = {path:?}");
        assert_eq!(fake.run_by(&below), folder_of(venv));
    }
    let gunicorn = (
        "/srv/web/.venv/bin/gunicorn",
        "#!/srv/web/.venv/bin/python3",
    );
    let fake = Fake::of(&[&files[..], &[gunicorn]].concat());
    assert_eq!(fake.run_by("script = \"gunicorn\""), folder_of(gunicorn));
}

#[test]
fn a_script_whose_first_line_asks_env_finds_the_same_interpreter() {
    let script = |line| {
        let next = ("/srv/web/next", line);
        Fake::of(&[next, V20]).resolved("script = \"next\"")
    };
    for line in [
        "#!/usr/bin/env node",
        "#!/usr/bin/env -S NODE_ENV=x node --a",
    ] {
        let (app, told) = script(line);
        assert_eq!(
            (told.len(), app.first_in_path.as_deref()),
            (0, Some(V20.0)),
            "{line}"
        );
        assert_eq!(app.program.command_line(), ["/srv/web/next"]);
    }
    for line in ["#!/bin/sh", "#!/usr/bin/env python3", "\u{7f}ELF"] {
        let (app, told) = script(line);
        assert_eq!((told.len(), app.first_in_path), (0, None), "{line}");
    }
    let (_, told) = script("#!/usr/bin/env deno");
    assert_eq!(
        told,
        ["`/srv/web/next` is run by `deno`, which was not found"]
    );
}

#[test]
fn a_program_of_the_system_that_env_runs_needs_what_it_is_run_with() {
    let npm = ("/usr/bin/npm", "#!/usr/bin/env node");
    let (app, told) = Fake::of(&[npm, V20]).resolved("script = \"npm\"");
    assert_eq!((told.len(), app.first_in_path.as_deref()), (0, Some(V20.0)));
    assert_eq!(app.program.command_line(), ["npm"]);
    let (_, faults) = Fake::of(&[npm]).faults("script = \"npm\"");
    let [fault] = &faults[..] else {
        panic!("{faults:?}")
    };
    let message = "`/usr/bin/npm` is run by `node`, which was not found";
    assert_eq!(fault.message, message);
    let help = fault.help.as_deref().unwrap_or_default();
    assert!(
        help.contains("PATH = \"/folder/of/node:/usr/local/sbin:"),
        "{help}"
    );
    let (app, told) = Fake::of(&[npm, SYSTEMS]).resolved("script = \"npm\"");
    assert_eq!((told.len(), app.first_in_path), (0, None));
}

#[test]
fn a_script_that_cannot_be_run_at_all_is_told_of_once() {
    let fake = Fake {
        closed: Some("/srv/web/app.ts"),
        ..Fake::of(&[("/srv/web/app.ts", "")])
    };
    let (_, told) = fake.resolved("script = \"app.ts\"");
    let only = "`/srv/web/app.ts` has no interpreter and is not an executable program";
    assert_eq!(told, [only]);
}

#[test]
fn a_program_that_the_user_may_not_run_is_told() {
    let fake = Fake {
        closed: Some("/home/web"),
        ..Fake::of(&[SERVER, V20])
    };
    let (_, told) = fake.resolved(SCRIPT);
    let wanted = format!("`web` may not run `{}`, so the app cannot start", V20.0);
    assert_eq!(told, [wanted.as_str()]);
    let severity = |lines: &str| {
        let text = format!("[[apps]]\nuser = \"web\"\nlisten = 1\n{SCRIPT}{lines}");
        let (mut apps, _) = parse("eco.toml", &text);
        let mut faults = Vec::new();
        resolve(&mut apps[0], Path::new("/srv/web"), &fake, &mut faults);
        let fault = faults
            .into_iter()
            .find(|f| f.message.starts_with(&wanted))
            .unwrap();
        (fault.severity, fault.help.unwrap())
    };
    let (refused, help) = severity("");
    assert_eq!(refused, Severity::Error);
    assert!(
        help.starts_with("that user may not enter `/home/web`: "),
        "{help}"
    );
    // The user may enter the virtual environment, but not the folder of the Python that it points to.
    let python = "/root/.pyenv/versions/3.12.1/bin/python3";
    let mut of_venv = Fake {
        closed: Some("/root"),
        ..Fake::of(&[
            ("/srv/web/app.py", ""),
            ("/srv/web/.venv/pyvenv.cfg", ""),
            ("/srv/web/.venv/bin/python3", ""),
            (python, ""),
        ])
    };
    of_venv.links.insert("/srv/web/.venv/bin/python3", python);
    let (_, told) = of_venv.resolved("script = \"app.py\"");
    assert!(
        told.iter()
            .any(|line| line.starts_with("`web` may not run `/srv/web/.venv/bin/python3`")),
        "{told:?}"
    );
    // The unit may have the program elsewhere.
    let bound = "\n[apps.service]\nBindReadOnlyPaths = \"/opt/nvm:/home/web/.nvm\"\n";
    assert_eq!(severity(bound).0, Severity::Warning);
}

#[test]
fn only_an_error_of_the_program_keeps_one_that_may_not_be_run_from_being_told() {
    let fake = Fake {
        closed: Some("/home/web"),
        ..Fake::of(&[SERVER, V20])
    };
    let (app, _) = fake.faults(SCRIPT);
    let is_told_after = |earlier| {
        let mut faults = vec![earlier];
        refuse_closed(&app, &fake, &mut faults);
        faults.len() == 2
    };
    let of_program = || app.script_span.clone();
    assert!(!is_told_after(Diagnostic::error(of_program(), "x")));
    assert!(is_told_after(Diagnostic::warning(of_program(), "x")));
    assert!(is_told_after(Diagnostic::error(0..1, "x")));
}

#[test]
fn a_node_that_leaves_types_out_needs_no_tsx() {
    let help = |of_nvm: Option<&'static str>, node| {
        let nvm = of_nvm.map(|path| (path, ""));
        let files: Vec<_> = nvm.into_iter().chain([("/srv/web/app.ts", "")]).collect();
        let mut fake = Fake {
            node,
            ..Fake::of(&files)
        };
        if node.is_some() {
            fake.files.insert("/usr/bin/node", "");
        }
        let text = "[[apps]]\nuser = \"web\"\nlisten = 1\nscript = \"app.ts\"";
        let (mut apps, _) = parse("eco.toml", text);
        let mut faults = Vec::new();
        resolve(&mut apps[0], Path::new("/srv/web"), &fake, &mut faults);
        let fault = faults
            .into_iter()
            .find(|f| f.message.contains("has no interpreter"));
        fault.unwrap().help.unwrap()
    };
    for (of_nvm, node, strips) in [
        (None, Some("v20.19.2"), false),
        (None, Some("v22.17.1"), false),
        (None, Some("v22.18.0\n"), true),
        (None, Some("v23.5.0"), false),
        (None, Some("v23.6.0"), true),
        (None, Some("v24.0.1"), true),
        (None, None, false),
        (Some(V20.0), None, false),
        (
            Some("/home/web/.nvm/versions/node/v24.1.0/bin/node"),
            None,
            true,
        ),
    ] {
        let help = help(of_nvm, node);
        assert_eq!(
            help.contains("by itself"),
            strips,
            "{of_nvm:?} {node:?}: {help}"
        );
        assert!(help.contains("--import tsx"), "{help}");
    }
}

#[test]
fn a_folder_that_will_not_last_is_named_by_what_it_leads_to() {
    let found = |folder: &'static str, node: &'static str, target| {
        let mut fake = Fake::of(&[SERVER, (node, "")]);
        fake.search_path = vec![folder.into()];
        fake.links = [(folder, target)].into();
        fake.run_by(SCRIPT).1.unwrap()
    };
    let tools = "/opt/tools";
    assert_eq!(found("/tmp/x", "/tmp/x/node", tools), tools);
    let fnm = "/home/web/fnm_multishells/x";
    let node = "/home/web/fnm_multishells/x/node";
    assert_eq!(found(fnm, node, tools), tools);
    // Such as `current`, which a deployment sets.
    let current = "/home/web/current";
    assert_eq!(found(current, "/home/web/current/node", tools), current);
}

#[test]
fn a_path_among_the_directives_is_left_as_it_is() {
    let mut fake = Fake::of(&[SERVER, V20]);
    fake.search_path = vec![Path::new(V20.0).parent().unwrap().into()];
    for (line, is_extended) in [("PATH=/x", false), ("A=1", true)] {
        let (app, _) = fake.resolved(&format!("{SCRIPT}\nservice.Environment = \"{line}\""));
        assert_eq!(app.env.contains_key("PATH"), is_extended, "{line}");
        assert_eq!(app.first_in_path.is_some(), is_extended, "{line}");
    }
}
