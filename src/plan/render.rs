//! The templates, and the values that go into them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use askama::Template;
use askama::filters::Safe;

use super::header::Header;
use super::{Host, Origin, boot_target, commands, sandbox, timer};
use crate::contract::{self, Cpus, Handover, Ready, count, time};
use crate::ecosystem::App;
use crate::ecosystem::app::Directives;
use crate::ecosystem::env_files::EnvFiles;
use crate::ecosystem::values::{Listen, Place, SocketKind};
use crate::layout::{Layout, Scope};
use crate::unit::escape::{Part, assignment, assignment_of};
use crate::unit::name::Units;

mod beside;
mod pause;
mod rehearsal;
mod success;

pub use pause::pause;
pub use rehearsal::Rehearsal;
use rehearsal::Staged;
pub(super) use rehearsal::rehearsal;

/// The texts of an app's units, by their names.
pub(super) type Rendered = Vec<(String, String)>;

#[derive(Template)]
#[template(path = "app.socket", ext = "socket")]
struct Socket<'a> {
    name: &'a str,
    units: Units<'a>,
    header: Header,
    listen: &'a [Listen],
    /// Whether the unit is the template of listeners, one for each instance.
    even: bool,
    split_families: bool,
    directives: &'a Directives,
}

#[derive(Template)]
#[template(path = "cluster.service", ext = "service")]
struct Cluster<'a> {
    name: &'a str,
    units: Units<'a>,
    sockets: String,
    header: Header,
    commands: commands::OfCluster,
    instances: String,
    start_timeout: String,
    stop_timeout: String,
    wanted_by: &'a str,
    sandboxed: bool,
    non_blocking: bool,
}

#[derive(Template)]
#[template(path = "instance.service", ext = "service")]
struct Instance<'a> {
    /// The app itself. The template reads the values that need no work directly from it: a key that becomes a
    /// directive is a line in the template and nothing here. A key that neither the template nor this file
    /// reads is an unread field, which fails `make lint`; see `ecosystem::key`.
    app: &'a App,
    name: &'a str,
    units: Units<'a>,
    sockets: String,
    header: Header,
    root: &'a str,
    commands: commands::OfInstance,
    env: Vec<Safe<String>>,
    env_file: Vec<&'a str>,
    start_timeout: String,
    errored: u8,
    success: String,
    prevent: String,
    no_new_privileges: bool,
    ptrace: bool,
    sandbox: Vec<(&'static str, String)>,
    /// The user's own directives.
    service: Vec<(&'a str, Cow<'a, str>)>,
    /// Exceptions from the user's own filters that the handover needs: `(directive, value)`.
    needed: Vec<(&'static str, &'static str)>,
    rehearsal: Option<Staged>,
}

pub(super) fn render(
    app: &App,
    origin: Origin<'_>,
    layout: &Layout,
    host: Host,
) -> askama::Result<Rendered> {
    let header = Header::new(&app.name, origin, layout.scope);
    let units = Units::of(&app.name);
    let mut rendered = vec![
        (
            units.cluster(),
            cluster(app, header.clone(), layout).render()?,
        ),
        (
            units.template(),
            instance(app, header.clone(), layout, host).render()?,
        ),
    ];
    for unit in app.socket_files() {
        rendered.push((unit, socket(app, header.clone()).render()?));
    }
    rendered.extend(timer::render(app, &header, layout)?);
    rendered.extend(beside::render(app, &header, layout)?);
    let finished = rendered
        .into_iter()
        .map(|(name, text)| (name, finished(text)));
    Ok(finished.collect())
}

fn socket(app: &App, header: Header) -> Socket<'_> {
    Socket {
        name: &app.name,
        units: Units::of(&app.name),
        header,
        listen: &app.listen,
        even: app.is_even(),
        split_families: splits_families(&app.listen),
        directives: &app.socket,
    }
}

/// Returns whether `[::]` and an IPv4 address have the same port, so that `[::]` must leave IPv4 alone.
fn splits_families(listen: &[Listen]) -> bool {
    let addresses = || {
        listen.iter().filter_map(|l| match l.place {
            Place::Address(address) => Some(address),
            Place::Port(_) | Place::Path(_) => None,
        })
    };
    let of_ipv4 = addresses().filter(SocketAddr::is_ipv4);
    let ports: HashSet<u16> = of_ipv4.map(|a| a.port()).collect();
    addresses().any(|a| a.is_ipv6() && ports.contains(&a.port()))
}

/// Returns the longest time that a stop takes. systemd allows each command of the user the full time of a phase.
pub(super) fn longest_stop(app: &App) -> Duration {
    let own = app.assigned("ExecStopPost").list().len();
    let own = u32::try_from(own).unwrap_or(u32::MAX);
    app.lifecycle.longest_stop() + app.lifecycle.kill_timeout.saturating_mul(own)
}

/// Returns the longest time that one step of a reload takes: the old instance stops, and the new one starts and becomes
/// READY.
#[must_use]
pub fn instance_step(app: &App) -> Duration {
    let life = &app.lifecycle;
    longest_stop(app) + life.listen_timeout + app.asking() + life.restart_delay + SLACK
}

/// The time for systemd's own work in a step.
const SLACK: Duration = Duration::from_secs(10);

fn cluster<'a>(app: &'a App, header: Header, layout: &Layout) -> Cluster<'a> {
    let longest_stop = longest_stop(app);
    let commands = commands::of_cluster(app, layout, instance_step(app), longest_stop);
    Cluster {
        name: &app.name,
        units: Units::of(&app.name),
        sockets: app.sockets().join(" "),
        header,
        commands,
        instances: app.instances.to_string(),
        start_timeout: time::show(instance_step(app)),
        stop_timeout: time::show(longest_stop + SLACK),
        wanted_by: boot_target(layout.scope),
        // A manager without privileges cannot make these namespaces.
        sandboxed: layout.scope == Scope::System,
        non_blocking: !app.sockets().is_empty() && app.is_non_blocking(),
    }
}

fn instance<'a>(app: &'a App, header: Header, layout: &Layout, host: Host) -> Instance<'a> {
    let bind = app.handover == Handover::Bind;
    let units = Units::of(&app.name);
    let files = env_files(app, layout, host);
    let reads = !files.by_worker.is_empty();
    Instance {
        app,
        name: &app.name,
        units,
        sockets: if app.is_even() {
            units.own_listener()
        } else {
            app.sockets().join(" ")
        },
        header,
        root: if layout.scope == Scope::System {
            "+"
        } else {
            ""
        },
        commands: commands::of_instance(app, layout, host, &files),
        service: service(app, &files),
        env: app.env.iter().map(|(k, v)| variable(k, v)).collect(),
        env_file: files.by_systemd,
        start_timeout: if app.is_job() {
            let limit = app.times.run_timeout.map(time::show);
            limit.unwrap_or_else(|| "infinity".to_owned())
        } else {
            time::show(start_timeout(app))
        },
        errored: contract::ERRORED,
        success: success::success(app),
        prevent: prevent(app),
        no_new_privileges: bind,
        ptrace: sandbox::needs_ptrace(app, host) && !app.is_root() && layout.scope == Scope::System,
        sandbox: sandbox::lines(app, layout.scope, host),
        needed: needed(app, reads),
        rehearsal: None,
    }
}

fn env_files<'a>(app: &'a App, layout: &Layout, host: Host) -> EnvFiles<'a> {
    match layout.scope {
        Scope::System => EnvFiles::of(app, &host.status),
        // A user's own manager can read only what the user could read anyway.
        Scope::User => EnvFiles::all_by_systemd(app),
    }
}

fn service<'a>(app: &'a App, files: &EnvFiles<'a>) -> Vec<(&'a str, Cow<'a, str>)> {
    let directives = app.service.iter();
    directives
        .map(|(directive, value)| (directive.as_str(), files.in_unit(directive, value)))
        .collect()
}

/// Returns the system calls that the handover, the reading of environment files and the choice of a CPU need, and the socket of
/// `sd_notify(3)`. A further line adds to a list of allowed calls and removes from a list of forbidden ones, see
/// systemd.exec(5).
fn needed(app: &App, reads: bool) -> Vec<(&'static str, &'static str)> {
    let calls =
        (app.handover == Handover::Bind).then_some(("SystemCallFilter", sandbox::HANDOVER_CALLS));
    let families = (app.ready != Ready::Notify).then_some(("RestrictAddressFamilies", "AF_UNIX"));
    let is_set = |directive: &str| !app.assigned(directive).list().is_empty();
    let affinity = "sched_getaffinity sched_setaffinity";
    let spreads = (app.cpus == Cpus::Spread).then_some(("SystemCallFilter", affinity));
    let opens = reads.then_some(("SystemCallFilter", "openat2 fstatfs"));
    let candidates = [calls, opens, spreads, families].into_iter().flatten();
    candidates.filter(|(d, _)| is_set(d)).collect()
}

/// Returns the value of `TimeoutStartSec=`. If the worker watches the time itself, its deadline comes first,
/// because its message says what the program did instead.
fn start_timeout(app: &App) -> Duration {
    let worker_first = matches!(app.ready, Ready::Listen | Ready::Message);
    app.lifecycle.listen_timeout
        + if worker_first {
            Duration::from_secs(5)
        } else {
            Duration::ZERO
        }
}

/// Renders an assignment of `Environment=`. The worker calculates the value of a counting variable.
fn variable(name: &str, value: &str) -> Safe<String> {
    let Some(first) = count::first(value) else {
        return assignment(name, value);
    };
    let (before, after) = count::around(first);
    let before = format!("{name}={before}");
    assignment_of([Part::Text(&before), Part::Specifier('i'), Part::Text(after)])
}

/// Returns the value of `RestartPreventExitStatus=`.
fn prevent(app: &App) -> String {
    listed(contract::final_statuses().chain(app.lifecycle.stop_exit_codes.iter()))
}

fn listed(statuses: impl Iterator<Item = u8>) -> String {
    let statuses: Vec<String> = statuses.map(|status| status.to_string()).collect();
    statuses.join(" ")
}

impl Listen {
    /// Returns the directive of systemd.socket(5) for this kind of socket.
    #[must_use]
    pub fn directive(&self) -> &'static str {
        match self.kind {
            SocketKind::Stream => "ListenStream",
            SocketKind::Datagram => "ListenDatagram",
        }
    }
}

/// Filters of the templates.
#[expect(
    clippy::inline_always,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    unreachable_pub,
    reason = "what the macro of askama makes of a filter"
)]
mod filters {
    use std::time::Duration;

    use crate::contract;

    #[askama::filter_fn]
    pub(super) fn time(span: &Duration, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(contract::time::show(*span))
    }
}

// askama removes the last newline of a template, which it attributes to the editor.
fn finished(mut text: String) -> String {
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn only_families_that_share_a_port_are_split() {
        for (listen, is_split) in [
            ("[\"[::]:80\", \"0.0.0.0:80\"]", true),
            ("[\"[::]:80\", \"0.0.0.0:81\"]", false),
            ("[\"0.0.0.0:80\", \"127.0.0.1:81\"]", false),
            ("[\"[::]:80\", \"[::1]:81\"]", false),
        ] {
            let text = format!("[[apps]]\nscript = \"x\"\nlisten = {listen}\n");
            let (apps, report) = parse("eco.toml", &text);
            assert!(!report.has_errors(), "{}", report.render(false));
            assert_eq!(splits_families(&apps[0].listen), is_split, "{listen}");
        }
    }

    #[test]
    fn a_step_allows_for_each_command_that_an_app_adds_to_its_stop() {
        let step = |lines: &str| {
            let text =
                format!("[[apps]]\nscript = \"x\"\nlisten = 1\nkill_timeout = \"7s\"\n{lines}\n");
            let (mut apps, report) = parse("eco.toml", &text);
            assert!(!report.has_errors(), "{}", report.render(false));
            instance_step(&apps.remove(0))
        };
        let two = step("service.ExecStopPost = [\"/bin/a\", \"/bin/b\"]");
        assert_eq!(two, step("") + Duration::from_secs(14));
        let later = step("listen_timeout = \"1h\"");
        assert!(later > Duration::from_hours(1));
    }
}
