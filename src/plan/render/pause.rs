//! The unit that exists while an app is paused. No plan has it: `rsgen pause` writes it into /run.

use std::time::Duration;

use askama::Template;
use askama::filters::Safe;

use super::super::{Unrendered, commands};
use super::{filters, finished};
use crate::layout::{Layout, Scope};
use crate::unit::name::Units;

#[derive(Template)]
#[template(path = "pause.service", ext = "service")]
struct PauseUnit<'a> {
    name: &'a str,
    units: Units<'a>,
    listeners: String,
    non_blocking: bool,
    pause: Safe<String>,
    resume: Safe<String>,
    longest: Duration,
    sandboxed: bool,
}

/// Renders the unit that pauses an app for this time. `listeners` are the open sockets of single instances, and whether
/// they are non-blocking; `longest` is the time after which systemd ends the pause, whatever its command does.
///
/// # Errors
/// Those of the template.
pub fn pause(
    app: &str,
    layout: &Layout,
    (listeners, non_blocking): (&[String], bool),
    (time, longest): (Duration, Duration),
) -> Result<String, Unrendered> {
    let unit = PauseUnit {
        name: app,
        units: Units::of(app),
        listeners: listeners.join(" "),
        non_blocking,
        pause: commands::pause(app, layout, time),
        resume: commands::resume(app, layout),
        longest,
        // A manager without privileges cannot make the namespaces of the sandbox.
        sandboxed: layout.scope == Scope::System,
    };
    Ok(finished(unit.render()?))
}
