//! How the command line speaks: text for people, JSON for scripts, and one way to fail.
//!
//! Only this room and `command` print, and what they print has been made visible: see [`Visible`]. A reader
//! that went away is no error.

mod failure;
pub mod table;

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub use failure::{Exit, Failure};

use crate::visible::{self, Visible};

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where everything goes that a command has to say.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Printer {
    colour: bool,
    /// The same of what goes to standard error.
    paints_errors: bool,
    quiet: bool,
    /// Results as JSON on standard output, nothing else there.
    pub json: bool,
    /// Whether to say more than the result.
    pub verbose: bool,
}

/// The version of every JSON shape: it changes when a script could break.
const JSON_VERSION: u32 = 1;

impl Printer {
    /// What the global options ask for.
    #[must_use]
    pub fn new(colour: Colour, quiet: bool, json: bool, verbose: bool) -> Self {
        let paints = |is_terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        };
        Self {
            colour: paints(std::io::stdout().is_terminal()),
            paints_errors: paints(std::io::stderr().is_terminal()),
            quiet,
            json,
            verbose,
        }
    }

    /// Whether colours are wanted in what goes to standard error.
    #[must_use]
    pub fn paints_errors(&self) -> bool {
        self.paints_errors
    }

    /// A line of the result.
    pub fn line(&self, text: impl Into<Visible>) {
        if !self.json {
            write(&mut std::io::stdout().lock(), text.into().as_str());
        }
    }

    /// A line on the way to the result; `--quiet` leaves it out.
    pub fn progress(&self, text: impl Into<Visible>) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// A line that is not the result and must not be lost.
    pub fn warning(&self, text: impl Into<Visible>) {
        write(&mut std::io::stderr().lock(), text.into().as_str());
    }

    /// The result as scripts read it.
    pub fn json(&self, result: &impl Serialize) {
        if self.json {
            let mut value = serde_json::to_value(result).unwrap_or_default();
            if let Some(object) = value.as_object_mut() {
                object.insert("version".into(), JSON_VERSION.into());
            }
            let text = serde_json::to_string_pretty(&value).unwrap_or_default();
            write(&mut std::io::stdout().lock(), &visible::json(&text));
        }
    }

    /// Says why a command failed: one line, and what to do about it.
    pub fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let paint = self.paints_errors();
        let text = match &failure.report {
            Some(report) => report.render(paint),
            None => labelled("error", AnsiColor::Red, &failure.message, paint),
        };
        self.warning(text);
        if let Some(help) = &failure.help {
            self.warning(labelled("help", AnsiColor::Cyan, help, paint));
        }
        self.json(&failure.as_json());
    }

    /// Text in a colour, where colours are wanted.
    #[must_use]
    pub fn paint(&self, text: &str, colour: AnsiColor) -> Visible {
        style(text, colour, self.colour)
    }
}

fn labelled(label: &str, colour: AnsiColor, text: &str, paint: bool) -> Visible {
    let label = style(label, colour, paint);
    Visible::composed(format!("{label}: {}", Visible::line(text)))
}

fn style(text: &str, colour: AnsiColor, paint: bool) -> Visible {
    let text = Visible::line(text);
    if !paint {
        return text;
    }
    let style = Style::new().fg_color(Some(colour.into())).bold();
    Visible::composed(format!("{style}{text}{style:#}"))
}

// A closed pipe means that the reader has seen enough.
fn write(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
    let _ = to.flush();
}
