//! Readers for the keys of an app whose kinds are not shared with other keys.

use std::path::Path;

use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::key::{Taken, Wanted};
use super::program::clean_path;
use super::read::{Fields, integer, scalar};
use super::tables::check_variable;
use super::values::Instances;
use super::variables;
use crate::unit::{Fault, name};

/// Reads the name. An invalid name becomes an empty one, so that later faults do not mention an unintended app.
pub(super) fn read_name(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<String> {
    let Some(given) = f.string(wanted) else {
        return f.peek(wanted.key).map(|_| String::new());
    };
    let good = f.note(&given.span, name::check(&given.value));
    Some(good.map_or_else(String::new, |()| given.value))
}

// The file's stem, as in PM2.
pub(super) fn derived_name(f: &mut Fields<'_, '_>) -> String {
    let script = f.peek("script").and_then(DeValue::as_str);
    let stem = script.and_then(|script| Path::new(script).file_stem()?.to_str());
    let place = f.place("name");
    let good = stem.filter(|stem| f.note(&place, name::check(stem)).is_some());
    good.unwrap_or_default().to_owned()
}

pub(super) fn read_instances(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Instances> {
    let value = f.value(wanted.key)?;
    let parsed = match (integer(value), value.get_ref().as_str()) {
        (Some(number), _) => Instances::from_number(number),
        (None, Some(text)) => text.parse(),
        (None, None) => Err(Fault::new(
            "`instances` is not a number",
            "write a number, `\"max\"`, or `-1` for one fewer than the CPUs",
        )),
    };
    f.note(&value.span(), parsed)
}

pub(super) fn read_instance_var(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<String>> {
    let given = f.string(wanted)?;
    if given.value.is_empty() {
        return Some(None);
    }
    check_variable(f, &given.value, &given.span)?;
    if let Some(fault) = variables::refusal(&given.value) {
        f.faults.push(Diagnostic::of(given.span, fault));
    }
    Some(Some(given.value))
}

/// The largest number of files in `env_file`. For each, the commands and, at every boot, the generator look at each
/// folder on the way to it.
const MOST_ENV_FILES: usize = 64;

pub(super) fn read_env_file(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Vec<String>> {
    let given = f.list(wanted)?;
    if let Some(first) = given.get(MOST_ENV_FILES) {
        let fault = format!("`env_file` lists more than {MOST_ENV_FILES} files");
        f.faults.push(
            Diagnostic::error(first.span.clone(), fault)
                .help("put the variables of several files into one"),
        );
        return None;
    }
    let mut files = Vec::new();
    for file in given {
        // EnvironmentFile= would expand wildcards.
        if file.value.contains(['*', '?', '[']) {
            f.faults.push(
                Diagnostic::error(file.span, "`env_file` contains a wildcard")
                    .help("name each file, in a list"),
            );
        } else if let Some(path) = clean_path(f, wanted.key, file) {
            files.push(path);
        }
    }
    Some(files)
}

// Returns whether a text can be the name or the number of an account in a unit, by the strict rule of "User/Group Name
// Syntax" in systemd(1).
pub(crate) fn is_account(text: &str) -> bool {
    text.len() <= 31
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn read_account(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<String>> {
    let key = wanted.key;
    let value = f.value(key)?;
    let text = scalar(value).unwrap_or_default();
    if !is_account(&text) {
        f.faults.push(
            Diagnostic::error(
                value.span(),
                format!("`{text}` cannot be the name of a {key}"),
            )
            .help(format!(
                "write the name of a {key} of this system, or its number"
            )),
        );
        return None;
    }
    Some(Some(text))
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::parse;

    /// systemd would read every file that matches, even one that somebody else puts there.
    #[test]
    fn an_env_file_is_one_file_and_there_are_64_at_most() {
        let messages = |files: &str| {
            let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\nenv_file = {files}\n");
            let (_, report) = parse("eco.toml", &text);
            let faults = report.diagnostics.into_iter();
            faults.map(|fault| fault.message).collect::<Vec<_>>()
        };
        for wildcard in ["/etc/web/*.env", "/etc/web/?", "/etc/web/[ab]"] {
            let files = format!("[\"/etc/web/a\", {wildcard:?}]");
            assert_eq!(
                messages(&files),
                ["`env_file` contains a wildcard"],
                "{files}"
            );
        }
        assert_eq!(messages("\"/etc/web/a\""), Vec::<String>::new());
        let files = |count| format!("{:?}", vec!["/etc/web/a"; count]);
        assert_eq!(messages(&files(64)), Vec::<String>::new());
        assert_eq!(
            messages(&files(65)),
            ["`env_file` lists more than 64 files"]
        );
    }
}
