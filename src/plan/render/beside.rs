//! The units of an app beside its cluster unit, its instances and their sockets: each runs one command of rsgen.

use askama::Template;
use askama::filters::Safe;

use super::super::commands;
use super::{Header, Rendered};
use crate::contract::Act;
use crate::ecosystem::App;
use crate::layout::{Layout, Scope};
use crate::unit::name::Units;

#[derive(Template)]
#[template(path = "join.service", ext = "service")]
struct Join<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
    non_blocking: bool,
    command: Safe<String>,
}

#[derive(Template)]
#[template(path = "watch.service", ext = "service")]
struct Watch<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
    command: Safe<String>,
    sandboxed: bool,
}

#[derive(Template)]
#[template(path = "brake.service", ext = "service")]
struct Brake<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
    command: Safe<String>,
    ended: Safe<String>,
    sandboxed: bool,
}

#[derive(Template)]
#[template(path = "recycle.timer", ext = "timer")]
struct RecycleTimer<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
}

#[derive(Template)]
#[template(path = "recycle.service", ext = "service")]
struct Recycler<'a> {
    name: &'a str,
    units: Units<'a>,
    header: &'a Header,
    command: Safe<String>,
    sandboxed: bool,
}

/// Returns the names and texts of those units that the app has.
pub(super) fn render(app: &App, header: &Header, layout: &Layout) -> askama::Result<Rendered> {
    let name = app.name.as_str();
    let units = Units::of(name);
    // A manager without privileges cannot make the namespaces of the sandbox.
    let sandboxed = layout.scope == Scope::System;
    let mut rendered = Rendered::new();
    if app.is_even() {
        let join = Join {
            name,
            units,
            header,
            non_blocking: app.is_non_blocking(),
            command: commands::balance(app, layout, Act::Join),
        };
        rendered.push((units.join_template(), join.render()?));
    }
    if !app.is_job() {
        let brake = Brake {
            name,
            units,
            header,
            command: commands::brake(app, layout),
            ended: commands::braked(app, layout),
            sandboxed,
        };
        rendered.push((units.brake(), brake.render()?));
    }
    if !app.watched.watch.is_empty() {
        let watch = Watch {
            name,
            units,
            header,
            command: commands::watch(app, layout),
            sandboxed,
        };
        rendered.push((units.watch(), watch.render()?));
    }
    if app.is_recycled() {
        let timer = RecycleTimer {
            name,
            units,
            header,
        };
        let recycler = Recycler {
            name,
            units,
            header,
            command: commands::recycle(
                app,
                layout,
                super::instance_step(app),
                super::longest_stop(app),
            ),
            sandboxed,
        };
        rendered.push((units.recycle_timer(), timer.render()?));
        rendered.push((units.recycler(), recycler.render()?));
    }
    Ok(rendered)
}
