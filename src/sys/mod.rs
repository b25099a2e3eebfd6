//! Every unsafe block and raw system call, each with its SAFETY comment; nothing else.

mod quit;

pub use quit::exit_on_sigterm;
