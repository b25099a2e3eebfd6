//! Runs pages of the documentation: their commands, their files, and the output that they show.
//!
//! A ` ```console ` block has commands after `# ` or `$ `, and below each command its output. HTML comments,
//! which readers do not see, give the tests the information that readers get from the text:
//!
//! - `<!-- file: /srv/web/server.js -->`: the next block is the text of this file.
//! - `<!-- run: sed … -->`: a command that is run unseen, and has to succeed.
//! - `<!-- not run: reason -->`: the next block cannot be run; the tests list every such reason.
//! - `<!-- derived: … -->`: another test writes the text up to the next of these comments.
//! - `<!-- json: … -->`: another test compares the table below with the JSON of a command.

use crate::machine::Machine;

/// A block between two fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The number of the block's first line, from 1.
    pub line: usize,
    /// `console`, `toml` …; empty for none.
    pub language: String,
    /// The text of the block.
    pub text: String,
    /// The file whose text the block is.
    pub file: Option<String>,
    /// The commands that are run unseen before the block.
    pub before: Vec<String>,
    /// The reason why the block is not run.
    pub not_run: Option<String>,
}

/// A command of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command as a reader would type it.
    pub command: String,
    /// The lines that the page shows below the command.
    pub shown: Vec<String>,
    /// Whether the command has to fail: its output is an error, or the next command is `echo $?` and shows a status.
    pub fails: bool,
}

/// The blocks of a page.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut next = empty();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            next.line = number + 2;
            language.trim().clone_into(&mut next.language);
            for (_, line) in lines.by_ref() {
                if line.trim_start().starts_with("```") {
                    break;
                }
                next.text.push_str(line);
                next.text.push('\n');
            }
            found.push(std::mem::replace(&mut next, empty()));
        } else if let Some(comment) = comment(line) {
            note(&mut next, comment, number + 1);
        }
    }
    found
}

fn empty() -> Block {
    Block {
        line: 0,
        language: String::new(),
        text: String::new(),
        file: None,
        before: Vec::new(),
        not_run: None,
    }
}

fn comment(line: &str) -> Option<&str> {
    Some(
        line.trim()
            .strip_prefix("<!--")?
            .strip_suffix("-->")?
            .trim(),
    )
}

fn note(block: &mut Block, comment: &str, line: usize) {
    match comment.split_once(": ") {
        Some(("file", path)) => block.file = Some(path.to_owned()),
        Some(("run", script)) => block.before.push(script.to_owned()),
        Some(("not run", why)) => block.not_run = Some(why.to_owned()),
        Some(("derived" | "json", _)) => {}
        _ => panic!("line {line}: the tests do not know the comment `{comment}`"),
    }
}

impl Block {
    /// Whether the block has commands.
    #[must_use]
    pub fn is_commands(&self) -> bool {
        matches!(self.language.as_str(), "console" | "sh")
    }

    /// The commands of the block, in order; a block of `sh` is one command.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for line in self.text.lines().filter(|l| !l.is_empty()) {
            let prompt = ["# ", "$ "].iter().find_map(|p| line.strip_prefix(p));
            match (prompt, steps.last_mut()) {
                _ if self.language == "sh" => match steps.last_mut() {
                    Some(step) => step.command = format!("{}\n{line}", step.command),
                    None => steps.push(step(line)),
                },
                (Some(command), _) => steps.push(step(command)),
                (None, Some(step)) => step.shown.push(line.to_owned()),
                (None, None) => panic!("line {}: the block begins without a command", self.line),
            }
        }
        let asked: Vec<bool> = steps.iter().skip(1).map(Step::asks_for_failure).collect();
        for (index, step) in steps.iter_mut().enumerate() {
            let error = step.shown.iter().any(|l| l.starts_with("error"));
            step.fails = error || asked.get(index).is_some_and(|a| *a);
        }
        steps
    }
}

impl Step {
    /// Whether this step shows that the command before it has failed.
    fn asks_for_failure(&self) -> bool {
        self.command == "echo $?" && self.shown != ["0"]
    }
}

fn step(command: &str) -> Step {
    Step {
        command: command.to_owned(),
        shown: Vec::new(),
        fails: false,
    }
}

/// Follows a page on a machine as a reader would, and compares the output. Messages name `page`.
pub fn follow(machine: &Machine, page: &str, text: &str) {
    let mut folder = "/root".to_owned();
    let mut status = 0;
    for block in blocks(text).iter().filter(|b| b.not_run.is_none()) {
        let place = format!("{page}:{}", block.line);
        for script in &block.before {
            machine.run(&["sh", "-ec", script]).ok();
        }
        if let Some(path) = &block.file {
            machine.write(path, &block.text);
        }
        if !block.is_commands() {
            continue;
        }
        for step in block.steps() {
            if let Some(to) = step.command.strip_prefix("cd ") {
                to.clone_into(&mut folder);
                continue;
            }
            status =
                run(machine, &folder, status, &step).unwrap_or_else(|why| panic!("{place}: {why}"));
        }
    }
}

/// Runs one command, and returns its status, or the difference from the page.
fn run(machine: &Machine, folder: &str, before: i32, step: &Step) -> Result<i32, String> {
    if step.command.contains("journalctl") {
        // journald may not have received the latest lines yet.
        machine.run(&["journalctl", "--sync"]).ok();
    }
    let script = format!("cd {folder}\n(exit {before})\n{}", step.command);
    let output = machine.run(&["sh", "-c", &format!("{{ {script}\n}} 2>&1")]);
    if step.fails == (output.status == 0) {
        return Err(format!("status {} of\n{output}", output.status));
    }
    match missing(&step.shown, &output.stdout) {
        Some(line) => Err(format!("`{line}` is not shown in this place by\n{output}")),
        None => Ok(output.status),
    }
}

/// The first shown line that the output of a command does not have after the previous one.
#[must_use]
pub fn missing<'a>(shown: &'a [String], written: &str) -> Option<&'a str> {
    let mut rest = written.lines();
    shown
        .iter()
        .map(String::as_str)
        .filter(|line| line.trim() != "…")
        .find(|line| !rest.any(|l| is_alike(line, l)))
}

/// Whether a line matches the shown one: white space, numbers and times may differ, and `…` matches anything.
#[must_use]
pub fn is_alike(shown: &str, written: &str) -> bool {
    let written = squeeze(written);
    let parts: Vec<String> = shown.split('…').map(squeeze).collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return parts.first().is_some_and(|only| *only == written);
    };
    let Some(mut rest) = written.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part.as_str()) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last.as_str())
}

/// The line with one blank between words, and with the same placeholder for every number of several digits or with a unit.
fn squeeze(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() && !out.ends_with(char::is_alphabetic) {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
            let number = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ',']);
            let unit = unit(&rest[number.len()..]);
            let any = number.len() > 1 || unit > 0;
            out.push_str(if any { "N" } else { number });
            rest = &rest[number.len() + unit..];
        } else if c.is_whitespace() {
            out.push(' ');
            rest = rest.trim_start();
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out.trim().to_owned()
}

/// The length of a unit of time or size at the beginning of a text, including a blank before the unit.
fn unit(text: &str) -> usize {
    let blank = usize::from(text.starts_with(' '));
    let word = text[blank..]
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    let close = ["ms", "s", "min", "h", "d", "B", "K", "M", "G"].contains(&word);
    let apart = ["ms", "s", "min"].contains(&word);
    if (blank == 0 && close) || (blank == 1 && apart) {
        blank + word.len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_its_reader_would() {
        let asked = blocks("```console\n# one\n# echo $?\n1\n```\n")[0].steps();
        assert_eq!((asked[0].fails, asked[1].fails), (true, false));
        let page = "<!-- file: /a -->\n```toml\nx = 1\n```\n<!-- run: true -->\n```console\n# one\nshown\n$ two\nerror: no\n```\n";
        let found = blocks(page);
        assert_eq!(found[0].file.as_deref(), Some("/a"));
        assert_eq!(found[0].text, "x = 1\n");
        assert_eq!(found[1].before, ["true"]);
        let steps = found[1].steps();
        assert_eq!((steps[0].command.as_str(), steps[0].fails), ("one", false));
        assert_eq!((steps[1].command.as_str(), steps[1].fails), ("two", true));
        assert_eq!(steps[0].shown, ["shown"]);
    }

    #[test]
    fn numbers_and_times_may_differ_and_nothing_else() {
        for (shown, written) in [
            (
                "ready after 812 ms (pid 185)",
                "ready after 1.0 s (pid 97021)",
            ),
            (
                "web  0  online  116  0s  52.5M",
                "web 0 online 9116 12s  48.1M",
            ),
            ("  a  b ", "a b"),
            (
                "Nov … web[116]: hello",
                "Nov 23 20:44:01 host web[7116]: hello",
            ),
            ("… online", "x online"),
        ] {
            assert!(is_alike(shown, written), "{shown} / {written}");
        }
        for (shown, written) in [
            ("instance 0: ready", "instance 1: ready"),
            ("status 1", "status 2"),
            ("a … c", "a b"),
            ("web", "web more"),
            ("web1", "web2"),
        ] {
            assert!(!is_alike(shown, written), "{shown} / {written}");
        }
    }

    #[test]
    fn lines_are_looked_for_in_their_order() {
        let shown = ["a".to_owned(), "…".to_owned(), "c".to_owned()];
        assert_eq!(missing(&shown, "a\nb\nc\n"), None);
        assert_eq!(missing(&shown, "c\na\n"), Some("c"));
    }
}
