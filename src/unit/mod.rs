//! What systemd reads: names, quoting, directives. Pure; nothing here knows an app or a file.

pub mod directive;
pub mod escape;
pub mod name;

pub use escape::UnitEscaper;
