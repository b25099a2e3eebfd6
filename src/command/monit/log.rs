//! The log of the chosen row, as `rsgen logs` shows it.

use std::collections::VecDeque;
use std::io::BufReader;
use std::process::{Child, Stdio};
use std::thread;

use super::super::last_words;
use super::super::line::Line;
use super::super::logs::{self, Entries};
use super::super::targets::Target;
use super::{News, Sender};
use crate::journal::Query;
use crate::layout::Layout;
use crate::output::{Shown, Style};
use crate::sys::process;
use crate::visible::Visible;

/// How many lines are kept.
const KEPT: usize = 2000;
/// How many lines are shown of what was written before.
const EARLIER: u32 = 200;
/// `LOG_ERR` of syslog(3), and more severe ones.
const ERR: u8 = 3;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLine {
    pub(super) text: Visible,
    pub(super) is_error: bool,
}

impl LogLine {
    /// A line about the log itself.
    fn note(text: &str) -> Self {
        Self {
            text: Visible::line(text),
            is_error: false,
        }
    }

    /// The lines that `rsgen logs` shows for one of the journal.
    fn of(line: &Line) -> Vec<Self> {
        let shown = line.shown(Style::Plain).unwrap_or_default();
        let is_error = line.priority.is_some_and(|priority| priority <= ERR);
        let lines = shown.as_str().lines().map(|text| Self {
            text: Visible::composed(text.to_owned()),
            is_error,
        });
        lines.collect()
    }
}

/// The last lines of a log.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) lines: VecDeque<LogLine>,
    /// How many lines are below those that are shown.
    pub(super) up: usize,
}

impl Log {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds lines. What somebody has scrolled to stays where it is.
    pub(super) fn add(&mut self, lines: Vec<LogLine>) {
        if self.up > 0 {
            self.up += lines.len();
        }
        self.lines.extend(lines);
        let surplus = self.lines.len().saturating_sub(KEPT);
        self.lines.drain(..surplus);
        self.up = self.up.min(self.lines.len());
    }

    /// Scrolls no further than to the first line.
    pub(super) fn fit(&mut self, room: usize) {
        self.up = self.up.min(self.lines.len().saturating_sub(room));
    }

    /// The lines that fit.
    pub(super) fn shown(&mut self, room: usize) -> impl Iterator<Item = &LogLine> {
        self.fit(room);
        let end = self.lines.len() - self.up;
        self.lines.range(end.saturating_sub(room)..end)
    }
}

/// A row whose log is followed, and the number of instances that its app should have, since a log is of a number of units.
pub(super) type Of = (Target, Option<u32>);

/// The number of the log that follows this one. What is still sent of another log is known by its number.
pub(super) fn after(number: Option<u64>) -> u64 {
    number.map_or(0, |number| number + 1)
}

/// A log that is followed.
pub(super) struct Tail {
    pub(super) of: Of,
    pub(super) number: u64,
    child: Option<Child>,
}

impl Tail {
    /// Begins to follow a log.
    pub(super) fn open(layout: &Layout, cpus: u32, of: Of, number: u64, sender: &Sender) -> Self {
        let (app, units) = (of.0.app(), logs::units(layout, cpus, &of.0));
        if let Some(elsewhere) = last_words::elsewhere(layout, app, of.0.number()) {
            // A sender waits if there is much unread news, and the reader of the news is here.
            let note = LogLine::note(&elsewhere);
            let sender = sender.clone();
            thread::spawn(move || sender.send(News::Logged(number, vec![note])));
        }
        let child = follow(layout, units, number, sender.clone());
        Self { of, number, child }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The question about the last lines of these units, and those that come.
fn query(units: &[String]) -> Query<'_> {
    Query {
        units,
        lines: Some(EARLIER),
        follow: true,
        ..Query::default()
    }
}

/// Starts journalctl(1), and a thread that sends what it prints.
fn follow(layout: &Layout, units: Vec<String>, number: u64, sender: Sender) -> Option<Child> {
    let scope = layout.scope;
    let arguments = query(&units).arguments(scope, nix::unistd::geteuid().as_raw());
    let mut command = logs::journalctl(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let started = process::unblock_signals(&mut command).spawn();
    let (mut child, problem) = match started {
        Ok(child) => (Some(child), String::new()),
        Err(error) => (None, logs::cannot_run(&error).message),
    };
    let out = child.as_mut().and_then(|child| child.stdout.take());
    thread::spawn(move || {
        let send = |lines| sender.send(News::Logged(number, lines));
        let Some(out) = out else {
            return send(vec![LogLine::note(&problem)]);
        };
        let out = BufReader::new(out);
        let units = &units;
        let entries = Entries { out, scope, units };
        logs::each(entries, false, |line| send(LogLine::of(line)))
            && send(vec![LogLine::note(
                "the journal cannot be read any more; root, and members of the group `systemd-journal`, may read that of the system",
            )])
    });
    child
}

#[cfg(test)]
mod tests {
    use super::super::super::line::Before;
    use super::*;
    use crate::journal::{Entry, Source};
    use crate::layout::Scope;

    fn shown(log: &mut Log, room: usize) -> Vec<String> {
        log.shown(room).map(|line| line.text.to_string()).collect()
    }

    fn numbered(range: std::ops::Range<usize>) -> Vec<LogLine> {
        range.map(|n| LogLine::note(&n.to_string())).collect()
    }

    #[test]
    fn the_journal_is_asked_for_the_last_lines_of_the_row_and_for_what_comes() {
        let asked = query(&["web@0.service".to_owned()]).arguments(Scope::System, 0);
        let is_asked = |end: &str| asked.iter().any(|argument| argument.ends_with(end));
        let all = ["--lines=200", "--follow", "=web@0.service"].map(is_asked);
        assert_eq!(all, [true; 3], "{asked:?}");
    }

    #[test]
    fn the_last_lines_are_shown_and_those_scrolled_to_stay() {
        let mut log = Log::default();
        log.add(numbered(0..10));
        assert_eq!(shown(&mut log, 3), ["7", "8", "9"]);
        log.up = 4;
        assert_eq!(shown(&mut log, 3), ["3", "4", "5"]);
        log.add(numbered(10..12));
        assert_eq!(shown(&mut log, 3), ["3", "4", "5"]);
        log.up = 100;
        assert_eq!(shown(&mut log, 3), ["0", "1", "2"]);
        assert_eq!(log.up, 9, "not above the first line");
    }

    #[test]
    fn no_more_lines_are_kept_than_a_few_thousand() {
        let mut log = Log::default();
        log.add(numbered(0..KEPT + 5));
        assert_eq!(log.lines.len(), KEPT);
        assert_eq!(shown(&mut log, 1), [(KEPT + 4).to_string()]);
    }

    #[test]
    fn a_line_of_the_journal_is_shown_as_in_the_log_and_an_error_as_one() {
        let of = |priority, message: &str| {
            let entry = Entry {
                time: 1_700_000_000_000_000,
                unit: "web@0.service".to_owned(),
                source: Source::Unit,
                pid: None,
                priority,
                message: message.to_owned(),
                stream: None,
                is_continued: false,
            };
            let line = Line::of(&entry, &mut Before::default()).unwrap();
            let lines = LogLine::of(&line).into_iter();
            lines
                .filter(|line| line.text.as_str().contains("web@0"))
                .map(|line| {
                    assert!(line.text.as_str().ends_with(message), "{}", line.text);
                    line.is_error
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Some(2), "critical"), [true]);
        assert_eq!(of(Some(3), "an error"), [true]);
        assert_eq!(of(Some(4), "a warning"), [false]);
        assert_eq!(of(None, "a line"), [false]);
    }
}
