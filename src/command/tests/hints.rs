//! Commands that texts suggest follow one rule: they are commands that a person is meant to type, for the manager that the text is about.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::command::Arguments;

/// The lines of code of the project, without comments and tests, each with its place.
fn code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let is_test = path.components().any(|part| {
                let part = part.as_os_str();
                part == "tests" || part == "tests.rs"
            });
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if !is_test && path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let (text, _) = text.split_once("mod tests {").unwrap_or((&text, ""));
                let lines = text.lines().enumerate();
                let lines = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
                found.extend(lines.map(|(number, line)| {
                    (
                        format!("{}:{}", path.display(), number + 1),
                        line.to_owned(),
                    )
                }));
            }
        }
    }
    found
}

/// The places of lines that suggest something of which this is not good.
fn breaches(begin: &str, is_good: impl Fn(&str) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for (place, line) in code() {
        for suggested in line.split(begin).skip(1) {
            if !is_good(suggested) {
                breaches.push(format!("{place}: {begin}{suggested}"));
            }
        }
    }
    breaches
}

#[test]
fn a_text_suggests_no_internal_command_and_none_that_does_not_exist() {
    let command = Arguments::command();
    let visible: Vec<&clap::Command> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .collect();
    let is_known = |suggested: &str| {
        let word: String = suggested
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect();
        let is_named = |command: &clap::Command| {
            command.get_name() == word || command.get_all_aliases().any(|alias| alias == word)
        };
        // A part that the code fills in, an option, or the words `rsgen help`.
        word.is_empty()
            || word.starts_with('-')
            || word == "help"
            || visible.iter().any(|c| is_named(c))
    };
    assert_eq!(breaches("`rsgen ", is_known), Vec::<String>::new());
    assert!(!is_known("unit start web`") && is_known("list web`"));
}

#[test]
fn journal_hints_name_units_so_that_systemds_own_lines_are_shown() {
    // Whoever asks for bare lines, as PM2 has them, wants the program's alone.
    let is_bare = |suggested: &str| suggested.contains("-o cat");
    assert_eq!(breaches("`journalctl -t", is_bare), Vec::<String>::new());
}

/// `hint::for_manager` adds the option where it belongs.
#[test]
fn no_text_says_of_itself_that_it_is_for_the_manager_of_a_user() {
    for program in ["rsgen", "systemctl", "journalctl"] {
        let begin = format!("`{program} --user ");
        assert_eq!(breaches(&begin, |_| false), Vec::<String>::new());
    }
}
