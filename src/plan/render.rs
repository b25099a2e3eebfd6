//! The templates and what goes into them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use askama::Template;
use askama::filters::Safe;

use super::{Host, boot_target, sandbox};
use crate::ecosystem::App;
use crate::ecosystem::app::Directives;
use crate::ecosystem::env_files::EnvFiles;
use crate::ecosystem::values::{Drain, Handover, Listen, Place, Ready, SocketKind, show_time};
use crate::layout::{Layout, Scope};
use crate::unit::escape::{assignment, command_line};
use crate::unit::name::Units;

/// 190 is the worker's own word for an instance that is given up. The others are systemd's: it could
/// not even run the worker, and no restart will change that. See systemd.exec(5).
const PREVENT: &str = "190 200 201 202 203 204 205 206 207 208 209 210 211 212 213 214 215 216 217 218 219 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 242 243";

pub(super) struct Rendered {
    pub(super) socket: String,
    pub(super) cluster: String,
    pub(super) template: String,
}

#[derive(Template)]
#[template(path = "app.socket", ext = "socket")]
struct Socket<'a> {
    name: &'a str,
    units: Units<'a>,
    source: Option<String>,
    listen: &'a [Listen],
    split_families: bool,
    directives: &'a Directives,
}

#[derive(Template)]
#[template(path = "cluster.service", ext = "service")]
struct Cluster<'a> {
    name: &'a str,
    units: Units<'a>,
    sockets: String,
    source: Option<String>,
    command: String,
    instances: String,
    surge: u32,
    parallel: u32,
    settle: String,
    on_failure: String,
    step_timeout: String,
    longest_stop: String,
    start_timeout: String,
    stop_timeout: String,
    wanted_by: &'a str,
    sandboxed: bool,
}

#[derive(Template)]
#[template(path = "instance.service", ext = "service")]
struct Instance<'a> {
    /// The template takes from it what needs no work: a key that becomes a directive is a line there and nothing here.
    /// A key that neither the template nor this file reads is an unread field, and does not pass `make lint`; see
    /// `ecosystem::key`.
    app: &'a App,
    name: &'a str,
    units: Units<'a>,
    sockets: String,
    source: Option<String>,
    root: &'a str,
    command: String,
    exec_start: Safe<String>,
    worker: String,
    drain: Option<Safe<String>>,
    env: Vec<Safe<String>>,
    env_file: Vec<&'a str>,
    start_timeout: String,
    prevent: &'a str,
    no_new_privileges: bool,
    ptrace: bool,
    sandbox: Vec<(&'static str, String)>,
    /// The exceptions that the handover needs from the user's own filters: `(directive, value)`.
    needed: Vec<(&'static str, &'static str)>,
}

pub(super) fn render(
    app: &App,
    source: Option<&Path>,
    layout: &Layout,
    host: Host,
) -> askama::Result<Rendered> {
    let source = source.map(|s| s.to_string_lossy().into_owned());
    let command = match layout.scope {
        Scope::System => format!("{} unit", layout.command.display()),
        Scope::User => format!("{} --user unit", layout.command.display()),
    };
    Ok(Rendered {
        socket: finished(socket(app, source.clone()).render()?),
        cluster: finished(cluster(app, source.clone(), command.clone(), layout.scope).render()?),
        template: finished(instance(app, source, command, layout, host).render()?),
    })
}

fn socket(app: &App, source: Option<String>) -> Socket<'_> {
    Socket {
        name: &app.name,
        units: Units::of(&app.name),
        source,
        listen: &app.listen,
        split_families: splits_families(&app.listen),
        directives: &app.socket,
    }
}

/// Whether `[::]` and an IPv4 address share a port: then `[::]` must leave IPv4 alone.
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

/// The longest that a stop takes: systemd gives each command of the user's own the time of a phase.
fn longest_stop(app: &App) -> Duration {
    let own = app.assigned("ExecStopPost").list().len();
    let own = u32::try_from(own).unwrap_or(u32::MAX);
    app.lifecycle.longest_stop() + app.lifecycle.kill_timeout.saturating_mul(own)
}

/// The longest time of one step of a reload: the old instance stops, the new one starts and becomes READY.
#[must_use]
pub fn instance_step(app: &App) -> Duration {
    longest_stop(app) + app.lifecycle.listen_timeout + app.lifecycle.restart_delay + SLACK
}

/// For systemd's own work around a step.
const SLACK: Duration = Duration::from_secs(10);

fn cluster(app: &App, source: Option<String>, command: String, scope: Scope) -> Cluster<'_> {
    let units = Units::of(&app.name);
    Cluster {
        name: &app.name,
        units,
        sockets: units.sockets().join(" "),
        source,
        command,
        instances: app.instances.to_string(),
        surge: app.rollout.surge,
        parallel: app.rollout.parallel,
        settle: show_time(app.rollout.settle),
        on_failure: app.rollout.on_failure.to_string(),
        step_timeout: show_time(instance_step(app)),
        longest_stop: show_time(longest_stop(app)),
        start_timeout: show_time(instance_step(app)),
        stop_timeout: show_time(longest_stop(app) + SLACK),
        wanted_by: boot_target(scope),
        // A manager without privileges can make none of the namespaces.
        sandboxed: scope == Scope::System,
    }
}

fn instance<'a>(
    app: &'a App,
    source: Option<String>,
    command: String,
    layout: &Layout,
    host: Host,
) -> Instance<'a> {
    let bind = app.handover == Handover::Bind;
    let units = Units::of(&app.name);
    let files = match layout.scope {
        Scope::System => EnvFiles::of(app, &host.status),
        // The user's own manager can read nothing that the user could not.
        Scope::User => EnvFiles::all_by_systemd(app),
    };
    let reads = !files.by_worker.is_empty();
    Instance {
        app,
        name: &app.name,
        units,
        sockets: units.sockets().join(" "),
        source,
        root: if layout.scope == Scope::System {
            "+"
        } else {
            ""
        },
        command,
        exec_start: exec_start(app, layout, &files.by_worker),
        worker: layout.worker.to_string_lossy().into_owned(),
        drain: drain(app, layout).map(Safe),
        env: app.env.iter().map(|(k, v)| assignment(k, v)).collect(),
        env_file: files.by_systemd,
        start_timeout: show_time(start_timeout(app)),
        prevent: PREVENT,
        no_new_privileges: bind,
        ptrace: sandbox::needs_ptrace(app, host) && !app.is_root() && layout.scope == Scope::System,
        sandbox: sandbox::lines(app, layout.scope, host),
        needed: needed(app, reads),
    }
}

/// System calls of the handover and of reading files of variables, and the socket of `sd_notify(3)`. A later line adds to a list of what is allowed and
/// takes away from one of what is forbidden, see systemd.exec(5).
fn needed(app: &App, reads: bool) -> Vec<(&'static str, &'static str)> {
    let calls =
        (app.handover == Handover::Bind).then_some(("SystemCallFilter", sandbox::HANDOVER_CALLS));
    let families = (app.ready != Ready::Notify).then_some(("RestrictAddressFamilies", "AF_UNIX"));
    let is_set = |directive: &str| !app.assigned(directive).list().is_empty();
    let opens = reads.then_some(("SystemCallFilter", "openat2 fstatfs"));
    let candidates = [calls, opens, families].into_iter().flatten();
    candidates.filter(|(d, _)| is_set(d)).collect()
}

/// `TimeoutStartSec=`. Where the worker itself watches the time, its deadline comes first, because its message says what the
/// program did instead.
fn start_timeout(app: &App) -> Duration {
    let worker_first = matches!(app.ready, Ready::Listen | Ready::Message);
    app.lifecycle.listen_timeout
        + if worker_first {
            Duration::from_secs(5)
        } else {
            Duration::ZERO
        }
}

fn exec_start(app: &App, layout: &Layout, env_files: &[&str]) -> Safe<String> {
    let worker = layout.worker.to_string_lossy();
    let app_argument = format!("--app={}", app.name);
    let before = command_line([&worker, "run", &app_argument]).0;
    let state = state(app, layout);
    let flags = [
        format!("--handover={}", app.handover),
        format!("--ready={}", app.ready),
        format!(
            "--listen-timeout={}",
            show_time(app.lifecycle.listen_timeout)
        ),
        format!("--min-uptime={}", show_time(app.lifecycle.min_uptime)),
        format!("--max-restarts={}", app.lifecycle.max_restarts),
        format!(
            "--preload={}",
            drain(app, layout).is_some() && app.lifecycle.preload
        ),
    ];
    let backoff = app
        .lifecycle
        .exp_backoff_restart_delay
        .map(|b| format!("--backoff={}", show_time(b)));
    let env_files = env_files.iter().map(|file| format!("--env-file={file}"));
    let flags = flags.into_iter().chain(backoff).chain(env_files);
    let flags = flags.chain(["--".to_owned()]);
    let flags: Vec<String> = flags.collect();
    let program = app.program.command_line();
    let after = command_line(flags.iter().chain(&program).map(String::as_str)).0;
    Safe(format!("{before} --instance=%i --state={state} {after}"))
}

fn state(app: &App, layout: &Layout) -> String {
    match layout.scope {
        Scope::System => command_line([&*layout.state(&app.name).to_string_lossy()]).0,
        Scope::User => format!("%t/rsgen/{}", app.name),
    }
}

/// What comes before the stop signal. Its own time: systemd is asked for more than `TimeoutStopSec=`.
fn drain(app: &App, layout: &Layout) -> Option<String> {
    let life = &app.lifecycle;
    let timeout = show_time(life.drain_timeout);
    let state = state(app, layout);
    let message = if life.shutdown_with_message {
        format!(" --message={}", show_time(life.kill_timeout))
    } else {
        String::new()
    };
    (life.drain != Drain::Off || life.shutdown_with_message).then(|| {
        format!(
            "--state={state} --handover={} --timeout={timeout} --way={}{message}",
            app.handover, life.drain
        )
    })
}

impl Listen {
    /// The directive of systemd.socket(5) for this kind of socket.
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

    use crate::ecosystem::values::show_time;

    #[askama::filter_fn]
    pub(super) fn time(time: &Duration, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(show_time(*time))
    }
}

// askama takes the last newline of a template for the editor's.
fn finished(mut text: String) -> String {
    text.push('\n');
    text
}
