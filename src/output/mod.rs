//! The output of the command line: text for people, JSON for scripts, and one way to fail.
//!
//! A command reports its progress to a [`Sink`], and gives it the result. The sink, which the global options
//! select, decides whether that is printed and in which form. Everything is escaped before it is printed, see
//! [`Visible`]. A reader that closes its pipe early is not an error.

mod block;
mod canvas;
mod failure;
mod hold;
mod json;
mod keys;
mod notice;
mod prompt;
mod screen;
mod style;
pub mod table;
mod text;

use std::io::Write;
use std::time::Instant;

use serde::Serialize;

pub use block::Block;
pub use canvas::{Bell, Canvas, Input};
pub use failure::{Exit, Failure};
pub use json::Json;
pub use keys::Key;
pub use notice::{CANCELLED, Level, Notice, counted};
pub use prompt::Prompt;
pub use screen::Screen;
pub use style::{Colour, Style};
pub use text::Text;

use crate::ecosystem::Report;
use crate::visible::Visible;

/// The destination of a command's output.
pub trait Sink {
    /// Takes a report about an event.
    fn notice(&self, notice: &Notice<'_>);

    /// Takes the result. A command has one result, or none when it fails.
    fn answer(&self, answer: &dyn Answer);

    /// Takes one of many results, which are printed as they come, in JSON each as one line. Returns whether somebody still
    /// reads them.
    fn item(&self, item: &dyn Answer) -> bool {
        self.answer(item);
        true
    }

    /// Takes the warnings about an ecosystem file that is used despite them.
    fn warnings(&self, report: &Report);

    /// Takes the reason why the command fails.
    fn failure(&self, failure: &Failure);

    /// Takes over the terminal, if the output goes to one.
    fn screen(&self) -> Option<Screen> {
        None
    }

    /// Takes over the terminal to draw on it and to read keys; `None` if there is no person at both ends.
    fn canvas(&self) -> Option<Canvas> {
        None
    }

    /// Returns a block of lines that can be redrawn in place, if the output goes to a terminal and shows progress.
    fn block(&self) -> Option<Block> {
        None
    }

    /// Returns the way to ask a person; `None` if there is no person at both ends.
    fn prompt(&self) -> Option<Prompt> {
        None
    }

    /// Returns when something was shown last, or when there was nothing yet, the command began; `None` where nobody reads along.
    fn shown_at(&self) -> Option<Instant> {
        None
    }

    /// Returns whether scripts read the result, so that no tables for people are needed.
    fn is_for_scripts(&self) -> bool {
        false
    }
}

/// The text of a result.
pub trait Shown {
    /// Formats the result for people, if there is something to add to the notices.
    fn shown(&self, _style: Style) -> Option<Visible> {
        None
    }
}

/// A result, whose fields are its JSON.
pub trait Answer: Shown {
    /// Returns the result as JSON.
    fn json(&self) -> serde_json::Value;
}

impl<T: Serialize + Shown> Answer for T {
    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Returns the sink for the global options.
#[must_use]
pub fn sink(colour: Colour, quiet: bool, json: bool, verbose: bool) -> Box<dyn Sink> {
    if json {
        Box::new(Json::new(colour))
    } else {
        Box::new(Text::new(colour, quiet, verbose))
    }
}

// A closed pipe means that the reader has seen enough.
fn write(to: &mut impl Write, text: &str) -> bool {
    writeln!(to, "{text}").and_then(|()| to.flush()).is_ok()
}

fn to_stdout(text: &str) -> bool {
    write(&mut std::io::stdout().lock(), text)
}

fn to_stderr(text: &Visible) {
    write(&mut std::io::stderr().lock(), text.as_str());
}
