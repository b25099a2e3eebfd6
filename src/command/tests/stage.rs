//! A test host: folders, a systemd whose walks go as the test says, and a sink that records what it gets.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::command::apply::{self, Prepared};
use crate::command::jobs::Jobs;
use crate::command::writing::Writing;
use crate::ecosystem::Report;
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::{Answer, Failure, Notice, Sink};
use crate::plan::Host;
use crate::plan::diff::Change;
use crate::state::{Entry, Name};
use crate::systemd::fake::{self, Fake};
use crate::systemd::{ActiveState, Brief, Error, Job, JobResult, Manager, Timer, Unit, Verb};
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
pub(in crate::command) struct Recorder(RefCell<Vec<String>>, Cell<Option<Instant>>);

impl Recorder {
    fn push(&self, text: String) {
        self.0.borrow_mut().push(text);
        self.1.set(Some(fake::instant()));
    }

    pub(in crate::command) fn told(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

impl Sink for Recorder {
    fn notice(&self, notice: &Notice<'_>) {
        self.push(notice.to_string());
    }

    fn answer(&self, answer: &dyn Answer) {
        self.push(answer.json().to_string());
    }

    fn warnings(&self, report: &Report) {
        self.push(report.render(false).to_string());
    }

    fn failure(&self, failure: &Failure) {
        self.push(failure.message.clone());
    }

    fn shown_at(&self) -> Option<Instant> {
        self.1.get()
    }
}

/// A unit in this state, whose main process exited with status 3 before.
pub(in crate::command) fn unit(name: &str, active: ActiveState, sub: &str) -> Unit {
    Unit {
        name: name.into(),
        load: "loaded".into(),
        active,
        sub: sub.into(),
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 3,
        ..Unit::default()
    }
}

/// Implements methods of [`Manager`] by those of the fake that `self.fake()` returns. The types are those that
/// the caller imports.
macro_rules! as_the_fake {
    ($($method:ident),+) => { $(as_the_fake!(@ $method);)+ };
    (@ unit) => { as_the_fake!(@ unit(name: &str) -> Result<Unit, Error>); };
    (@ units) => { as_the_fake!(@ units(pattern: &str) -> Result<Vec<Brief>, Error>); };
    (@ queue) => { as_the_fake!(@ queue(verb: Verb, unit: &str) -> Result<Job, Error>); };
    (@ wait) => { as_the_fake!(@ wait(job: &Job, time: Duration) -> Result<JobResult, Error>); };
    (@ timer) => { as_the_fake!(@ timer(timer: &str) -> Result<Option<Timer>, Error>); };
    (@ cut_short) => { as_the_fake!(@ cut_short(unit: &str) -> Result<(), Error>); };
    (@ kill) => { as_the_fake!(@ kill(unit: &str) -> Result<(), Error>); };
    (@ reset_failed) => { as_the_fake!(@ reset_failed(unit: &str) -> Result<(), Error>); };
    (@ daemon_reload) => { as_the_fake!(@ daemon_reload() -> Result<(), Error>); };
    (@ version) => { as_the_fake!(@ version() -> Result<u32, Error>); };
    (@ now) => { as_the_fake!(@ now() -> Duration); };
    (@ pause) => { as_the_fake!(@ pause(time: Duration) -> ()); };
    (@ $method:ident($($name:ident: $kind:ty),*) -> $result:ty) => {
        fn $method(&mut self, $($name: $kind),*) -> $result {
            self.fake().$method($($name),*)
        }
    };
}
pub(super) use as_the_fake;

/// A systemd that reloads the cluster unit as the test says, and behaves like the fake otherwise.
pub(super) struct Systemd {
    pub(super) fake: Fake,
    pub(super) walks: VecDeque<Walk>,
    /// Whether systemd refuses to read its files again.
    pub(super) refuses_files: bool,
    /// How many waits for a walk end before the walk does.
    pub(super) ticks: u32,
    /// Whether the waits for other jobs end before the job does as well.
    pub(super) takes_its_time: bool,
    /// How long each job takes.
    pub(super) slow: Duration,
    /// How long each job has been waited for.
    pub(super) waited: BTreeMap<String, Duration>,
    /// The units whose failure was forgotten.
    pub(super) forgotten: Vec<String>,
    /// A unit for which systemd refuses every job.
    pub(super) unknown: Option<&'static str>,
    /// The statuses with which the units that are listened to end, one after the other.
    pub(super) said: VecDeque<String>,
    /// The notes of what is wished of walks, as each reload of the cluster unit finds them.
    pub(super) wishes: Vec<String>,
    asked: Entry,
    walk: Entry,
    result: Option<JobResult>,
}

pub(super) struct Stage {
    pub(super) systemd: Systemd,
    pub(super) layout: Layout,
    pub(super) sink: Recorder,
    pub(super) is_reread: Cell<bool>,
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
            systemd: Systemd::new(Fake::running(units), &layout),
            layout,
            sink: Recorder::default(),
            is_reread: Cell::default(),
            _root: root,
        }
    }

    pub(super) fn jobs(&mut self) -> Jobs<'_> {
        Jobs {
            manager: &mut self.systemd,
            layout: &self.layout,
            sink: &self.sink,
            command: "reload",
            begun: SystemTime::now(),
            part: None,
            is_reread: &self.is_reread,
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
        self.prepare_as(false)
    }

    /// Returns the same for an app that serves.
    pub(super) fn prepare_serving(&self) -> Prepared {
        self.prepare_as(true)
    }

    fn prepare_as(&self, serves: bool) -> Prepared {
        let source = sources::find(&self.layout, "web").unwrap();
        let (_, app, _) = sources::read(&self.layout, &source)
            .map_err(|report| report.render(false).to_string())
            .unwrap();
        apply::prepare_units(&self.layout, HOST, app, &source.path, serves)
            .map_err(|failure| failure.message)
            .unwrap()
    }

    /// Makes changes as a command does.
    pub(super) fn write(&mut self, changes: &[Change]) {
        let mut jobs = self.jobs();
        let written = Writing::begin(&mut jobs, "web").and_then(|w| w.write(&mut jobs, changes));
        written.map_err(|failure| failure.message).unwrap();
    }

    /// Returns the text of a pinned unit.
    pub(super) fn unit(&self, name: &str) -> String {
        std::fs::read_to_string(self.layout.units.join(name)).unwrap_or_default()
    }
}

impl Systemd {
    /// A systemd whose walks are those of the app `web`.
    pub(super) fn new(fake: Fake, layout: &Layout) -> Self {
        Self {
            fake,
            walks: VecDeque::new(),
            refuses_files: false,
            ticks: 0,
            takes_its_time: false,
            slow: Duration::ZERO,
            waited: BTreeMap::new(),
            forgotten: Vec::new(),
            unknown: None,
            said: VecDeque::new(),
            wishes: Vec::new(),
            asked: Entry::new(&layout.state("web"), Name::Asked),
            walk: Entry::new(&layout.state("web"), Name::Walk),
            result: None,
        }
    }

    fn fake(&mut self) -> &mut Fake {
        &mut self.fake
    }
}

/// A unit as systemd loads it: that of a number that is compared with another comes from the template of the packages, whatever number its
/// name has.
pub(super) fn as_loaded(name: &str, mut unit: Unit) -> Unit {
    if unit.load == "not-found" && name.contains(":from-") {
        unit.load = "loaded".into();
    }
    unit
}

impl Manager for Systemd {
    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        if self.unknown == Some(unit) {
            let unit = unit.to_owned();
            return Err(Error::NoSuchUnit { unit });
        }
        let job = self.fake.queue(verb, unit)?;
        if verb == Verb::Reload {
            self.wishes.extend(self.asked.read());
        }
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
        if (self.result.is_some() || self.takes_its_time) && self.ticks > 0 {
            self.ticks -= 1;
            self.fake.pause(at_most);
            return Err(Error::TimedOut {
                what: job.unit.clone(),
                after: at_most,
            });
        }
        let waited = self.waited.entry(job.path.clone()).or_default();
        let left = self.slow.saturating_sub(*waited);
        *waited += left.min(at_most);
        if !left.is_zero() {
            self.fake.pause(left.min(at_most));
        }
        if left > at_most {
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

    fn listen_to(&mut self, unit: &str) -> Result<(), Error> {
        self.fake.log.push(format!("listen to {unit}"));
        Ok(())
    }

    fn heard(&mut self) -> Option<String> {
        self.said.pop_front()
    }

    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        Ok(as_loaded(name, self.fake.unit(name)?))
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        self.forgotten.push(unit.to_owned());
        Ok(())
    }

    fn daemon_reload(&mut self) -> Result<(), Error> {
        self.fake.log.push("daemon-reload".into());
        if self.refuses_files {
            let reason = "a test".into();
            return Err(Error::Refused { reason });
        }
        Ok(())
    }

    as_the_fake!(units, cut_short, kill, timer, version, now, pause);
}
