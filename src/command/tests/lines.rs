//! Whole command lines, from their words to what they print and what they leave behind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::stage::{HOST, Stage, Systemd, as_the_fake};
use super::words;
use crate::command::context::Context;
use crate::command::parse;
use crate::ecosystem::Report;
use crate::layout::{Layout, Scope};
use crate::output::{Answer, Failure, Notice, Sink, Style};
use crate::systemd::fake::{self, Fake};
use crate::systemd::{Brief, Error, Job, JobResult, Manager, Timer, Unit, Verb, Whom};

/// What a command line has done.
pub(super) struct Ran {
    pub(super) failure: Option<Failure>,
    /// The notices and warnings.
    pub(super) told: String,
    /// The results as a terminal shows them, without colours.
    pub(super) shown: String,
    /// The last result as a script gets it.
    pub(super) json: serde_json::Value,
    /// What systemd was asked to do.
    pub(super) log: Vec<String>,
    /// The longest time for which nothing was told.
    pub(super) silence: Duration,
}

impl Ran {
    /// The message of the failure, and the help.
    pub(super) fn fault(self) -> String {
        let failure = self.failure.unwrap();
        format!("{}; {}", failure.message, failure.help.unwrap_or_default())
    }

    /// What systemd was asked to do by a command that has worked.
    pub(super) fn jobs(self) -> Vec<String> {
        assert_eq!(self.failure.map(|failure| failure.message), None);
        self.log
    }
}

/// Runs a command line on a host of a user, for which no test has to be root.
pub(super) fn run(stage: &mut Stage, line: &str) -> Ran {
    run_in(stage, line, Style::Plain)
}

pub(super) fn run_in(stage: &mut Stage, line: &str, style: Style) -> Ran {
    run_for(Scope::User, stage, line, style)
}

/// Runs a command line that every user may run for apps of the system.
pub(super) fn run_for_system(stage: &mut Stage, line: &str) -> Ran {
    run_for(Scope::System, stage, line, Style::Plain)
}

fn run_for(scope: Scope, stage: &mut Stage, line: &str, style: Style) -> Ran {
    let arguments = parse(words(line)).unwrap_or_else(|e| panic!("{line}: {e}"));
    let act = |context: &mut Context<'_>| arguments.command.run(context);
    let (done, ran) = within(scope, stage, style, act);
    Ran {
        failure: done.err(),
        ..ran
    }
}

/// Does what a command does for apps of the system. Returns what that has come to, and what it has told.
pub(super) fn within_the_system<T>(
    stage: &mut Stage,
    act: impl FnOnce(&mut Context<'_>) -> T,
) -> (T, Ran) {
    within(Scope::System, stage, Style::Plain, act)
}

fn within<T>(
    scope: Scope,
    stage: &mut Stage,
    style: Style,
    act: impl FnOnce(&mut Context<'_>) -> T,
) -> (T, Ran) {
    let none = Systemd::new(Fake::default(), &stage.layout);
    let systemd = Rc::new(RefCell::new(std::mem::replace(&mut stage.systemd, none)));
    let screen = Screen {
        style,
        told: RefCell::default(),
        shown: RefCell::default(),
        json: RefCell::default(),
        moments: RefCell::new(vec![fake::instant()]),
    };
    let layout = Layout {
        scope,
        ..stage.layout.clone()
    };
    let shared = Box::new(Shared(Rc::clone(&systemd)));
    let mut context = Context::of_a_test(layout, HOST, &screen, shared);
    let done = act(&mut context);
    drop(context);
    stage.systemd = Rc::into_inner(systemd).unwrap().into_inner();
    let ran = Ran {
        failure: None,
        told: screen.told.into_inner().join("\n"),
        shown: screen.shown.into_inner().join("\n"),
        json: screen.json.into_inner(),
        log: std::mem::take(&mut stage.systemd.fake.log),
        silence: longest_silence(screen.moments.into_inner()),
    };
    (done, ran)
}

fn longest_silence(mut moments: Vec<Instant>) -> Duration {
    moments.push(fake::instant());
    let pairs = moments.iter().zip(moments.iter().skip(1));
    let silences = pairs.map(|(before, after)| after.duration_since(*before));
    silences.max().unwrap_or_default()
}

/// What a command prints.
struct Screen {
    style: Style,
    told: RefCell<Vec<String>>,
    shown: RefCell<Vec<String>>,
    json: RefCell<serde_json::Value>,
    /// When the command began, and when it told something.
    moments: RefCell<Vec<Instant>>,
}

impl Sink for Screen {
    fn notice(&self, notice: &Notice<'_>) {
        self.moments.borrow_mut().push(fake::instant());
        self.told.borrow_mut().push(notice.to_string());
    }

    fn answer(&self, answer: &dyn Answer) {
        *self.json.borrow_mut() = answer.json();
        if let Some(shown) = answer.shown(self.style) {
            self.shown.borrow_mut().push(shown.to_string());
        }
    }

    fn warnings(&self, report: &Report) {
        self.told
            .borrow_mut()
            .push(report.render(false).to_string());
    }

    fn failure(&self, _: &Failure) {}

    fn shown_at(&self) -> Option<Instant> {
        self.moments.borrow().last().copied()
    }
}

/// The systemd of the stage, which a test has back after the command.
struct Shared(Rc<RefCell<Systemd>>);

impl Shared {
    fn fake(&self) -> std::cell::RefMut<'_, Systemd> {
        self.0.borrow_mut()
    }

    fn log(&self, what: String) {
        self.0.borrow_mut().fake.log.push(what);
    }
}

impl Manager for Shared {
    as_the_fake!(
        unit,
        units,
        queue,
        cut_short,
        kill,
        wait,
        timer,
        daemon_reload,
        version,
        now,
        pause
    );

    fn signal(&mut self, unit: &str, whom: Whom, signal: i32) -> Result<(), Error> {
        if self.fake().unit(unit)?.main_pid == 0 {
            let reason = format!("{unit} has no main process");
            return Err(Error::Refused { reason });
        }
        self.log(format!("signal {signal} {unit} {}", whom.word()));
        Ok(())
    }

    fn listen_to(&mut self, unit: &str) -> Result<(), Error> {
        self.fake().listen_to(unit)
    }

    fn heard(&mut self) -> Option<String> {
        self.fake().heard()
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        self.log(format!("reset-failed {unit}"));
        Ok(())
    }

    fn forget_times(&mut self, timer: &str) -> Result<(), Error> {
        self.log(format!("forget {timer}"));
        Ok(())
    }
}
