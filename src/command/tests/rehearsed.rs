//! Rehearsals, with a systemd that connects to their sockets in place of the workers.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::stage::{HOST, Recorder, Stage, as_the_fake};
use crate::command::context::Context;
use crate::command::findings::Findings;
use crate::command::jobs::Jobs;
use crate::command::locate::{found, locate};
use crate::command::rehearse::rehearse;
use crate::command::selection::Selected;
use crate::contract::report::MOST;
use crate::ecosystem::{self, App};
use crate::layout::{Layout, Scope};
use crate::state::rehearsals;
use crate::systemd::fake::Fake;
use crate::systemd::{ActiveState, Brief, Error, Job, JobResult, Manager, Unit, Verb};

/// The time at which a program ends that ends by itself.
const END: Duration = Duration::from_millis(300);
/// The time at which a program reports what it reports later.
const LATER: Duration = Duration::from_millis(100);
/// How often somebody has to wait for a stop that takes its time.
const WAITS: u32 = 5;

/// A program that is rehearsed.
#[derive(Clone, Default)]
struct Program {
    /// Lines of the app in the ecosystem file.
    lines: &'static str,
    reports: String,
    /// What the program reports a moment later.
    later: &'static str,
    /// How the program ends by itself, if it does.
    ends: Option<&'static str>,
    stops_late: bool,
}

fn says(lines: &'static str, reports: &str) -> Program {
    Program {
        lines,
        reports: reports.to_owned(),
        ..Program::default()
    }
}

/// A systemd that starts these programs.
struct Systemd {
    fake: Fake,
    layout: Layout,
    programs: BTreeMap<&'static str, Program>,
    connections: Vec<UnixStream>,
    later: Vec<(UnixStream, &'static str)>,
    running: Vec<String>,
    /// The largest number of programs that ran at a time.
    most: usize,
    waits: u32,
    /// How often a unit was looked at.
    looks: BTreeMap<String, u32>,
    /// The text of a unit.
    unit: String,
}

fn app_of(unit: &str) -> &str {
    unit.split(':').next().unwrap()
}

impl Systemd {
    fn of(layout: &Layout, programs: &[(&'static str, Program)]) -> Self {
        Self {
            fake: Fake::default(),
            layout: layout.clone(),
            programs: programs.iter().cloned().collect(),
            connections: Vec::new(),
            later: Vec::new(),
            running: Vec::new(),
            most: 0,
            waits: 0,
            looks: BTreeMap::new(),
            unit: String::new(),
        }
    }

    fn socket(&self, unit: &str) -> PathBuf {
        let number = unit.split(['-', '@']).nth(1).unwrap();
        rehearsals(&self.layout.run).join(format!("{number}.report"))
    }

    fn connect(&mut self, unit: &str, lines: &str) {
        let mut connection = UnixStream::connect(self.socket(unit)).unwrap();
        connection.write_all(lines.as_bytes()).unwrap();
        self.connections.push(connection);
    }

    fn begin(&mut self, unit: &str) {
        let program = self.programs[app_of(unit)].clone();
        self.unit = std::fs::read_to_string(self.layout.runtime_units.join(unit)).unwrap();
        self.connect(unit, &program.reports);
        let worker = self.connections.last().unwrap().try_clone().unwrap();
        self.later.push((worker, program.later));
        // Anybody may connect until the worker has done so.
        self.connect(unit, "ended as a liar says\n");
        self.running.push(unit.to_owned());
        self.most = self.most.max(self.running.len());
        let state = |active, main_pid| Unit {
            name: unit.to_owned(),
            active,
            main_pid,
            ..Unit::default()
        };
        let pid = std::process::id();
        self.fake.set(state(ActiveState::Activating, pid));
        if program.ends.is_some() {
            let end = self.fake.now() + END;
            self.fake.set_at(end, state(ActiveState::Inactive, 0));
        }
    }

    fn end(&mut self, unit: &str) {
        let socket = self.socket(unit).metadata().unwrap();
        assert_eq!(
            socket.permissions().mode() & 0o077,
            0,
            "nobody else connects"
        );
        if let Some(how) = self.programs[app_of(unit)].ends {
            self.connect(unit, &format!("ended {how}\n"));
        }
        self.running.retain(|other| other != unit);
    }
}

impl Systemd {
    fn fake(&mut self) -> &mut Fake {
        &mut self.fake
    }
}

impl Manager for Systemd {
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        if verb == Verb::Start {
            self.begin(unit);
            let (path, unit) = (String::new(), unit.to_owned());
            return Ok(Job { path, unit });
        }
        self.end(unit);
        self.fake.queue(verb, unit)
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        if self.programs[app_of(&job.unit)].stops_late && self.waits < WAITS {
            self.waits += 1;
            let (what, after) = (job.unit.clone(), at_most);
            return Err(Error::TimedOut { what, after });
        }
        self.fake.wait(job, at_most)
    }

    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        *self.looks.entry(app_of(name).to_owned()).or_default() += 1;
        self.fake.unit(name)
    }

    as_the_fake!(
        units,
        cut_short,
        kill,
        reset_failed,
        daemon_reload,
        version,
        now
    );

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
        self.fake.pause(time);
        let now = self.fake.now();
        if now >= LATER {
            for (mut connection, lines) in std::mem::take(&mut self.later) {
                connection.write_all(lines.as_bytes()).unwrap();
            }
        }
        if now >= END {
            self.connections.clear();
        }
    }
}

/// What became of rehearsals.
struct Rehearsed {
    /// For each program the addresses, or the remarks if there is none, or the failure.
    ends: BTreeMap<&'static str, Result<Vec<String>, String>>,
    /// The help of each failure.
    helps: BTreeMap<&'static str, String>,
    /// The programs of which findings were told.
    told: Vec<String>,
    systemd: Systemd,
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// The ecosystem file of these programs.
fn text_of(programs: &[(&'static str, Program)]) -> String {
    let text = programs.iter().map(|(name, program)| {
        let app = format!("name = \"{name}\"\nscript = \"/srv/x\"\ninterpreter = \"none\"\n");
        format!("[[apps]]\n{app}{}\n", program.lines)
    });
    text.collect::<Vec<_>>().concat()
}

fn rehearsed(programs: &[(&'static str, Program)]) -> Rehearsed {
    let stage = Stage::running(&[]);
    let layout = stage.layout.clone();
    std::fs::create_dir_all(&layout.runtime_units).unwrap();
    let text = text_of(programs);
    let (apps, _) = ecosystem::parse("", &text);
    let apps: Vec<&App> = apps.iter().collect();
    assert_eq!(apps.len(), programs.len(), "{text}");
    let mut systemd = Systemd::of(&layout, programs);
    let mut jobs = Jobs {
        manager: &mut systemd,
        layout: &layout,
        sink: &Recorder::default(),
        command: "install",
        begun: std::time::SystemTime::now(),
        part: None,
        is_reread: &std::cell::Cell::default(),
    };
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |app: &App, _: &Findings| told.borrow_mut().push(app.name.clone());
    let ends = rehearse(&mut jobs, HOST, &apps, &tell);
    assert_eq!(ends.len(), programs.len());
    let names = programs.iter().map(|(name, _)| *name);
    let helps = names
        .zip(&ends)
        .filter_map(|(name, end)| Some((name, end.as_ref().err()?.help.clone()?)));
    let helps = helps.collect();
    let ends = ends.into_iter().map(|end| match end {
        Ok(found) if found.listen.is_empty() => Ok(found.notes),
        Ok(found) => Ok(found.listen.iter().map(ToString::to_string).collect()),
        Err(failure) => Err(failure.message),
    });
    let names = programs.iter().map(|(name, _)| *name);
    let files = [&layout.runtime_units, &rehearsals(&layout.run)];
    assert_eq!(
        files.map(|folder| entries(folder)),
        [0, 0],
        "files are left"
    );
    Rehearsed {
        ends: names.zip(ends).collect(),
        helps,
        told: told.into_inner(),
        systemd,
    }
}

const SOON: &str = "listen_timeout = 1000";
const FOUND: &str = "found tcp 1 0 0 127.0.0.1:3000\n";

#[test]
fn a_rehearsal_ends_with_the_addresses_or_with_the_reason_for_which_there_are_none() {
    let long = "x".repeat(300);
    let died = |reports: String| Program {
        ends: Some("exited with status 3"),
        ..says("", &reports)
    };
    let found = Program {
        later: FOUND,
        ..died(format!("begun\n{long}\n"))
    };
    let late = Program {
        stops_late: true,
        ..says("ready = \"message\"", &format!("begun\n{FOUND}ready\n"))
    };
    let mut rehearsed = rehearsed(&[
        ("found", found),
        ("died", died("begun\n".into())),
        ("noisy", died(format!("{long}\n").repeat(MOST + 20) + FOUND)),
        ("ready", late),
        ("none", says(SOON, "begun\n")),
        ("strange", says(SOON, "begun\nstrange\n")),
        (
            "unready",
            says("listen_timeout = 1000\nready = \"notify\"", "begun\n"),
        ),
    ]);
    let listen = || Ok(vec!["127.0.0.1:3000".to_owned()]);
    let ended = |app: &str| {
        Err(format!(
            "`{app}` ended in its rehearsal (exited with status 3) before it listened"
        ))
    };
    let mut end = |app| rehearsed.ends.remove(app).unwrap();
    assert_eq!(end("found"), listen());
    assert_eq!(end("ready"), listen());
    assert_eq!(end("died"), ended("died"));
    assert_eq!(end("noisy"), ended("noisy"), "nobody reads so many lines");
    let none = end("none").unwrap();
    assert!(
        none[0].starts_with("bound no address within 1 s: "),
        "{none:?}"
    );
    let strange = end("strange").unwrap_err();
    assert!(strange.starts_with("`strange` binds an address that cannot be shared"));
    assert_eq!(
        end("unready").unwrap_err(),
        "`unready` was not READY within 1 s of its rehearsal, and bound no address"
    );
    let mut told = rehearsed.told;
    told.sort();
    assert_eq!(told, ["found", "none", "ready"]);

    let systemd = rehearsed.systemd;
    assert_eq!(systemd.most, 4, "one for each processor");
    assert!(systemd.looks["none"] < 25, "{:?}", systemd.looks);
    let jobs = systemd.fake.log.join("\n");
    assert!(systemd.waits == WAITS && !jobs.contains("kill"), "{jobs}");
}

/// The unit ends the program when this command is killed before it hears of the worker.
#[test]
fn the_unit_of_a_rehearsal_lasts_longer_than_the_rehearsal() {
    let ends = Program {
        ends: Some("killed"),
        ..says("listen_timeout = 7000\nkill_timeout = 5000", FOUND)
    };
    let text = rehearsed(&[("web", ends)]).systemd.unit;
    let longest = "RuntimeMaxSec=15s";
    assert!(text.contains(longest), "{text}");
    assert!(text.contains(".report --kill-signal="), "{text}");
}

#[test]
fn an_address_that_the_file_leaves_out_is_found_and_written_down() {
    let stage = Stage::running(&[]);
    let layout = Layout {
        scope: Scope::User,
        ..stage.layout.clone()
    };
    std::fs::create_dir_all(&layout.runtime_units).unwrap();
    let ends = Program {
        ends: Some("killed"),
        ..says("", "found unix 1 0 0 /tmp/web.sock\n")
    };
    let programs = [("web", ends)];
    let pinned = text_of(&programs);
    let app = ecosystem::parse("", &pinned).0.remove(0);
    let mut selected = vec![Selected {
        app,
        pinned,
        installed: None,
    }];
    let systemd = Box::new(Systemd::of(&layout, &programs));
    let sink = Recorder::default();
    let mut context = Context::of_a_test(layout, HOST, &sink, systemd);
    let missed = locate(&mut context, &mut selected, false, false);
    assert!(missed.is_ok_and(|missed| missed.failures.is_empty()));
    let listen = "listen = \"/tmp/web.sock\"";
    assert!(
        selected[0].pinned.contains(listen),
        "{}",
        selected[0].pinned
    );
    let told = sink.told().join("\n");
    assert!(told.contains("/tmp/web.sock"), "{told}");

    let systemd = Box::new(Systemd::of(&context.layout, &programs));
    let mut context = Context::of_a_test(context.layout, HOST, &sink, systemd);
    let found = found(&mut context, &selected[0].app).ok().unwrap();
    assert_eq!(found, selected[0].app.listen);
}

/// systemd makes such a socket as root, before the program is started.
#[test]
fn a_socket_that_only_root_can_make_is_told_with_the_line_for_it() {
    let reports = "begun\nunmade /run/web/web.sock\n";
    let died = Program {
        ends: Some("exited with status 3"),
        ..says("", reports)
    };
    let rehearsed = rehearsed(&[("waits", says(SOON, reports)), ("died", died)]);
    let waits = rehearsed.ends["waits"].clone().unwrap_err();
    assert_eq!(
        waits,
        "`waits` binds a unix socket that its user may not make"
    );
    for (name, help) in &rehearsed.helps {
        let line = "write `listen = \"/run/web/web.sock\"`";
        assert!(help.contains(line), "{name}: {help}");
    }
    assert_eq!(rehearsed.helps.len(), 2);
}
