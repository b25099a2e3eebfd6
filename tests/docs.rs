//! The README and the program say the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use rsgen::ecosystem;

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rsgen"))
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that `--help` lists.
fn commands() -> BTreeSet<String> {
    let help = help(&[]);
    let list = help
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("Options:")
        .next()
        .unwrap();
    list.lines()
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next())
        .filter(|w| !w.is_empty() && *w != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_key_of_an_app_is_in_the_readme_and_no_other() {
    let table = readme()
        .split("| key | default | meaning |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap()
        .to_owned();
    let named: BTreeSet<&str> = table
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split(", "))
        .map(|key| key.trim_matches('`'))
        .collect();
    let tables = ["unit", "service", "socket"];
    let known: BTreeSet<&str> = ecosystem::KEYS
        .iter()
        .copied()
        .filter(|k| !tables.contains(k))
        .collect();
    assert_eq!(named, known);
    assert!(
        tables
            .iter()
            .all(|t| readme().contains(&format!("`[apps.{t}]`")))
    );
}

#[test]
fn every_command_is_in_the_readme_and_every_command_there_exists() {
    let commands = commands();
    let text = readme();
    for command in &commands {
        assert!(
            text.contains(&format!("`rsgen {command}")),
            "{command} is not in the README"
        );
    }
    for rest in text.split("rsgen ").skip(1) {
        let word = rest
            .split(|c: char| !c.is_ascii_lowercase())
            .next()
            .unwrap();
        let shown =
            text.contains(&format!("`rsgen {word}")) || text.contains(&format!("# rsgen {word}"));
        assert!(
            word.is_empty() || !shown || commands.contains(word),
            "`rsgen {word}` does not exist"
        );
    }
}

#[test]
fn every_long_option_in_the_readme_exists() {
    let all: String = commands().iter().map(|c| help(&[c])).collect();
    for rest in readme().split("`--").skip(1) {
        let option = rest
            .split(|c: char| !c.is_ascii_lowercase() && c != '-')
            .next()
            .unwrap();
        assert!(
            all.contains(&format!("--{option}")),
            "--{option} does not exist"
        );
    }
}

#[test]
fn the_exit_statuses_are_those_of_the_help() {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let statuses = squeezed(help(&[]).split("Exit status: ").nth(1).unwrap());
    assert!(squeezed(&readme()).contains(&statuses), "{statuses}");
}

#[test]
fn every_ecosystem_file_in_the_readme_is_valid() {
    let text = readme();
    let mut seen = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let whole = if block.contains("[[apps]]") {
            block.to_owned()
        } else {
            format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{block}")
        };
        let (apps, report) = ecosystem::parse("README.md", &whole);
        assert!(
            !report.has_errors() && apps.len() == 1,
            "{}",
            report.render(false)
        );
        seen += 1;
    }
    assert!(seen >= 2);
}
