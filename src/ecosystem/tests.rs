//! The result of reading a file, and the texts of its faults.

use super::app::App;
use super::diagnostic::{Diagnostic, Severity};
use super::values::Ready;
use super::{collision, parse};
use crate::unit::directive::Section;

fn faults(text: &str) -> Vec<Diagnostic> {
    parse("eco.toml", text).1.diagnostics
}

/// Returns the faults of an app with these keys: `message; help`.
fn told(keys: &str) -> Vec<String> {
    said(&format!(
        "[[apps]]\nscript = \"x\"\nlisten = 1\nuser = \"root\"\n{keys}\n"
    ))
}

fn said(text: &str) -> Vec<String> {
    let faults = faults(text).into_iter();
    faults
        .map(|f| format!("{}; {}", f.message, f.help.unwrap_or_default()))
        .collect()
}

fn app(text: &str) -> App {
    let (mut apps, report) = parse("eco.toml", text);
    assert!(!report.has_errors(), "{}", report.render(false));
    apps.remove(0)
}

/// Reads an app with these lines, which may have no address. Returns the messages of its faults, each of which has a help.
pub(super) fn read(lines: &str) -> (Option<App>, Vec<String>) {
    let text = format!("[[apps]]\nscript = \"x\"\nuser = \"www\"\n{lines}\n");
    let (mut apps, report) = parse("eco.toml", &text);
    let faults = report.diagnostics.into_iter().map(|fault| {
        assert!(fault.help.is_some(), "{}", fault.message);
        fault.message
    });
    (apps.pop(), faults.collect())
}

#[test]
fn an_app_is_what_its_file_says() {
    let app = app(r#"
        [[apps]]
        script = "server.rb"
        cwd = "/srv/web"
        listen = 3000
        reload_schedule = "daily"
        user = "web"
        group = 33
        instance_var = "NUMBER"
        env = { MODE = "production" }
        unit = { After = "a.service" }
        service = { MemoryMax = "1G" }
        socket = { Backlog = 7 }
        timer = { Persistent = true }
    "#);
    assert_eq!(app.account(), (Some("web"), Some("33")));
    assert_eq!(app.variables(), [("MODE", "production"), ("NUMBER", "%i")]);
    assert_eq!(app.program().cwd(), Some("/srv/web"));
    for (section, directive, value) in [
        (Section::Unit, "After", "a.service"),
        (Section::Service, "MemoryMax", "1G"),
        (Section::Socket, "Backlog", "7"),
        (Section::Timer, "Persistent", "yes"),
    ] {
        let wanted = (directive.to_owned(), value.to_owned());
        assert_eq!(*app.directives(section), [wanted]);
    }
}

#[test]
fn the_interpreter_is_that_of_the_extension() {
    for (script, interpreter) in [
        ("a.js", Some("node")),
        ("a.cjs", Some("node")),
        ("a.mjs", Some("node")),
        ("a.py", Some("python3")),
        ("a.rb", Some("ruby")),
        ("a.sh", Some("bash")),
        ("a.ts", None),
        ("a", None),
    ] {
        let app = app(&format!("[[apps]]\nscript = \"{script}\"\nlisten = 1"));
        assert_eq!(app.program().interpreter.as_deref(), interpreter);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_told_with_its_kind_and_an_example() {
    for (line, message) in [
        ("name = 3", "`name` is an integer, not a string; "),
        ("cwd = true", "`cwd` is a boolean, not a string; "),
        (
            "args = 1.5",
            "`args` is a float, not a string or a list of strings; ",
        ),
        (
            "kill_timeout = []",
            "`kill_timeout` is an array, not a time; ",
        ),
    ] {
        let told = told(line);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(message), "{told:?}");
        let example = format!("write it as in `{} = ", line.split(' ').next().unwrap());
        assert!(told[0].contains(&example), "{told:?}");
    }
}

#[test]
fn what_no_program_and_no_unit_can_hold_is_refused() {
    for key in ["cwd", "args", "interpreter"] {
        let told = told(&format!("{key} = \"/a\\u0000b\""));
        let start = format!("`{key}` contains a NUL character; ");
        assert!(told.len() == 1 && told[0].starts_with(&start), "{told:?}");
    }
    for path in ["", "/srv/web ", "/srv/web\\\\"] {
        let told = told(&format!("cwd = \"{path}\""));
        assert!(
            told.len() == 1 && told[0].contains("which cannot be written into a unit"),
            "{path}: {told:?}"
        );
    }
}

#[test]
fn a_key_that_stands_twice_is_told_as_that() {
    let twice = faults("[[apps]]\nname = \"a\"\nname = \"b\"\n");
    assert_eq!(twice[0].message, "duplicate key");
    let help = twice[0].help.as_deref().unwrap_or_default();
    assert!(help.ends_with("remove one of the two"), "{help}");
}

#[test]
fn what_pm2_reads_is_told_as_one_fault() {
    for (text, format) in [
        ("{ \"apps\": [] }", "JSON"),
        ("// ours\nmodule.exports = { apps: [] }", "JavaScript"),
        ("# ours\n\napps:\n  - name: web\n", "YAML"),
        ("---\napps: []\n", "YAML"),
        ("- name: web\n", "YAML"),
    ] {
        let told = said(text);
        assert_eq!(told.len(), 1, "{told:?}");
        let begin = format!("this is {format}, not TOML; `rsgen import` converts");
        assert!(told[0].starts_with(&begin), "{told:?}");
    }
    let told = said("[[apps]]\nname = web\n");
    assert!(
        told[0].ends_with("; write it in quotes, as in `name = \"web\"`"),
        "{told:?}"
    );
}

#[test]
fn an_unknown_key_is_answered_with_what_to_write() {
    assert_eq!(
        told("cmd = \"x\""),
        ["unknown key `cmd` in an app; write `script`"]
    );
    assert_eq!(
        told("instnces = 2"),
        ["unknown key `instnces` in an app; did you mean `instances`?"]
    );
    assert_eq!(
        told("PORT = 3000"),
        [
            "unknown key `PORT` in an app; a variable of the program belongs in `env`: `env.PORT = …`"
        ]
    );
    assert_eq!(
        told("DB_HOST = \"a\""),
        [
            "unknown key `DB_HOST` in an app; a variable of the program belongs in `env`: `env.DB_HOST = …`"
        ]
    );
    assert_eq!(
        told("Listen = 3000"),
        ["unknown key `Listen` in an app; did you mean `listen`?"]
    );
    let told = told("qqq = 1");
    let known = told[0].split_once("; known keys are ").unwrap().1;
    let mut known: Vec<&str> = known.split(", ").collect();
    let keys = super::rows().into_iter().map(|row| row.name);
    assert!(keys.clone().all(|key| known.contains(&key)), "{known:?}");
    known.sort_unstable();
    let all = known.len();
    known.dedup();
    assert_eq!(known.len(), all, "each once");
}

#[test]
fn a_key_before_the_first_app_is_sent_to_an_app_if_it_is_one_of_an_app() {
    let app = "[[apps]]\nscript = \"x\"\nlisten = 1\n";
    for (line, help) in [
        (
            "cwd = \"/srv\"",
            "unknown key `cwd` in the file; `cwd` belongs to an app: write `[[apps]]` before it",
        ),
        (
            "qqq = 1",
            "unknown key `qqq` in the file; known keys are apps",
        ),
    ] {
        assert_eq!(said(&format!("{line}\n{app}")), [help]);
    }
}

/// A guess compares a name with every known one, and a file may consist of nothing but faults.
#[test]
fn the_first_thousand_unknown_names_come_with_a_guess() {
    let lines = |start: &str| -> String {
        let lines: Vec<String> = (0..1010).map(|i| format!("{start}{i} = 1\n")).collect();
        lines.concat()
    };
    let app = "[[apps]]\nscript = \"x\"\nlisten = 1\nuser = \"root\"\n";
    for start in ["script", "service.MemoryMax"] {
        let said = said(&format!("{app}{}", lines(start)));
        let guesses = said.iter().filter(|s| s.contains("did you mean"));
        assert_eq!((said.len(), guesses.count()), (1010, 1000), "{start}");
    }
}

#[test]
fn two_apps_of_a_file_share_neither_a_name_nor_an_address() {
    let app =
        |name, listen| format!("[[apps]]\nname = {name}\nscript = \"x\"\nlisten = {listen}\n");
    let both = |a: String, b: String| said(&(a + &b));
    assert_eq!(
        both(app("\"a\"", 1), app("\"a\"", 2)),
        ["two apps are called `a`; give one of them another `name`"]
    );
    assert_eq!(
        both(app("\"a\"", 1), app("\"b\"", 1)),
        ["`b` listens on `1`, and so does `a`; give one of them another address in `listen`"]
    );
    assert_eq!(both(app("\"a\"", 1), app("\"b\"", 2)), Vec::<String>::new());
    // Invalid names are not duplicates of each other.
    let faults = both(app("\"a b\"", 1), app("\"c d\"", 2));
    let is_of_name = |fault: &String| fault.contains("cannot be the name of a unit");
    assert!(
        faults.len() == 2 && faults.iter().all(is_of_name),
        "{faults:?}"
    );
}

#[test]
fn an_app_collides_with_an_installed_one_by_its_address() {
    let of = |name: &str, listen: &str| {
        app(&format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"x\"\nlisten = {listen}"
        ))
    };
    let fault = collision(&of("a", "[1, 2]"), &of("b", "\"127.0.0.1:2\"")).unwrap();
    assert_eq!(fault.message, "`a` listens on `2`, and so does `b`");
    assert_eq!(collision(&of("a", "[1, 2]"), &of("b", "3")), None);
}

#[test]
fn a_variable_that_sounds_like_a_secret_is_a_warning() {
    let is_told = |name: &str| {
        let faults = faults(&format!(
            "[[apps]]\nscript = \"x\"\nlisten = 1\nenv.{name} = \"x\""
        ));
        assert!(faults.iter().all(|f| f.severity == Severity::Warning));
        let mut faults = faults.iter();
        faults.any(|f| {
            f.message
                .starts_with(&format!("`{name}` looks like a secret"))
        })
    };
    assert!(is_told("API_TOKEN") && is_told("db_password"));
    assert!(!is_told("COLOUR"));
}

#[test]
fn an_address_is_answered_with_what_is_wrong_with_it() {
    for (address, fault) in [
        (
            ":3000",
            "`:3000` has no address; write `3000` for every address",
        ),
        (
            "*:3000",
            "`*:3000` has no address; write `3000` for every address",
        ),
        (
            "localhost:3000",
            "`localhost:3000` is a name, not an address; write `127.0.0.1:3000` or `[::1]:3000`",
        ),
        ("web", "`web` is not an address; write `3000`, "),
        (
            "http://localhost:3000",
            "`http://localhost:3000` is a URL, not an address; write the port alone",
        ),
        ("udp:", "`udp:` is not an address; write `3000`, "),
        (
            "10.0.0.1:http",
            "`10.0.0.1:http` is not an address; write `3000`, ",
        ),
        (
            "1:70000",
            "`1:70000` has no valid port; ports go from 1 to 65535",
        ),
    ] {
        let said = said(&format!("[[apps]]\nscript = \"x\"\nlisten = \"{address}\""));
        assert!(said.len() == 1 && said[0].starts_with(fault), "{said:?}");
    }
    let app = app("[[apps]]\nscript = \"x\"\nlisten = \"tcp:3000\"");
    assert_eq!(app.listen[0].to_string(), "3000");
}

#[test]
fn what_is_nearly_toml_is_told_with_what_to_write() {
    for (line, remedy) in [
        ("name: \"web\"", "write `=` in place of `:`"),
        ("name = \"web\",", "leave the comma out"),
        ("name = \"web", "a text begins and ends with `\"`"),
        ("name = web", "write it in quotes"),
    ] {
        let said = said(&format!("[[apps]]\n{line}\nscript = \"x\"\n"));
        let is_told = said.iter().any(|fault| fault.contains(remedy));
        assert!(is_told, "{line}: {said:?}");
    }
}

#[test]
fn the_path_of_a_socket_is_as_long_as_the_kernel_takes_it() {
    let faults = |length: usize| {
        let path = format!("/{}", "s".repeat(length - 1));
        said(&format!("[[apps]]\nscript = \"x\"\nlisten = \"{path}\""))
    };
    assert_eq!(faults(107), Vec::<String>::new());
    for length in [108, 200] {
        let start = format!("the socket path is {length} bytes long; ");
        assert!(faults(length)[0].starts_with(&start));
    }
}

#[test]
fn a_time_goes_up_to_thirty_days() {
    assert_eq!(told("kill_timeout = \"30d\""), Vec::<String>::new());
    let told = told("kill_timeout = \"2592001s\"");
    assert_eq!(told, ["`2592001s` is too long; write at most 30 days"]);
}

/// A program that gets its sockets from systemd never calls listen(2).
#[test]
fn an_app_that_is_given_its_sockets_is_ready_when_it_runs() {
    let ready = |keys: &str| app(&format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{keys}")).ready;
    assert_eq!(ready(""), Ready::Listen);
    assert_eq!(ready("handover = \"fds\""), Ready::Exec);
    let told = told("handover = \"fds\"\nready = \"listen\"");
    let start = "`ready = \"listen\"` needs `handover = \"bind\"`; ";
    assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
}

#[test]
fn only_a_standing_warning_about_an_app_whose_file_is_unchanged_is_left_out() {
    let named = |name| {
        format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"x\"\nlisten = []\nenv_file = \"/srv/.env\"\n"
        )
    };
    let apps = parse("eco.toml", &["web", "api"].map(named).concat()).0;
    let fault = |app: &App, is_standing| Diagnostic {
        is_standing,
        ..Diagnostic::warning(app.env_file_span.clone(), app.name.clone())
    };
    let all: Vec<Diagnostic> = apps
        .iter()
        .flat_map(|app| [fault(app, true), fault(app, false)])
        .collect();
    let left = |unchanged: &[&App]| {
        let mut faults = all.clone();
        super::leave_out_standing(&mut faults, unchanged);
        faults
    };
    assert_eq!(left(&[]), all);
    assert_eq!(left(&[&apps[0]]), all[1..]);
    assert_eq!(left(&[&apps[1]]), [&all[..2], &all[3..]].concat());
}
