//! Imports the attributes that take more than renaming a key.

use toml_edit::{Array, Value as Toml};

use super::attribute::renamed;
use super::command;
use super::draft::{Draft, Given};
use super::value::Value;
use crate::contract::{Bytes, time as span};
use crate::unit::name as unit_name;

pub(super) use super::log::{disable_logs, error_file, log_file, merge_logs, out_file};
pub(super) use super::variables::{env, environment, increment_var, port};

pub(super) fn name(draft: &mut Draft<'_>, given: Given<'_>) {
    let Some(text) = given.value.scalar() else {
        return draft.refuse(given, "a string");
    };
    if unit_name::check(&text).is_ok() {
        return draft.set("name", text, "");
    }
    let note = format!("`{text}` in PM2, which cannot be the name of a unit");
    let name = unit_of(&text);
    draft.set("name", name, note);
}

/// Returns the name nearest to `text` that a unit can have.
pub(super) fn unit_of(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .take(200)
        .collect();
    let name = name.trim_matches(['-', '.']);
    let tries = [name.to_owned(), format!("{name}-app"), "app".to_owned()];
    let good = tries
        .into_iter()
        .find(|name| unit_name::check(name).is_ok());
    good.unwrap_or_else(|| "app".to_owned())
}

pub(super) fn interpreter(draft: &mut Draft<'_>, given: Given<'_>) {
    let Some(text) = given.value.text() else {
        return draft.refuse(given, "a string");
    };
    match text.split_once('@') {
        Some((name @ ("node" | "bun"), version)) => {
            let note = format!(
                "`{text}` in PM2, which installs version {version} with nvm; write the path of that version instead"
            );
            draft.set("interpreter", name, note);
        }
        _ => draft.set("interpreter", text, renamed(given, "interpreter")),
    }
}

pub(super) fn script(draft: &mut Draft<'_>, given: Given<'_>) {
    let Some(text) = given.value.text().filter(|text| !text.trim().is_empty()) else {
        return draft.refuse(given, "a string");
    };
    if !text.contains(char::is_whitespace) {
        draft.set("script", text, renamed(given, "script"));
        return usual_interpreter(draft, text);
    }
    let command = command::split(text);
    let why = if command.is_shells {
        "a shell command line"
    } else {
        "a shell command line, split because nothing in it needs a shell"
    };
    match command.interpreter {
        Some(interpreter) => draft.set("interpreter", interpreter, ""),
        None if command.script.contains('.') => draft.set("interpreter", "none", ""),
        None => draft.entries.retain(|entry| entry.key != "interpreter"),
    }
    draft.set("script", command.script, why);
    if !command.args.is_empty() {
        draft.set("args", command.args.iter().collect::<Array>(), "");
    }
    for (name, value) in command.env {
        let value = Value::Text(value);
        super::variables::put(&mut draft.env, &mut draft.left, "env", &name, &value);
    }
}

/// Sets the interpreter if PM2 chooses one by the file's extension and rsgen does not.
fn usual_interpreter(draft: &mut Draft<'_>, script: &str) {
    let extension = script.rsplit_once('.').map(|(_, extension)| extension);
    let interpreter = match extension {
        Some("ts" | "tsx") => "bun",
        Some("php") => "php",
        Some("pl") => "perl",
        Some("coffee") => "coffee",
        Some("ls") => "lsc",
        _ => return,
    };
    if draft.entry("interpreter").is_none() {
        draft.set(
            "interpreter",
            interpreter,
            "PM2's interpreter for this kind of file",
        );
    }
}

pub(super) fn args(draft: &mut Draft<'_>, given: Given<'_>) {
    // A shell command line as `script` may already have contained arguments.
    let before = draft
        .entry("args")
        .and_then(|entry| entry.value.as_array().cloned());
    words(draft, given, "args");
    let Some(mut all) = before else {
        return;
    };
    match draft.entry("args").map(|entry| entry.value.clone()) {
        Some(Toml::Array(more)) => all.extend(more.iter().filter_map(Toml::as_str)),
        Some(Toml::String(text)) => all.extend(shlex::split(text.value()).unwrap_or_default()),
        _ => {}
    }
    draft.set("args", all, "");
}

pub(super) fn words(draft: &mut Draft<'_>, given: Given<'_>, key: &str) {
    let note = renamed(given, key);
    match given.value {
        Value::Text(text) if text.trim().is_empty() => draft.leave(given, "it is empty"),
        Value::Text(text) if shlex::split(text).is_some() => draft.set(key, text.as_str(), note),
        Value::Text(text) => draft.set(key, text.split_whitespace().collect::<Array>(), note),
        Value::List(list) => match list.iter().map(Value::scalar).collect::<Option<Vec<_>>>() {
            Some(words) => draft.set(key, words.iter().collect::<Array>(), note),
            None => draft.refuse(given, "a list of strings"),
        },
        Value::Number(number) => draft.set(key, number.as_str(), note),
        _ => draft.refuse(given, "a string or a list"),
    }
}

pub(super) fn time(draft: &mut Draft<'_>, given: Given<'_>, key: &str) {
    let note = renamed(given, key);
    match (given.value.integer(), given.value.text()) {
        (Some(number), _) if number >= 0 => draft.set(key, number, note),
        (None, Some(text)) if span::parse(text).is_some() => draft.set(key, text, note),
        _ => draft.refuse(given, "a time"),
    }
}

pub(super) fn source_maps(draft: &mut Draft<'_>, given: Given<'_>) {
    const FLAG: &str = "--enable-source-maps";
    if given.value.boolean() != Some(true) {
        return draft.leave(
            given,
            "Node reads source maps only with `--enable-source-maps`",
        );
    }
    let mut all: Array = match draft
        .entry("interpreter_args")
        .map(|entry| entry.value.clone())
    {
        Some(Toml::Array(list)) => list,
        Some(Toml::String(text)) => shlex::split(text.value())
            .unwrap_or_default()
            .iter()
            .collect(),
        _ => Array::new(),
    };
    all.push(FLAG);
    draft.set("interpreter_args", all, "with `source_map_support` in PM2");
}

pub(super) fn instances(draft: &mut Draft<'_>, given: Given<'_>) {
    let number = given.value.integer();
    match (number, given.value.text()) {
        // `max`. PM2 gives every other word the same meaning.
        (None, Some(_)) | (Some(0), _) => draft.set("instances", "max", ""),
        (Some(number), _) => draft.set("instances", number, ""),
        (None, None) => draft.refuse(given, "a number or `max`"),
    }
}

pub(super) fn wait_ready(draft: &mut Draft<'_>, given: Given<'_>) {
    match given.value.boolean() {
        Some(true) if draft.is_node() => draft.set(
            "ready",
            "message",
            "`wait_ready` in PM2, which continues without the message after a while; here the program has to call \
             process.send('ready')",
        ),
        Some(true) => draft.leave(given, "only a Node program can send the message"),
        Some(false) => draft.leave(given, "an instance is ready when it listens"),
        None => draft.refuse(given, "true or false"),
    }
}

pub(super) fn listen_timeout(draft: &mut Draft<'_>, given: Given<'_>) {
    const DEFAULT: i64 = 30_000;
    match given.value.integer() {
        Some(time) if time > DEFAULT => draft.set("listen_timeout", time, ""),
        Some(_) => draft.leave(
            given,
            "after this time PM2 considers an instance ready, while rsgen considers its start failed; the default of \
             30 s applies",
        ),
        None => draft.refuse(given, "a number"),
    }
}

pub(super) fn user(draft: &mut Draft<'_>, given: Given<'_>) {
    account(draft, given, "user");
}

pub(super) fn group(draft: &mut Draft<'_>, given: Given<'_>) {
    account(draft, given, "group");
}

fn account(draft: &mut Draft<'_>, given: Given<'_>, key: &str) {
    match (given.value.integer(), given.value.text()) {
        (Some(number), _) => draft.set(key, number, renamed(given, key)),
        (None, Some(name)) => draft.set(key, name, renamed(given, key)),
        _ => draft.refuse(given, "a name or a number"),
    }
}

pub(super) fn shutdown_with_message(draft: &mut Draft<'_>, given: Given<'_>) {
    match given.value.boolean() {
        Some(true) if !draft.is_node() => {
            draft.leave(given, "only a Node program can receive the message");
        }
        Some(is) => draft.set("shutdown_with_message", is, ""),
        None => draft.refuse(given, "true or false"),
    }
}

pub(super) fn treekill(draft: &mut Draft<'_>, given: Given<'_>) {
    match given.value.boolean() {
        Some(true) => draft.leave(given, "the stop signal goes to all processes of an instance"),
        Some(false) => draft.direct(
            "KillMode",
            "mixed",
            "`treekill = false` in PM2: only the main process gets the stop signal; processes that are left when it \
             has ended are killed",
        ),
        None => draft.refuse(given, "true or false"),
    }
}

pub(super) fn autostart(draft: &mut Draft<'_>, given: Given<'_>) {
    let why = match given.value.boolean() {
        Some(false) if draft.is_job() => {
            "`rsgen install` starts the timer of a job: `rsgen stop APP` stops it, and `systemctl disable APP.timer` keeps it from starting at boot"
        }
        Some(false) => {
            "`rsgen install` starts an app: `rsgen stop APP` stops it, and `systemctl disable APP.service APP.socket` keeps it from starting at boot"
        }
        _ => "`rsgen install` starts an app",
    };
    draft.leave(given, why);
}

pub(super) fn stop_exit_codes(draft: &mut Draft<'_>, given: Given<'_>) {
    let codes = match given.value {
        Value::List(list) => list.iter().map(Value::integer).collect::<Option<Vec<_>>>(),
        value => value.integer().map(|code| vec![code]),
    };
    match codes {
        Some(codes) if codes.iter().all(|code| (0..=255).contains(code)) => {
            draft.set("stop_exit_codes", codes.into_iter().collect::<Array>(), "");
        }
        _ => draft.refuse(given, "a list of exit statuses"),
    }
}

pub(super) fn max_memory_restart(draft: &mut Draft<'_>, given: Given<'_>) {
    let amount = given.value.scalar().map(|text| text.trim().to_uppercase());
    let amount = amount.map(|text| text.trim_end_matches('B').to_owned());
    let bytes = amount.as_ref().and_then(|text| text.parse::<Bytes>().ok());
    match (amount, bytes) {
        (Some(_), Some(bytes)) if bytes.is_too_little() => {
            draft.leave(given, "too small for any program");
        }
        (Some(_), Some(_)) if draft.entry("schedule").is_some() => {
            draft.leave(given, "a run of a job ends by itself");
        }
        (Some(amount), Some(_)) => draft.set("max_memory_restart", amount, ""),
        _ => draft.refuse(given, "an amount of memory"),
    }
}

pub(super) fn cron_restart(draft: &mut Draft<'_>, given: Given<'_>) {
    match given.value {
        Value::Bool(false) => draft.leave(given, "it is off"),
        value if value.integer() == Some(0) => draft.leave(given, "it is off"),
        Value::Text(pattern) if pattern.trim().is_empty() => draft.leave(given, "it is off"),
        Value::Text(pattern) if draft.is_job() => draft.set(
            "schedule",
            pattern.as_str(),
            format!("`{}` with `autorestart = false` in PM2: a job", given.name),
        ),
        Value::Text(pattern) => draft.set(
            "reload_schedule",
            pattern.as_str(),
            format!(
                "`{}` in PM2, which restarts all instances at once; here it is a rolling reload",
                given.name
            ),
        ),
        _ => draft.refuse(given, "a cron pattern"),
    }
}

pub(super) fn watch(draft: &mut Draft<'_>, given: Given<'_>) {
    match given.value {
        Value::Bool(false) => draft.leave(given, "nothing is watched"),
        Value::Bool(true) => draft.set(
            "watch",
            true,
            "PM2 restarts all instances at once; here it is a rolling reload, meant for development",
        ),
        _ => words_of_watch(draft, given, "watch"),
    }
}

pub(super) fn ignore_watch(draft: &mut Draft<'_>, given: Given<'_>) {
    if draft.entry("watch").is_some() {
        words_of_watch(draft, given, "ignore_watch");
    } else {
        draft.leave(given, "nothing is watched");
    }
}

fn words_of_watch(draft: &mut Draft<'_>, given: Given<'_>, key: &str) {
    match given.value {
        Value::Text(path) => draft.set(key, [path.as_str()].into_iter().collect::<Array>(), ""),
        Value::List(_) => words(draft, given, key),
        _ => draft.refuse(given, "a path or a list of paths"),
    }
}

pub(super) fn watch_delay(draft: &mut Draft<'_>, given: Given<'_>) {
    if draft.entry("watch").is_some() {
        time(draft, given, "watch_delay");
    } else {
        draft.leave(given, "nothing is watched");
    }
}
