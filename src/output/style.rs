//! Colours, and whether there are any.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style as Ansi};

use crate::visible::Visible;

/// When to use colours.
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

/// How one stream is written to: standard output and standard error may lead to different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As for a terminal, in colours.
    Terminal,
    /// As for a file or a pipe.
    Plain,
}

impl Style {
    /// The style that `--color` and the stream itself ask for.
    #[must_use]
    pub fn of(colour: Colour, stream: &impl IsTerminal) -> Self {
        let is_painted = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        };
        if is_painted {
            Self::Terminal
        } else {
            Self::Plain
        }
    }

    /// Whether there are colours.
    #[must_use]
    pub fn is_painted(self) -> bool {
        self == Self::Terminal
    }

    /// One line in a colour, where there are colours.
    #[must_use]
    pub fn paint(self, text: &str, colour: AnsiColor) -> Visible {
        let text = Visible::line(text);
        if !self.is_painted() {
            return text;
        }
        let style = Ansi::new().fg_color(Some(colour.into())).bold();
        Visible::composed(format!("{style}{text}{style:#}"))
    }

    /// One line behind a label in a colour, as in `error: …`.
    #[must_use]
    pub fn labelled(self, label: &str, colour: AnsiColor, text: &str) -> Visible {
        let label = self.paint(label, colour);
        Visible::composed(format!("{label}: {}", Visible::line(text)))
    }
}
