//! `rsgen scale` for a user who may not write units, and whom polkit(8) lets restart the unit of ours that does it,
//! units/rsgen-scale@.service. That unit gets an app and a number, by its name, and nothing else from that user.
//!
//! The unit leaves a note of how it has ended, which everybody may read and only root may write, and says the same as its status, for
//! those who ask from another host.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::hint;
use super::jobs::{GLANCE, LONGEST};
use super::number::Number;
use super::scaled::{self, Refused, Scaled};
use super::targets;
use super::waiting::{TICK, Waiting};
use crate::contract::{Compared, Instances, Scale};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Sink};
use crate::state::{Entry, Name};
use crate::systemd::{self, ATTEMPTS, JobResult, Manager, Unit, Verb};
use crate::unit::name::Units;

/// The example of the packages.
const RULES: &str = "/usr/share/doc/rsgen/examples/50-rsgen.rules";

/// How long a status may be: systemd ignores a message of more than 4096 bytes, see `NOTIFY_BUFFER_MAX` in its source.
const STATUS: usize = 3 * 1024;

/// How the unit has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    /// When, in microseconds since boot.
    at: u64,
    done: Option<Scaled>,
    is_up: bool,
    failed: Option<Failed>,
    /// The number of instances that the app has by now, where the one that was asked for was compared with another.
    #[serde(default)]
    moved: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Failed {
    status: u8,
    message: String,
    help: Option<String>,
}

/// Leaves a note for the user who has asked.
pub(super) fn note(context: &mut Context<'_>, asked: &Scale, done: &Result<Scaled, Refused>) {
    let Ok(now) = context.manager().map(systemd::Manager::now) else {
        return;
    };
    let (moved, failure) = match done {
        Ok(_) => (None, None),
        Err(Refused::Moved(now)) => (Some(*now), None),
        Err(Refused::Failed(failure)) => (None, Some(failure)),
    };
    let failed = failure.map(|failure| Failed {
        status: failure.exit as u8,
        message: failure.message.clone(),
        help: match failure.report {
            // The faults of the file are in the journal.
            Some(_) => Some(hint::journal_of(
                &Units::of(&asked.app).scaler(asked.number()),
            )),
            None => failure.help.clone(),
        },
    });
    let ended = Ended {
        at: micros(now),
        is_up: done.as_ref().is_ok_and(|scaled| scaled.is_up),
        done: done.as_ref().ok().cloned(),
        failed,
        moved,
    };
    if let Some(status) = ended.status() {
        // Without it another host is told how systemd saw the end.
        let _ = sd_notify::notify(&[NotifyState::Status(&status)]);
    }
    // Whoever compares hears the status, and nobody would remove a note that no other unit writes again.
    if asked.compared.is_some() {
        return;
    }
    if let Ok(text) = serde_json::to_string(&ended) {
        // Without the note it is told that the unit has ended, and how systemd saw that.
        let _ = entry(&context.layout, &asked.app, asked.instances).write(&text);
    }
}

/// The note. Those for other numbers have their own: units for several may end at the same moment.
fn entry(layout: &Layout, app: &str, instances: Instances) -> Entry {
    let number = match instances {
        Instances::Exactly(number) => number,
        Instances::Max | Instances::Fewer(_) => 0,
    };
    Entry::new(&layout.state(app), Name::Scaled(number))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Returns a number by which those who ask at once differ.
fn asker() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

/// Returns what a unit is asked for that brings an app from a number of instances to another one, or to a number whatever it has.
pub(super) fn asked(app: &str, number: Number, from: Option<u32>, to: Instances) -> Scale {
    let from = from.filter(|_| !matches!(number, Number::These(_)));
    Scale {
        app: app.to_owned(),
        instances: to,
        compared: from.map(|from| Compared {
            from,
            asker: asker(),
        }),
    }
}

/// Has the unit scale the app. `refused` is the failure of a user who may not do that either.
pub(super) fn scale(
    context: &mut Context<'_>,
    app: &str,
    number: Number,
    refused: Failure,
) -> Result<Scaled, Failure> {
    scaled::refuse_job(&context.layout, app)?;
    let refused = refused.help_also(Some(format!(
        "polkit(8) can let a group do it, see {RULES}"
    )));
    // Others may scale the app as well, and each of them once.
    for _ in 0..ATTEMPTS {
        if let Some(scaled) = attempt(context, app, number, &refused)? {
            return Ok(scaled);
        }
    }
    Err(
        Failure::failed(format!("others scale `{app}` again and again")).help(format!(
            "run `rsgen list {app}`, and then this command again"
        )),
    )
}

/// Does so once; `None` where somebody else was first.
fn attempt(
    context: &mut Context<'_>,
    app: &str,
    number: Number,
    refused: &Failure,
) -> Result<Option<Scaled>, Failure> {
    let cpus = context.host.cpus;
    let Some(from) = targets::size(&context.layout, cpus, app) else {
        return Err(refused.clone());
    };
    let wanted = number.of(app, from)?;
    let asked = asked(app, number, Some(from), wanted);
    let to = wanted.resolve(cpus);
    let mut jobs = context.jobs()?;
    let name = Units::of(app).scaler(asked.number());
    let unit = jobs.manager.unit(&name)?;
    if unit.load != "loaded" {
        return Err(refused.clone());
    }
    if asked.compared.is_some() {
        jobs.manager.listen_to(&name)?;
    }
    let begun = micros(jobs.manager.now());
    let mut told = (from != to).then_some(Notice::Scaling(app, from, to));
    let shown = (jobs.sink, Some(jobs.layout));
    let result = match run(jobs.manager, shown, app, &unit, &mut told) {
        Err(systemd::Error::AccessDenied { .. }) => {
            let older = asked.compared.map(|_| format!("rules for polkit from before rsgen 0.8 allow only a number: `rsgen scale {app} {to}`"));
            return Err(refused.clone().help_also(older));
        }
        result => result?,
    };
    let said = match asked.compared {
        Some(_) => jobs.manager.heard(),
        None => entry(jobs.layout, app, wanted).read().ok(),
    };
    let ended = said.as_deref().and_then(Ended::parse);
    match ended.filter(|ended| ended.at >= begun) {
        Some(ended) if ended.has_moved() => Ok(None),
        Some(ended) => {
            let scaled = ended.result()?;
            tell(jobs.sink, &scaled, told.is_none());
            Ok(Some(scaled))
        }
        None if result == JobResult::Done => {
            let message = format!("{} ended without reporting a result", unit.name);
            Err(Failure::failed(message).help(format!("run `rsgen list {app}`")))
        }
        None => Err(jobs.failed(Verb::Restart, &unit.name, result)),
    }
}

/// Tells of each instance that the unit has started or stopped, and before that of the number, unless that is told.
pub(super) fn tell(sink: &dyn Sink, scaled: &Scaled, is_told: bool) {
    let (from, to) = (scaled.before, scaled.instances);
    let is_any = !scaled.started.is_empty() || !scaled.stopped.is_empty();
    if !is_told && is_any && from != to {
        sink.notice(&Notice::Scaling(&scaled.app, from, to));
    }
    for (verb, instances) in [("stop", &scaled.stopped), ("start", &scaled.started)] {
        for instance in instances {
            sink.notice(&Notice::Done(instance, verb));
        }
    }
}

/// Restarts the unit, and waits for its end. One that is at work already is waited for: a restart would end it in the middle. A unit that
/// refuses does so at once, so what it is about to do is told only after a moment.
pub(super) fn run(
    manager: &mut dyn Manager,
    (sink, layout): (&dyn Sink, Option<&Layout>),
    app: &str,
    unit: &Unit,
    told: &mut Option<Notice<'_>>,
) -> Result<JobResult, systemd::Error> {
    let cluster = Units::of(app).cluster();
    let end = Instant::now() + LONGEST;
    let mut waiting = Waiting::begin(sink);
    let is_at_work = |unit: &Unit| unit.job.is_some() || !unit.is_gone();
    if is_at_work(unit) {
        while is_at_work(&manager.unit(&unit.name)?) && Instant::now() < end {
            waiting.tell(manager, sink, layout, &cluster);
            manager.pause(TICK);
        }
        return Ok(JobResult::Done);
    }
    let mut result = JobResult::Canceled;
    let mut left = ATTEMPTS;
    while result == JobResult::Canceled && left > 0 {
        left -= 1;
        let job = manager.queue(Verb::Restart, &unit.name)?;
        result = loop {
            match manager.wait(&job, waiting.nap(sink, GLANCE)) {
                Err(systemd::Error::TimedOut { .. }) if Instant::now() < end => {}
                result => break result?,
            }
            if let Some(told) = told.take() {
                sink.notice(&told);
            }
            waiting.tell(manager, sink, layout, &cluster);
        };
    }
    Ok(result)
}

impl Ended {
    /// Returns whether somebody else was first.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.is_some()
    }

    /// Reads what the unit has said as its status.
    pub(super) fn parse(status: &str) -> Option<Self> {
        serde_json::from_str(status).ok()
    }

    /// Returns the status of the unit: all but the files, and where that is too long, all but the names of the instances.
    fn status(&self) -> Option<String> {
        let mut short = self.clone();
        if let Some(done) = &mut short.done {
            done.changes = Vec::new();
        }
        let text = serde_json::to_string(&short).ok()?;
        if text.len() <= STATUS {
            return Some(text);
        }
        if let Some(done) = &mut short.done {
            done.started = Vec::new();
            done.stopped = Vec::new();
        }
        let text = serde_json::to_string(&short).ok();
        text.filter(|text| text.len() <= STATUS)
    }

    /// Returns what the unit has done, or why it has not.
    pub(super) fn result(self) -> Result<Scaled, Failure> {
        match (self.done, self.failed) {
            (Some(done), _) => Ok(Scaled {
                is_up: self.is_up,
                ..done
            }),
            (None, Some(failed)) => {
                let exit = Exit::ALL.into_iter().find(|e| *e as u8 == failed.status);
                // Another host may say anything.
                let exit = exit.filter(|exit| *exit != Exit::Done);
                let failure = Failure::new(exit.unwrap_or(Exit::Failed), failed.message);
                Err(Failure {
                    help: failed.help,
                    ..failure
                })
            }
            (None, None) => Err(Failure::failed("the unit reported nothing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::stage::Recorder;

    fn ended(started: usize) -> Ended {
        let done = Scaled {
            changed: true,
            dry_run: false,
            app: "web".into(),
            instances: 4,
            before: 2,
            changes: Vec::new(),
            started: (0..started).map(|i| format!("web@{i}")).collect(),
            stopped: Vec::new(),
            is_up: true,
        };
        Ended {
            at: 7,
            done: Some(done),
            is_up: true,
            failed: None,
            moved: None,
        }
    }

    #[test]
    fn what_the_unit_has_started_and_stopped_is_told_after_the_number_unless_that_is_told() {
        let told = |(from, to), started: &[&str], stopped: &[&str], is_told| {
            let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
            let sink = Recorder::default();
            let scaled = Scaled {
                before: from,
                instances: to,
                started: names(started),
                stopped: names(stopped),
                ..ended(0).done.unwrap()
            };
            tell(&sink, &scaled, is_told);
            sink.told()
        };
        let number = "web: scaling from 2 to 3 instances";
        let start = "web@2: start done";
        assert_eq!(told((2, 3), &["web@2"], &[], false), [number, start]);
        assert_eq!(told((2, 3), &["web@2"], &[], true), [start]);
        assert_eq!(told((2, 2), &["web@1"], &[], false), ["web@1: start done"]);
        let less = "web: scaling from 3 to 2 instances";
        let stop = "web@2: stop done";
        assert_eq!(told((3, 2), &[], &["web@2"], false), [less, stop]);
        // An app that is down.
        assert_eq!(told((2, 3), &[], &[], false), [""; 0]);
    }

    #[test]
    fn a_status_says_what_was_done_and_is_never_too_long_for_systemd() {
        let read = |ended: &Ended| Ended::parse(&ended.status().unwrap()).unwrap();
        let few = read(&ended(2)).result().unwrap();
        assert_eq!(few.started, ["web@0", "web@1"]);
        assert!(few.is_up);
        let many = read(&ended(1024)).result().unwrap();
        assert_eq!((many.started.len(), many.instances), (0, 4));
        let failed = Failed {
            status: 4,
            message: "no".into(),
            help: Some("x".repeat(5000)),
        };
        let long = Ended {
            done: None,
            failed: Some(failed),
            ..ended(0)
        };
        assert_eq!(long.status(), None);
        let lie = r#"{"at":1,"is_up":true,"failed":{"status":0,"message":"no"}}"#;
        let failure = Ended::parse(lie).unwrap().result().unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(Ended::parse("4 instances").is_none());
    }
}
