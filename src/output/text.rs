//! Text for people.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Instant;

use anstyle::AnsiColor;

use super::{
    Answer, Block, Canvas, Colour, Failure, Level, Notice, Prompt, Screen, Sink, Style, to_stderr,
    to_stdout,
};
use crate::ecosystem::Report;
use crate::visible::Visible;

/// The sink without `--json`: results and notices on standard output, warnings and failures on standard error.
#[derive(Debug)]
pub struct Text {
    stdout: Style,
    stderr: Style,
    /// The lowest level of notices that are printed.
    least: Level,
    shown: Cell<Instant>,
}

impl Text {
    /// Makes the sink for these options.
    #[must_use]
    pub fn new(colour: Colour, quiet: bool, verbose: bool) -> Self {
        Self {
            stdout: Style::of(colour, &std::io::stdout()),
            stderr: Style::of(colour, &std::io::stderr()),
            least: match (quiet, verbose) {
                (true, _) => Level::Result,
                (false, false) => Level::Progress,
                (false, true) => Level::Detail,
            },
            shown: Cell::new(Instant::now()),
        }
    }

    fn is_shown(&self) {
        self.shown.set(Instant::now());
    }
}

impl Sink for Text {
    fn notice(&self, notice: &Notice<'_>) {
        match notice {
            Notice::Faults(report) => self.warnings(report),
            notice if notice.level() < self.least => {}
            notice => {
                to_stdout(notice.text().as_str());
                self.is_shown();
            }
        }
    }

    fn answer(&self, answer: &dyn Answer) {
        if let Some(text) = answer.shown(self.stdout) {
            to_stdout(text.as_str());
            self.is_shown();
        }
    }

    fn item(&self, item: &dyn Answer) -> bool {
        item.shown(self.stdout)
            .is_none_or(|text| to_stdout(text.as_str()))
    }

    fn screen(&self) -> Option<Screen> {
        let is_terminal = std::io::stdout().is_terminal();
        is_terminal
            .then(|| Screen::open(self.stdout).ok())
            .flatten()
    }

    fn canvas(&self) -> Option<Canvas> {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        (is_terminal && !is_dumb())
            .then(|| Canvas::open(self.stdout.is_painted()).ok())
            .flatten()
    }

    fn block(&self) -> Option<Block> {
        let is_wanted = self.least <= Level::Progress && std::io::stdout().is_terminal();
        (is_wanted && !is_dumb()).then(Block::new).flatten()
    }

    fn prompt(&self) -> Option<Prompt> {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        is_terminal.then(Prompt::new)
    }

    fn warnings(&self, report: &Report) {
        to_stderr(&report.render(self.stderr.is_painted()));
        self.is_shown();
    }

    fn shown_at(&self) -> Option<Instant> {
        Some(self.shown.get())
    }

    fn failure(&self, failure: &Failure) {
        show_failure(failure, self.stderr);
    }
}

/// Whether the terminal cannot move its cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Prints a failure in one line, or all faults of a file at their places, followed by the next step.
pub(super) fn show_failure(failure: &Failure, style: Style) {
    if failure.message.is_empty() {
        return;
    }
    let text: Visible = match &failure.report {
        Some(report) => report.render(style.is_painted()),
        None => style.labelled("error", AnsiColor::Red, &failure.message),
    };
    to_stderr(&text);
    if let Some(help) = &failure.help {
        to_stderr(&style.labelled("help", AnsiColor::Cyan, help));
    }
}
