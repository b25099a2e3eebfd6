//! What is wrong with an ecosystem file, said so that it can be put right.
//!
//! Every check adds a [`Diagnostic`]; one [`Report`] prints them all, each with the file, the line,
//! the column, the text itself and the remedy. Nothing here decides what is wrong.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use crate::unit::Fault;
use crate::visible::Visible;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; the reader should know.
    Warning,
}

/// One thing to say about a place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Bytes of the text it speaks of.
    pub span: Range<usize>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Something that makes the file unusable.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            help: None,
        }
    }

    /// Something the reader should know.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    /// The fault of a value that stands there.
    #[must_use]
    pub fn of(span: Range<usize>, fault: Fault) -> Self {
        Self::error(span, fault.message).help(fault.help)
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that is to be said about one file.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The file's name as the user gave it.
    pub path: String,
    /// Its text.
    pub text: String,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// A diagnostic as scripts read it.
#[derive(Debug, Serialize)]
pub struct Located<'a> {
    /// How much it matters.
    pub severity: Severity,
    /// The file's name as the user gave it.
    pub file: &'a str,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: &'a str,
    /// What to write instead.
    pub help: Option<&'a str>,
}

impl Report {
    /// A report of one file; puts the diagnostics in the order of the text.
    pub fn new(path: impl Into<String>, text: &str, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| (d.span.start, d.span.end));
        diagnostics.dedup();
        Self {
            path: path.into(),
            text: text.to_owned(),
            diagnostics,
        }
    }

    /// Whether anything makes the file unusable.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|d| d.severity == Severity::Error)
    }

    /// The diagnostics with line and column.
    pub fn located(&self) -> impl Iterator<Item = Located<'_>> {
        self.diagnostics.iter().map(|d| {
            let before = self.text.get(..d.span.start).unwrap_or(&self.text);
            let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            Located {
                severity: d.severity,
                file: &self.path,
                line: before.matches('\n').count() + 1,
                column,
                message: &d.message,
                help: d.help.as_deref(),
            }
        })
    }

    /// The report as people read it.
    #[must_use]
    pub fn render(&self, colour: bool) -> Visible {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let blocks: Vec<String> = self
            .diagnostics
            .iter()
            .map(|d| self.render_one(&renderer, d))
            .collect();
        Visible::composed(blocks.join("\n\n"))
    }

    fn render_one(&self, renderer: &Renderer, diagnostic: &Diagnostic) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (text, span) = self.shown(&diagnostic.span);
        let snippet = Snippet::source(text)
            .path(Visible::line(&self.path).to_string())
            .annotation(AnnotationKind::Primary.span(span));
        let message = Visible::line(&diagnostic.message).to_string();
        let mut group = level.primary_title(message).element(snippet);
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(Visible::line(help).to_string()));
        }
        renderer.render(&[group])
    }

    /// The text as it is shown, and where the span is in there.
    fn shown(&self, span: &Range<usize>) -> (String, Range<usize>) {
        let span = self.clamp(span);
        let show = |part: Option<&str>| Visible::lines(part.unwrap_or("")).to_string();
        let mut text = show(self.text.get(..span.start));
        let start = text.len();
        text.push_str(&show(self.text.get(span.clone())));
        let end = text.len();
        text.push_str(&show(self.text.get(span.end..)));
        (text, start..end)
    }

    // A span of a whole table would draw half the file: only its first line is shown.
    fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let rest = self
            .text
            .get(start..span.end.min(self.text.len()))
            .unwrap_or("");
        let first_line = rest.split('\n').next().unwrap_or("");
        start..start + first_line.trim_end().len()
    }
}

/// The known word nearest to `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        assert_eq!(
            nearest("instnces", ["instances", "name"]),
            Some("instances")
        );
        assert_eq!(nearest("zzz", ["instances", "name"]), None);
    }
}
