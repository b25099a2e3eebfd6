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

/// The style of a stream. Standard output and standard error may lead to different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a terminal: with colours.
    Terminal,
    /// For a file or a pipe: without colours.
    Plain,
}

impl Style {
    /// Returns the style for `--color` and the stream itself.
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

    /// Returns whether there are colours.
    #[must_use]
    pub fn is_painted(self) -> bool {
        self == Self::Terminal
    }

    /// Formats one line in a colour, if there are colours.
    #[must_use]
    pub fn paint(self, text: &str, colour: AnsiColor) -> Visible {
        let text = Visible::line(text);
        if !self.is_painted() {
            return text;
        }
        let style = Ansi::new().fg_color(Some(colour.into())).bold();
        Visible::composed(format!("{style}{text}{style:#}"))
    }

    /// Formats one line after a coloured label, as in `error: …`.
    #[must_use]
    pub fn labelled(self, label: &str, colour: AnsiColor, text: &str) -> Visible {
        let label = self.paint(label, colour);
        Visible::composed(format!("{label}: {}", Visible::line(text)))
    }
}
