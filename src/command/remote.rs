//! Commands for the apps of another host, as `-H` of systemctl(1): what its systemd tells and does over the bus.
//!
//! Nothing on this host is read or written for such a command, and nothing on the other one but by its systemd. So a command that needs
//! files of the app, the journal or the kernel is refused, see [`Remote::refusal`]. What the other host says is text from outside.

mod host;
mod jobs;
mod scale;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

pub(super) use host::Host;
pub(super) use jobs::{carry_out, resume};
pub(super) use scale::scale;

use super::accepting::Looks;
use super::overview::Overview;
use super::status::AppStatus;
use super::targets;
use crate::contract::{Instances, Step};
use crate::output::{Exit, Failure, Notice, Sink};
use crate::systemd::{self, ActiveState, Brief, Manager};
use crate::unit::name::{Member, Units, parse};

/// The commands that need only the bus.
pub(super) const POSSIBLE: &str =
    "`list`, `start`, `stop`, `restart`, `reload`, `scale`, `resume` and `signal`";

/// The context of a command for another host.
pub(super) struct Remote<'a> {
    pub(super) sink: &'a dyn Sink,
    /// The name of the subcommand.
    pub(super) command: &'static str,
    host: Host,
    manager: Option<Box<dyn Manager>>,
}

/// An app of the other host, by the command of its cluster unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of instances; `None` if it depends on the CPUs of that host.
    wanted: Option<u32>,
    is_job: bool,
}

impl Found {
    /// The app whose cluster unit runs this command.
    fn of(app: &str, words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next()?;
        let is_ours = program.rsplit('/').next() == Some("rsgen");
        if !is_ours || words.next()? != "unit" {
            return None;
        }
        let (name, instances, is_job) = match Step::parse(words.map(OsString::from)).ok()? {
            Step::Start(start) => (start.app, start.instances, false),
            Step::Job(job) => (job.app, job.instances, true),
            _ => return None,
        };
        let wanted = match instances {
            Instances::Exactly(number) => Some(number),
            _ => None,
        };
        (name == app).then_some(Self { wanted, is_job })
    }
}

impl<'a> Remote<'a> {
    pub(super) fn new(host: Host, is_users: bool, sink: &'a dyn Sink) -> Result<Self, Failure> {
        if is_users {
            let fault = "`--host` reaches the system's systemd, not one of a user";
            return Err(Failure::new(Exit::Usage, fault)
                .help(format!("run `{}`", host.typed("rsgen --user …"))));
        }
        Ok(Self {
            sink,
            command: "",
            host,
            manager: None,
        })
    }

    /// A test host.
    #[cfg(test)]
    pub(super) fn of_a_test(sink: &'a dyn Sink, manager: Box<dyn Manager>) -> Self {
        Self {
            sink,
            command: "",
            host: Host::parse("anna@web1").unwrap(),
            manager: Some(manager),
        }
    }

    /// The failure of a command that needs more than the bus.
    pub(super) fn refusal(&self) -> Failure {
        let command = self.command;
        self.refuse(
            format!("`{command}` needs more than the bus of {}", self.host),
            command,
        )
        .help_also(Some(format!("`--host` serves {POSSIBLE}")))
    }

    /// The failure of an option or an argument that needs more than the bus.
    pub(super) fn refuse_option(&self, option: &str) -> Failure {
        self.refuse(
            format!("{option} needs more than the bus of {}", self.host),
            self.command,
        )
    }

    /// The failure of a command that works on files and programs of the host that runs it, and asks no systemd for anything that
    /// would be there.
    pub(super) fn refuse_files(&self) -> Failure {
        let command = self.command;
        let there = self.host.typed(&format!("rsgen {command} …"));
        let fault =
            format!("`{command}` works on the host that it runs on, so it takes no `--host`");
        Failure::new(Exit::Usage, fault).help(format!(
            "run `rsgen {command} …` for files of this host, or `{there}` for those of {}",
            self.host
        ))
    }

    /// The failure of a command that prints the same on every host.
    pub(super) fn refuse_everywhere(&self) -> Failure {
        let command = self.command;
        let fault = format!("`{command}` prints the same on every host, so it takes no `--host`");
        Failure::new(Exit::Usage, fault).help(format!("run `rsgen {command} …`"))
    }

    fn refuse(&self, fault: String, command: &str) -> Failure {
        let there = self.host.typed(&format!("rsgen {command} …"));
        Failure::new(Exit::Usage, fault).help(format!("run `{there}`"))
    }

    /// The other host's systemd. The connection is opened at the first use.
    pub(super) fn manager(&mut self) -> Result<&mut dyn Manager, Failure> {
        let manager = if let Some(manager) = self.manager.take() {
            manager
        } else {
            let opened = systemd::connect_through(&mut self.host.bridge());
            let (manager, said) = opened.map_err(|e| self.failure(e))?;
            for line in said {
                self.sink.notice(&Notice::Remark(&line));
            }
            manager
        };
        Ok(self.manager.insert(manager).as_mut())
    }

    /// The failure for an error of the other host's systemd.
    pub(super) fn failure(&self, error: systemd::Error) -> Failure {
        let help = match &error {
            systemd::Error::NoBus { .. } => Some(format!(
                "see that `{}` works",
                self.host.typed("systemd-stdio-bridge --version")
            )),
            systemd::Error::AccessDenied { .. } => Some(format!(
                "log in as root there, or allow it in polkit(8) of {}",
                self.host
            )),
            _ => None,
        };
        let mut failure = Failure::from(error);
        failure.message = format!("{}: {}", self.host, failure.message);
        failure.help = help.or(failure.help);
        failure
    }

    /// Asks the other host's systemd.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Manager) -> Result<T, systemd::Error>,
    ) -> Result<T, Failure> {
        let answer = question(self.manager()?);
        answer.map_err(|e| self.failure(e))
    }

    /// The apps of the other host, by name. Their cluster units say so themselves; every service with a template of its name could be one.
    pub(super) fn apps(&mut self) -> Result<BTreeMap<String, Found>, Failure> {
        self.ask(|manager| {
            let files: BTreeSet<String> = manager.unit_files("*.service")?.into_iter().collect();
            let names = files.iter().filter_map(|file| match parse(file) {
                Some((app, Member::Cluster)) => Some(app.to_owned()),
                _ => None,
            });
            let has_template = |app: &String| files.contains(&Units::of(app).template());
            let names: Vec<String> = names.filter(has_template).collect();
            let clusters: Vec<String> = names.iter().map(|app| Units::of(app).cluster()).collect();
            let commands = manager.commands(&clusters)?;
            let found = names.into_iter().zip(commands);
            let found = found.filter_map(|(app, commands)| {
                let first = commands.into_iter().next()?;
                Some((Found::of(&app, first)?, app))
            });
            Ok(found.map(|(found, app)| (app, found)).collect())
        })
    }

    /// The apps of these names, or all.
    pub(super) fn chosen(&mut self, words: &[String]) -> Result<BTreeMap<String, Found>, Failure> {
        let mut apps = self.apps()?;
        if words.is_empty() {
            return Ok(apps);
        }
        let known: Vec<String> = apps.keys().cloned().collect();
        let wanted = words.iter().map(|word| targets::app(word, &known));
        let wanted: Vec<String> = wanted
            .collect::<Result<_, _>>()
            .map_err(|failure| self.not_there(failure))?;
        apps.retain(|app, _| wanted.contains(app));
        Ok(apps)
    }

    /// The app of this name.
    fn app(&mut self, word: &str) -> Result<(String, Found), Failure> {
        let apps = self.chosen(&[word.to_owned()])?;
        // There is one, or there was a failure.
        apps.into_iter().next().ok_or_else(|| {
            let fault = format!("{}: there is no app `{word}`", self.host);
            Failure::failed(fault)
        })
    }

    /// The failure if no program of an app gets a signal.
    pub(super) fn nobody(&self, failure: Failure, app: &str) -> Failure {
        let help = format!(
            "run `rsgen --host {} list {app}` to see its instances",
            self.host
        );
        self.not_there(failure).help(help)
    }

    /// The failure of a name that no app of the other host has.
    fn not_there(&self, mut failure: Failure) -> Failure {
        failure.message = format!("{}: {}", self.host, failure.message);
        failure
    }

    /// A failure that a program of the other host has told. Its commands are for that host.
    fn told(&self, failure: Failure) -> Failure {
        let failure = self.not_there(failure);
        let help = failure.help.clone();
        match help {
            Some(help) => failure.help(format!("on {}: {help}", self.host)),
            None => failure,
        }
    }

    /// The state of these apps, as far as systemd reports it: it does not know of canaries, of connections, or how a run before ended.
    pub(super) fn states(
        &mut self,
        apps: &BTreeMap<String, Found>,
    ) -> Result<Vec<AppStatus>, Failure> {
        let names: Vec<(&str, bool)> = apps.keys().map(|app| (app.as_str(), false)).collect();
        let sockets: Vec<String> = apps.keys().map(|app| Units::of(app).socket()).collect();
        let (overview, addresses) = self.ask(|manager| {
            let overview = Overview::read(manager, &names)?;
            Ok((overview, manager.addresses(&sockets)?))
        })?;
        let manager = self.manager()?;
        let mut states = Vec::new();
        for ((app, found), listen) in apps.iter().zip(addresses) {
            let looked = (&overview, &Looks::default());
            let mut state = AppStatus::of(manager, looked, app, None, (found.wanted, None))?;
            state.listen = listen;
            states.push(state);
        }
        self.mark_paused(&mut states)?;
        Ok(states)
    }

    /// Corrects the status of instances that are down for a pause, which has a unit.
    fn mark_paused(&mut self, states: &mut [AppStatus]) -> Result<(), Failure> {
        let pauses = self.ask(|manager| manager.units(&Units::of("*").pause()))?;
        for state in states {
            let name = Units::of(&state.name).pause();
            let is_up = |unit: &&Brief| unit.name == name && unit.active == ActiveState::Active;
            if pauses.iter().find(is_up).is_none() {
                continue;
            }
            let text = self.ask(|manager| manager.unit(&name))?.status_text;
            let reason = Some(text).filter(|text| !text.is_empty());
            for instance in &mut state.instances {
                if instance.status == "stopped" {
                    instance.status = "paused";
                    instance.reason.clone_from(&reason);
                }
            }
        }
        Ok(())
    }
}
