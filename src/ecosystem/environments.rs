//! The tables `env_NAME` of an app: the variables of one environment, which override `env` with `--env NAME`.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{DocumentMut, Item, Table};

use super::app::App;
use super::diagnostic::{Diagnostic, nearest};
use super::read::{Fields, entries_of};
use super::{APPS, tables};

/// Prefix of the keys of these tables.
pub const PREFIX: &str = "env_";

/// Prefix of the last line of an installed text, which names the chosen environment.
const MARK: &str = "# --env ";

/// The environments of an app, by name.
pub type Environments = BTreeMap<String, Environment>;

/// A table `env_NAME`.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    span: Range<usize>,
}

/// Takes every table whose key begins with `env_` and is not another key.
pub(super) fn read(f: &mut Fields<'_, '_>) -> Environments {
    let mut environments = Environments::new();
    for (key, value) in f.prefixed(PREFIX) {
        let name = key.strip_prefix(PREFIX).unwrap_or_default();
        let Some(table) = value.get_ref().as_table() else {
            let fault = format!("`{key}` is not a table of environment variables");
            let help = match nearest(key, ["env_file"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write it as in `{key} = {{ KEY = \"value\" }}`"),
            };
            let fault = Diagnostic::error(value.span(), fault).help(help);
            f.faults.push(fault);
            continue;
        };
        let variables = tables::read_variables(f, entries_of(table));
        let span = value.span();
        environments.insert(name.to_owned(), Environment { variables, span });
    }
    environments
}

/// Lets the variables of an environment override `env`, in each app that has the environment.
///
/// # Errors
/// When no app has the environment. The error contains the names of those that exist.
pub fn choose<'a>(
    apps: impl IntoIterator<Item = &'a mut App>,
    name: &str,
) -> Result<(), Vec<String>> {
    let mut known = Vec::new();
    let mut is_found = false;
    for app in apps {
        if let Some(chosen) = app.environments.get(name) {
            app.env.extend(chosen.variables.clone());
            is_found = true;
        }
        known.extend(app.environments.keys().cloned());
    }
    known.sort_unstable();
    known.dedup();
    if is_found { Ok(()) } else { Err(known) }
}

/// Returns the environment that an earlier command line chose for an app, if the app's file still has it. `installed`
/// is the installed text.
#[must_use]
pub fn kept(app: &App, installed: &str) -> Option<String> {
    let name = installed.lines().next_back()?.strip_prefix(MARK)?;
    app.environments.contains_key(name).then(|| name.to_owned())
}

/// Returns the warning about an app whose environments are not used.
#[must_use]
pub fn unused(app: &App, chosen: Option<&str>) -> Option<Diagnostic> {
    let (first, environment) = app.environments.first_key_value()?;
    let name = &app.name;
    let (message, help) = match chosen {
        Some(chosen) if app.environments.contains_key(chosen) => return None,
        Some(chosen) => (
            format!(
                "`{name}` has no table `{PREFIX}{chosen}`, so it gets only the variables of `env`"
            ),
            format!("add `[apps.{PREFIX}{chosen}]` to it"),
        ),
        None => (
            format!("`{PREFIX}{first}` is not used: no environment is chosen"),
            format!("add `--env {first}`, or leave the table out"),
        ),
    };
    Some(Diagnostic::warning(environment.span.clone(), message).help(help))
}

/// Returns the text of an installed app with the variables of the chosen environment in `env`, and without the tables
/// of the other environments: a boot and a reload get no `--env`.
#[must_use]
pub fn settle(pinned: String, chosen: Option<&str>) -> String {
    let Ok(mut document) = pinned.parse::<DocumentMut>() else {
        return pinned;
    };
    let table = document
        .get_mut(APPS)
        .and_then(Item::as_array_of_tables_mut)
        .and_then(|tables| tables.get_mut(0));
    let Some(table) = table else {
        return pinned;
    };
    let environments: Vec<String> = table
        .iter()
        .filter(|(key, item)| key.starts_with(PREFIX) && item.is_table_like())
        .map(|(key, _)| key.to_owned())
        .collect();
    if environments.is_empty() {
        return pinned;
    }
    let mut is_chosen = false;
    for key in environments {
        let removed = table.remove(&key);
        if key.strip_prefix(PREFIX) == chosen {
            put_over_env(table, removed.as_ref());
            is_chosen = true;
        }
    }
    let mut text = document.to_string();
    if let Some(chosen) = chosen.filter(|_| is_chosen) {
        text = format!("{}\n{MARK}{chosen}\n", text.trim_end());
    }
    text
}

/// Returns the text of an app that was installed from its own installed file, with the environment that this
/// names. The tables are gone from there, so nothing else records which one was chosen.
#[must_use]
pub fn keep_mark(pinned: String, installed: &str) -> String {
    let is_mark = |line: &&str| line.starts_with(MARK);
    match installed.lines().next_back().filter(is_mark) {
        Some(mark) if !pinned.lines().any(|line| line == mark) => {
            format!("{}\n{mark}\n", pinned.trim_end())
        }
        _ => pinned,
    }
}

fn put_over_env(table: &mut Table, chosen: Option<&Item>) {
    let env = table.entry("env").or_insert_with(|| {
        let mut env = Table::new();
        env.decor_mut().set_prefix("\n");
        Item::Table(env)
    });
    let chosen = chosen.and_then(Item::as_table_like);
    let (Some(env), Some(chosen)) = (env.as_table_like_mut(), chosen) else {
        return;
    };
    for (key, item) in chosen.iter() {
        env.insert(key, item.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::{Report, parse};

    const KEYS: &str = "[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 1\n";
    const TABLES: &str = "[apps.env]\nA = \"1\"\nB = \"1\"\n\
        # live\n[apps.env_production]\nB = \"2\" # two\n[apps.env_staging]\nC = 3\n";

    fn told(report: &Report) -> Vec<String> {
        let faults = report.diagnostics.iter();
        faults.map(|fault| fault.message.clone()).collect()
    }

    fn chosen(text: &str, name: &str) -> BTreeMap<String, String> {
        let (mut apps, report) = parse("eco.toml", text);
        assert_eq!(told(&report), Vec::<String>::new());
        choose(&mut apps, name).unwrap();
        apps.remove(0).env
    }

    #[test]
    fn the_variables_of_an_environment_go_over_those_of_env() {
        let text = format!("{KEYS}{TABLES}");
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
            owned.collect()
        };
        let production = of(&[("A", "1"), ("B", "2")]);
        assert_eq!(chosen(&text, "production"), production);
        let staging = of(&[("A", "1"), ("B", "1"), ("C", "3")]);
        assert_eq!(chosen(&text, "staging"), staging);
        let (mut apps, _) = parse("eco.toml", &text);
        let known = choose(&mut apps, "prod").unwrap_err();
        assert_eq!(known, ["production", "staging"]);
        assert_eq!(apps[0].env, of(&[("A", "1"), ("B", "1")]));
    }

    #[test]
    fn the_installed_text_has_what_was_chosen_and_no_other_environment() {
        for tables in [
            TABLES,
            "env = { A = \"1\", B = \"1\" }\nenv_production = { B = \"2\" }\nenv_staging.C = 3\nenv_file = \".env\"\n",
            "env_production = { A = \"1\", B = \"2\" }\n[apps.env_staging]\nA = \"1\"\nB = \"1\"\nC = 3\n",
        ] {
            let text = format!("{KEYS}{tables}");
            for name in ["production", "staging"] {
                let settled = settle(text.clone(), Some(name));
                assert!(!settled.contains("env_production"), "{settled}");
                assert!(!settled.contains("env_staging"), "{settled}");
                assert_eq!(tables.contains("env_file"), settled.contains("env_file"));
                let (mut apps, report) = parse("web.toml", &settled);
                assert_eq!(told(&report), Vec::<String>::new());
                assert_eq!(apps.remove(0).env, chosen(&text, name), "{settled}");
                assert_eq!(settle(settled.clone(), None), settled);
            }
        }
        assert!(settle(format!("{KEYS}{TABLES}"), Some("production")).contains("\"2\" # two"));
    }

    #[test]
    fn an_installed_text_that_is_installed_again_says_what_was_chosen() {
        let settled = settle(format!("{KEYS}{TABLES}"), Some("production"));
        assert_eq!(keep_mark(settled.clone(), &settled), settled);
        assert_eq!(
            keep_mark(KEYS.into(), &settled),
            format!("{KEYS}{MARK}production\n")
        );
        assert_eq!(keep_mark(KEYS.into(), KEYS), KEYS);
    }

    #[test]
    fn what_was_chosen_is_kept_while_the_file_has_it() {
        let text = format!("{KEYS}{TABLES}");
        let installed = settle(text.clone(), Some("production"));
        let (apps, _) = parse("eco.toml", &text);
        assert_eq!(kept(&apps[0], &installed).as_deref(), Some("production"));
        let (without, _) = parse("eco.toml", KEYS);
        assert_eq!(kept(&without[0], &installed), None, "the table is gone");
        for chosen in [None, Some("test")] {
            let installed = settle(text.clone(), chosen);
            assert_eq!(kept(&apps[0], &installed), None, "nothing was chosen");
        }
    }

    #[test]
    fn an_environment_that_is_not_used_is_told() {
        let (apps, _) = parse("eco.toml", &format!("{KEYS}{TABLES}"));
        let message = |chosen| unused(&apps[0], chosen).map(|fault| fault.message);
        assert_eq!(message(Some("staging")), None);
        let none = message(None).unwrap();
        assert_eq!(
            none,
            "`env_production` is not used: no environment is chosen"
        );
        assert!(
            message(Some("test"))
                .unwrap()
                .contains("no table `env_test`")
        );
        let (apps, _) = parse("eco.toml", KEYS);
        assert!(unused(&apps[0], None).is_none());
    }

    #[test]
    fn the_values_of_an_environment_are_checked_whether_it_is_chosen_or_not() {
        for (line, fault) in [
            (
                "env_production.\"a b\" = 1",
                "`a b` cannot be the name of a variable",
            ),
            (
                "env_production = 1",
                "`env_production` is not a table of environment variables",
            ),
            (
                "env_fil = \".env\"",
                "`env_fil` is not a table of environment variables",
            ),
        ] {
            let (_, report) = parse("eco.toml", &format!("{KEYS}{line}\n"));
            assert_eq!(told(&report), [fault], "{line}");
        }
    }
}
