//! The house rules of CONTRIBUTING.md that no lint checks, and the table of rooms in ARCHITECTURE.md. Lints are configured in
//! Cargo.toml and clippy.toml: they count the lines of a function but not of a file, deny `unsafe` but not the attribute that
//! expects it, and can neither allow sleep(3) to a server and deny it to a test nor read a comment.

#![expect(clippy::unwrap_used, reason = "what cannot be read cannot be judged")]

#[path = "house/owners.rs"]
mod owners;
#[path = "house/rooms.rs"]
mod rooms;

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const FILE: usize = 400;

/// A text file of the project.
struct Source {
    /// The path below the project's folder.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == "rs")
    }

    /// The lines with their numbers, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default()))
    }

    /// The room of `src` that the file belongs to: `walk` for `src/walk/mod.rs`, `brake` for `src/brake.rs`.
    fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let room = below.split('/').next()?;
        Some(room.strip_suffix(".rs").unwrap_or(room))
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            // In a linked worktree `.git` is a file.
            if name == "target" || name == ".git" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path
                    .strip_prefix(ROOT)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|s| s.path == "src/lib.rs"));
    found
}

/// Fails with all breaches in one message, so that they can be fixed together.
fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

/// Breaches of a rule about lines of Rust code.
fn in_code(allowed: impl Fn(&str) -> bool, breach: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| s.is_rust() && !allowed(&s.path))
    {
        for (number, line) in source.code().filter(|(_, line)| breach(line)) {
            found.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    found
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn is_this(path: &str) -> bool {
    path == "tests/house.rs"
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for source in sources().iter().filter(|s| s.is_rust()) {
        let lines = source.text.lines().count();
        if lines > FILE {
            long.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert_none("a file has at most 400 lines", &long);
}

#[test]
fn unsafe_code_lives_in_sys() {
    let in_sys = |path: &str| path.starts_with("src/sys/") || is_this(path);
    let found = in_code(in_sys, |line| words(line).any(|w| w == "unsafe"));
    assert_none("`unsafe` belongs in src/sys", &found);
}

#[test]
fn nothing_is_left_for_later() {
    let later = ["todo", "fixme", "xxx"];
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| s.is_rust() && !is_this(&s.path))
    {
        for (number, line) in source.text.lines().enumerate() {
            if words(line).any(|w| later.contains(&w.to_lowercase().as_str())) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    assert_none("do it now or remove the note", &found);
}

#[test]
fn every_test_runs() {
    let found = in_code(is_this, |line| line.contains("#[ignore"));
    assert_none("no test may be ignored", &found);
}

#[test]
fn tests_poll_instead_of_sleeping() {
    // The servers of tests/programs sleep before an answer, as a server does that has work to do.
    let not_a_test = |path: &str| {
        ["src/", "tests/programs/", "tests/support/poll.rs"]
            .iter()
            .any(|p| path.starts_with(p))
    };
    let sleeps = |line: &str| line.contains("sleep(");
    let found = in_code(|path| not_a_test(path) || is_this(path), sleeps);
    assert_none("use testbed::wait_until to wait", &found);
}

#[test]
fn specs_read_a_journal_that_has_caught_up() {
    // journald takes lines in when it gets to it, which on a busy host is after the command that follows.
    let not_a_spec = |path: &str| !path.starts_with("tests/machines/");
    let reads = |line: &str| {
        let is_command = [
            "sh(\"journalctl ",
            "[\"journalctl\", \"-",
            "&[\"journalctl\"",
        ];
        let is_read = is_command.iter().any(|command| line.contains(command));
        is_read && !line.contains("--sync") && !line.contains("--update-catalog")
    };
    assert_none(
        "use Machine::journalctl to read the journal",
        &in_code(not_a_spec, reads),
    );
}

#[test]
fn the_changelog_knows_this_version() {
    let text = fs::read_to_string(Path::new(ROOT).join("CHANGELOG.md")).unwrap();
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&heading), "CHANGELOG.md has no `{heading}`");
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| s.path != "Cargo.lock" && !is_this(&s.path))
    {
        for (number, line) in source
            .text
            .lines()
            .enumerate()
            .filter(|(_, l)| is_foreign(l))
        {
            found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
        }
    }
    assert_none(
        "a reader of the project cannot know what this speaks of",
        &found,
    );
}

/// Whether a line has a path of a developer's machine, a ticket number, or words about its authors.
fn is_foreign(line: &str) -> bool {
    let lower = line.to_lowercase();
    let foreign = [
        "/work/",
        "../shared",
        "design.md",
        "systemd.md",
        "style.md",
        "contract.md",
    ];
    let path = foreign.iter().any(|f| {
        lower.match_indices(f).any(|(at, _)| {
            !lower[..at].ends_with(|c: char| c.is_alphanumeric() || "}/._-".contains(c))
        })
    });
    let ticket = line.match_indices('#').any(|(at, _)| {
        let alone = line[..at].ends_with([' ', '(']) || at == 0;
        alone && line[at + 1..].starts_with(|c: char| c.is_ascii_digit())
    });
    path || ticket || words(&lower).any(|w| w == "subagent" || w == "agents")
}

#[test]
fn knows_what_is_foreign() {
    for line in ["see /work/notes", "fixes #12", "(#3)", "`DESIGN.md`"] {
        assert!(is_foreign(line), "{line}");
    }
    for line in ["workdir=$room/work", "target/work/x", "# 12 words", "a#12"] {
        assert!(!is_foreign(line), "{line}");
    }
}
