//! A rehearsal of an app: its program is started once, in a unit like that of an instance, to see where it listens.
//!
//! The worker reports over a socket in `/run/rsgen`, see `worker::rehearsal`. Whatever it reports may be the program's own
//! words. When this command is killed, the worker ends the program, and the unit removes the files.

mod answer;
mod seen;
mod stage;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::findings::Findings;
use super::jobs::Jobs;
use super::waiting::Waiting;
use crate::ecosystem::App;
use crate::output::{Failure, Notice};
use crate::plan::Host;
use crate::systemd::{self, Job, Verb};
use crate::unit::name::Units;
use seen::{Over, QUIET, Seen};
use stage::Stage;
pub(super) use stage::remove_drop_ins;

/// The interval at which the reports are read, and the end of a unit is asked for.
const TICK: Duration = Duration::from_millis(20);
/// The interval at which systemd is asked for a unit.
const LOOK: Duration = Duration::from_millis(200);
/// The most rehearsals at a time: each program is to have a processor while it starts, or it would be late.
const MOST: usize = 8;
/// Above the largest PID, see `PID_MAX_LIMIT` in proc(5): the rehearsals of one command have different numbers.
const PIDS: u32 = 1 << 22;

/// Rehearses the programs of apps, several at a time, and those once more whose port may be another at each start. `tell` is called with
/// what was found as soon as it is.
pub(super) fn rehearse(
    jobs: &mut Jobs<'_>,
    host: Host,
    apps: &[&App],
    tell: &dyn Fn(&App, &Findings),
) -> Vec<Result<Findings, Failure>> {
    let tell_certain = |app: &App, found: &Findings| {
        if !found.may_change() {
            tell(app, found);
        }
    };
    let mut ends = once(jobs, host, (apps, 0), &tell_certain);
    let may_change = |end: &Result<Findings, Failure>| end.as_ref().is_ok_and(Findings::may_change);
    let again = apps
        .iter()
        .zip(&mut ends)
        .filter(|(_, end)| may_change(end));
    let (again, ends_of): (Vec<&App>, Vec<_>) = again.map(|(app, end)| (*app, end)).unzip();
    for app in &again {
        let text = "listens on a port from the kernel's range for free ports; rehearsing once more, to see whether it changes";
        jobs.sink.notice(&Notice::Noted(&app.name, text));
    }
    let seconds = once(jobs, host, (&again, apps.len()), &|_, _| {});
    for ((app, end), second) in again.iter().zip(ends_of).zip(seconds) {
        // An address that was not seen again was seen once.
        let confirmed = match (std::mem::replace(end, Ok(Findings::default())), second) {
            (Ok(first), Ok(second)) => {
                let confirmed = first.confirmed_by(&second);
                confirmed.map_err(|unclear| answer::changing(app, &unclear))
            }
            (first, _) => first,
        };
        if let Ok(findings) = &confirmed {
            tell(app, findings);
        }
        *end = confirmed;
    }
    ends
}

/// Rehearses the programs of apps, each once. `before` is the number of rehearsals that this command has done.
fn once(
    jobs: &mut Jobs<'_>,
    host: Host,
    (apps, before): (&[&App], usize),
    tell: &dyn Fn(&App, &Findings),
) -> Vec<Result<Findings, Failure>> {
    let at_once = usize::try_from(host.cpus).unwrap_or(1).clamp(2, MOST);
    let mut waiting = apps.iter().copied().enumerate();
    let mut running: Vec<(usize, Running<'_>)> = Vec::new();
    let mut ends = BTreeMap::new();
    loop {
        while running.len() < at_once
            && let Some((index, app)) = waiting.next()
        {
            match Running::begin(jobs, host, app, before + index) {
                Ok(begun) => running.push((index, begun)),
                Err(failure) => drop(ends.insert(index, Err(failure))),
            }
        }
        if running.is_empty() {
            return ends.into_values().collect();
        }
        let mut left = Vec::new();
        for (index, mut one) in running {
            match one.step(jobs) {
                Ok(None) => left.push((index, one)),
                Ok(Some(over)) => {
                    let end = one.answer(jobs, over);
                    if let Ok(findings) = &end {
                        tell(one.app, findings);
                    }
                    ends.insert(index, end);
                }
                Err(failure) => {
                    // systemd does not answer; the unit ends by itself when nobody reads the report any more.
                    ends.insert(index, Err(failure));
                }
            }
        }
        running = left;
        jobs.manager.pause(TICK);
    }
}

/// A rehearsal that is under way.
struct Running<'a> {
    app: &'a App,
    unit: String,
    stage: Stage,
    seen: Seen,
    looked: Option<Instant>,
    waiting: Waiting,
    ending: Option<Ending>,
}

/// The stop of the unit of a rehearsal.
struct Ending {
    over: Over,
    /// None when systemd has forgotten the unit already.
    job: Option<Job>,
    /// When the processes are killed, since a program can extend the time-outs of systemd.
    until: Instant,
    is_killed: bool,
}

impl<'a> Running<'a> {
    fn begin(jobs: &mut Jobs<'_>, host: Host, app: &'a App, index: usize) -> Result<Self, Failure> {
        let life = &app.lifecycle;
        jobs.sink
            .notice(&Notice::Rehearsing(&app.name, life.listen_timeout));
        let index = u32::try_from(index).unwrap_or_default();
        let number = std::process::id().wrapping_add(index.wrapping_mul(PIDS));
        let unit = Units::of(&app.name).rehearsal(number);
        // Should this command be killed before the worker is connected.
        let longest = life.listen_timeout + life.kill_timeout + QUIET * 2;
        let stage = Stage::set(jobs.layout, host, app, number, longest)?;
        jobs.manager.queue(Verb::Start, &unit)?;
        let now = Instant::now();
        Ok(Self {
            app,
            unit,
            stage,
            seen: Seen::begin(now),
            looked: None,
            waiting: Waiting::begin(jobs.sink),
            ending: None,
        })
    }

    /// Goes on without waiting; why the rehearsal is over, once its unit has ended.
    fn step(&mut self, jobs: &mut Jobs<'_>) -> Result<Option<Over>, Failure> {
        if self.ending.is_none() {
            let watched = self.watch(jobs);
            let over = match &watched {
                Ok(None) => return Ok(None),
                Ok(Some(over)) => *over,
                Err(_) => Over::Late,
            };
            let ending = self.end(jobs, over);
            watched?;
            self.ending = Some(ending?);
        }
        let Some(ending) = &mut self.ending else {
            return Ok(None);
        };
        let Some(job) = &ending.job else {
            return Ok(Some(ending.over));
        };
        let what = "the end of the rehearsal's program";
        self.waiting.tell_of(jobs.sink, &self.app.name, what);
        match jobs.manager.wait(job, TICK) {
            Err(systemd::Error::TimedOut { .. }) if Instant::now() < ending.until => Ok(None),
            Err(systemd::Error::TimedOut { .. }) if !ending.is_killed => {
                ending.is_killed = true;
                ending.until += longest_stop(self.app);
                jobs.manager.kill(&self.unit)?;
                Ok(None)
            }
            ended => ended.map(|_| Some(ending.over)).map_err(Failure::from),
        }
    }

    /// Looks at the program; why the rehearsal is over, if it is.
    fn watch(&mut self, jobs: &mut Jobs<'_>) -> Result<Option<Over>, Failure> {
        let now = Instant::now();
        for report in self.stage.read() {
            self.seen.take(now, report, self.app);
        }
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if is_due || self.stage.worker.is_none() {
            self.looked = Some(now);
            let unit = jobs.manager.unit(&self.unit)?;
            if self.stage.worker.is_none() && unit.main_pid != 0 {
                let main = i32::try_from(unit.main_pid).unwrap_or(0);
                self.stage.worker = self.stage.accept(|peer| peer.pid() == main);
                if self.stage.worker.is_some() {
                    self.stage.close_to_others();
                }
            }
            let is_heard = self.stage.worker.is_some();
            if self.seen.look(now, &unit, is_heard, self.app) {
                // All that the worker has written is there to be read by now.
                for report in self.stage.read() {
                    self.seen.take(now, report, self.app);
                }
            }
        }
        if self.waiting.is_due(jobs.sink) {
            let what = self.seen.progress(self.stage.worker.is_some(), self.app);
            self.waiting.tell_of(jobs.sink, &self.app.name, &what);
        }
        Ok(self.seen.over(now, self.app))
    }

    /// Stops the unit, as an instance is stopped: with the stop signal, and SIGKILL after `kill_timeout`.
    fn end(&self, jobs: &mut Jobs<'_>, over: Over) -> Result<Ending, Failure> {
        let job = match jobs.manager.queue(Verb::Stop, &self.unit) {
            // The program has ended, and systemd has forgotten the unit.
            Err(systemd::Error::NoSuchUnit { .. }) => None,
            job => Some(job?),
        };
        Ok(Ending {
            over,
            job,
            until: Instant::now() + longest_stop(self.app),
            is_killed: false,
        })
    }

    fn answer(&self, jobs: &Jobs<'_>, over: Over) -> Result<Findings, Failure> {
        // The worker's user may be the one of this command, so the worker's connection has been accepted before.
        let how = self.stage.how_it_ended();
        answer::answer(jobs, self.app, &self.unit, &self.seen, over, how)
    }
}

fn longest_stop(app: &App) -> Duration {
    app.lifecycle.kill_timeout * 2 + Duration::from_secs(10)
}
