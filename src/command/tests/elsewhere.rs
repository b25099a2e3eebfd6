//! Another host, on which a command line runs: `rsgen --host`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::stage::{Recorder, as_loaded, as_the_fake};
use super::words;
use crate::command::parse;
use crate::command::remote::Remote;
use crate::output::Failure;
use crate::systemd::fake::Fake;
use crate::systemd::{Brief, Error, Job, JobResult, Manager, Timer, Unit, Verb, Whom};

/// The other host: `web` with two instances, the job `backup`, and units that are not rsgen's.
struct Far {
    fake: Rc<RefCell<Fake>>,
    course: Course,
}

/// Events on the other host while the command runs.
#[derive(Default)]
pub(super) struct Course {
    /// The words of the unit that is listened to.
    pub(super) said: Option<&'static str>,
    /// A unit that systemd does not know.
    pub(super) unknown: Option<&'static str>,
    /// How the next waits for a job end; all later ones end as those of the fake.
    pub(super) waits: VecDeque<Wait>,
}

pub(super) enum Wait {
    /// The job is not done yet, and the cluster unit says this of itself.
    Says(&'static str),
    /// The job has ended.
    Ends(JobResult),
}

impl Far {
    fn fake(&self) -> std::cell::RefMut<'_, Fake> {
        self.fake.borrow_mut()
    }
}

impl Manager for Far {
    as_the_fake!(
        units,
        timer,
        cut_short,
        kill,
        reset_failed,
        daemon_reload,
        version,
        now,
        pause
    );

    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        Ok(as_loaded(name, self.fake().unit(name)?))
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        if self.course.unknown == Some(unit) {
            let unit = unit.to_owned();
            return Err(Error::NoSuchUnit { unit });
        }
        self.fake().queue(verb, unit)
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        let status_text = match self.course.waits.pop_front() {
            None => return self.fake().wait(job, at_most),
            Some(Wait::Ends(result)) => return Ok(result),
            Some(Wait::Says(text)) => text.to_owned(),
        };
        let mut fake = self.fake();
        let now = fake.unit(&job.unit)?;
        fake.set(Unit { status_text, ..now });
        fake.pause(at_most);
        Err(Error::TimedOut {
            what: job.unit.clone(),
            after: at_most,
        })
    }

    fn signal(&mut self, unit: &str, whom: Whom, signal: i32) -> Result<(), Error> {
        let line = format!("signal {signal} {unit} {}", whom.word());
        self.fake().log.push(line);
        Ok(())
    }

    fn listen_to(&mut self, unit: &str) -> Result<(), Error> {
        self.fake().log.push(format!("listen to {unit}"));
        Ok(())
    }

    fn heard(&mut self) -> Option<String> {
        self.course.said.map(str::to_owned)
    }

    fn unit_files(&mut self, pattern: &str) -> Result<Vec<String>, Error> {
        assert_eq!(pattern, "*.service");
        let names = [
            "getty@.service",
            "web.service",
            "web@.service",
            "backup.service",
            "backup@.service",
            "forged.service",
            "forged@.service",
            "plain.service",
            "web:join@.service",
            "a\u{1b}b.service",
            "a\u{1b}b@.service",
        ];
        Ok(names.map(str::to_owned).to_vec())
    }

    fn commands(&mut self, services: &[String]) -> Result<Vec<Vec<Vec<String>>>, Error> {
        let commands = |unit: &String| match unit.as_str() {
            "web.service" => vec![words_of("/usr/bin/rsgen unit start web --instances=2")],
            "backup.service" => vec![words_of("/usr/bin/rsgen unit job backup --instances=1")],
            "forged.service" => vec![words_of("/usr/bin/rsgen unit start web --instances=3")],
            _ => Vec::new(),
        };
        Ok(services.iter().map(commands).collect())
    }
}

fn words_of(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

pub(super) struct Ran {
    pub(super) failure: Option<Failure>,
    pub(super) told: String,
    pub(super) log: Vec<String>,
    /// How long it took.
    pub(super) took: Duration,
}

pub(super) fn run(fake: Fake, line: &str) -> Ran {
    run_during(fake, line, Course::default())
}

/// Runs a command, and a unit that is listened to says this.
pub(super) fn run_saying(fake: Fake, line: &str, said: Option<&'static str>) -> Ran {
    let course = Course {
        said,
        ..Course::default()
    };
    run_during(fake, line, course)
}

pub(super) fn run_during(fake: Fake, line: &str, course: Course) -> Ran {
    let fake = Rc::new(RefCell::new(fake));
    let sink = Recorder::default();
    let far = Far {
        fake: Rc::clone(&fake),
        course,
    };
    let begun = fake.borrow_mut().now();
    let mut remote = Remote::of_a_test(&sink, Box::new(far));
    let arguments = parse(words(line)).unwrap_or_else(|e| panic!("{line}: {e}"));
    let failure = arguments.command.run_remotely(&mut remote).err();
    let log = std::mem::take(&mut fake.borrow_mut().log);
    let took = fake.borrow_mut().now().saturating_sub(begun);
    Ran {
        failure,
        told: sink.told().join("\n"),
        log,
        took,
    }
}

pub(super) fn serving() -> Fake {
    Fake::running(&["web.service", "web@0.service", "web@1.service"])
}
