use super::*;
use crate::ecosystem::By;
use crate::ecosystem::parse;
use crate::ecosystem::values::Instances;

const TEXT: &str = r#"
# our shop
[[apps]]
script = "server.js" # the server
listen = 3000

[apps.env]
# mind the gap
MODE = "production"

# second
[[apps]]
name = "api"
script = "/srv/api.py"
instances = 2
listen = 3001
[apps.service]
MemoryMax = "1G"
"#;

fn pinned(index: usize, chosen: Option<Instances>) -> String {
    let (mut apps, report) = parse("eco.toml", TEXT);
    assert!(!report.has_errors(), "{}", report.render(false));
    let mut app = apps.remove(index);
    app.program.cwd = Some("/srv".into());
    if !app.program.script.starts_with('/') {
        app.program.script = format!("/srv/{}", app.program.script);
    }
    let chosen = chosen.map(|instances| Chosen {
        by: By::Option,
        instances,
        in_place_of: app.instances,
    });
    pin(TEXT, index, &app, chosen).unwrap()
}

#[test]
fn an_app_keeps_its_comments_and_gets_absolute_paths() {
    let text = pinned(0, None);
    for line in [
        "# our shop",
        "script = \"/srv/server.js\" # the server",
        "name = \"server\"",
        "cwd = \"/srv\"",
        "# mind the gap",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for other in ["api", "interpreter", "env_file", "watch"] {
        assert!(!text.contains(other), "{other} in {text}");
    }
}

#[test]
fn what_was_pinned_reads_back_as_the_same_app() {
    for index in [0, 1] {
        let (mut again, report) = parse("web.toml", &pinned(index, None));
        assert!(!report.has_errors(), "{}", report.render(false));
        let again = again.remove(0);
        let (apps, _) = parse("eco.toml", TEXT);
        assert_eq!(again.env, apps[index].env);
        assert_eq!(again.service, apps[index].service);
        assert_eq!(again.instances, apps[index].instances);
        let repinned = pin(&pinned(index, None), 0, &again, None).unwrap();
        assert_eq!(
            repinned.matches("# An app installed").count(),
            1,
            "{repinned}"
        );
        assert_eq!(repinned, pinned(index, None));
    }
}

#[test]
fn what_was_chosen_for_an_app_is_written_down_with_its_reason() {
    for env in [
        "",
        "env = { A = \"b\" }",
        "env.A = \"b\"",
        "[apps.env]\nA = \"b\"",
    ] {
        let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 1\n{env}\n");
        let mut app = parse("eco.toml", &text).0.remove(0);
        app.user = Some("deploy".to_owned());
        app.user_is_owner_of = Some("/srv/x".to_owned());
        app.env
            .insert("PATH".to_owned(), "/opt/bin:/bin".to_owned());
        app.first_in_path = Some("/opt/bin/node".to_owned());
        app.watched.watch = vec!["/srv".to_owned()];
        let pinned = pin(&text, 0, &app, None).unwrap();
        assert!(
            pinned.contains("user = \"deploy\" # the owner of /srv/x\n"),
            "{pinned}"
        );
        let (again, report) = parse("web.toml", &pinned);
        assert!(!report.has_errors(), "{}", report.render(false));
        let again = &again[0];
        assert_eq!((&again.env, &again.user), (&app.env, &app.user), "{pinned}");
        assert_eq!(again.watched.watch, app.watched.watch);
        assert_eq!(pin(&pinned, 0, again, None).unwrap(), pinned);
    }
}

#[test]
fn the_command_lines_number_of_instances_is_written_down() {
    for (index, instances, line) in [
        (
            1,
            Instances::Max,
            "\ninstances = \"max\" # --instances, in place of 2\n",
        ),
        (
            0,
            Instances::Fewer(1),
            "\ninstances = -1 # --instances, in place of 1\n",
        ),
        (1, Instances::Exactly(2), "\ninstances = 2\n"),
    ] {
        let text = pinned(index, Some(instances));
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_value_that_is_already_right_stays_as_it_is_written() {
    let text = "[[apps]]\nname = 'web'\nscript = '/srv/x' # here\ncwd = '''/srv'''\nlisten = 1\n";
    let app = parse("eco.toml", text).0.remove(0);
    let pinned = pin(text, 0, &app, None).unwrap();
    assert!(pinned.ends_with(&format!("\n\n{text}")), "{pinned}");
}

#[test]
fn files_of_variables_get_absolute_paths_and_their_comment_stays() {
    let text = "[[apps]]\nscript = \"x\"\nlisten = 1\nenv_file = \".env\" # ours\n";
    let mut app = parse("eco.toml", text).0.remove(0);
    app.env_file = vec!["/srv/.env".to_owned()];
    let pinned = pin(text, 0, &app, None).unwrap();
    let line = "env_file = [\"/srv/.env\"] # ours\n";
    assert!(pinned.contains(line), "{pinned}");
}

#[test]
fn apps_may_be_a_list_in_the_file() {
    let app = |name, listen| format!("{{ script = \"/srv/{name}\", listen = {listen} }}");
    let text = format!("apps = [{}, {}]\n", app("x", 1), app("y", 2));
    let app = parse("eco.toml", &text).0.remove(1);
    let (again, report) = parse("y.toml", &pin(&text, 1, &app, None).unwrap());
    assert!(!report.has_errors(), "{}", report.render(false));
    assert_eq!((&*again[0].name, again.len()), ("y", 1));
    assert_eq!(again[0].listen, app.listen);
}

#[test]
fn a_drop_in_goes_over_single_variables() {
    let over = overlay(TEXT, "listen = 4\n[env]\nADDED = \"1\"\n").unwrap();
    let app = parse("web.toml", &over).0.remove(0);
    assert_eq!(app.env["MODE"], "production");
    assert_eq!(app.env["ADDED"], "1");
    assert_eq!(app.listen[0].to_string(), "4");
}
