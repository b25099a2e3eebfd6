//! The output of the command line: text for people, JSON for scripts, and one way to fail.
//!
//! A command tells a [`Sink`] what happens while it works, and gives it the result. Whether that is printed, and in
//! which form, is the sink's decision, which the global options make. Nothing is printed before it has been made
//! visible: see [`Visible`]. A reader that closes its pipe early is not an error.

mod failure;
mod json;
mod notice;
mod style;
pub mod table;
mod text;

use std::io::Write;

use serde::Serialize;

pub use failure::{Exit, Failure};
pub use json::Json;
pub use notice::{CANCELLED, Level, Notice};
pub use style::{Colour, Style};
pub use text::Text;

use crate::ecosystem::Report;
use crate::visible::Visible;

/// The one place that a command speaks to.
pub trait Sink {
    /// Takes what has just happened.
    fn notice(&self, notice: &Notice<'_>);

    /// Takes the result; a command has one, or none when it fails.
    fn answer(&self, answer: &dyn Answer);

    /// Takes the warnings about an ecosystem file that is used despite them.
    fn warnings(&self, report: &Report);

    /// Takes the reason for which the command fails.
    fn failure(&self, failure: &Failure);

    /// Whether scripts read the result: tables for people then need not be made.
    fn is_for_scripts(&self) -> bool {
        false
    }
}

/// The text of a result.
pub trait Shown {
    /// The result as people read it, if there is something to add to the notices that came before.
    fn shown(&self, _style: Style) -> Option<Visible> {
        None
    }
}

/// A result: its fields are its JSON.
pub trait Answer: Shown {
    /// The result as scripts read it.
    fn json(&self) -> serde_json::Value;
}

impl<T: Serialize + Shown> Answer for T {
    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The sink that the global options ask for.
#[must_use]
pub fn sink(colour: Colour, quiet: bool, json: bool, verbose: bool) -> Box<dyn Sink> {
    if json {
        Box::new(Json::new(colour))
    } else {
        Box::new(Text::new(colour, quiet, verbose))
    }
}

// A closed pipe means that the reader has seen enough.
fn write(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
    let _ = to.flush();
}

fn to_stdout(text: &str) {
    write(&mut std::io::stdout().lock(), text);
}

fn to_stderr(text: &Visible) {
    write(&mut std::io::stderr().lock(), text.as_str());
}
