//! The keys of one `[[apps]]` table: names and meaning are PM2's where PM2 has one.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

use super::app::{App, Program, Rollout};
use super::diagnostic::Diagnostic;
use super::lifecycle;
use super::listen::Taken;
use super::pm2;
use super::read::{Fields, Found, integer, scalar};
use super::tables::{check_variable, read_directives, read_env};
use super::values::{Handover, Instances, Listen, OnFailure, Ready, Sandbox};
use super::variables;
use crate::unit::directive::Section;
use crate::unit::{Fault, escape, name};

/// Every key of an app, in the order in which the manual lists them.
pub const KEYS: &[&str] = &[
    "name",
    "script",
    "args",
    "cwd",
    "interpreter",
    "interpreter_args",
    "instances",
    "instance_var",
    "env",
    "env_file",
    "user",
    "group",
    "sandbox",
    "listen",
    "handover",
    "ready",
    "kill_signal",
    "kill_timeout",
    "drain",
    "drain_timeout",
    "preload",
    "shutdown_with_message",
    "listen_timeout",
    "restart_delay",
    "autorestart",
    "min_uptime",
    "max_restarts",
    "exp_backoff_restart_delay",
    "surge",
    "parallel",
    "settle",
    "on_failure",
    "unit",
    "service",
    "socket",
];

/// Whether an app has such a key.
pub(super) fn is_key(word: &str) -> bool {
    KEYS.contains(&word)
}

/// Reads one app; `None` when what every later check needs is missing.
pub(super) fn read(
    table: &DeTable<'_>,
    span: Range<usize>,
    faults: &mut Vec<Diagnostic>,
) -> Option<App> {
    let mut f = Fields::new(table, faults);
    let script = required(&mut f, "script", &span, "\"server.js\"");
    let named = read_name(&mut f, &span, script.as_ref());
    let (listen, listen_span) = read_listen(&mut f, &span);
    let (handover, ready) = read_handover(&mut f);
    let span = named.as_ref().map_or(span, |n| n.span.clone());
    let app = App {
        program: read_program(&mut f, script.as_ref()),
        script_span: script.as_ref().map_or(span.clone(), |s| s.span.clone()),
        instances: read_instances(&mut f).unwrap_or(Instances::Exactly(1)),
        instance_var: read_instance_var(&mut f),
        env: read_env(&mut f),
        env_file: read_env_file(&mut f),
        env_file_span: place(&mut f, "env_file", &span),
        user_span: place(&mut f, "user", &span),
        user: read_account(&mut f, "user"),
        group: read_account(&mut f, "group"),
        sandbox: f
            .parsed("sandbox", "\"default\"")
            .unwrap_or(Sandbox::Default),
        handover,
        ready,
        lifecycle: lifecycle::read(&mut f),
        rollout: read_rollout(&mut f),
        unit: read_directives(&mut f, "unit", Section::Unit),
        service: read_directives(&mut f, "service", Section::Service),
        service_spans: f
            .map("service")
            .into_iter()
            .map(|(name, (span, _))| (name, span))
            .collect(),
        socket: read_directives(&mut f, "socket", Section::Socket),
        name: named.as_ref().map(|n| n.value.clone()).unwrap_or_default(),
        span,
        listen,
        listen_span,
    };
    f.finish("an app", pm2::advice);
    (named.is_some() && script.is_some()).then_some(app)
}

/// Where a key's value stands, or the app where it has none.
fn place(f: &mut Fields<'_, '_>, key: &'static str, app: &Range<usize>) -> Range<usize> {
    f.value(key).map_or(app.clone(), toml::Spanned::span)
}

fn required(
    f: &mut Fields<'_, '_>,
    key: &'static str,
    span: &Range<usize>,
    example: &str,
) -> Option<Found<String>> {
    if f.value(key).is_none() {
        f.faults.push(
            Diagnostic::error(span.clone(), format!("this app has no `{key}`"))
                .help(format!("add `{key} = {example}`")),
        );
        return None;
    }
    let found = f.string(key, example)?;
    if found.value.is_empty() {
        f.faults.push(
            Diagnostic::error(found.span, format!("`{key}` is empty"))
                .help(format!("write it as in `{key} = {example}`")),
        );
        return None;
    }
    Some(found)
}

// PM2's default: the script's file name without its extension.
fn read_name(
    f: &mut Fields<'_, '_>,
    span: &Range<usize>,
    script: Option<&Found<String>>,
) -> Option<Found<String>> {
    let given = if f.value("name").is_some() {
        f.string("name", "\"web\"")
    } else {
        let stem = std::path::Path::new(&script?.value)
            .file_stem()?
            .to_str()?
            .to_owned();
        Some(Found {
            value: stem,
            span: span.clone(),
        })
    }?;
    f.note(&given.span, name::check(&given.value))?;
    Some(given)
}

fn read_program(f: &mut Fields<'_, '_>, script: Option<&Found<String>>) -> Program {
    let script = script.map(|s| s.value.clone()).unwrap_or_default();
    let args = f.words("args").unwrap_or_default();
    let interpreter_args = f.words("interpreter_args").unwrap_or_default();
    let cwd = f
        .string("cwd", "\"/srv/web\"")
        .and_then(|cwd| clean_path(f, "cwd", cwd));
    let interpreter = match f.string("interpreter", "\"node\"") {
        Some(given) if given.value == "none" || given.value.is_empty() => None,
        Some(given) => Some(given.value),
        None => by_extension(&script).map(str::to_owned),
    };
    Program {
        script,
        args,
        interpreter,
        interpreter_args,
        cwd,
    }
}

fn clean_path(f: &mut Fields<'_, '_>, key: &str, path: Found<String>) -> Option<String> {
    if path.value.is_empty() || !escape::fits_path(&path.value) {
        let fault = format!("`{key}` is `{}`, which no unit can hold", path.value);
        f.faults.push(Diagnostic::error(path.span, fault).help(
            "rename the path: no control characters, no blank at its ends, no backslash at its end",
        ));
        return None;
    }
    Some(path.value)
}

fn by_extension(script: &str) -> Option<&'static str> {
    match std::path::Path::new(script).extension()?.to_str()? {
        "js" | "cjs" | "mjs" => Some("node"),
        "py" => Some("python3"),
        "rb" => Some("ruby"),
        "sh" => Some("bash"),
        _ => None,
    }
}

fn read_instances(f: &mut Fields<'_, '_>) -> Option<Instances> {
    let value = f.value("instances")?;
    let parsed = match (integer(value), value.get_ref().as_str()) {
        (Some(number), _) => Instances::from_number(number),
        (None, Some(text)) => text.parse(),
        (None, None) => Err(Fault::new(
            "`instances` is no number",
            "write a number, `\"max\"`, or `-1` for one fewer than the CPUs",
        )),
    };
    f.note(&value.span(), parsed)
}

fn read_instance_var(f: &mut Fields<'_, '_>) -> Option<String> {
    let Some(given) = f.string("instance_var", "\"INSTANCE\"") else {
        return Some("NODE_APP_INSTANCE".into());
    };
    if given.value.is_empty() {
        return None;
    }
    check_variable(f, &given.value, &given.span)?;
    if let Some(fault) = variables::refusal(&given.value) {
        f.faults.push(Diagnostic::of(given.span, fault));
    }
    Some(given.value)
}

fn read_env_file(f: &mut Fields<'_, '_>) -> Vec<String> {
    let mut files = Vec::new();
    for file in f.list("env_file", "\".env\"").unwrap_or_default() {
        // EnvironmentFile= expands wildcards.
        if file.value.contains(['*', '?', '[']) {
            f.faults.push(
                Diagnostic::error(file.span, "`env_file` holds a wildcard")
                    .help("name each file, in a list"),
            );
        } else if let Some(path) = clean_path(f, "env_file", file) {
            files.push(path);
        }
    }
    files
}

// The strict rule of systemd for user and group names, see its USER_NAMES document.
fn read_account(f: &mut Fields<'_, '_>, key: &'static str) -> Option<String> {
    let value = f.value(key)?;
    let text = scalar(value).unwrap_or_default();
    let good = text.len() <= 31
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        f.faults.push(
            Diagnostic::error(value.span(), format!("`{text}` is no {key}")).help(format!(
                "write the name of a {key} of this system, or its number"
            )),
        );
        return None;
    }
    Some(text)
}

fn read_listen(f: &mut Fields<'_, '_>, span: &Range<usize>) -> (Vec<Listen>, Range<usize>) {
    let Some(value) = f.value("listen") else {
        f.faults.push(
            Diagnostic::error(span.clone(), "this app has no `listen`")
                .help("add the address that its instances share, e.g. `listen = 3000`"),
        );
        return (Vec::new(), span.clone());
    };
    let mut listen: Vec<Listen> = Vec::new();
    let mut taken = Taken::default();
    for found in f.list("listen", "3000").unwrap_or_default() {
        let Some(address) = f.parse::<Listen>(&found.value, &found.span) else {
            continue;
        };
        if taken.by_family(&address).is_some() {
            f.faults.push(
                Diagnostic::error(
                    found.span,
                    format!("`{address}` is covered by an address before it"),
                )
                .help("leave it out"),
            );
        } else {
            taken.take(&address, 0);
            listen.push(address);
        }
    }
    if value.get_ref().as_array().is_some_and(|a| a.is_empty()) {
        f.faults.push(
            Diagnostic::error(value.span(), "`listen` is empty")
                .help("add the address that its instances share, e.g. `listen = 3000`"),
        );
    }
    (listen, value.span())
}

fn read_handover(f: &mut Fields<'_, '_>) -> (Handover, Ready) {
    let handover = f.parsed("handover", "\"bind\"").unwrap_or(Handover::Bind);
    let default = match handover {
        Handover::Bind => Ready::Listen,
        Handover::Fds => Ready::Exec,
    };
    let span = f.value("ready").map(toml::Spanned::span);
    let ready = f.parsed("ready", "\"listen\"").unwrap_or(default);
    if let (Handover::Fds, Ready::Listen, Some(span)) = (handover, ready, span) {
        f.faults.push(
            Diagnostic::error(span, "`ready = \"listen\"` needs `handover = \"bind\"`")
                .help("a program that is given its sockets never calls listen; write `ready = \"notify\"` if it calls sd_notify, else `\"exec\"`"),
        );
    }
    (handover, ready)
}

fn read_rollout(f: &mut Fields<'_, '_>) -> Rollout {
    Rollout {
        surge: f.number("surge", 0..2).unwrap_or(1),
        parallel: f.number("parallel", 1..1025).unwrap_or(1),
        settle: f.time("settle").unwrap_or(Duration::from_secs(1)),
        on_failure: f
            .parsed("on_failure", "\"abort\"")
            .unwrap_or(OnFailure::Abort),
    }
}
