//! Files for the output of an app. PM2 always writes log files; here the output goes to the journal unless the imported
//! file names log files.

use std::path::PathBuf;

use super::draft::{Draft, Given};
use super::value::Value;

const OUTPUT: &str = "StandardOutput";
const ERROR: &str = "StandardError";

const NOTE: &str = "in PM2; without this line the output goes to the journal, and rsgen shows the last lines of a program \
    that fails";

pub(super) fn out_file(draft: &mut Draft<'_>, given: Given<'_>) {
    file(draft, given, &[OUTPUT]);
}

pub(super) fn error_file(draft: &mut Draft<'_>, given: Given<'_>) {
    file(draft, given, &[ERROR]);
}

/// Imports the file that PM2 writes both streams to, in addition to the files of each stream.
pub(super) fn log_file(draft: &mut Draft<'_>, given: Given<'_>) {
    if matches!(given.value, Value::Bool(_)) {
        return draft.leave(given, "the output goes to the journal");
    }
    let has = |directive: &str| draft.service.iter().any(|entry| entry.key == directive);
    let free: Vec<&str> = [OUTPUT, ERROR].into_iter().filter(|d| !has(d)).collect();
    if free.is_empty() {
        return draft.leave(
            given,
            "systemd writes each stream to one file only, and both streams have one",
        );
    }
    file(draft, given, &free);
}

fn file(draft: &mut Draft<'_>, given: Given<'_>, directives: &[&str]) {
    let Some(text) = given.value.text().filter(|text| !text.is_empty()) else {
        return draft.refuse(given, "a path");
    };
    let target = match text {
        "/dev/null" | "NULL" => "null".to_owned(),
        path if path.starts_with('~') => {
            return draft.leave(
                given,
                "write the path in full, as `append:/PATH` in [apps.service]",
            );
        }
        path => format!("append:{}", numbered(draft, &absolute(draft, path))),
    };
    if target.contains(char::is_control) {
        return draft.leave(given, "the path contains a control character");
    }
    for directive in directives {
        draft.direct(directive, &target, format!("`{}` {NOTE}", given.name));
    }
}

/// Makes a path absolute, since systemd does not accept relative ones.
fn absolute(draft: &Draft<'_>, path: &str) -> String {
    let cwd = draft.text_of("cwd").unwrap_or_default();
    let path = draft.origin.folder.join(cwd).join(path);
    // Without `.` between the folders.
    let path: PathBuf = path.components().collect();
    // `%` begins a specifier.
    path.display().to_string().replace('%', "%%")
}

/// Adds the number of the instance to a path, as PM2 does unless logs are merged.
fn numbered(draft: &Draft<'_>, path: &str) -> String {
    let is_one = draft
        .entry("instances")
        .is_none_or(|entry| entry.value.as_integer() == Some(1));
    let merged = ["merge_logs", "mergeLogs", "combine_logs", "combineLogs"];
    let is_merged = merged
        .iter()
        .any(|name| draft.other(name).and_then(Value::boolean) == Some(true));
    if is_one || is_merged {
        return path.to_owned();
    }
    let name = path
        .rsplit_once('/')
        .map_or(0, |(folder, _)| folder.len() + 1);
    match path.rfind('.').filter(|dot| *dot > name) {
        Some(dot) => {
            let (stem, extension) = path.split_at(dot);
            format!("{stem}-%i{extension}")
        }
        None => format!("{path}-%i"),
    }
}

pub(super) fn merge_logs(draft: &mut Draft<'_>, given: Given<'_>) {
    let why = match given.value.boolean() {
        Some(true) => {
            "`rsgen logs APP` shows the lines of all instances; they share a log file too"
        }
        _ => {
            "the journal distinguishes the lines of each instance; the name of a log file contains the number of the instance"
        }
    };
    draft.leave(given, why);
}

pub(super) fn disable_logs(draft: &mut Draft<'_>, given: Given<'_>) {
    match given.value.boolean() {
        Some(true) => {
            for directive in [OUTPUT, ERROR] {
                draft.direct(directive, "null", "`disable_logs` in PM2");
            }
        }
        Some(false) => draft.leave(given, "the output goes to the journal"),
        None => draft.refuse(given, "true or false"),
    }
}
