//! The tables of an app whose keys are the user's own: variables, and directives for the units.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::DeValue;

use super::app::Directives;
use super::diagnostic::Diagnostic;
use super::key::Wanted;
use super::newer;
use super::read::{Fields, MOST_GUESSED, Value, scalar};
use super::variables;
use crate::contract::count;
use crate::unit::directive::{self, Section};
use crate::unit::{self, escape};

pub(super) fn check_variable(
    f: &mut Fields<'_, '_>,
    name: &str,
    span: &Range<usize>,
) -> Option<()> {
    let good = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        f.faults.push(
            Diagnostic::error(
                span.clone(),
                format!("`{name}` cannot be the name of a variable"),
            )
            .help("use letters, digits and `_`, and begin with a letter"),
        );
        return None;
    }
    Some(())
}

pub(super) fn read_env(f: &mut Fields<'_, '_>, wanted: Wanted) -> BTreeMap<String, String> {
    let entries = f.map(wanted);
    read_variables(f, entries)
}

pub(super) fn read_variables(
    f: &mut Fields<'_, '_>,
    entries: BTreeMap<String, (Range<usize>, Value<'_>)>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (key, (span, value)) in entries {
        let Some(text) = scalar(value) else {
            f.faults.push(
                Diagnostic::error(value.span(), format!("`{key}` is not a single value"))
                    .help("write a string, a number, true or false"),
            );
            continue;
        };
        if count::is_mistaken(&text) {
            // Only a warning, since a program may want such a text as it is.
            let fault = format!("`{key}` is passed as `{text}`, without a calculation");
            f.faults
                .push(Diagnostic::warning(value.span(), fault).help(
                    "to give each instance a number of its own, write it as in `{3100 + i}`",
                ));
        }
        if !escape::fits_environment(&text) {
            f.faults.push(
                Diagnostic::error(
                    value.span(),
                    format!("`{key}` contains a control character"),
                )
                .help(
                    "systemd passes on only tabs and newlines of these; put the value into a file",
                ),
            );
        } else if check_variable(f, &key, &span).is_some() {
            warn_of_secret(f, &key, &span);
            f.faults.extend(variables::warning(&key, &span));
            env.insert(key, text);
        }
    }
    env
}

fn warn_of_secret(f: &mut Fields<'_, '_>, key: &str, span: &Range<usize>) {
    const TELLING: &[&str] = &[
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
    ];
    let upper = key.to_uppercase();
    if TELLING.iter().any(|t| upper.contains(t)) {
        f.faults.push(
            Diagnostic::warning(span.clone(), format!("`{key}` looks like a secret, and every user of the system can read a unit"))
                .help("put it into an `env_file` that only root can read, or pass `LoadCredential` in `[apps.service]`"),
        );
    }
}

pub(super) fn read_directives(
    f: &mut Fields<'_, '_>,
    wanted: Wanted,
    section: Section,
) -> Directives {
    let mut directives = Vec::new();
    let given = f.map(wanted);
    if given.is_empty() {
        return directives;
    }
    let known: BTreeSet<&str> = directive::known(section).map(|d| d.name).collect();
    for (name, (span, value)) in given {
        if let Some(fault) = directive::refusal(section, &name) {
            f.faults.push(Diagnostic::of(span, fault));
            continue;
        }
        if !directive::is_extension(&name) && !known.contains(name.as_str()) {
            let is_guessed = f.faults.len() < MOST_GUESSED;
            f.faults
                .push(newer::unknown(section, &name, &span, is_guessed));
        }
        for text in directive_values(f, &name, value) {
            if name == "Environment" {
                f.faults.extend(of_assignments(&text, &span));
            }
            directives.push((name.clone(), text));
        }
        if let Some(fault) = directive::reset_refusal(section, &name)
            && unit::assigned(&directives, &name).is_reset()
        {
            f.faults.push(Diagnostic::of(span, fault));
        }
    }
    directives
}

/// Returns the warnings about variables that `Environment=` sets.
fn of_assignments(text: &str, span: &Range<usize>) -> Vec<Diagnostic> {
    let words = unit::words(text);
    let assignments = words.iter().filter_map(|word| word.split_once('='));
    assignments
        .filter_map(|(name, _)| variables::warning(name, span))
        .collect()
}

fn directive_values(f: &mut Fields<'_, '_>, name: &str, value: Value<'_>) -> Vec<String> {
    let one = |v: Value<'_>| match v.get_ref() {
        DeValue::Boolean(true) => Some("yes".to_owned()),
        DeValue::Boolean(false) => Some("no".to_owned()),
        _ => scalar(v),
    };
    let elements: Vec<Value<'_>> = match value.get_ref().as_array() {
        Some(list) => list.iter().collect(),
        None => vec![value],
    };
    let mut texts = Vec::new();
    for element in elements {
        let Some(text) = one(element) else {
            f.faults.push(
                Diagnostic::error(element.span(), format!("`{name}` is not a single value"))
                    .help("write a string, a number, true or false, or a list of them"),
            );
            continue;
        };
        if f.note(&element.span(), directive::check_value(&text))
            .is_some()
        {
            if let Err(fault) = unit::value::check(name, &text) {
                f.faults.push(Diagnostic::ignored(element.span(), fault));
            }
            texts.push(text);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::parse;

    #[test]
    fn a_text_that_looks_like_a_calculation_and_is_none_is_told_and_passed() {
        let text = |value: &str| format!("[[apps]]\nscript = \"x\"\nlisten = 1\nenv.A = {value:?}");
        for (value, is_told) in [("{3100 - i}", true), ("{3100 + i}", false), ("{i}", false)] {
            let (apps, report) = parse("eco.toml", &text(value));
            assert!(!report.has_errors());
            assert_eq!(report.diagnostics.len(), usize::from(is_told), "{value}");
            assert_eq!(apps[0].env["A"], value);
        }
    }

    #[test]
    fn a_command_of_the_units_own_cannot_be_emptied() {
        let is_refused = |value: &str| {
            let keys = format!("script = \"x\"\nlisten = 1\nservice.ExecStopPost = {value}");
            parse("eco.toml", &format!("[[apps]]\n{keys}"))
                .1
                .has_errors()
        };
        assert!(is_refused("\"\"") && is_refused("[\" \", \"/bin/true\"]"));
        assert!(!is_refused("\"/bin/true\"") && !is_refused("[]"));
    }
}
