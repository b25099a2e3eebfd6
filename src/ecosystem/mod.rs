//! The ecosystem file: turns its text into checked [`App`]s.
//!
//! `text → TOML with spans → App`. Every fault on the way becomes a [`Diagnostic`] of one [`Report`]. Pure except for
//! [`resolve`], which looks at the file system through a [`resolve::Probe`] that the caller supplies.

mod acl;
pub mod app;
mod calendar;
mod chosen;
pub mod controllers;
pub mod diagnostic;
mod entrance;
pub mod env_files;
pub mod environments;
mod executable;
#[cfg(test)]
pub(crate) mod fake_host;
mod health;
pub mod key;
mod lifecycle;
pub mod listen;
mod managers;
mod newer;
mod openers;
mod owner;
mod parse;
pub mod pin;
pub mod pm2;
mod port;
mod position;
mod program;
pub mod reach;
mod read;
mod readers;
mod recycling;
pub mod release;
pub mod resolve;
mod rollout;
mod schedule;
mod search;
pub mod sessions;
mod steered;
mod tables;
#[cfg(test)]
mod tests;
pub mod values;
mod variables;
mod watched;
mod way;

pub use app::App;
pub use chosen::{By, Chosen};
pub use diagnostic::{Diagnostic, Report, Severity};
pub use newer::{allow_newer, refuse_ignored};
pub use parse::{collision, parse};
pub(crate) use readers::is_account;

/// Removes the warnings about an app, whose `env_file` is at one of these places, when its file was installed as it is now.
pub fn leave_out_standing(faults: &mut Vec<Diagnostic>, unchanged: &[&App]) {
    let is_of = |fault: &Diagnostic, app: &&App| fault.span == app.env_file_span;
    faults.retain(|fault| !fault.is_standing || !unchanged.iter().any(|app| is_of(fault, app)));
}

/// Removes the errors about apps without `listen`, for commands that find the addresses themselves or do not need them.
pub fn allow_left_out(faults: &mut Vec<Diagnostic>) {
    faults.retain(|fault| !fault.is_of_missing_listen);
}

/// Returns every key of an app, in the order in which documents list them.
#[must_use]
pub fn rows() -> Vec<&'static key::Row> {
    let groups = [
        App::ROWS,
        app::Program::ROWS,
        app::Lifecycle::ROWS,
        app::Probe::ROWS,
        app::Rollout::ROWS,
        app::Recycling::ROWS,
        app::Times::ROWS,
        app::Watched::ROWS,
    ];
    let mut rows: Vec<_> = groups.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.subject);
    rows
}

/// The key under which an ecosystem file lists its apps.
pub const APPS: &str = "apps";
