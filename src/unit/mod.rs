//! What systemd reads: names, quoting, directives; and the fault of a value that cannot become part of that. Pure;
//! nothing here knows an app or a file.

mod assigned;
pub mod directive;
pub mod escape;
mod fault;
pub mod name;
pub mod value;

pub use assigned::{Assigned, assigned, boolean, words};
pub use escape::UnitEscaper;
pub use fault::Fault;
