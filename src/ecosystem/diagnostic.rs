//! The faults of an ecosystem file, each with its place and its remedy.
//!
//! Every check adds a [`Diagnostic`]; one [`Report`] prints them all, each with the file, the line, the
//! column, the text itself and the remedy. This module does not decide what is a fault.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::position::{Cursor, Position};
use crate::unit::Fault;
use crate::visible::Visible;

/// The number of faults in a file that people are shown; scripts get all of them.
const MOST_SHOWN: usize = 100;
/// The length from which only the part of a line around the fault is shown.
const LONGEST_LINE: usize = 2000;
/// The bytes that are shown before and after the beginning of a fault in such a line.
const AROUND: usize = 60;
/// The longest text for which a similar known word is searched. No longer text is meant as a key or a directive.
const LONGEST_WORD: usize = 100;

/// How severe a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but the user should know.
    Warning,
}

/// An error or a warning about a place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Diagnostic {
    /// How severe the fault is.
    pub severity: Severity,
    /// The bytes of the text that the fault concerns.
    pub span: Range<usize>,
    /// The fault, in lower case and without a full stop.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
    /// Whether the fault is a directive that a systemd newer than the list may know, see [`super::newer`].
    pub(super) is_of_unknown_directive: bool,
    /// Whether the fault is a value that systemd ignores, see [`super::newer::refuse_ignored`].
    pub(super) is_of_ignored_value: bool,
    /// Whether the fault is about the host as somebody has left it on purpose: who has read it once does not want to read it at each install.
    pub(super) is_standing: bool,
    /// Whether the fault is a missing `listen`, which a rehearsal can find.
    pub(super) is_of_missing_listen: bool,
}

impl Diagnostic {
    /// Makes a fault that prevents the use of the file.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            help: None,
            is_of_unknown_directive: false,
            is_of_ignored_value: false,
            is_standing: false,
            is_of_missing_listen: false,
        }
    }

    /// Makes a fault that does not prevent the use of the file.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    /// Makes an error from the fault of the value at this place.
    #[must_use]
    pub fn of(span: Range<usize>, fault: Fault) -> Self {
        Self::error(span, fault.message).help(fault.help)
    }

    /// Makes a fault from a value that systemd ignores. An installed app that has the value keeps working.
    #[must_use]
    pub(super) fn ignored(span: Range<usize>, fault: Fault) -> Self {
        Self {
            severity: Severity::Warning,
            is_of_ignored_value: true,
            ..Self::of(span, fault)
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All faults of one file.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The file's name as the user gave it.
    pub path: String,
    /// The text of the file.
    pub text: String,
    /// The faults, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// A diagnostic as scripts read it.
#[derive(Debug, Serialize)]
pub struct Located<'a> {
    /// How severe the fault is.
    pub severity: Severity,
    /// The file's name as the user gave it.
    pub file: &'a str,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The fault.
    pub message: &'a str,
    /// The remedy.
    pub help: Option<&'a str>,
}

impl Report {
    /// Makes the report of one file, and sorts the faults in the order of the text.
    pub fn new(path: impl Into<String>, text: &str, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| (d.span.start, d.span.end));
        diagnostics.dedup();
        Self {
            path: path.into(),
            text: text.to_owned(),
            diagnostics,
        }
    }

    /// Returns whether a fault prevents the use of the file.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|d| d.severity == Severity::Error)
    }

    /// Returns the faults with line and column.
    pub fn located(&self) -> impl Iterator<Item = Located<'_>> {
        let mut cursor = Cursor::new(&self.text);
        self.diagnostics.iter().map(move |d| {
            let Position { line, column, .. } = cursor.position_of(d.span.start);
            Located {
                severity: d.severity,
                file: &self.path,
                line,
                column,
                message: &d.message,
                help: d.help.as_deref(),
            }
        })
    }

    /// Formats the report for people. If there are very many faults, the first are shown, errors before warnings.
    #[must_use]
    pub fn render(&self, colour: bool) -> Visible {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut shown: Vec<&Diagnostic> = self.diagnostics.iter().collect();
        let more = shown.len().saturating_sub(MOST_SHOWN);
        if more > 0 {
            shown.sort_by_key(|d| d.severity);
            shown.truncate(MOST_SHOWN);
        }
        let mut cursor = Cursor::new(&self.text);
        let mut blocks: Vec<String> = shown
            .into_iter()
            .map(|d| self.render_one(&renderer, d, cursor.position_of(d.span.start)))
            .collect();
        if more > 0 {
            let path = Visible::line(&self.path);
            let note = format!("{path}: {more} more errors and warnings are not shown");
            let help = Level::HELP.message("`rsgen check --json` lists all of them");
            let group = Level::NOTE.primary_title(note).element(help);
            blocks.push(renderer.render(&[group]));
        }
        Visible::composed(blocks.join("\n\n"))
    }

    fn render_one(&self, renderer: &Renderer, diagnostic: &Diagnostic, at: Position) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = Visible::line(&self.path).to_string();
        let excerpt = self.excerpt(&diagnostic.span, at);
        let snippet = Snippet::source(excerpt.text)
            .line_start(at.line)
            .annotation(AnnotationKind::Primary.span(excerpt.span));
        let message = Visible::line(&diagnostic.message).to_string();
        let group = level.primary_title(message);
        let mut group = if excerpt.is_whole_line {
            group.element(snippet.path(path))
        } else {
            let origin = Origin::path(path).line(at.line).char_column(at.column);
            group.element(origin).element(snippet)
        };
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(Visible::line(help).to_string()));
        }
        renderer.render(&[group])
    }

    /// Returns the line at which a span begins. The span of a whole table would show half the file, so the excerpt ends
    /// with that line.
    fn excerpt(&self, span: &Range<usize>, at: Position) -> Excerpt {
        let rest = self.text.get(at.line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let start = span.start.saturating_sub(at.line_start).min(line.len());
        let end = span
            .end
            .saturating_sub(at.line_start)
            .clamp(start, line.len());
        let is_whole_line = line.len() <= LONGEST_LINE;
        let shown = if is_whole_line {
            0..line.len()
        } else {
            let first = line.floor_char_boundary(start.saturating_sub(AROUND));
            first..line.floor_char_boundary(start + AROUND)
        };
        let part = |range: Range<usize>| line.get(range).unwrap_or_default();
        let end = end.min(shown.end);
        let marked = part(start..end).trim_end();
        let mut text = Visible::lines(part(shown.start..start)).to_string();
        let start_shown = text.len();
        text.push_str(Visible::lines(marked).as_str());
        let end_shown = text.len();
        text.push_str(Visible::lines(part(start + marked.len()..shown.end)).as_str());
        Excerpt {
            text,
            span: start_shown..end_shown,
            is_whole_line,
        }
    }
}

/// The part of the text that is shown for one fault.
struct Excerpt {
    text: String,
    /// The bytes of the excerpt that the fault concerns.
    span: Range<usize>,
    is_whole_line: bool,
}

/// Returns the known word nearest to `word`, if one is near enough to be a likely intention.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&lower, &k.to_lowercase()), k))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_file_line_column_and_shows_the_line() {
        let text = "[[apps]]\nname = 3\n";
        let report = Report::new(
            "eco.toml",
            text,
            vec![Diagnostic::error(16..17, "`name` is an integer").help("write a string")],
        );
        let shown = report.render(false).to_string();
        assert!(shown.contains("eco.toml:2:8"), "{shown}");
        assert!(shown.contains("name = 3"), "{shown}");
        assert!(shown.contains("help: write a string"), "{shown}");
    }

    #[test]
    fn nothing_of_the_file_or_its_name_is_obeyed_by_a_terminal() {
        let text = "a = 1 # \u{9b}2J\u{202e}\nb\u{1b}[2J = 2\n";
        let at = text.find("b\u{1b}").unwrap();
        let fault = Diagnostic::error(at..at + 5, "no `b\u{1b}[2J`\nerror: x").help("\u{200f}");
        let report = Report::new("e\u{1b}c\n.toml", text, vec![fault]);
        let shown = report.render(false).to_string();
        for part in [
            r"e\x1bc\x0a.toml:2:1",
            r"no `b\x1b[2J`\x0aerror: x",
            r"b\x1b[2J = 2",
            r"\u{200f}",
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(shown.contains("\n  | ^^^^^^^^\n"), "{shown}");
        let first = Report::new("e.toml", text, vec![Diagnostic::error(0..1, "x")]);
        assert!(
            first
                .render(false)
                .to_string()
                .contains(r"# \u{9b}2J\u{202e}")
        );
    }

    #[test]
    fn a_few_faults_are_all_shown_in_the_order_of_the_text() {
        let text = "name = 3 # three\nnme = 4\n";
        let faults = vec![
            Diagnostic::warning(7..8, "a"),
            Diagnostic::error(17..20, "b"),
        ];
        let report = Report::new("e.toml", text, faults);
        let shown = report.render(false).to_string();
        let (first, second) = (shown.find("warning: a"), shown.find("error: b"));
        assert!(first.is_some() && first < second, "{shown}");
        assert!(shown.contains("| name = 3 # three\n"), "{shown}");
        assert!(!shown.contains("not shown"), "{shown}");
    }

    #[test]
    fn of_very_many_faults_the_errors_are_shown_first_and_those_that_are_not_are_counted() {
        let shown = |warnings: usize| {
            let text = "x".repeat(warnings + 1);
            let last = Diagnostic::error(warnings..warnings + 1, "b");
            let warnings = (0..warnings).map(|at| Diagnostic::warning(at..at + 1, "a"));
            let report = Report::new("e.toml", &text, warnings.chain([last]).collect());
            report.render(false).to_string()
        };
        let all = shown(MOST_SHOWN - 1);
        assert!(all.starts_with("warning: a") && !all.contains("not shown"));
        let some = shown(MOST_SHOWN + 4);
        assert!(some.starts_with("error: b"), "{some}");
        assert_eq!(some.matches("warning: a").count(), MOST_SHOWN - 1);
        let more = "e.toml: 5 more errors and warnings are not shown";
        assert!(some.contains(more), "{some}");
    }

    #[test]
    fn of_a_very_long_line_only_what_is_around_the_fault_is_shown() {
        let shown = |length: usize| {
            let text = format!("{}!{}", "x".repeat(length), "y".repeat(length));
            let fault = Diagnostic::error(length..length + 1, "a");
            let report = Report::new("e.toml", &text, vec![fault]);
            report.render(false).to_string()
        };
        let long = shown(1500);
        assert!(long.contains("e.toml:1:1501"), "{long}");
        let around = format!("{}!{}", "x".repeat(30), "y".repeat(30));
        assert!(long.contains(&around), "{long}");
        for (c, name) in [('x', "before"), ('y', "after")] {
            assert!(long.matches(c).count() <= AROUND, "{name}: {long}");
        }
        let whole = format!("| {}!{}\n", "x".repeat(65), "y".repeat(65));
        assert!(shown(65).contains(&whole), "{}", shown(65));
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let long = "n".repeat(LONGEST_WORD + 1);
        assert_eq!(nearest(&long, [&*long]), None);
        assert_eq!(nearest(&long[1..], [&*long]), Some(&*long));
        assert_eq!(
            nearest("instnces", ["instances", "name"]),
            Some("instances")
        );
        assert_eq!(nearest("zzz", ["instances", "name"]), None);
    }
}
