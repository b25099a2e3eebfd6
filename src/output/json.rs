//! JSON for scripts.

use super::text::show_failure;
use super::{Answer, Colour, Failure, Notice, Sink, Style, to_stderr, to_stdout};
use crate::ecosystem::Report;
use crate::visible;

/// The version of every JSON shape. It changes when scripts could break.
const VERSION: u32 = 1;

/// The sink of `--json`: one JSON object on standard output, the result or the failure. People still read warnings and
/// failures on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Json {
    stderr: Style,
}

impl Json {
    /// Makes the sink for these options.
    #[must_use]
    pub fn new(colour: Colour) -> Self {
        Self {
            stderr: Style::of(colour, &std::io::stderr()),
        }
    }
}

impl Sink for Json {
    /// The result contains everything that notices report.
    fn notice(&self, _: &Notice<'_>) {}

    fn answer(&self, answer: &dyn Answer) {
        let value = versioned(answer.json());
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        to_stdout(&visible::json(&text));
    }

    fn item(&self, item: &dyn Answer) -> bool {
        to_stdout(&visible::json(&versioned(item.json()).to_string()))
    }

    fn warnings(&self, report: &Report) {
        to_stderr(&report.render(self.stderr.is_painted()));
    }

    fn failure(&self, failure: &Failure) {
        if !failure.message.is_empty() {
            show_failure(failure, self.stderr);
            self.answer(&failure.as_json());
        }
    }

    fn is_for_scripts(&self) -> bool {
        true
    }
}

/// Returns an object together with its version.
fn versioned(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("version".into(), VERSION.into());
    }
    value
}
