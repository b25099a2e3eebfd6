//! Claims about any ecosystem file: nothing in it becomes a line, a specifier or a word of a unit unless it is meant to be one.
//! `tests/injection.rs` tests them with random values, and the fuzzer searches for values that break them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use rsgen::ecosystem::env_files::EnvFiles;
use rsgen::ecosystem::resolve::{Beyond, FileStatus};
use rsgen::ecosystem::{self, App};
use rsgen::layout::Layout;
use rsgen::plan::{self, Host, Origin};
use rsgen::unit::directive::Section;
use testbed::unit::{Directive, Dollar, read, words};

const HOST: Host = Host {
    cpus: 4,
    yama: true,
    status: |_| None,
};
/// A host on which every file and folder belongs to another user.
const OTHERS: Host = Host {
    status: |_| {
        Some(FileStatus {
            owner: 7,
            group: 7,
            mode: 0o755,
            link: None,
            beyond: Beyond::Nothing,
        })
    },
    ..HOST
};
const TEMPLATES: [(&str, &str); 5] = [
    (".timer", include_str!("../../templates/app.timer")),
    (".socket", include_str!("../../templates/app.socket")),
    (
        "@.service",
        include_str!("../../templates/instance.service"),
    ),
    (
        ":brake.service",
        include_str!("../../templates/brake.service"),
    ),
    (".service", include_str!("../../templates/cluster.service")),
];

/// Any text is an invalid file, or its apps have units that say the same.
pub(crate) fn of_any_text(text: &str) {
    let (apps, report) = ecosystem::parse("ecosystem.toml", text);
    let shown = report.render(false).to_string();
    assert!(!shown.is_empty() || !report.has_errors());
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'));
    if !report.has_errors() {
        apps.iter().for_each(of_an_app);
    }
}

/// The units of an app contain the values of the app, and beyond these only the text of the templates.
pub(crate) fn of_an_app(app: &App) {
    for host in [HOST, OTHERS] {
        on_a_host(app, host);
    }
}

fn on_a_host(app: &App, host: Host) {
    let layout = Layout::system(Path::new("/"));
    let source = Path::new("/etc/rsgen/app.toml");
    let units = plan::units(app, Origin::Generated(source), &layout, host)
        .expect("units of an app without fault");
    for (path, text) in &units.files {
        let unit = path.to_string_lossy();
        let directives = read(text).unwrap_or_else(|why| panic!("{unit}: {why}\n{text}"));
        let allowed = allowed(app, &unit);
        for d in &directives {
            let place = (d.section.clone(), d.key.clone());
            assert!(
                allowed.contains(&place),
                "{unit}: {d:?} is not in its template\n{text}"
            );
        }
        if unit.ends_with("@.service") {
            of_an_instance(app, host, &directives);
        }
    }
}

/// The sections and keys that a unit may have: those of its template, and the directives in the file.
fn allowed(app: &App, unit: &str) -> BTreeSet<(String, String)> {
    let reload = include_str!("../../templates/reload.service");
    let (ending, template) = TEMPLATES
        .into_iter()
        .find(|(ending, _)| unit.ends_with(ending))
        .map(|found| {
            if unit.starts_with("rsgen-reload") {
                ("", reload)
            } else {
                found
            }
        })
        .expect("a template");
    let sandbox = include_str!("../../templates/sandbox.service");
    let template = template.replace("{% include \"sandbox.service\" %}", sandbox);
    let mut section = "";
    let mut allowed = BTreeSet::new();
    for line in template.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line
            .split_once('=')
            .filter(|_| !line.starts_with(['#', '{']))
        {
            allowed.insert((section.to_owned(), key.to_owned()));
        }
    }
    let mut own = |section: &str, keys: &[(String, String)]| {
        allowed.extend(
            keys.iter()
                .map(|(key, _)| (section.to_owned(), key.clone())),
        );
    };
    match ending {
        ".socket" => {
            own("Socket", app.directives(Section::Socket));
            own(
                "Socket",
                &[
                    ("ListenStream".to_owned(), String::new()),
                    ("ListenDatagram".to_owned(), String::new()),
                ],
            );
        }
        ".timer" => own("Timer", app.directives(Section::Timer)),
        "@.service" => {
            own("Unit", app.directives(Section::Unit));
            own("Service", app.directives(Section::Service));
            let sandbox = plan::sandbox_directives().map(|name| (name.to_owned(), String::new()));
            own("Service", &sandbox.collect::<Vec<_>>());
        }
        _ => {}
    }
    allowed
}

fn of_an_instance(app: &App, host: Host, directives: &[Directive]) {
    let values = |key: &str| -> Vec<&str> {
        let of_service = directives
            .iter()
            .filter(|d| d.section == "Service" && d.key == key);
        of_service.map(|d| d.value.as_str()).collect()
    };
    let [start] = values("ExecStart")[..] else {
        panic!("one ExecStart=: {directives:?}");
    };
    let start = words(start, Dollar::Variable).expect("a command line");
    let program = app.program().command_line();
    assert!(
        start.ends_with(&program),
        "{start:?} does not end in {program:?}"
    );
    assert_eq!(
        start.iter().position(|w| w == "--"),
        Some(start.len() - program.len() - 1)
    );
    let flags = start.iter().take_while(|word| *word != "--");
    let read: Vec<&str> = flags
        .filter_map(|flag| flag.strip_prefix("--env-file="))
        .collect();
    assert_eq!(read, EnvFiles::of(app, &host.status).by_worker);

    let variables = app.variables().into_iter();
    let mut env: Vec<String> = variables
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut said = Vec::new();
    for value in values("Environment") {
        // Directives in the file are written as they are.
        if !app
            .directives(Section::Service)
            .iter()
            .any(|(key, own)| key == "Environment" && own.trim() == value)
        {
            said.extend(words(value, Dollar::Plain).expect("an assignment"));
        }
    }
    env.sort();
    said.sort();
    assert_eq!(said, env);

    let plain = |key: &str| values(key).first().map(|v| v.replace("%%", "%"));
    let (user, group) = app.account();
    assert_eq!(plain("User").as_deref(), user);
    assert_eq!(plain("Group").as_deref(), group);
    if let Some(cwd) = app.program().cwd() {
        assert_eq!(plain("WorkingDirectory").as_deref(), Some(cwd));
    }
}

/// An ecosystem file with these values in every place that takes one.
pub(crate) fn file(values: &[String]) -> String {
    let mut values = values.iter().map(|v| quoted(v)).cycle();
    let mut next = || values.next().unwrap_or_else(|| "\"\"".to_owned());
    format!(
        "[[apps]]\nname = \"web\"\nlisten = 3000\nscript = {}\nargs = [{}, {}]\ninterpreter = {}\ncwd = {}\nuser = {}\nenv_file = {}\n\
         env.A = {}\nenv.B = {}\nunit.Description = {}\nservice.X-Own = {}\nsocket.SmackLabel = {}\n\
         reload_schedule = \"daily\"\ntimer.X-Own = {}\n",
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next()
    )
}

/// An ecosystem file of a job with any value in the place of its time.
pub(crate) fn job(time: &str) -> String {
    let time = quoted(time);
    format!("[[apps]]\nname = \"web\"\nscript = \"a\"\nschedule = [\"daily\", {time}]\n")
}

/// A string of TOML, whatever is in it.
/// Any text as a TOML string.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
