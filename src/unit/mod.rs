//! The text that systemd reads: names, quoting and directives, and the error for a value that cannot become
//! part of a unit. Pure; nothing here knows about apps or files.

mod assigned;
pub mod directive;
pub mod escape;
mod fault;
pub mod name;
pub mod value;

pub use assigned::{Assigned, assigned, boolean, words};
pub use escape::UnitEscaper;
pub use fault::Fault;
