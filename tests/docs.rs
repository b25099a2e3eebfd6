//! The README and the pages of docs/ agree with the program. tests/machines/docs.rs runs their commands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use rsgen::ecosystem;
use testbed::docs::{self, Block};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every block of commands that is not run: its page, and the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("README.md", "builds the project; the tests are part of it"),
    ("docs/packaging.md", "tests/machines/packages.rs does it"),
    ("docs/packaging.md", "tests/machines/packaged.rs does it"),
    (
        "docs/quick-start.md",
        "builds the project; tests/machines/packages.rs installs it",
    ),
];

/// The README and every page of docs/, by their paths.
fn pages() -> BTreeMap<String, String> {
    let folder = Path::new(ROOT).join("docs");
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|e| format!("docs/{}", e.unwrap().file_name().to_str().unwrap()))
        .filter(|path| Path::new(path).extension().is_some_and(|e| e == "md"))
        .chain(["README.md".to_owned()])
        .map(|path| {
            let text = fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

/// Whether a reader would type the text of the block.
fn shows_commands(block: &Block) -> bool {
    let ours = ["rsgen ", "systemctl ", "journalctl "];
    let bare = |line: &str| line.trim_start_matches(['#', '$', ' ']).to_owned();
    block.is_commands()
        || block
            .text
            .lines()
            .any(|l| ours.iter().any(|o| bare(l).starts_with(o)))
}

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

/// That each command there exists is seen below, for all pages.
#[test]
fn every_command_is_in_the_readme() {
    let text = readme();
    for command in commands() {
        assert!(
            text.contains(&format!("`rsgen {command}")),
            "{command} is not in the README"
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

/// The text of a block that is an ecosystem file; files in `/srv/bad` are wrong on purpose.
fn as_ecosystem_file(block: &Block) -> Option<String> {
    const SHORTEST: &str = "[[apps]]\nscript = \"x\"\nlisten = 1\n";
    let path = block.file.as_deref().unwrap_or_default();
    if path.starts_with("/srv/bad/") {
        return None;
    }
    if path.contains(".toml.d/") {
        return Some(ecosystem::pin::overlay(SHORTEST, &block.text).unwrap());
    }
    let whole = block.text.contains("[[apps]]");
    let before = if whole { "" } else { SHORTEST };
    Some(format!("{before}{}", block.text))
}

#[test]
fn every_ecosystem_file_is_valid() {
    let mut seen = 0;
    for (page, text) in pages() {
        let blocks = docs::blocks(&text);
        let files = blocks.iter().filter(|b| b.language == "toml");
        for text in files.filter_map(as_ecosystem_file) {
            let (apps, report) = ecosystem::parse(&page, &text);
            assert!(
                !report.has_errors() && !apps.is_empty(),
                "{}",
                report.render(false)
            );
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn every_command_is_run_or_has_a_reason_why_not() {
    let specs = fs::read_to_string(Path::new(ROOT).join("tests/machines/docs.rs")).unwrap();
    let mut excused = Vec::new();
    for (page, text) in pages() {
        let mut runs = false;
        for block in docs::blocks(&text).iter().filter(|b| shows_commands(b)) {
            if let Some(why) = &block.not_run {
                excused.push((page.clone(), why.clone()));
                continue;
            }
            assert!(
                block.is_commands(),
                "{page}:{}: commands are in blocks of `console`, so that they are run",
                block.line
            );
            assert!(!block.steps().is_empty(), "{page}:{}", block.line);
            runs = true;
        }
        assert!(
            !runs || specs.contains(&format!("\"{page}\"")),
            "{page} has commands and no spec in tests/machines/docs.rs"
        );
    }
    let known: Vec<(String, String)> = NOT_RUN
        .iter()
        .map(|(page, why)| ((*page).to_owned(), (*why).to_owned()))
        .collect();
    assert_eq!(
        excused, known,
        "blocks that say `not run`, compared with NOT_RUN"
    );
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text: String = heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect();
    text.to_lowercase().replace(' ', "-")
}

/// The targets of links in the text outside of blocks.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<String>();
    prose
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    for (page, text) in pages() {
        for link in links(&text) {
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(&page).parent().unwrap();
            let target = match file {
                "" => page.clone(),
                file => folder.join(file).to_str().unwrap().to_owned(),
            };
            let there = fs::read_to_string(Path::new(ROOT).join(&target))
                .unwrap_or_else(|e| panic!("{page}: {link}: {e}"));
            let found = there
                .lines()
                .any(|l| l.starts_with('#') && anchor(l) == place);
            assert!(place.is_empty() || found, "{page}: {link}");
        }
    }
}

#[test]
fn the_index_names_every_page() {
    let pages = pages();
    for page in pages.keys().filter_map(|p| p.strip_prefix("docs/")) {
        assert!(
            page == "README.md" || pages["docs/README.md"].contains(&format!("({page})")),
            "{page}"
        );
    }
}

/// The first cells of the tables with this heading.
fn cells<'a>(text: &'a str, heading: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    text.split(heading).skip(1).flat_map(|table| {
        let rows = table.lines().skip(2).take_while(|l| l.starts_with('|'));
        rows.map(|l| l.trim_matches('|').split(" | ").map(str::trim).collect())
    })
}

/// The text of all files of src/, with strings of several lines joined.
fn source() -> String {
    let mut text = String::new();
    let mut folders = vec![Path::new(ROOT).join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut parts = text.replace("\\\"", "\"").replace("{{", "{");
    while let Some(at) = parts.find("\\\n") {
        let rest = parts[at + 2..].trim_start().to_owned();
        parts.truncate(at);
        parts.push_str(&rest);
    }
    parts
}

#[test]
fn every_message_of_the_troubleshooting_is_one_of_the_program() {
    let (pages, source) = (pages(), source());
    let mut seen = 0;
    for row in cells(
        &pages["docs/troubleshooting.md"],
        "| message | cause | remedy |",
    ) {
        let message = row[0].trim_matches(['`', ' ']);
        for part in message.split('…').filter(|p| p.trim().len() > 3) {
            let part = part.trim();
            assert!(source.contains(part), "`{part}` of `{message}`");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_command_and_option_of_the_pages_exists() {
    let commands = commands();
    let all: String = commands.iter().map(|c| help(&[c])).collect();
    for (page, text) in pages() {
        for shown in ["`rsgen ", "# rsgen ", "$ rsgen "] {
            for line in text.split(shown).skip(1) {
                let line = line.split(['`', '\n']).next().unwrap();
                let command = line.split(' ').next().unwrap();
                let hidden = ["unit", "pages"].contains(&command) || command.starts_with('-');
                assert!(hidden || commands.contains(command), "{page}: rsgen {line}");
                for option in line.split(' ').filter(|w| w.starts_with("--")) {
                    let option = option.split('=').next().unwrap();
                    assert!(
                        all.contains(option) || option == "--version",
                        "{page}: rsgen {line}"
                    );
                }
            }
        }
    }
}

/// The commands of the golden units: the directive's prefixes, and the command as docs/security.md names it.
fn commands_of_units() -> BTreeSet<(String, String)> {
    let cases = fs::read_dir(Path::new(ROOT).join("tests/golden")).unwrap();
    let folders = cases.map(|case| case.unwrap().path().join("expected"));
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
    let mut found = BTreeSet::new();
    for line in texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
        let value = line.strip_prefix("Exec").and_then(|l| l.split_once('='));
        let Some((_, value)) = value else { continue };
        let start = value.find('/').unwrap();
        let mut words = value[start..].split(' ');
        let program = words.next().unwrap().rsplit('/').next().unwrap();
        let word = words.next().unwrap_or_default();
        let command = match program {
            "rsgen" => format!("rsgen {word} {}", words.next().unwrap()),
            "rsgen-worker" => format!("{program} {word}"),
            _ => continue,
        };
        found.insert((value[..start].to_owned(), command));
    }
    found
}

#[test]
fn whatever_runs_as_root_is_in_the_page_on_security() {
    let page = &pages()["docs/security.md"];
    let part = |title: &str| {
        let from = page.find(title).unwrap() + title.len();
        let text = &page[from..];
        &text[..text.find("\n## ").unwrap()]
    };
    let (table, as_root) = (
        part("## What runs, and as whom"),
        part("## Commands that run as root in an app's unit"),
    );
    let commands = commands_of_units();
    for (_, command) in &commands {
        // The steps of the cluster unit share a row.
        let word = command.strip_prefix("rsgen unit ").unwrap_or(command);
        let is_named =
            table.contains(&format!("`{command}`")) || table.contains(&format!("`{word}`"));
        assert!(is_named, "`{command}` has no row");
    }
    let of_root = commands.iter().filter(|(prefix, _)| prefix.contains('+'));
    let of_root: BTreeSet<&str> = of_root.map(|(_, command)| command.as_str()).collect();
    let (sentence, _) = as_root.split_once(". It").unwrap();
    for command in &of_root {
        assert!(
            sentence.contains(&format!("`{command}`")),
            "{command}: {sentence}"
        );
    }
    let named = sentence.matches("`rsgen").count();
    // That of a rehearsal is in no golden unit.
    assert_eq!(named, of_root.len() + 1, "{sentence}");
    let is_counted = sentence.contains("systemd runs six commands") && of_root.len() == 6;
    assert!(is_counted, "{of_root:?}");
}

#[test]
fn the_capabilities_of_the_units_are_those_of_the_page_on_security() {
    let page = &pages()["docs/security.md"];
    let bounds = |unit: &str| {
        let path = Path::new(ROOT).join("templates").join(unit);
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let bound = lines.find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        bound.unwrap().to_owned()
    };
    assert_eq!(bounds("sandbox.service"), "");
    assert_eq!(bounds("reload.service"), "");
    assert_eq!(bounds("watch.service"), "CAP_DAC_READ_SEARCH");
    assert!(page.contains("root with `CAP_DAC_READ_SEARCH` alone"));
    assert_eq!(bounds("join.service").split(' ').count(), 3);
    assert!(page.contains("root with three capabilities, in a unit of its own"));
}
