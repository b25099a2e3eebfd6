mod attributes;
mod files;
mod variables;

use std::path::Path;

use proptest::prelude::*;
use toml_edit::DocumentMut;

use super::*;
use crate::ecosystem::pm2::names;
use crate::visible;

fn imported(kind: Kind, text: &str) -> String {
    let source = Source {
        name: "ecosystem.config.js",
        kind,
        text,
        folder: Path::new("/srv/web"),
        is_moved: false,
        called_in: None,
        is_file: |_| false,
    };
    import(&source).unwrap().text
}

/// The import of an app of the file `{ apps: [app] }`, from its first key on.
fn app(attributes: &serde_json::Value) -> String {
    let text = imported(
        Kind::Json,
        &serde_json::json!({ "apps": [attributes] }).to_string(),
    );
    let (_, app) = text.split_once("[[apps]]").unwrap();
    app.to_owned()
}

#[test]
fn in_another_folder_relative_paths_mean_the_same() {
    for (cwd, expected) in [
        (None, "cwd = \"/srv/web\""),
        (Some("api"), "cwd = \"/srv/web/api\""),
        (Some("/srv/api"), "cwd = \"/srv/api\""),
    ] {
        let text = serde_json::json!([{ "script": "a.js", "cwd": cwd }]).to_string();
        let source = Source {
            name: "x.json",
            kind: Kind::Json,
            text: &text,
            folder: Path::new("/srv/web"),
            is_moved: true,
            called_in: None,
            is_file: |_| false,
        };
        let text = import(&source).unwrap().text;
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_script_that_is_only_where_rsgen_is_called_is_found_there() {
    let made = |attributes: serde_json::Value, is_file: fn(&Path) -> bool| {
        let text = serde_json::json!([attributes]).to_string();
        let source = Source {
            name: "x.json",
            kind: Kind::Json,
            text: &text,
            folder: Path::new("/srv/web/config"),
            is_moved: false,
            called_in: Some(Path::new("/srv/web")),
            is_file,
        };
        // Long comments are broken.
        import(&source).unwrap().text.replace("\n# ", " ")
    };
    let script = serde_json::json!({ "script": "a.js" });
    let there = made(script.clone(), |path| path == Path::new("/srv/web/a.js"));
    assert!(there.contains("\ncwd = \"/srv/web\"\n"), "{there}");
    assert!(there.contains("PM2 takes a relative path from"), "{there}");
    let both = made(script.clone(), |path| path.ends_with("a.js"));
    assert!(!both.contains("cwd = "), "{both}");
    assert!(
        both.contains("there is one in `/srv/web` as well"),
        "{both}"
    );
    let beside = made(script, |path| path == Path::new("/srv/web/config/a.js"));
    assert!(!beside.contains("relative path"), "{beside}");
    for named in ["npm", "/srv/web/a.js"] {
        let script = serde_json::json!({ "script": named });
        let elsewhere = made(script, |_| true);
        assert!(!elsewhere.contains("relative path"), "{elsewhere}");
    }
    let below = serde_json::json!({ "script": "a.js", "cwd": "./api" });
    let below = made(below, |path| path == Path::new("/srv/web/api/a.js"));
    assert!(below.contains("\ncwd = \"/srv/web/api\"\n"), "{below}");
    let fixed = serde_json::json!({ "script": "a.js", "cwd": "/srv/api" });
    let fixed = made(fixed, |path| path.ends_with("a.js"));
    assert!(
        fixed.contains("cwd = \"/srv/api\"") && !fixed.contains("relative path"),
        "{fixed}"
    );
}

#[test]
fn a_file_without_apps_is_refused() {
    for (kind, text) in [
        (Kind::Json, "{}"),
        (Kind::Json, "[]"),
        (Kind::Json, "3"),
        (Kind::Json, "{\"apps\": []}"),
        (Kind::Json, "{"),
        (Kind::Yaml, ""),
        (Kind::Package, "{\"name\": \"x\"}"),
        (Kind::Procfile, "# nothing\n"),
        (Kind::Dump, "{}"),
    ] {
        let source = Source {
            name: "x",
            kind,
            text,
            folder: Path::new("/"),
            is_moved: false,
            called_in: None,
            is_file: |_| false,
        };
        let fault = import(&source).unwrap_err();
        assert!(!fault.help.is_empty(), "{kind:?} {text}");
    }
}

#[test]
fn a_job_is_an_app_that_a_timer_starts() {
    let text = app(
        &serde_json::json!({ "script": "clean.js", "cron_restart": "0 3 * * *", "autorestart": false, "max_restarts": 3, "port": 80 }),
    );
    assert!(text.contains("\nschedule = \"0 3 * * *\""), "{text}");
    for key in ["\nlisten", "\nautorestart", "\nmax_restarts"] {
        assert!(!text.contains(key), "{text}");
    }
}

#[test]
fn a_program_that_is_not_to_be_started_is_told_what_starts_it() {
    let told = |attributes: serde_json::Value| {
        let text = serde_json::json!([attributes]).to_string();
        let made = imported(Kind::Json, &text);
        // Long comments are broken.
        let words: Vec<&str> = made.split_whitespace().filter(|w| *w != "#").collect();
        words.join(" ")
    };
    let job = told(
        serde_json::json!({ "script": "a.js", "cron_restart": "0 3 * * *", "autorestart": false, "autostart": false }),
    );
    assert!(job.contains("`systemctl disable APP.timer`"), "{job}");
    let app = told(serde_json::json!({ "script": "a.js", "autostart": false }));
    assert!(
        app.contains("`systemctl disable APP.service APP.socket`"),
        "{app}"
    );
}

#[test]
fn every_name_of_an_attribute_is_taken_in_camel_case_too() {
    let text = app(
        &serde_json::json!({ "exec": "a.js", "killTimeout": 1, "errFile": "/dev/null", "waitReady": true }),
    );
    for line in [
        "script = \"a.js\"",
        "kill_timeout = 1",
        "StandardError = \"null\"",
        "ready = \"message\"",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_a_file_holds_its_values_stay_values(
        name in any::<String>(), value in any::<String>(), key in any::<String>(), script in "[^ ]+",
    ) {
        let attributes = serde_json::json!({
            "name": name, "script": script, "args": [value], "env": { "A": value }, &key: value, "error_file": value,
        });
        let text = imported(Kind::Json, &serde_json::json!([attributes]).to_string());
        // No character that controls a terminal.
        prop_assert_eq!(&visible::json(&text), &text);
        let document: DocumentMut = text.parse().unwrap();
        prop_assert_eq!(document.len(), 1);
        let app = document["apps"][0].as_table().unwrap();
        let known = ["name", "script", "args", "interpreter", "cwd", "env", "service", "listen"];
        let is_known = app.iter().all(|(written, _)| known.contains(&written) || names().any(|name| name == written));
        prop_assert!(is_known || key.starts_with("env_"), "{}", text);
        if !script.contains(char::is_whitespace) {
            prop_assert_eq!(app["script"].as_str(), Some(script.as_str()));
            prop_assert_eq!(app["args"][0].as_str(), Some(value.as_str()));
        }
    }
}
