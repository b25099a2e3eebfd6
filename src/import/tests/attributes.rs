//! The import of each attribute.

use serde_json::{Value, json};

use super::app;

/// The lines of an app, without its comments, its name and its address.
pub(super) fn lines(attributes: &Value) -> Vec<String> {
    let text = app(attributes);
    let is_line = |line: &&str| {
        !line.is_empty()
            && !["#", "name = ", "listen = "]
                .iter()
                .any(|b| line.starts_with(b))
    };
    text.lines().filter(is_line).map(str::to_owned).collect()
}

/// The comments about the attributes of an app that are left out.
pub(super) fn left(attributes: &Value) -> String {
    let list = json!({ "apps": [attributes] }).to_string();
    let text = super::imported(super::Kind::Json, &list);
    let (_, left) = text.split_once("# Left out:").unwrap_or_default();
    let (left, _) = left.split_once("[[apps]]").unwrap_or_default();
    left.replace("\n#  ", "")
}

#[test]
fn a_script_has_the_interpreter_that_pm2_has_for_its_ending() {
    for (script, interpreter) in [
        ("a.ts", Some("bun")),
        ("a.tsx", Some("bun")),
        ("a.php", Some("php")),
        ("a.pl", Some("perl")),
        ("a.coffee", Some("coffee")),
        ("a.ls", Some("lsc")),
        ("a.js", None),
        ("./server", None),
    ] {
        let mut expected = vec![format!("script = \"{script}\"")];
        expected.extend(interpreter.map(|name| format!("interpreter = \"{name}\"")));
        assert_eq!(lines(&json!({ "script": script })), expected);
    }
    let given = json!({ "script": "a.ts", "interpreter": "node@20" });
    let expected = ["script = \"a.ts\"", "interpreter = \"node\""];
    assert_eq!(lines(&given), expected);
    assert!(app(&given).contains("installs version 20 with nvm"));
    let other = json!({ "script": "a", "interpreter": "x@1" });
    assert_eq!(lines(&other)[1], "interpreter = \"x@1\"");
}

#[test]
fn a_script_of_several_words_is_a_command_line() {
    for (given, expected) in [
        (
            json!({ "script": "npm run start" }),
            &["script = \"npm\"", "args = [\"run\", \"start\"]"][..],
        ),
        (
            json!({ "script": "./serve.sh now" }),
            &[
                "script = \"./serve.sh\"",
                "args = [\"now\"]",
                "interpreter = \"none\"",
            ],
        ),
        (
            json!({ "script": "npm run", "interpreter": "none" }),
            &["script = \"npm\"", "args = [\"run\"]"],
        ),
        (
            json!({ "script": "A=1 B=2 python3 x.py", "env": { "A": 3, "C": 4 } }),
            &[
                "script = \"x.py\"",
                "interpreter = \"python3\"",
                "[apps.env]",
                "C = 4",
                "A = \"1\"",
                "B = \"2\"",
            ],
        ),
        (
            json!({ "script": "npm start", "args": "-- 'a b'" }),
            &["script = \"npm\"", "args = [\"start\", \"--\", \"a b\"]"],
        ),
        (
            json!({ "script": "npm start", "args": ["a b", 1] }),
            &["script = \"npm\"", "args = [\"start\", \"a b\", \"1\"]"],
        ),
    ] {
        assert_eq!(lines(&given), expected, "{given}");
    }
    assert!(app(&json!({ "script": "npm start" })).contains("nothing in it needs a shell"));
}

#[test]
fn words_are_a_string_or_a_list_as_they_were() {
    for (args, expected) in [
        (json!("-a 'b c'"), Some("args = \"-a 'b c'\"")),
        (json!("it's so"), Some("args = [\"it's\", \"so\"]")),
        (
            json!(["a", 1, true]),
            Some("args = [\"a\", \"1\", \"true\"]"),
        ),
        (json!(7), Some("args = \"7\"")),
        (json!(" "), None),
        (json!([["a"]]), None),
        (json!(true), None),
    ] {
        let given = json!({ "script": "x", "args": args });
        assert_eq!(
            lines(&given).get(1).map(String::as_str),
            expected,
            "{given}"
        );
    }
    assert!(left(&json!({ "script": "x", "args": " " })).contains("it is empty"));
    assert!(left(&json!({ "script": "x", "args": [[]] })).contains("a list of strings"));
    assert!(left(&json!({ "script": "x", "args": true })).contains("a string or a list"));
}

#[test]
fn source_maps_are_a_flag_of_node_beside_others() {
    for (flags, expected) in [
        (json!(null), "[\"--enable-source-maps\"]"),
        (
            json!("-r 'a b'"),
            "[\"-r\", \"a b\", \"--enable-source-maps\"]",
        ),
        (
            json!(["-r", "x"]),
            "[\"-r\", \"x\", \"--enable-source-maps\"]",
        ),
    ] {
        let given = json!({ "script": "x", "source_map_support": true, "node_args": flags });
        assert_eq!(lines(&given)[1], format!("interpreter_args = {expected}"));
    }
    let off = json!({ "script": "x", "source_map_support": false });
    assert_eq!(lines(&off), ["script = \"x\""]);
}

#[test]
fn numbers_and_times_are_within_the_bounds_of_both() {
    for (key, value, expected) in [
        ("instances", json!("max"), Some("\"max\"")),
        ("instances", json!(0), Some("\"max\"")),
        ("instances", json!(-1), Some("-1")),
        ("instances", json!("2"), Some("2")),
        ("kill_timeout", json!(0), Some("0")),
        ("kill_timeout", json!("3s"), Some("\"3s\"")),
        ("kill_timeout", json!(-1), None),
        ("kill_timeout", json!("soon"), None),
        ("listen_timeout", json!(30_001), Some("30001")),
        ("listen_timeout", json!(30_000), None),
        ("max_restarts", json!(9999), Some("9999")),
        ("max_restarts", json!(10_000), Some("9999")),
        ("max_restarts", json!(0), Some("1")),
        ("max_restarts", json!("many"), None),
        ("stop_exit_codes", json!(3), Some("[3]")),
        ("stop_exit_codes", json!([0, 255]), Some("[0, 255]")),
        ("stop_exit_codes", json!([256]), None),
        ("user", json!(33), Some("33")),
        ("user", json!("www"), Some("\"www\"")),
        ("user", json!([]), None),
        ("autorestart", json!("false"), Some("false")),
        ("autorestart", json!("no"), None),
        ("cwd", json!("/srv"), Some("\"/srv\"")),
        ("cwd", json!([]), None),
    ] {
        let given = json!({ "script": "x", key: value });
        let expected = expected.map(|value| format!("{key} = {value}"));
        assert_eq!(lines(&given).get(1), expected.as_ref(), "{given}");
        assert_eq!(left(&given).contains(key), expected.is_none(), "{given}");
    }
}

#[test]
fn an_amount_of_memory_is_one_of_systemds() {
    for (amount, expected) in [
        (json!("300M"), Some("300M")),
        (json!("1gb"), Some("1G")),
        (json!(" 2048k "), Some("2048K")),
        (json!("512K"), None),
        (json!(157_286_400), Some("157286400")),
        (json!(1024), None),
        (json!("0"), None),
        (json!("1KM"), None),
        (json!("M"), None),
        (json!("-1M"), None),
        (json!(true), None),
    ] {
        let given = json!({ "script": "x", "max_memory_restart": amount });
        let mut all = vec!["script = \"x\"".to_owned()];
        if let Some(amount) = expected {
            all.push(format!("max_memory_restart = \"{amount}\""));
        }
        assert_eq!(lines(&given), all, "{given}");
    }
}

#[test]
fn a_job_has_no_limit_beyond_which_it_is_replaced() {
    let mut given =
        json!({ "script": "x", "max_memory_restart": "300M", "cron_restart": "@daily" });
    let limit = "max_memory_restart = \"300M\"".to_owned();
    assert!(lines(&given).contains(&limit), "{:?}", lines(&given));
    given["autorestart"] = json!(false);
    assert!(!lines(&given).contains(&limit), "{:?}", lines(&given));
    let told = left(&given);
    assert!(told.contains("a run of a job ends by itself"), "{told}");
}

#[test]
fn only_a_program_of_node_gets_its_messages() {
    for (script, is_node) in [
        ("a.js", true),
        ("a.mjs", true),
        ("npm", true),
        ("/usr/bin/node", true),
        ("./node_modules/.bin/serve", true),
        ("a.py", false),
        ("./serve", false),
    ] {
        let given = json!({ "script": script, "wait_ready": true, "shutdown_with_message": true });
        let text = app(&given);
        assert_eq!(text.contains("ready = \"message\""), is_node, "{script}");
        let is_told = text.contains("shutdown_with_message = true");
        assert_eq!(is_told, is_node, "{script}");
    }
    let interpreted =
        json!({ "script": "x", "interpreter": "none", "shutdown_with_message": false });
    assert!(app(&interpreted).contains("shutdown_with_message = false"));
    let unready = json!({ "script": "a.js", "wait_ready": false });
    assert_eq!(lines(&unready), ["script = \"a.js\""]);
    assert!(left(&unready).contains("an instance is ready when it listens"));
    assert!(left(&json!({ "script": "a.js", "wait_ready": 2 })).contains("true or false"));
    let told = left(&json!({ "script": "a.js", "shutdown_with_message": 2 }));
    assert!(told.contains("true or false"), "{told}");
}

#[test]
fn a_pattern_of_cron_is_a_schedule_unless_it_is_off() {
    for off in [json!(false), json!(0), json!("0"), json!(" ")] {
        let given = json!({ "script": "x", "cron_restart": off });
        assert_eq!(lines(&given), ["script = \"x\""]);
        assert!(left(&given).contains("it is off"), "{given}");
    }
    let daily = json!({ "script": "x", "cron_restart": "0 4 * * *" });
    assert_eq!(lines(&daily)[1], "reload_schedule = \"0 4 * * *\"");
    assert!(left(&json!({ "script": "x", "cron_restart": 5 })).contains("cron_restart = 5: "));
}

#[test]
fn what_is_watched_is_all_a_path_or_a_list() {
    for (watch, expected) in [
        (json!(true), "watch = true"),
        (json!("src"), "watch = [\"src\"]"),
        (json!(["a", "b"]), "watch = [\"a\", \"b\"]"),
    ] {
        let given =
            json!({ "script": "x", "watch": watch, "ignore_watch": "tmp", "watch_delay": 5 });
        let all = lines(&given);
        assert_eq!(
            all[1..],
            [expected, "ignore_watch = [\"tmp\"]", "watch_delay = 5"]
        );
    }
    let off = json!({ "script": "x", "watch": false, "ignore_watch": "tmp", "watch_delay": 5 });
    assert_eq!(lines(&off), ["script = \"x\""]);
    assert_eq!(left(&off).matches("nothing is watched").count(), 3);
    assert!(left(&json!({ "script": "x", "watch": 1 })).contains("a path or a list of paths"));
}

#[test]
fn an_attribute_that_is_there_twice_or_has_no_value_says_nothing() {
    let given = json!({ "exec": "a", "script": "b", "cwd": null });
    assert_eq!(lines(&given), ["script = \"a\""]);
    assert!(left(&given).contains("script = \"b\": "));
    assert!(!left(&given).contains("cwd"));
}

#[test]
fn a_name_that_no_unit_can_have_becomes_the_nearest() {
    for (name, expected) in [
        (json!("web"), "web"),
        (json!("my app"), "my-app"),
        (json!("-x."), "x"),
        (json!("日本"), "app"),
        (json!(7), "7"),
    ] {
        let text = app(&json!({ "name": name, "script": "x" }));
        assert!(text.contains(&format!("name = \"{expected}\"\n")), "{text}");
    }
    let long = app(&json!({ "name": "x".repeat(300), "script": "x" }));
    let line = long.lines().find(|line| line.starts_with("name = "));
    assert_eq!(line.map(str::len), Some(200 + "name = \"\"".len()));
}

#[test]
fn a_number_within_the_bounds_has_no_comment() {
    let text = app(&json!({ "script": "x", "max_restarts": 5 }));
    assert!(
        text.contains("script = \"x\"\nmax_restarts = 5\n"),
        "{text}"
    );
}
