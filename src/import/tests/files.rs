//! The files that are read, and the parts of them that are not apps.

use serde_json::json;

use super::*;
use crate::unit::Fault;

fn read(kind: Kind, text: &str) -> Result<Imported, Fault> {
    import(&Source {
        name: "x",
        kind,
        text,
        folder: Path::new("/srv/web"),
        is_moved: false,
        called_in: None,
        is_file: |_| false,
    })
}

#[test]
fn a_file_has_up_to_a_thousand_apps() {
    let apps = |count: usize| {
        let app = |number| json!({ "name": format!("a{number}"), "script": "x" });
        let apps: Vec<_> = (0..count).map(app).collect();
        read(Kind::Json, &json!(apps).to_string())
    };
    assert_eq!(apps(1000).unwrap().apps.len(), 1000);
    assert!(
        apps(1001)
            .unwrap_err()
            .message
            .contains("more than 1000 apps")
    );
}

#[test]
fn what_is_beside_the_apps_is_named() {
    let text = json!({ "pm2": { "script": "x" }, "deploy": {}, "static": [], "other": 1 });
    let text = read(Kind::Json, &text.to_string()).unwrap().text;
    for (name, is_known) in [("deploy", true), ("static", true), ("other", false)] {
        let line = format!("# {name} is left out: ");
        assert!(text.contains(&line), "{text}");
        let unknown = format!("{line}it is no");
        assert_eq!(!text.contains(&unknown), is_known, "{text}");
    }
    assert!(!text.contains("# pm2"), "{text}");
    let both = json!({ "apps": [{ "script": "x" }, 7] });
    let both = read(Kind::Json, &both.to_string()).unwrap();
    assert!(both.text.contains("# 7 is left out: "));
    assert_eq!(
        (both.apps.as_slice(), both.left),
        (&["x".to_owned()][..], 1)
    );
}

#[test]
fn apps_of_one_name_are_told_apart() {
    let apps = json!([{ "script": "a.js" }, { "script": "a.js" }, { "name": "a-2", "script": "b" }, { "args": 1 }]);
    let made = read(Kind::Json, &apps.to_string()).unwrap();
    assert_eq!(made.apps, ["a", "a-2", "a-2-2", "app"]);
    assert!(
        made.text
            .contains("the app has no `script`: add the program")
    );
}

#[test]
fn only_the_process_web_of_a_procfile_has_a_port() {
    let text = "# x\n\nweb: ./serve $PORT\nmail: ./mail $PORT\nrelease: ./migrate\nnonsense\n";
    let made = read(Kind::Procfile, text).unwrap();
    assert_eq!(made.apps, ["web", "mail"]);
    assert_eq!(made.text.matches("PORT = 5000").count(), 1);
    assert_eq!(made.text.matches("\nlisten = []").count(), 1);
    assert_eq!(made.text.matches("\nlisten = 5000").count(), 1);
    for line in [
        "# release: ./migrate: ",
        "# nonsense: ",
        "# PORT is 5000 in the process `web`",
    ] {
        assert!(made.text.contains(line), "{}", made.text);
    }
    let fixed = read(Kind::Procfile, "web: ./serve\n").unwrap().text;
    assert!(!fixed.contains("PORT"), "{fixed}");
}

#[test]
fn a_package_is_its_script_or_what_it_says_to_pm2() {
    let start = json!({ "name": "@me/shop", "scripts": { "start": "node x" } });
    let made = read(Kind::Package, &start.to_string()).unwrap();
    assert_eq!(made.apps, ["shop"]);
    assert!(
        made.text.contains("script = \"npm\"\nargs = \"start\""),
        "{}",
        made.text
    );
    let own =
        json!({ "scripts": { "start": "node x" }, "pm2": [{ "name": "api", "script": "a" }] });
    assert_eq!(read(Kind::Package, &own.to_string()).unwrap().apps, ["api"]);
}

#[test]
fn of_a_dump_only_what_the_app_has_of_its_own_is_kept() {
    let entry = |name: &str| {
        json!({
            "name": name, "pm_exec_path": "/srv/a.js", "username": "me", "uid": 5, "kill_timeout": 3000, "args": [],
            "node_args": ["-r"], "instance_var": "NODE_APP_INSTANCE", "treekill": true, "autorestart": true,
            "wait_ready": false, "watch": null, "namespace": "default", "exec_mode": "fork_mode",
            "env": {
                "A": "1", "LANGUAGE": "de", "BASH_VERSION": "5", "HOMES": "x", "HOME": "/", "PM2_HOME": "/", "_": "x",
                "unique_id": "x", "kill_timeout": 1, "free": 2, "web": {}, "list": [1],
            },
        })
    };
    let dump = json!([entry("web"), entry("api"), entry("web"), 7]).to_string();
    let made = read(Kind::Dump, &dump).unwrap();
    assert_eq!(made.apps, ["web", "api"]);
    let (_, app) = made.text.split_once("[[apps]]\n").unwrap();
    let (app, _) = app.split_once("# Left out").unwrap();
    let lines = app
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "name = \"web\"",
            "script = \"/srv/a.js\"",
            "interpreter_args = [\"-r\"]",
            "instances = 2",
            "user = 5",
            "kill_timeout = 3000",
            "[apps.env]",
            "A = \"1\"",
            "HOMES = \"x\"",
            "free = 2",
        ]
    );
    let off = json!([{ "name": "x", "pm_exec_path": "/x", "treekill": false, "autorestart": false, "username": "me" }]);
    let off = read(Kind::Dump, &off.to_string()).unwrap().text;
    for line in [
        "KillMode = \"mixed\"",
        "autorestart = false",
        "user = \"me\"",
    ] {
        assert!(off.contains(line), "{off}");
    }
}

#[test]
fn a_scalar_of_yaml_is_what_pm2_reads() {
    let text = "script: x\nenv:\n  A: True\n  B: FALSE\n  C: yes\n  D: 0x10\n  E: '1'\n  F: ~\n  G: NULL\n  H: !!str 5\n  I:\n  J: 1.5\n";
    let made = read(Kind::Yaml, text).unwrap().text;
    let (_, env) = made.split_once("[apps.env]\n").unwrap();
    let expected =
        "A = true\nB = false\nC = \"yes\"\nD = \"0x10\"\nE = \"1\"\nH = \"5\"\nJ = \"1.5\"\n";
    assert_eq!(env, expected);
    let merged = "b: &b { A: 1, B: 2 }\nc: &c { A: 3 }\napps:\n- script: x\n  env:\n    <<: [*c, *b]\n    B: 4\n";
    let made = read(Kind::Yaml, merged).unwrap().text;
    assert!(made.ends_with("[apps.env]\nA = 3\nB = 4\n"), "{made}");
}

#[test]
fn a_long_comment_is_broken_between_words() {
    let word = "x".repeat(54);
    let given = |text: &str| {
        let app = json!({ "script": "y", "cwd": "/", &word: text });
        read(Kind::Json, &json!([app]).to_string()).unwrap().text
    };
    // `# - WORD = "TEXT":` has 110 characters, or one more.
    let fits = given(&"z".repeat(46));
    let why = "PM2 has no such attribute";
    assert!(
        fits.contains(&format!("# - {word} = \"{}\":\n#   {why}", "z".repeat(46))),
        "{fits}"
    );
    let breaks = given(&"z".repeat(47));
    assert!(
        breaks.contains(&format!("# - {word} =\n#   \"{}\": {why}", "z".repeat(47))),
        "{breaks}"
    );
}
