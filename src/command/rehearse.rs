//! A rehearsal of an app: its program is started once, in a unit like that of an instance, to see where it listens.
//!
//! The worker reports over a socket in `/run/rsgen`, see `worker::rehearsal`. Whatever it reports may be the program's own
//! words. When this command is killed, the worker ends the program, and the unit removes the files.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use super::findings::{self, Findings, Unclear};
use super::jobs::Jobs;
use crate::cluster::Cluster;
use crate::contract::Ready;
use crate::contract::report::{Found, LONGEST, MOST, Report};
use crate::ecosystem::App;
use crate::generate::files;
use crate::output::{Exit, Failure, Notice};
use crate::plan::{self, Host};
use crate::state::{self, Folder, Name};
use crate::systemd::{self, ActiveState, Unit, Verb};
use crate::unit::name::Units;
use crate::visible::Visible;

/// The interval at which the report is read.
const TICK: Duration = Duration::from_millis(20);
/// The interval at which systemd is asked for the unit.
const LOOK: Duration = Duration::from_millis(200);
/// A program of which nothing new was heard for so long, and for as long as the last news took, is taken to have bound what
/// it binds.
const QUIET: Duration = Duration::from_millis(1500);
/// More than the queue of a listener of the standard library holds.
const BACKLOG: usize = 1024;
/// The most connections that are looked at in one go. Any user may connect.
const MOST_CONNECTIONS: usize = 64;

/// Rehearses the program of an app.
pub(super) fn rehearse(jobs: &mut Jobs<'_>, host: Host, app: &App) -> Result<Findings, Failure> {
    let longest = app.lifecycle.listen_timeout;
    jobs.sink.notice(&Notice::Rehearsing(&app.name, longest));
    let number = std::process::id();
    let unit = Units::of(&app.name).rehearsal(number);
    let mut stage = Stage::set(jobs, host, app, number, &unit)?;
    jobs.manager.queue(Verb::Start, &unit)?;
    let watched = watch(jobs, app, &unit, &mut stage);
    let stopped = end(jobs, app, &unit);
    let seen = watched?;
    stopped?;
    // The worker's user may be the one of this command, so the worker's connection has been accepted before.
    let how = stage.how_it_ended();
    drop(stage);
    answer(jobs, app, &unit, &seen, how)
}

/// The files of a rehearsal, which are removed with it.
struct Stage {
    unit: PathBuf,
    /// A link to the drop-ins of the instances.
    drop_ins: PathBuf,
    folder: Folder,
    name: Name,
    listener: UnixListener,
    /// The worker's connection, once there is one.
    worker: Option<Connection>,
}

impl Stage {
    fn set(
        jobs: &Jobs<'_>,
        host: Host,
        app: &App,
        number: u32,
        unit: &str,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::failed(format!("no rehearsal can be prepared: {e}"))
                .help("write `listen` into the file, or `--listen`")
        };
        let (drop_ins, theirs) = Units::of(&app.name).drop_ins(number);
        let theirs = jobs.layout.units.join(theirs);
        let path = state::rehearsals(&jobs.layout.run);
        let name = Name::Rehearsal(number);
        let folder = Folder::make(&path).map_err(failed)?;
        folder.remove(&name.to_string()).map_err(failed)?;
        let listener = UnixListener::bind(folder.path_of(name)).map_err(failed)?;
        let stage = Self {
            unit: jobs.layout.runtime_units.join(unit),
            drop_ins: jobs.layout.runtime_units.join(&drop_ins),
            folder,
            name,
            listener,
            worker: None,
        };
        stage.folder.open_to(name, true).map_err(failed)?;
        stage.listener.set_nonblocking(true).map_err(failed)?;
        let rehearsal = plan::Rehearsal {
            number,
            report: &path.join(name.to_string()),
            // Should this command be killed before the worker is connected.
            longest: app.lifecycle.listen_timeout + app.lifecycle.kill_timeout + QUIET * 2,
        };
        let text = plan::rehearsal(app, jobs.layout, host, rehearsal).map_err(Failure::failed)?;
        if theirs.is_dir() {
            symlink(theirs, &stage.drop_ins).map_err(failed)?;
        }
        files::write_new(&stage.unit, &text).map_err(failed)?;
        Ok(stage)
    }

    /// The next connection of a process that `is_it` accepts. Others may connect as well, and are not heard.
    fn accept(&self, is_it: impl Fn(UnixCredentials) -> bool) -> Option<Connection> {
        for _ in 0..MOST_CONNECTIONS {
            let (stream, _) = self.listener.accept().ok()?;
            let peer = getsockopt(&stream, PeerCredentials).ok();
            if peer.is_some_and(&is_it) && stream.set_nonblocking(true).is_ok() {
                return Some(Connection::new(stream));
            }
        }
        None
    }

    /// Lets nobody else connect any more, so that the last command of the unit does not wait in a queue that is full.
    fn close_to_others(&self) {
        let _ = self.folder.open_to(self.name, false);
        let mut strangers = 0;
        while strangers < BACKLOG && self.listener.accept().is_ok() {
            strangers += 1;
        }
    }

    /// What the worker has reported since the last call.
    fn read(&mut self) -> Vec<Report> {
        self.worker
            .as_mut()
            .map(Connection::read)
            .unwrap_or_default()
    }

    /// How the unit says that it has ended.
    fn how_it_ended(&self) -> Option<String> {
        let own = geteuid().as_raw();
        let mut connections = std::iter::from_fn(|| self.accept(|peer| peer.uid() == own));
        connections.find_map(|mut connection| {
            let mut reports = connection.read().into_iter();
            reports.find_map(|report| match report {
                Report::Ended(how) => Some(how),
                _ => None,
            })
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unit);
        let _ = std::fs::remove_file(&self.drop_ins);
        let _ = self.folder.remove(&self.name.to_string());
    }
}

/// A connection of the worker, or of the command that the unit runs at its end.
struct Connection {
    stream: Option<UnixStream>,
    line: Vec<u8>,
    lines: usize,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream: Some(stream),
            line: Vec::new(),
            lines: 0,
        }
    }

    fn read(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut buffer) {
                Ok(length) if length > 0 && self.lines <= MOST => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    for byte in bytes {
                        self.take(*byte, &mut reports);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                _ => self.stream = None,
            }
        }
        reports
    }

    fn take(&mut self, byte: u8, reports: &mut Vec<Report>) {
        if byte != b'\n' {
            // One byte more is kept, so that a line that is too long stays one.
            if self.line.len() <= LONGEST {
                self.line.push(byte);
            }
            return;
        }
        self.lines += 1;
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line).unwrap_or_default();
        reports.extend(text.parse());
    }
}

/// What was seen of a program.
#[derive(Default)]
struct Seen {
    found: Vec<Found>,
    is_strange: bool,
    /// Whether the program has ended by itself.
    has_ended: bool,
    /// Whether the time was over before the program was READY.
    is_late: bool,
    invocation: String,
}

impl Seen {
    /// Takes in a report; whether it tells something new.
    fn take(&mut self, report: Report) -> bool {
        match report {
            Report::Found(found) if !self.found.contains(&found) => {
                // The same socket, which listens now.
                self.found.retain(|f| {
                    *f != Found {
                        listens: false,
                        ..found.clone()
                    }
                });
                self.found.push(found);
                true
            }
            Report::Strange => !std::mem::replace(&mut self.is_strange, true),
            Report::Begun => true,
            Report::Ready | Report::Found(_) | Report::Ended(_) => false,
        }
    }

    /// Takes in the state of the unit; whether the program has ended.
    fn look(&mut self, now: &Unit) -> bool {
        if !now.invocation.is_empty() {
            self.invocation.clone_from(&now.invocation);
        }
        // Before its job has begun the unit is inactive as well.
        self.has_ended = now.is_gone() && now.job.is_none();
        self.has_ended
    }

    /// Whether the program has not said that it is READY, though it is one that says so.
    fn is_unready(&self, app: &App) -> bool {
        self.is_late && matches!(app.ready, Ready::Message | Ready::Notify)
    }

    fn serves(&self) -> bool {
        findings::judge(&self.found, false).is_ok()
    }
}

/// Watches until READY is clear and nothing new has come for a moment, until the program ends, or until the time is over.
fn watch(jobs: &mut Jobs<'_>, app: &App, unit: &str, stage: &mut Stage) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let begun = Instant::now();
    let (mut news, mut looked) = (begun, begun);
    let mut is_told_ready = false;
    loop {
        for report in stage.read() {
            let is_word = report == Report::Ready && app.ready == Ready::Message;
            if seen.take(report) || is_word && !is_told_ready {
                news = Instant::now();
            }
            is_told_ready |= is_word;
        }
        if looked.elapsed() >= LOOK || stage.worker.is_none() {
            looked = Instant::now();
            let now = jobs.manager.unit(unit)?;
            if stage.worker.is_none() && now.main_pid != 0 {
                let main = i32::try_from(now.main_pid).unwrap_or(0);
                stage.worker = stage.accept(|peer| peer.pid() == main);
                if stage.worker.is_some() {
                    stage.close_to_others();
                }
            }
            if seen.look(&now) {
                // All that the worker has written is there to be read by now.
                stage.read().into_iter().for_each(|report| {
                    seen.take(report);
                });
                return Ok(seen);
            }
            let is_active = now.active == ActiveState::Active && app.ready == Ready::Notify;
            if is_active && !is_told_ready {
                (is_told_ready, news) = (true, looked);
            }
        }
        let is_ready =
            is_told_ready || matches!(app.ready, Ready::Listen | Ready::Exec) && seen.serves();
        seen.is_late = !is_ready;
        // Who takes long to bind a first address takes as long for a second.
        let moment = QUIET.max(news.duration_since(begun));
        let is_quiet = is_ready && news.elapsed() >= moment;
        if is_quiet || begun.elapsed() >= app.lifecycle.listen_timeout {
            return Ok(seen);
        }
        jobs.manager.pause(TICK);
    }
}

/// Stops the unit, as an instance is stopped: with the stop signal, and SIGKILL after `kill_timeout`.
fn end(jobs: &mut Jobs<'_>, app: &App, unit: &str) -> Result<(), Failure> {
    let job = match jobs.manager.queue(Verb::Stop, unit) {
        // The program has ended, and systemd has forgotten the unit.
        Err(systemd::Error::NoSuchUnit { .. }) => return Ok(()),
        job => job?,
    };
    let longest = app.lifecycle.kill_timeout * 2 + Duration::from_secs(10);
    if let Err(systemd::Error::TimedOut { .. }) = jobs.manager.wait(&job, longest) {
        // A program can extend the time-outs of systemd.
        jobs.manager.kill(unit)?;
        jobs.manager.wait(&job, longest)?;
    }
    Ok(())
}

fn answer(
    jobs: &Jobs<'_>,
    app: &App,
    unit: &str,
    seen: &Seen,
    how: Option<String>,
) -> Result<Findings, Failure> {
    let judged = findings::judge(&seen.found, seen.has_ended);
    if seen.has_ended && judged.is_err() {
        let cluster = Cluster {
            app: app.name.clone(),
            state: jobs.layout.state(&app.name),
            scope: jobs.layout.scope,
        };
        let ended = Unit {
            name: unit.to_owned(),
            invocation: seen.invocation.clone(),
            ..Unit::default()
        };
        for line in cluster.words(&ended) {
            jobs.sink.notice(&Notice::LastWord(&Visible::line(&line)));
        }
        let how = how.map(|how| format!(" ({how})")).unwrap_or_default();
        return Err(Failure::failed(format!(
            "`{}` ended in its rehearsal{how} before it listened",
            app.name
        ))
        .help(format!(
            "see `journalctl -u {unit}`; or write `listen`, and nothing is rehearsed"
        )));
    }
    match judged {
        // A program that is up and binds nothing, not one that is not up.
        Err(Unclear::Nothing) if !seen.is_strange && !seen.is_unready(app) => Ok(Findings {
            notes: vec![format!(
                "bound no address within {} s: it is installed as a program without a port",
                app.lifecycle.listen_timeout.as_secs_f64()
            )],
            ..Findings::default()
        }),
        judged => judged.map_err(|unclear| refusal(app, seen, &unclear)),
    }
}

fn refusal(app: &App, seen: &Seen, unclear: &Unclear) -> Failure {
    let what = match unclear {
        Unclear::Nothing if seen.is_strange => {
            "binds an address that cannot be shared, for instance an abstract one".to_owned()
        }
        Unclear::Nothing => format!(
            "was not READY within {} s of its rehearsal, and bound no address",
            app.lifecycle.listen_timeout.as_secs_f64()
        ),
        unclear => unclear.to_string(),
    };
    let help = match unclear {
        Unclear::Nothing => {
            "write the address as `listen`, and raise `listen_timeout` if the program needs longer"
        }
        Unclear::NoneToShare(_) => {
            "have the program listen on a fixed address, for instance by a variable in `env`"
        }
        Unclear::TooMany => "write those that the instances are to share as `listen`",
    };
    Failure::new(Exit::Failed, format!("`{}` {what}", app.name)).help(help)
}
