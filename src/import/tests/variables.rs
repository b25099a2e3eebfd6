//! The import of output files, variables and ports.

use serde_json::{Value, json};

use super::app;
use super::attributes::{left, lines};

#[test]
fn the_output_goes_to_the_files_that_are_named() {
    for (given, expected) in [
        (
            json!({ "log_file": "/l/a.log" }),
            &[
                "StandardOutput = \"append:/l/a.log\"",
                "StandardError = \"append:/l/a.log\"",
            ][..],
        ),
        (
            json!({ "log_file": "/l/a.log", "out_file": "o.log" }),
            &[
                "StandardOutput = \"append:/srv/web/o.log\"",
                "StandardError = \"append:/l/a.log\"",
            ],
        ),
        (
            json!({ "error_file": "./e%.log", "cwd": "/srv/api" }),
            &["StandardError = \"append:/srv/api/e%%.log\""],
        ),
        (
            json!({ "disable_logs": true }),
            &["StandardOutput = \"null\"", "StandardError = \"null\""],
        ),
        (
            json!({ "out": "NULL", "err": "/dev/null" }),
            &["StandardOutput = \"null\"", "StandardError = \"null\""],
        ),
        (
            json!({ "disable_logs": false, "log": true, "out": "~/a" }),
            &[],
        ),
        (json!({ "disable_logs": 1, "out": "", "err": 1 }), &[]),
    ] {
        let mut attributes = given.clone();
        attributes["script"] = json!("x");
        let text = app(&attributes);
        let output = text.lines().filter(|line| line.starts_with("Standard"));
        assert_eq!(output.collect::<Vec<_>>(), expected, "{given}");
    }
    let both = json!({ "script": "x", "log": "/a", "out": "/b", "err": "/c" });
    assert!(left(&both).contains("log = \"/a\": "));
}

#[test]
fn the_number_of_an_instance_is_in_the_name_of_its_file() {
    for (path, expected) in [
        ("/l/a.log", "/l/a-%i.log"),
        ("/l.d/a", "/l.d/a-%i"),
        ("/l/.a", "/l/.a-%i"),
        ("/l/a.b.log", "/l/a.b-%i.log"),
    ] {
        for (more, path) in [
            (json!({ "instances": 2 }), expected),
            (json!({ "instances": "max" }), expected),
            (json!({ "instances": 1 }), path),
            (json!({}), path),
            (json!({ "instances": 2, "merge_logs": true }), path),
            (json!({ "instances": 2, "combineLogs": true }), path),
        ] {
            let mut attributes = more.clone();
            attributes["script"] = json!("x");
            attributes["out"] = json!(expected.replace("-%i", ""));
            let line = format!("StandardOutput = \"append:{path}\"");
            assert!(app(&attributes).contains(&line), "{attributes}");
        }
    }
}

#[test]
fn variables_are_what_an_environment_can_hold() {
    let env = json!({ "A": 1, "B": 1.5, "C": true, "D": "x", "E": [1], "1F": 1, "": 1, "G-": 1, "H": null, "_I": 2 });
    let given = json!({ "script": "x", "env": env });
    let all = lines(&given);
    let expected = [
        "A = 1",
        "B = \"1.5\"",
        "C = true",
        "D = \"x\"",
        "E = \"[1]\"",
        "_I = 2",
    ];
    assert_eq!(all[2..], expected);
    let told = left(&given);
    for left in ["env.1F = 1: ", "env. = 1: ", "env.G- = 1: "] {
        assert!(told.contains(left), "{told}");
    }
    assert!(told.contains("env.H = null: it has no value"), "{told}");
    assert!(left(&json!({ "script": "x", "env": 1 })).contains("an object"));
    let named = json!({ "script": "x", "env_a-b.c": { "A": 1 }, "env_": {}, "env_d e": {} });
    assert!(app(&named).contains("[apps.\"env_a-b.c\"]\nA = 1"));
    let told = left(&named);
    assert!(
        told.contains("env_d e = {}: give the environment a name"),
        "{told}"
    );
    assert!(
        told.contains("env_ = {}: PM2 has no such attribute"),
        "{told}"
    );
}

#[test]
fn a_port_of_pm2s_is_an_address_and_a_variable() {
    let written = |more: Value| {
        let mut attributes = more;
        attributes["script"] = json!("x");
        app(&attributes)
    };
    let text = written(json!({ "port": 80 }));
    assert!(
        text.contains("\nlisten = 80\n") && text.contains("\nPORT = 80\n"),
        "{text}"
    );
    let text = written(json!({ "port": 65_535, "env": { "PORT": 81 } }));
    assert!(
        text.contains("\nlisten = 65535\n") && text.contains("\nPORT = 81\n"),
        "{text}"
    );
    for port in [0, 65_536] {
        assert!(!written(json!({ "port": port })).contains("\nlisten"));
    }
    let text = written(json!({ "increment_var": "PORT", "env": { "PORT": "3000" } }));
    assert!(
        text.contains("\nlisten = []\n") && text.contains("\nPORT = \"{3000 + i}\"\n"),
        "{text}"
    );
    let text = written(json!({ "increment_var": "N" }));
    assert!(
        text.contains("\nN = \"{0 + i}\"\n") && !text.contains("\nlisten"),
        "{text}"
    );
    let text = written(json!({ "increment_var": "N", "env": { "M": 5 }, "env_x": { "N": 7 } }));
    assert!(
        text.contains("\nM = 5\n") && text.contains("\nN = \"{7 + i}\"\n"),
        "{text}"
    );
}

#[test]
fn a_port_that_differs_between_environments_is_not_guessed() {
    let apart = json!({ "script": "x", "env": { "PORT": 3000 }, "env_live": { "PORT": 80 } });
    let text = app(&apart);
    assert!(!text.contains("\nlisten"), "{text}");
    let told = left(&apart);
    let line = "listen: the address differs between `env` and `env_live`";
    assert!(told.contains(line), "{told}");
    for same in [
        json!({ "script": "x", "env": { "PORT": 3000 }, "env_live": { "PORT": "3000", "A": 1 } }),
        json!({ "script": "x", "args": "-p 3000", "env": { "PORT": 3000 }, "env_live": { "PORT": 80 } }),
    ] {
        let text = app(&same);
        assert!(text.contains("\nlisten = 3000\n"), "{text}");
    }
}
