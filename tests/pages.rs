//! The manual pages, the completions and `--help` agree with the program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rsgen::ecosystem;

fn rsgen(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rsgen"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files that a package ships below /usr/share.
fn share() -> tempfile::TempDir {
    let share = tempfile::tempdir().unwrap();
    rsgen(&["pages", share.path().to_str().unwrap()]);
    share
}

/// The subcommands that `--help` lists.
fn commands() -> Vec<String> {
    let help = rsgen(&["--help"]);
    let list = help.split("Commands:").nth(1).unwrap();
    let list = list.split("Options:").next().unwrap();
    list.lines()
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next())
        .filter(|w| !w.is_empty() && *w != "help")
        .map(str::to_owned)
        .collect()
}

fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let rest = page.split(&format!(".SH {title}\n")).nth(1).unwrap();
    rest.split("\n.SH ").next().unwrap()
}

#[test]
fn every_command_has_a_page_and_no_other_page_exists() {
    let share = share();
    let folder = share.path().join("man/man1");
    let mut expected: BTreeSet<String> = BTreeSet::from(["rsgen.1".to_owned()]);
    for command in commands() {
        expected.insert(format!("rsgen-{command}.1"));
    }
    let pages = fs::read_dir(&folder).unwrap();
    let found: BTreeSet<String> = pages
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_first_page_names_every_command_and_exit_status() {
    let share = share();
    let page = fs::read_to_string(share.path().join("man/man1/rsgen.1")).unwrap();
    for command in commands() {
        let reference = format!(".BR rsgen\\-{command} (1)");
        assert!(page.contains(&reference), "{reference}");
    }
    let help = rsgen(&["--help"]);
    let (_, statuses) = help.split_once("Exit status: ").unwrap();
    let documented: Vec<&str> = tags(section(&page, "\"EXIT STATUS\"")).collect();
    let words = statuses.split_whitespace();
    let told: Vec<&str> = words.filter(|w| w.parse::<u8>().is_ok()).collect();
    assert_eq!(documented, told);
    // The meaning of a status begins as a sentence does, unless it begins with systemd.
    let meanings = section(&page, "\"EXIT STATUS\"");
    assert!(meanings.contains("\nsystemd ") && !meanings.contains("\nSystemd "));
}

#[test]
fn the_page_of_a_command_has_its_exit_statuses_and_examples() {
    let share = share();
    let folder = share.path().join("man/man1");
    let first = fs::read_to_string(folder.join("rsgen.1")).unwrap();
    let known: BTreeSet<&str> = tags(section(&first, "\"EXIT STATUS\"")).collect();
    for command in commands() {
        let page = fs::read_to_string(folder.join(format!("rsgen-{command}.1"))).unwrap();
        let statuses: BTreeSet<&str> = tags(section(&page, "\"EXIT STATUS\"")).collect();
        assert!(statuses.is_subset(&known), "{command}: {statuses:?}");
        assert!(
            statuses.contains("0") && statuses.contains("2"),
            "{command}"
        );
        assert!(
            section(&page, "OPTIONS").contains("\\-\\-help"),
            "{command}"
        );
        let examples: Vec<&str> = tags(section(&page, "EXAMPLES")).collect();
        assert!(!examples.is_empty(), "{command}");
        let start = format!("rsgen {command}");
        assert!(
            examples.iter().all(|e| e.starts_with(&start)),
            "{examples:?}"
        );
        assert!(
            tags(section(&first, "EXAMPLES")).any(|e| e == examples[0]),
            "{command}"
        );
    }
}

/// The tags of tagged paragraphs, see `.TP` in man(7).
fn tags(section: &str) -> impl Iterator<Item = &str> {
    section.lines().filter_map(|l| l.strip_prefix(".B "))
}

#[test]
fn the_example_of_the_page_of_the_ecosystem_file_is_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man/rsgen.toml.5");
    let page = fs::read_to_string(page).unwrap();
    let example = section(&page, "EXAMPLES").replace("\\-", "-");
    let example = example.split(".EX\n").nth(1).unwrap();
    let example = example.split(".EE").next().unwrap();
    let (apps, report) = ecosystem::parse("rsgen.toml(5)", example);
    assert!(
        !report.has_errors() && apps.len() == 1,
        "{}",
        report.render(false)
    );
}

#[test]
fn pages_that_are_referred_to_exist() {
    let share = share();
    let own = |name: &str, section: &str| {
        let file = format!("{name}.{section}");
        share.path().join("man/man1").join(&file).exists()
            || Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("packaging/man")
                .join(&file)
                .exists()
    };
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut seen = 0;
    for template in fs::read_dir(templates).unwrap() {
        let text = fs::read_to_string(template.unwrap().path()).unwrap();
        for line in text
            .lines()
            .filter_map(|l| l.strip_prefix("Documentation=man:"))
        {
            let (name, section) = line.trim_end_matches(')').split_once('(').unwrap();
            assert!(own(name, section), "{line}");
            seen += 1;
        }
    }
    assert!(seen >= 3);
}

#[test]
fn completions_work_and_are_what_packages_ship() {
    let share = share();
    for (shell, file) in [
        ("bash", "bash-completion/completions/rsgen"),
        ("zsh", "zsh/site-functions/_rsgen"),
        ("fish", "fish/vendor_completions.d/rsgen.fish"),
    ] {
        let script = rsgen(&["completions", shell]);
        assert_eq!(fs::read_to_string(share.path().join(file)).unwrap(), script);
    }
    let bash = share.path().join("bash-completion/completions/rsgen");
    let line = format!(
        "source {}; COMP_WORDS=(rsgen relo); COMP_CWORD=1; _rsgen rsgen relo rsgen; echo \"${{COMPREPLY[@]}}\"",
        bash.display()
    );
    let completed = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8(completed.stdout).unwrap(), "reload\n");
}
