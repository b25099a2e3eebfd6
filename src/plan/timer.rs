//! The units of a schedule: the timer, and the unit that the timer starts.

use askama::Template;

use super::header::Header;
use crate::ecosystem::App;
use crate::ecosystem::app::Directives;
use crate::layout::{Layout, Scope};
use crate::state::{Entry, Name};
use crate::unit::name::Units;

#[derive(Template)]
#[template(path = "app.timer", ext = "timer")]
struct Timer<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
    what: &'a str,
    times: &'a [String],
    starts: String,
    directives: &'a Directives,
}

#[derive(Template)]
#[template(path = "reload.service", ext = "service")]
struct Reloader<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
    /// The option of systemctl(1) that selects the app's manager.
    scope: &'a str,
    /// The file that exists while the app is paused.
    pause: String,
    sandboxed: bool,
}

/// Returns the names and texts of these units; empty for an app without a schedule.
pub(super) fn render(
    app: &App,
    header: &Header,
    layout: &Layout,
) -> askama::Result<Vec<(String, String)>> {
    if app.timer().is_none() {
        return Ok(Vec::new());
    }
    let units = Units::of(&app.name);
    let timer = Timer {
        name: &app.name,
        units,
        header,
        what: if app.is_job() { "runs" } else { "reloads" },
        times: app.schedule(),
        starts: if app.is_job() {
            units.cluster()
        } else {
            units.reloader()
        },
        directives: &app.times.timer,
    };
    let mut rendered = vec![(units.timer(), timer.render()?)];
    if app.is_job() {
        return Ok(rendered);
    }
    let reloader = Reloader {
        name: &app.name,
        units,
        header,
        scope: match layout.scope {
            Scope::System => "--system",
            Scope::User => "--user",
        },
        pause: Entry::new(&layout.state(&app.name), Name::Pause)
            .path()
            .display()
            .to_string(),
        sandboxed: layout.scope == Scope::System,
    };
    rendered.push((units.reloader(), reloader.render()?));
    Ok(rendered)
}
