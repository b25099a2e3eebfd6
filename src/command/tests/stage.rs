//! A test host: folders, a systemd whose walks go as the test says, and a sink that records what it gets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::command::apply::{self, Prepared};
use crate::command::jobs::Jobs;
use crate::ecosystem::Report;
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::{Answer, Failure, Notice, Sink};
use crate::plan::Host;
use crate::state::{Entry, Name};
use crate::systemd::fake::Fake;
use crate::systemd::{Brief, Error, Job, JobResult, Manager, Unit, Verb};
use crate::walk::{Event, Record};

pub(super) const HOST: Host = Host {
    cpus: 4,
    yama: false,
    status: |_| None,
};

/// One walk: its events, and the result of its job.
pub(super) type Walk = (Vec<Event>, JobResult);

/// The sink of a test, which records the notices.
#[derive(Default)]
pub(super) struct Recorder(RefCell<Vec<String>>);

impl Recorder {
    pub(super) fn told(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

impl Sink for Recorder {
    fn notice(&self, notice: &Notice<'_>) {
        self.0.borrow_mut().push(notice.to_string());
    }

    fn answer(&self, answer: &dyn Answer) {
        self.0.borrow_mut().push(answer.json().to_string());
    }

    fn warnings(&self, report: &Report) {
        self.0.borrow_mut().push(report.render(false).to_string());
    }

    fn failure(&self, failure: &Failure) {
        self.0.borrow_mut().push(failure.message.clone());
    }
}

/// A systemd that reloads the cluster unit as the test says, and behaves like the fake otherwise.
pub(super) struct Systemd {
    pub(super) fake: Fake,
    pub(super) walks: VecDeque<Walk>,
    /// Whether systemd refuses to read its files again.
    pub(super) refuses_files: bool,
    /// How many waits for a walk end before the walk does.
    pub(super) ticks: u32,
    /// A unit for which systemd refuses every job.
    pub(super) unknown: Option<&'static str>,
    walk: Entry,
    result: Option<JobResult>,
}

pub(super) struct Stage {
    pub(super) systemd: Systemd,
    pub(super) layout: Layout,
    pub(super) sink: Recorder,
    _root: TempDir,
}

impl Stage {
    /// Returns a host where these units run.
    pub(super) fn running(units: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        for folder in [&layout.units, &layout.apps[0], layout.run.parent().unwrap()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        Self {
            systemd: Systemd {
                fake: Fake::running(units),
                walks: VecDeque::new(),
                refuses_files: false,
                ticks: 0,
                unknown: None,
                walk: Entry::new(&layout.state("web"), Name::Walk),
                result: None,
            },
            layout,
            sink: Recorder::default(),
            _root: root,
        }
    }

    pub(super) fn jobs(&mut self) -> Jobs<'_> {
        Jobs {
            manager: &mut self.systemd,
            layout: &self.layout,
            sink: &self.sink,
            begun: SystemTime::now(),
        }
    }

    /// Writes the installed file of an app.
    pub(super) fn write_app(&self, more: &str) {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"/srv/web/server\"\ninterpreter = \"none\"\n{more}"
        );
        std::fs::write(self.layout.file("web"), text).unwrap();
    }

    /// Returns the changes that bring the pinned units in line with the file.
    pub(super) fn prepare(&self) -> Prepared {
        let source = sources::find(&self.layout, "web").unwrap();
        let (_, app, _) = sources::read(&self.layout, &source)
            .map_err(|report| report.render(false).to_string())
            .unwrap();
        apply::prepare_units(&self.layout, HOST, app, &source.path)
            .map_err(|failure| failure.message)
            .unwrap()
    }

    /// Returns the text of a pinned unit.
    pub(super) fn unit(&self, name: &str) -> String {
        std::fs::read_to_string(self.layout.units.join(name)).unwrap_or_default()
    }
}

impl Manager for Systemd {
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        if self.unknown == Some(unit) {
            let unit = unit.to_owned();
            return Err(Error::NoSuchUnit { unit });
        }
        let job = self.fake.queue(verb, unit)?;
        let Some((events, result)) = self.walks.pop_front_if(|_| verb == Verb::Reload) else {
            return Ok(job);
        };
        self.result = Some(result);
        if !events.is_empty() {
            let mut file = self.walk.begin().unwrap();
            for event in events {
                writeln!(file, "{}", Record::new(&event).line()).unwrap();
            }
        }
        Ok(job)
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        if self.result.is_some() && self.ticks > 0 {
            self.ticks -= 1;
            self.fake.pause(at_most);
            return Err(Error::TimedOut {
                what: job.unit.clone(),
                after: at_most,
            });
        }
        match self.result.take() {
            Some(result) => Ok(result),
            None => self.fake.wait(job, at_most),
        }
    }

    fn daemon_reload(&mut self) -> Result<(), Error> {
        self.fake.log.push("daemon-reload".into());
        if self.refuses_files {
            let reason = "a test".into();
            return Err(Error::Refused { reason });
        }
        Ok(())
    }

    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        self.fake.unit(name)
    }

    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        self.fake.units(pattern)
    }

    fn cut_short(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.cut_short(unit)
    }

    fn kill(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.kill(unit)
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.reset_failed(unit)
    }

    fn version(&mut self) -> Result<u32, Error> {
        self.fake.version()
    }

    fn now(&mut self) -> Duration {
        self.fake.now()
    }

    fn pause(&mut self, time: Duration) {
        self.fake.pause(time);
    }
}
