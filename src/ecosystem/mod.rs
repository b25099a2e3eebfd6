//! What the user wrote: the text of an ecosystem file becomes checked [`App`]s.
//!
//! `text → TOML with spans → App`, every fault on the way a [`Diagnostic`] of one [`Report`]. Pure
//! but for [`resolve`], which looks at the file system through a [`resolve::Probe`] that its caller
//! supplies.

pub mod app;
pub mod diagnostic;
pub mod env_files;
mod keys;
mod lifecycle;
pub mod listen;
mod newer;
mod parse;
pub mod pin;
mod pm2;
mod position;
mod reach;
mod read;
pub mod resolve;
mod tables;
pub mod values;
mod variables;
mod way;

pub use app::App;
pub use diagnostic::{Diagnostic, Report, Severity};
pub use keys::KEYS;
pub use newer::allow_newer;
pub use parse::{collision, parse};

/// The key under which an ecosystem file lists its apps.
pub const APPS: &str = "apps";
